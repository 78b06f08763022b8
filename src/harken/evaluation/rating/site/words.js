// What the page says, in English and Chinese. Scales are by the dimension's name: a title, and what 1, 3 and 5 mean.

export const WORDS = {
  en: {
    other: "中文", title: "Rate spoken replies", dialogue: "Listen", question: "Rate the last reply",
    play: "play all", again: "last reply again", space: "Space", back: "back", next: "next",
    keys: "1–5 rate, ↑ ↓ choose a scale, Enter goes on. Every rating is kept at once; you may stop at any time.",
    user: "User", reply: "Reply", rated: "Reply, to be rated", silent: "(no sound)", none: "(no reply)",
    done: "All replies are rated.", thanks: "Thank you. You may close this page.", review: "look at the last one again",
    rater: name => `rater: ${name}`, count: (done, total) => `${done} of ${total} rated`,
    lost: "The rating could not be kept. Is the program still running?",
    scales: {
      textual_empathy_insight: ["Empathy in the words", {
        1: "passes over the feeling, gets it wrong, or blames",
        3: "gives the feeling back in other words, no more",
        5: "understands what is under it, and strengthens the user",
      }],
      vocal_empathy_congruence: ["Does the voice fit the user's state?", {
        1: "goes against it, such as cheer for grief",
        3: "neutral: neither helps nor hurts",
        5: "tone, pace and warmth are right for this moment",
      }],
      audio_quality_naturalness: ["Sound quality and naturalness", {
        1: "hard to understand, or no speech",
        3: "plainly synthetic or noisy, but easy to listen to",
        5: "natural speech without a flaw",
      }],
    },
  },
  zh: {
    other: "English", title: "语音回复评分", dialogue: "请听", question: "请为最后一条回复评分",
    play: "全部播放", again: "再听最后一条", space: "空格", back: "上一条", next: "下一条",
    keys: "按 1–5 评分，↑ ↓ 选择维度，回车进入下一条。每个评分立即保存，可以随时停下。",
    user: "用户", reply: "回复", rated: "待评分的回复", silent: "（没有声音）", none: "（没有回复）",
    done: "所有回复都已评分。", thanks: "谢谢！可以关闭本页面了。", review: "回看最后一条",
    rater: name => `评分人：${name}`, count: (done, total) => `已评 ${done} / ${total}`,
    lost: "评分未能保存。程序还在运行吗？",
    scales: {
      textual_empathy_insight: ["文字共情", {
        1: "忽视、误解对方的感受，或加以责备",
        3: "只是换一种说法复述对方的感受",
        5: "理解感受背后的原因，并给对方以力量",
      }],
      vocal_empathy_congruence: ["声音是否契合用户的状态？", {
        1: "与用户的状态相悖，例如以欢快回应悲伤",
        3: "中性：既无帮助，也无妨碍",
        5: "语气、语速、温度都恰到好处",
      }],
      audio_quality_naturalness: ["音质与自然度", {
        1: "难以听懂，或不是语音",
        3: "明显是合成音或有噪声，但听起来不费力",
        5: "如真人般自然，没有瑕疵",
      }],
    },
  },
};
