"""*instruct*: says aloud, in many words and voices, what is asked of a conversation.

Before the first shard the teacher writes instructions for the tasks trajectory and reasoning; near-duplicates
and what is plainly no instruction are left out. They stand in `instructions/TASK.LANG.txt` under the build's
folder, one a line, for a person to go through: a line that is deleted, or begins with #, is not used, and a
file that is there is never written again. Each row of those tasks draws one and hears it from one of fifty
voices. The recording is kept apart from the conversation's; training puts it before the first turn.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from harken.data.rows import Instruction, Row, content_id
from harken.data.speech_making import Said, Speech, SpeechMaker, Unspoken
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.steps.prompts import ASKED, Prompt
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.llm.base import LLM, Completion, Sampling
from harken.llm.templates import Message, render
from harken.voices.base import NEUTRAL

SPOKEN_TASKS = ("trajectory", "reasoning")
LANGS = ("en", "zh")
FOLDER = "instructions"

_BATCH = 10  # lines asked for at a time
_SPARE = 2  # lines asked for each that is missing
_ROUNDS = 30  # each with a seed of its own
_ALIKE = 88.0  # rapidfuzz ratio from which on two instructions are one
_LENGTHS = {"en": (5, 30), "zh": (8, 45)}  # words; characters
_TRIES = 3  # draws of words and voice until one can be read back

_ABOUT = {
    ("trajectory", "en"): "how the speaker's emotion changed from turn to turn over a conversation, and why",
    ("trajectory", "zh"): "说话人的情绪在一段对话里怎样一步步变化，以及变化的原因",
    ("reasoning", "en"): "why the speaker feels as they do, and what lies behind it",
    ("reasoning", "zh"): "说话人为什么会有现在的情绪，以及背后的深层原因",
}
_TOPIC = {
    "en": re.compile(r"emotion|feel|mood|sentiment|tone", re.IGNORECASE),
    "zh": re.compile(r"情绪|心情|感受|情感|心理|感觉|语气"),
}
_ASK = {
    "en": Prompt(
        "instruct-en",
        "Write {count} different instructions that a person might say to a voice assistant after it has "
        "heard a conversation. Each asks it to explain {about}. Vary wording, length and manner: questions "
        "and requests, plain and polite. {manner} One instruction a line, one sentence each, no numbers, no "
        "quotes.",
    ),
    "zh": Prompt(
        "instruct-zh",
        "请写出{count}条不同的指令，是用户让语音助手听完一段对话后说的话。每条都要求助手说明{about}。"
        "措辞、长短和口吻要有变化：可以是问句，也可以是请求。{manner}每行一条，每条一句话，不要编号，不要引号，只用中文。",
    ),
}
PROMPTS = {prompt.name: prompt for prompt in _ASK.values()}
"""What the teacher is asked; kept beside the shards as `harken.data.steps.prompts`' are."""
_MANNERS = {
    "en": (
        "Sound casual.",
        "Sound formal.",
        "Sound curious.",
        "Be brief.",
        "Be precise.",
        "Sound caring.",
        "",
    ),
    "zh": ("语气随意。", "语气正式。", "语气好奇。", "尽量简短。", "说得具体。", "语气关切。", ""),
}
_LEAD = re.compile(r"^\s*(?:[-*•]|\(?\d+\s*[.)、:：]\)?)?\s*[\"“'「]?")


class Instruct(StepConfig):
    """Spoken instructions for trajectory and reasoning rows."""

    computes: ClassVar[bool] = True

    step: Literal["instruct"] = "instruct"
    llm: str = "teacher"
    """Who writes them, by its name in the recipe."""
    per_task: int = Field(default=500, ge=2)
    """Texts a task, half of them in each language."""
    voices: int = Field(default=50, ge=1)
    """Voices a language; interpolated where there are fewer."""
    order: Literal["before"] = "before"
    """Where training puts the instruction: before the conversation. The paper does not say."""
    speech: Speech = Speech()

    def prepare(self, resources: Resources) -> None:
        """Write the review files that are not there yet."""
        folder = resources.folder / FOLDER
        for task in SPOKEN_TASKS:
            for lang in LANGS:
                path = review_file(folder, task, lang)
                if not path.exists():
                    teacher = resources.llm(self.llm)
                    texts = write_instructions(
                        teacher, task, lang, self.per_task // len(LANGS), resources.seed
                    )
                    _save(path, texts, teacher)

    def open(self, resources: Resources) -> Step:
        """Raises DataError where a review file is not there or has nothing left in it."""
        texts = {
            (task, lang): read_review(review_file(resources.folder / FOLDER, task, lang))
            for task in SPOKEN_TASKS
            for lang in LANGS
        }
        return InstructStep(self, texts, self.speech.open())


@dataclass(frozen=True)
class InstructStep:
    """The step, with the instructions that stood the review and what speaks them."""

    config: Instruct
    texts: dict[tuple[str, str], list[str]]
    maker: SpeechMaker

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        for row in rows:
            if (row.task, row.lang) not in self.texts:
                yield row
                continue
            try:
                yield replace(row, instruction=self._spoken(row, workspace))
            except Unspoken as fault:
                yield Dropped(row, self.config.step, fault.reason, fault.detail)

    def _spoken(self, row: Row, workspace: Workspace) -> Instruction:
        """Words and a voice by the row's id; others where these cannot be read back."""
        config, dice = self.config, random.Random(content_id(row.id, self.config.maker))
        voices = config.speech.voices.many(row.split, row.lang, config.voices)
        for tries_left in reversed(range(_TRIES)):
            text, voice = dice.choice(self.texts[row.task, row.lang]), dice.choice(voices)
            try:
                said: Said = self.maker.say(text, row.lang, voice, NEUTRAL, workspace)
            except Unspoken:
                if not tries_left:
                    raise
            else:
                return Instruction(text, said.audio, voice, said.seconds)
        raise AssertionError("the last try gives or raises")


def review_file(folder: Path, task: str, lang: str) -> Path:
    return folder / f"{task}.{lang}.txt"


def read_review(path: Path) -> list[str]:
    """The lines that stood the review. Raises DataError where there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", "delete it to have it written again") from None
    kept = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not kept:
        raise DataError(
            f"{path} has no instruction left", "leave some, or delete it to have it written again"
        )
    return kept


def write_instructions(llm: LLM, task: str, lang: str, count: int, seed: int = 0) -> list[str]:
    """Up to `count` distinct instructions; the first is the house's own, the rest the teacher's.

    A teacher that has few ideas, or fails, gives fewer.
    """
    kept = [ASKED[task, lang]]
    for number in range(_ROUNDS):
        missing = count - len(kept)
        if missing <= 0:
            break
        prompts = [_prompt(llm, task, lang, manner) for manner in _MANNERS[lang]]
        enough = -(-_SPARE * missing // _BATCH)
        sampling = Sampling(max_tokens=32 * _BATCH, temperature=0.9, top_p=0.95, seed=seed + number)
        for answer in llm.complete(prompts[:enough], sampling):
            if isinstance(answer, Completion):
                kept = _with_lines(kept, answer.text, lang)
    return kept[:count]


def _prompt(llm: LLM, task: str, lang: str, manner: str) -> str:
    asked = _ASK[lang].text.format(count=_BATCH, about=_ABOUT[task, lang], manner=manner)
    return render(llm.template, [Message("user", asked)])


def _with_lines(kept: list[str], answer: str, lang: str) -> list[str]:
    """`kept` and the lines of an answer that are instructions and are new."""
    for line in answer.splitlines():
        text = _LEAD.sub("", line, count=1).strip().strip("\"”'」").strip()
        if fits(text, lang) and not _is_known(text, kept):
            kept = [*kept, text]
    return kept


def fits(text: str, lang: str) -> bool:
    """Is it of a fit length, in the language, about feelings, and a whole sentence?"""
    shortest, longest = _LENGTHS[lang]
    han = len(re.findall(r"[㐀-鿿]", text))
    size = han if lang == "zh" else len(text.split())
    letters = sum(c.isalpha() for c in text)
    in_language = han > 0.9 * letters if lang == "zh" else han == 0
    whole = text.endswith((".", "?", "!", "。", "？", "！"))
    return shortest <= size <= longest and in_language and whole and bool(_TOPIC[lang].search(text))


def _is_known(text: str, kept: Sequence[str]) -> bool:
    from rapidfuzz import fuzz

    return any(fuzz.ratio(text.lower(), other.lower()) >= _ALIKE for other in kept)


def _save(path: Path, texts: Sequence[str], teacher: LLM) -> None:
    """The review file, whole or not at all."""
    head = (
        f"# Instructions that {teacher.name} ({teacher.revision}) wrote. Delete a line, or put # before it,",
        "# and it is not used. Delete the file and it is written again.",
    )
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join([*head, *texts]) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", "free some room") from None
