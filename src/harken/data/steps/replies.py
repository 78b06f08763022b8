"""Whether what a teacher wrote can be spoken as an answer, in English and in Chinese.

The checks are plain rules on words, each with the reason under which a row is dropped. What a reply must not
give away of a think block is `harken.data.steps.traces`' business.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

EMPTY = "empty reply"
REFUSAL = "refusal"
OTHER_LANGUAGE = "other language"
NOT_SPEECH = "not speech"
TOO_LONG = "too long"
REPEATS_USER = "repeats the user"
LOOP = "repetition loop"
ECHO = "echoes an example"
UNFIT = "reply does not fit the feeling"

_WORD = re.compile(r"[㐀-鿿]|[^\W㐀-鿿_]+(?:['’][^\W㐀-鿿_]+)*")
_HAN = re.compile(r"[㐀-鿿]")
_REFUSALS = re.compile(
    r"\bas an? (?:ai|artificial|language model|virtual|assistant)"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|artificial|large|language model|virtual|assistant|computer)"
    r"|\bi(?: can't| cannot| am unable to|'m unable to|'m not able to)"
    r" (?:assist|provide|fulfil|comply|help (?:you )?with)"
    r"|\bsorry,? but i (?:can't|cannot|am|do not|don't)|\bhow (?:can|may) i (?:assist|help) you"
    r"|let me know if you (?:need|have) any|feel free to (?:ask|reach)|\bopenai\b|\bqwen\b"
    r"|作为(?:一个|一名|一款)?(?:ai|人工智能|语言模型|助手|虚拟)|我是(?:一个|一名|一款)?(?:ai|人工智能|语言模型|助手)"
    r"|我(?:无法|不能)(?:提供|回答|协助|帮助|完成|满足)|抱歉[，,]?我(?:无法|不能)|有什么(?:可以|能)帮"
    r"|如果你?您?(?:还)?有(?:任何|其他)(?:问题|需要)|通义千问|阿里云"
)
"""A teacher that speaks of itself, declines, or offers its services."""
_MARKUP = re.compile(
    r"[*#`|<>{}\[\]~^=\\]|https?:|\n|^\s*(?:[-•·]|\d+[.)、])|[☀-➿\U0001F000-\U0001FAFF]"
    r"|^\s*(?:user|assistant|reply|response|answer|用户|助手|回答|回复)\s*[:：]",
    re.IGNORECASE,
)
_GLAD = {
    "en": re.compile(
        r"\b(?:congratulations|exciting|wonderful|delightful|so glad|happy for you|great news)\b"
        r"|\b(?:that's|that is|sounds|how|what) (?:a )?(?:so |very |really )?(?:great|nice|good|fun|lovely)\b"
    ),
    "zh": re.compile(r"恭喜|祝贺|太好了|太棒|真棒|真好|真是好|好主意|有趣|好消息|为你高兴|替你高兴"),
}
_SORRY = {
    "en": re.compile(
        r"\b(?:oh no|(?:so|very|i'm) sorry|embarrassing|awful|terrible|that (?:must have |must )?hurts?)\b"
    ),
    "zh": re.compile(r"太难了|心疼|难受|太过分|节哀|真可惜|别难过|糟糕"),
}
_LOOP_OF = {"en": 4, "zh": 6}
_SAME_WORDS = {"en": 6, "zh": 7}


def words(text: str) -> list[str]:
    """Words in lower case with straight apostrophes; of Chinese, each character."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def in_language(text: str, lang: str) -> bool:
    """English has no Chinese character; Chinese has more of them than twice its words in other letters."""
    found = words(text)
    chinese = sum(1 for word in found if _HAN.match(word))
    if lang == "zh":
        return chinese > 2 * sum(1 for word in found if word.isascii() and word.isalpha())
    return bool(found) and not chinese


def longest_run(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, int, int]:
    """The longest run of words that both have: where it starts in each, and its length."""
    best, above = (0, 0, 0), [0] * (len(theirs) + 1)
    for i, word in enumerate(ours):
        row = [0] * (len(theirs) + 1)
        for j, other in enumerate(theirs):
            if word == other:
                row[j + 1] = above[j] + 1
                if row[j + 1] > best[2]:
                    best = (i - row[j + 1] + 1, j - row[j + 1] + 1, row[j + 1])
        above = row
    return best


def loops(text: str, lang: str) -> bool:
    """Does the text turn in circles: a run of words three times, or a whole sentence twice?"""
    found, n = words(text), _LOOP_OF[lang]
    runs = Counter(tuple(found[i : i + n]) for i in range(len(found) - n + 1))
    sentences = Counter(tuple(words(sentence)) for sentence in re.split(r"[.!?。！？\n]+", text))
    del sentences[()]
    return max(runs.values(), default=0) > 2 or any(
        times > 1 and len(sentence) > 2 for sentence, times in sentences.items()
    )


def repeats(reply: str, said: str) -> bool:
    """Does more than half of the reply lie in runs of four words or more that the user said?"""
    ours, theirs = words(reply), words(said)
    runs = {tuple(theirs[i : i + 4]) for i in range(len(theirs) - 3)}
    in_runs = {i + k for i in range(len(ours) - 3) if tuple(ours[i : i + 4]) in runs for k in range(4)}
    return bool(ours) and (2 * len(in_runs) > len(ours) or longest_run(ours, theirs)[2] == len(ours))


def unfit(reply: str, emotion: str, lang: str) -> bool:
    """Is a reply plainly glad about what makes somebody sad, angry, afraid or disgusted, or sorry for joy?"""
    if emotion in ("sad", "anger", "fear", "disgust"):
        return bool(_GLAD[lang].search(reply.lower()))
    return emotion == "happy" and bool(_SORRY[lang].search(reply.lower()))


def fault(reply: str, lang: str, said: str, max_words: int, examples: Sequence[str] = ()) -> str | None:
    """Why a reply cannot be spoken to somebody who said `said`; None where it can.

    Args:
        max_words: of English words; of Chinese, half as many characters again.
        examples: texts that the teacher was shown, which it may not say again.
    """
    ours = words(reply)
    if not ours:
        return EMPTY
    if _REFUSALS.search(reply.lower().replace("’", "'")):
        return REFUSAL
    if not in_language(reply, lang):
        return OTHER_LANGUAGE
    if _MARKUP.search(reply.strip()):
        return NOT_SPEECH
    if len(ours) > max_words * (1.5 if lang == "zh" else 1):
        return TOO_LONG
    if repeats(reply, said):
        return REPEATS_USER
    if loops(reply, lang):
        return LOOP
    if any(longest_run(ours, words(example))[2] >= _SAME_WORDS[lang] for example in examples):
        return ECHO
    return None
