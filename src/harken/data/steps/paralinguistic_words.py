"""Which words name an emotion, a tone of voice or a gender, in English and in Chinese.

The paralinguistic step reads questions and answers by them: a question may not name what it asks about, and
an answer counts as heard only where it names what was heard. Naming is all that is told apart: negation and
irony are not.
"""

from __future__ import annotations

import re
from functools import cache

from harken.data.rows import Vad

EMOTION_WORDS = {
    "en": {
        "anger": "anger angry angrily annoyed furious frustrated frustration irritated mad rage upset",
        "disgust": "disgust disgusted revolted repulsed",
        "fear": "fear afraid fearful scared frightened terrified anxious anxiety nervous worried worry",
        "happy": "happy happily happiness joy joyful glad delighted cheerful excited excitement pleased",
        "neutral": "neutral calm calmly matter-of-fact composed unemotional",
        "sad": "sad sadly sadness sorrow unhappy depressed grief heartbroken miserable disappointed upset",
        "surprise": "surprise surprised astonished astonishment amazed shocked startled",
    },
    "zh": {
        "anger": "生气 愤怒 恼火 气愤 恼怒 发火 愤慨",
        "disgust": "厌恶 恶心 反感 嫌弃",
        "fear": "害怕 恐惧 担心 担忧 焦虑 紧张 恐慌 不安",
        "happy": "高兴 开心 快乐 喜悦 兴奋 愉快 欣喜",
        "neutral": "平静 中性 平淡 冷静",
        "sad": "悲伤 难过 伤心 沮丧 失落 低落 忧伤 难受",
        "surprise": "惊讶 吃惊 震惊 惊喜 诧异",
    },
}
"""Inflected forms that occur in questions and answers, by language and label."""

TONE_WORDS = {
    "en": {
        ("valence", -1): "unpleasant negative bitter gloomy distressed",
        ("valence", 1): "pleasant positive warm bright",
        ("arousal", -1): "subdued quiet flat low weary tired slow soft muted",
        ("arousal", 1): "energetic tense agitated loud lively intense heated urgent",
        ("dominance", -1): "hesitant helpless unsure powerless timid",
        ("dominance", 1): "confident assertive firm forceful",
    },
    "zh": {
        ("valence", -1): "消极 负面 苦涩 阴郁",
        ("valence", 1): "积极 正面 温暖 明亮",
        ("arousal", -1): "低沉 疲惫 平缓 缓慢 轻声 无力",
        ("arousal", 1): "激动 激烈 急促 紧绷 有活力 高亢",
        ("dominance", -1): "犹豫 无助 胆怯",
        ("dominance", 1): "自信 坚定 强势 有力",
    },
}
"""Words for a voice that lies on one side (-1, 1) of a dimension."""

_GENDER_WORDS = {
    "en": {"female": "female woman woman's lady girl", "male": "male man man's gentleman boy"},
    "zh": {"female": "女性 女人 女士 女声 女生 女的", "male": "男性 男人 男士 男声 男生 男的"},
}
_PRONOUNS = {"en": {"female": "she her hers", "male": "he him his"}, "zh": {"female": "她", "male": "他"}}

CLEARLY = 0.1
"""How far from 0 a dimension must lie for the voice to be on a side of it."""


def emotions_named(text: str, lang: str) -> frozenset[str]:
    """The labels of `affect.labels.EMOTIONS` that a text names."""
    return frozenset(label for label, words in EMOTION_WORDS[lang].items() if _holds(text, lang, words))


def genders_named(text: str, lang: str, pronouns: bool = False) -> frozenset[str]:
    """The genders that a text names; `pronouns` counts she and he (and 她, 他, often meant for anyone)."""
    named = {gender for gender, words in _GENDER_WORDS[lang].items() if _holds(text, lang, words)}
    if pronouns:
        named |= {gender for gender, words in _PRONOUNS[lang].items() if _holds(text, lang, words)}
    return frozenset(named)


def tone_fits(text: str, lang: str, vad: Vad | None) -> bool:
    """Does a text name a side of a dimension on which the voice clearly is?"""
    if vad is None:
        return False
    for (dimension, side), words in TONE_WORDS[lang].items():
        if side * float(getattr(vad, dimension)) >= CLEARLY and _holds(text, lang, words):
            return True
    return False


def tone_contradicts(text: str, lang: str, vad: Vad | None) -> bool:
    """Does a text name a side of a dimension, the other of which the voice clearly is on?"""
    return vad is not None and tone_fits(text, lang, Vad(-vad.valence, -vad.arousal, -vad.dominance))


def _holds(text: str, lang: str, words: str) -> bool:
    return _pattern(lang, words).search(text.lower()) is not None


@cache
def _pattern(lang: str, words: str) -> re.Pattern[str]:
    one_of = "|".join(map(re.escape, words.split()))
    return re.compile(one_of if lang == "zh" else rf"(?<![\w'])(?:{one_of})(?!\w)")
