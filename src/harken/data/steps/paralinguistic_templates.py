"""Questions with answers composed from what is known of a clip, in several phrasings, English and Chinese.

They are the floor of the paralinguistic step: small teachers often write no readable question at all, and a
direct question about emotion or gender needs no teacher. Which phrasing a clip gets is drawn by its id.
"""

from __future__ import annotations

import random

from harken.data.rows import Affect
from harken.data.steps.paralinguistic_clip import Clip
from harken.data.steps.paralinguistic_filters import Draft

FEELS = {
    "en": {
        "anger": "angry",
        "disgust": "disgusted",
        "fear": "afraid",
        "happy": "happy",
        "neutral": "calm",
        "sad": "sad",
        "surprise": "surprised",
    },
    "zh": {
        "anger": "生气",
        "disgust": "厌恶",
        "fear": "害怕",
        "happy": "开心",
        "neutral": "平静",
        "sad": "难过",
        "surprise": "惊讶",
    },
}
"""What one who shows an emotion is called."""

GENDER = {"en": {"female": "a woman", "male": "a man"}, "zh": {"female": "女性", "male": "男性"}}

QUESTIONS = {
    "en": {
        "E": (
            "How does the speaker sound?",
            "What feeling do you hear in the voice?",
            "Listen to the voice: what is the speaker's emotional state?",
        ),
        "G": (
            "Is the voice a man's or a woman's?",
            "Who is speaking, a man or a woman?",
            "What is the speaker's gender, going by the voice?",
        ),
        "CE": (
            "Why does the speaker sound the way they do?",
            "What does the speaker feel, and what is it about?",
            "What lies behind the feeling in the speaker's voice?",
        ),
        "CG": (
            "What is said, and is it a man or a woman who says it?",
            "Repeat what you heard and say whether a man or a woman said it.",
            "Whose voice is this, a man's or a woman's, and what are the words?",
        ),
    },
    "zh": {
        "E": ("说话人听起来心情怎么样？", "你从声音里听出了什么情绪？", "请听声音：说话人处于什么情绪状态？"),
        "G": ("说话的是男性还是女性？", "听声音，说话人是男是女？", "从声音判断，说话人的性别是什么？"),
        "CE": (
            "说话人为什么会是这样的语气？",
            "说话人是什么感受，是因为什么事？",
            "说话人声音里的情绪背后是什么？",
        ),
        "CG": (
            "说了什么？说话的是男性还是女性？",
            "请复述你听到的话，并说明是男性还是女性说的。",
            "这是男性还是女性的声音？说的是什么？",
        ),
    },
}
"""By language and type; none names what it asks about."""

_ANSWERS = {
    "en": {
        "E": "The speaker sounds {feels}.",
        "G": "It is {gender}.",
        "CE": "The speaker sounds {feels}, and the reason is in the words “{cause}”.",
        "CG": "It is {gender}, who says: “{text}”",
    },
    "zh": {
        "E": "说话人听起来{feels}。",
        "G": "是{gender}。",
        "CE": "说话人听起来{feels}，原因在“{cause}”这句话里。",
        "CG": "是{gender}，说的是：“{text}”",
    },
}
_FROM_THE_START = {"en": "{feels} at first", "zh": "一开始{feels}"}
_LATER = {"en": "{feels} from {t0:.1f} seconds on", "zh": "从{t0:.1f}秒起{feels}"}
_JOIN = {"en": ", then ", "zh": "，然后"}


def questions_of(clip: Clip, seed: int) -> list[Draft]:
    """What can be asked of a clip by rule: E; CE where its cause is known; G and CG where its gender is."""
    dice, causes = random.Random(seed), clip.causes()
    parts = {"feels": feels(clip), "text": clip.turn.text}
    if clip.gender is not None:
        parts["gender"] = GENDER[clip.lang][clip.gender]
    if causes and clip.emotions != ("neutral",):
        parts["cause"] = causes[0]
    evidence = {"CE": causes[:1], "CG": (clip.turn.text,)}
    drafts = []
    for type_, answer in _ANSWERS[clip.lang].items():
        question = dice.choice(QUESTIONS[clip.lang][type_])  # drawn in any case: equal ids, equal phrasings
        if all(f"{{{name}}}" not in answer or name in parts for name in ("gender", "cause")):
            level = "complex" if type_ == "CE" else "simple"
            drafts.append(Draft(question, answer.format(**parts), type_, level, evidence.get(type_, ())))
    return drafts


def feels(clip: Clip) -> str:
    """The emotion in words; where it moves, each with when it begins."""
    moves: list[Affect] = []
    for affect in clip.labels:
        if not moves or moves[-1].label != affect.label:
            moves.append(affect)
    names = [FEELS[clip.lang][affect.label] for affect in moves]
    if len(moves) == 1:
        return names[0]
    told = [_FROM_THE_START[clip.lang].format(feels=names[0])]
    told += [
        _LATER[clip.lang].format(feels=n, t0=a.t0 or 0.0) for n, a in zip(names[1:], moves[1:], strict=True)
    ]
    return _JOIN[clip.lang].join(told)
