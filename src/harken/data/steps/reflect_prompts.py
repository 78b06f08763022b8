"""What the step *reflect* asks of its teacher, and how it opens the answer.

A reflection has two parts, in the words of EmpathyEval's dimensions: what is felt and needed (emotion
understanding, need support), and how the reply goes so far (wording, emotional support) and what it lacks.
The teacher goes on with each from an opening, so that a small one keeps to the form and is brief; how
a reply goes that was written to be good, or made to be weak, is known, and stands in the opening.
"""

from __future__ import annotations

from collections.abc import Sequence

from harken.data.rows import Turn
from harken.data.steps.prompts import Prompt
from harken.data.steps.weak_replies import Kind, joined
from harken.llm.templates import Message, render

REFLECT = {
    "en": Prompt(
        "reflect-en",
        """\
You watch a friend answer somebody. Note in a few plain words what the person needs, then how the friend's \
answer goes so far and what it should do next.
---
They: He read my diary out loud at dinner.
Friend, so far: Your own diary, in front of everybody?
---
Anger, needs somebody on their side. So far warm, takes their side; ask what they did.
---
They: We buried my grandpa on Monday.
Friend, so far: I am sorry to hear that.
---
Sadness, needs to talk about their grandpa. So far it fits anyone; name the funeral on Monday.
---
They: Guess what, the bakery wants me to start on Monday!
Friend, so far: So you got the job
---
Joy, needs somebody to be glad with them. So far warm, shares the joy; name the bakery.
---
They: There is someone walking about upstairs, and I live alone.
Friend, so far: It is only the wind.
---
Fear, needs to feel safe right now. So far cold; name the steps upstairs.
---
They: The lift is broken again, and I live on the ninth floor.
Friend, so far: Nine floors, on foot, with
---
Anger, needs somebody to see the effort. So far warm, names nine floors; ask about the lift.
---
They: I have not slept, and the exam is tomorrow.
Friend, so far: My sister has a new bicycle.
---
Fear, needs calm before the exam. So far off the point; name the exam tomorrow.""",
    ),
    "zh": Prompt(
        "reflect-zh",
        """\
你在旁边看一位朋友怎样回应别人。用几个简单的词记下：对方需要什么，朋友的话到目前怎么样，接下来该怎么做。
---
对方：他在饭桌上把我的日记念了出来。
朋友，说到：你的日记，当着大家的面？
---
愤怒，需要有人站在自己这边。目前温暖，站在对方一边；问问后来怎么样。
---
对方：星期一我们送走了爷爷。
朋友，说到：听到这个我很难过。
---
悲伤，需要说说爷爷。目前对谁都能这么说；该提到星期一的告别。
---
对方：告诉你，面包店让我星期一就去上班！
朋友，说到：这么说你得到那份工作了
---
喜悦，需要有人一起高兴。目前温暖，分享了喜悦；提到面包店。
---
对方：楼上有人在走动，可家里只有我一个人。
朋友，说到：只是风声吧。
---
恐惧，需要马上感到安全。目前冷淡；该提到楼上的脚步。
---
对方：电梯又坏了，我住九楼。
朋友，说到：九层楼，全靠两条腿，
---
愤怒，需要有人看到这份辛苦。目前温暖，说到了九层楼；问问电梯。
---
对方：我一夜没睡，明天就考试了。
朋友，说到：我妹妹买了辆新自行车。
---
恐惧，需要考前静下心来。目前跑题；该提到明天的考试。""",
    ),
}
PROMPTS = {prompt.name: prompt for prompt in REFLECT.values()}

_FELT = {
    "en": {
        "anger": "Anger",
        "disgust": "Disgust",
        "fear": "Fear",
        "happy": "Joy",
        "neutral": "Calm",
        "sad": "Sadness",
        "surprise": "Surprise",
    },
    "zh": {
        "anger": "愤怒",
        "disgust": "厌恶",
        "fear": "恐惧",
        "happy": "喜悦",
        "neutral": "平静",
        "sad": "悲伤",
        "surprise": "惊讶",
    },
}
_OPENINGS: dict[str, dict[Kind | None, str]] = {
    "en": {
        None: "So far warm,",
        "generic": "So far it fits anyone; name",
        "cold": "So far cold; name",
        "off the point": "So far off the point; name",
    },
    "zh": {
        None: "目前温暖，",
        "generic": "目前对谁都能这么说；该提到",
        "cold": "目前冷淡；该提到",
        "off the point": "目前跑题；该提到",
    },
}
_ASKED = {"en": ("They: ", "Friend: ", "Friend, so far: "), "zh": ("对方：", "朋友：", "朋友，说到：")}
"""What stands before what the person, the friend, and now the friend says."""
STOPS = (".", "。", "\n")
"""What ends either part; it is not part of it."""


def need_opening(emotion: str | None, lang: str) -> str:
    """What the first part begins with: the feeling, and that there is a need."""
    felt = _FELT[lang].get(emotion or "")
    if lang == "zh":
        return f"{felt}，需要" if felt else "需要"
    return f"{felt}, needs" if felt else "Needs"


def reply_opening(need: str, weakness: Kind | None, lang: str) -> str:
    """What the second part begins with, behind the first. Args: weakness: of the reply, where it has one."""
    return joined([need, _OPENINGS[lang][weakness]], lang)


def whole(opening: str, written: str, lang: str) -> str:
    """A part of a reflection as a sentence."""
    return joined([opening, written], lang) + ("。" if lang == "zh" else ".")


def prompt(template: str, turns: Sequence[Turn], so_far: str, opening: str, lang: str) -> str:
    """The prompt, with the teacher's answer opened."""
    they, friend, now = _ASKED[lang]
    lines = [f"{they if turn.role == 'user' else friend}{turn.text}" for turn in turns]
    asked = "\n".join([*lines, f"{now}{so_far or '…'}"])
    return render(template, [*REFLECT[lang].messages(True), Message("user", asked)]) + opening


def shown(lang: str) -> str:
    """What the people of the examples say."""
    asked = [m.content for m in REFLECT[lang].messages(True) if m.role == "user"]
    return " ".join(lines.split("\n")[0].removeprefix(_ASKED[lang][0]) for lines in asked)
