"""What to ask of a conversation, in five hundred ways: a teacher goes on with a list that was begun for it.

A list in the middle of which a model finds itself is something that small models too can go on with, so the
teacher's turn is opened with some of the lines of `ASKED`, other ones each time. What it adds is kept where
it is one whole sentence of a fit length in the language, asks about the task, and is not almost the same as
another. Keeping and speaking them is left to `instruct`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from harken.data.steps.prompts import Prompt
from harken.data.steps.task_prompts import ASKED
from harken.errors import DataError
from harken.llm.base import LLM, Completion, LLMError, Sampling
from harken.llm.templates import Message, render

SPOKEN_TASKS = ("trajectory", "reasoning")
LANGS = ("en", "zh")

_LINES = 10  # asked for at a time
_SPARE = 2  # lines asked for each that is missing
_MOST_ROUNDS = 40  # each with a seed of its own
_IDLE_ROUNDS = 3  # without anything new, and the teacher has no more to say
_ALIKE = 88.0  # rapidfuzz ratio from which on two instructions are one
_LENGTHS = {"en": (5, 30), "zh": (8, 45)}  # words; characters
_SHOWN = 4  # of `ASKED`, at the head of the list
_BULLET = "- "

PROMPTS = {
    "instruct-en": Prompt(
        "instruct-en",
        "A person talks with a voice assistant, then asks it to explain {about}. Write a list of many "
        "different ways to ask, each one sentence, in words that people say aloud. Vary wording and length: "
        "questions and requests, short and long, casual and polite. {manner}",
    ),
    "instruct-zh": Prompt(
        "instruct-zh",
        "用户和语音助手聊完天后，请助手说明{about}。请列出许多种不同的问法，每条一句话，用口语。"
        "措辞和长短要有变化：可以是问句，也可以是请求，可以随意，也可以礼貌。{manner}只用中文。",
    ),
}
"""What the teacher is told; kept beside the shards as `harken.data.steps.prompts`' are."""
_ABOUT = {
    ("trajectory", "en"): "how the person's own emotions changed over the conversation, and why",
    ("trajectory", "zh"): "自己的情绪在对话里怎样一步步变化，以及变化的原因",
    ("reasoning", "en"): "why the person feels as they do, and what lies behind it",
    ("reasoning", "zh"): "自己为什么会有现在的情绪，以及背后的原因",
}
_MANNERS = {
    "en": ("Sound casual.", "Sound polite.", "Sound curious.", "Be brief.", "Be precise.", "Sound worried."),
    "zh": ("语气随意。", "语气礼貌。", "语气好奇。", "尽量简短。", "说得具体。", "语气关切。"),
}

_FEELING = {
    "en": re.compile(r"emotion|feel|felt|mood|sentiment|tone", re.IGNORECASE),
    "zh": re.compile(r"情绪|心情|感受|情感|心理|感觉|语气|心态"),
}
_ON_TASK = {
    (
        "trajectory",
        "en",
    ): r"chang|shift|mov|course|evolv|progress|turn|ups and downs|develop|through|over|order"
    r"|stages?|swing|journey|from",
    ("trajectory", "zh"): r"变|起伏|过程|怎样|怎么|如何|哪些|经历|走向|波动|轨迹",
    ("reasoning", "en"): r"why|caus|reason|behind|made|make|led|because|trigger|root|source|explain|where",
    ("reasoning", "zh"): r"为什么|为何|原因|背后|因为|引起|导致|怎么会|让我|缘由|根源|为啥",
}
_ASKS_ZH = re.compile(r".*？$|请|麻烦|帮|说|讲|告诉|分析|描述|解释|总结|梳理|谈|我想知道|给我|听完")
_ASKS = re.compile(
    r"(how|what|why|where|which|when|who|can|could|would|will|do|did|does|is|are|was|were|please|tell|explain|"
    r"describe|say|walk|trace|summari[sz]e|give|help|show|list|point|identify|analy[sz]e|outline|i'd|i would|"
    r"i want|i need|let|in|looking|after|so|hey|now|based|from|break|talk|share|work|find|figure|map)\b",
    re.IGNORECASE,
)
_MISREAD = re.compile(r"\byours?\b|assistant|voice|\bperson\b", re.IGNORECASE)  # whose feelings?
_LEAD = re.compile(r"^\s*(?:[-*•–]|\(?[0-9A-Z]{1,2}\s*[.)、:：]\)?)?\s*[\"“'「]?")
_ENDS = ".?!。？！"


def write_instructions(llm: LLM, task: str, lang: str, count: int, seed: int = 0) -> list[str]:
    """Up to `count` distinct instructions, those of `ASKED` first.

    A teacher that has few ideas gives fewer. Raises DataError where it does not answer any more.
    """
    kept, idle = list(ASKED[task, lang]), 0
    for number in range(_MOST_ROUNDS):
        missing = count - len(kept)
        if missing <= 0 or idle == _IDLE_ROUNDS:
            break
        dice = random.Random(f"{task}-{lang}-{seed}-{number}")
        prompts = [_prompt(llm, task, lang, manner, dice) for manner in _MANNERS[lang]]
        enough = -(-_SPARE * missing // _LINES)
        sampling = Sampling(max_tokens=24 * _LINES, temperature=0.9, top_p=0.95, seed=seed + number)
        before, answers = len(kept), llm.complete(prompts[:enough], sampling)
        written = [answer for answer in answers if isinstance(answer, Completion)]
        for answer in written:
            kept = _with_lines(kept, answer, task, lang)
        idle = idle + 1 if len(kept) == before else 0
        if idle == _IDLE_ROUNDS and not written:
            raise _unanswered(task, lang, answers)
    return kept[:count]


def fits(text: str, task: str, lang: str) -> bool:
    """Is it one whole sentence of a fit length, in the language, that asks about the speaker's feelings?"""
    shortest, longest = _LENGTHS[lang]
    han = len(re.findall(r"[㐀-鿿]", text))
    letters = sum(c.isalpha() for c in text)
    if lang == "zh":
        size, form = han, han == letters and bool(_ASKS_ZH.match(text))
    else:
        size, form = len(text.split()), han == 0 and bool(_ASKS.match(text)) and not _MISREAD.search(text)
    one = text[-1:] in _ENDS and not any(c in "?!。？！" for c in text[:-1]) and ". " not in text
    asks = _FEELING[lang].search(text) and re.search(_ON_TASK[task, lang], text, re.IGNORECASE)
    return shortest <= size <= longest and form and one and bool(asks)


def _prompt(llm: LLM, task: str, lang: str, manner: str, dice: random.Random) -> str:
    """The request, and the answer's first lines."""
    asked = PROMPTS[f"instruct-{lang}"].text.format(about=_ABOUT[task, lang], manner=manner)
    shown = dice.sample(ASKED[task, lang], _SHOWN)
    opening = "".join(f"{_BULLET}{line}\n" for line in shown)
    return render(llm.template, [Message("user", asked)]) + opening + _BULLET.rstrip()


def _unanswered(task: str, lang: str, answers: Sequence[Completion | LLMError]) -> DataError:
    why = next(answer for answer in answers if isinstance(answer, LLMError))
    again = "build again when it answers: what it wrote is kept"
    return DataError(
        f"instructions for {task} ({lang}): the teacher does not answer: {why.message}",
        f"{why.hint}; {again}" if why.hint else again,
    )


def _with_lines(kept: list[str], answer: Completion, task: str, lang: str) -> list[str]:
    """`kept` and the lines of an answer that are instructions and are new; a last one cut off is none."""
    for line in answer.text.splitlines():
        text = _LEAD.sub("", line, count=1).strip().strip("\"”'」").strip()
        if fits(text, task, lang) and not _is_known(text, kept):
            kept = [*kept, text]
    return kept


def _is_known(text: str, kept: Sequence[str]) -> bool:
    from rapidfuzz import fuzz

    return any(fuzz.ratio(text.lower(), other.lower()) >= _ALIKE for other in kept)
