"""Instructions: what a teacher writes, what a person leaves of it, and how rows come to hear it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harken.data.rows import Row, Turn
from harken.data.speech_making import Speech, SpeechMaker
from harken.data.steps.base import Dropped
from harken.data.steps.instruct import FOLDER, Instruct, InstructStep, read_review, review_file
from harken.data.steps.instruct_texts import LANGS, SPOKEN_TASKS, fits, write_instructions
from harken.data.steps.task_prompts import ASKED
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.llm.base import LLM, Completion, LLMError, Sampling
from harken.testing import FakeVoice
from harken.voices.casts import DEV_VOICES, check_cast, parts

PLACES = [
    "kitchen",
    "garden",
    "office",
    "harbour",
    "school",
    "forest",
    "market",
    "station",
    "library",
    "chapel",
]
"""Far enough apart that sentences about them are not near-duplicates."""


@dataclass
class Teacher:
    """Answers from a function of prompt and seed."""

    write: Callable[[str, int], str | None]
    name: str = "fake"
    revision: str = "1"
    template: str = "chatml"
    thinks: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        self.asked += [(prompt, sampling.seed) for prompt in prompts]
        texts = [self.write(prompt, sampling.seed) for prompt in prompts]
        return [LLMError("no") if text is None else Completion(text, "stop") for text in texts]


def eager(prompt: str, seed: int) -> str:
    """The end of a list, as models write it: good lines, others for every prompt, and bad ones."""
    number = int(hashlib.sha256(f"{prompt}{seed}".encode()).hexdigest(), 16)
    if "用户" in prompt:
        words = [chr(0x4E00 + (number >> shift) % 8000) * 12 for shift in range(0, 70, 10)]
        return "\n".join([*(f"- 请问为什么{word}变了我的心情？" for word in words), "- 好的。", "- 我的心情"])
    words = [f"{(number >> shift) % 10**12}" * 2 for shift in range(0, 210, 30)]
    good = [f"{i}. Why did {word} change my mood?" for i, word in enumerate(words, 2)]
    return "\n".join([" " + good[0], *good[1:], "Sure!", "- What is the weather like today?", '- "Why'])


@dataclass(frozen=True)
class Lent:
    """What a build lends."""

    folder: Path
    teacher: Teacher
    seed: int = 0

    def llm(self, name: str) -> LLM:
        assert name == "teacher"
        return self.teacher


@pytest.mark.parametrize("task", SPOKEN_TASKS)
@pytest.mark.parametrize("lang", LANGS)
def test_a_teacher_goes_on_with_the_houses_list(task: str, lang: str) -> None:
    teacher = Teacher(eager)
    texts = write_instructions(teacher, task, lang, 25)
    house = ASKED[task, lang]
    assert len(texts) == len(set(texts)) == 25 and tuple(texts[: len(house)]) == house
    assert all(fits(text, task, lang) for text in texts[len(house) :])
    assert write_instructions(Teacher(eager), task, lang, 25) == texts
    for prompt, _ in teacher.asked:
        opening = prompt.rpartition("assistant\n")[2].split("\n")
        assert opening[-1] == "-" and all(line.removeprefix("- ") in house for line in opening[:-1])
    assert len({prompt for prompt, _ in teacher.asked}) == len(teacher.asked)


def test_near_duplicates_are_one() -> None:
    alike = "How did my emotion change just here?\nHow did my emotion change just there?"
    lines = f"{alike}\nWhich mood swings did I go through?"
    texts = write_instructions(Teacher(lambda prompt, seed: lines), "trajectory", "en", 30)
    assert texts[6:] == ["How did my emotion change just here?", "Which mood swings did I go through?"]


def test_a_teacher_that_does_not_answer_leaves_no_file(tmp_path: Path) -> None:
    """A short one would be there for ever. It may fail after it has written some."""
    for teacher in (
        Teacher(lambda prompt, seed: None),
        Teacher(lambda prompt, seed: None if seed else eager(prompt, seed)),
    ):
        with pytest.raises(DataError, match=r"instructions for .* does not answer: no"):
            Instruct(per_task=400).prepare(Lent(tmp_path, teacher))
        assert not (tmp_path / FOLDER).exists()
        assert len(teacher.asked) < 120  # it is not asked for ever


def test_a_teacher_of_few_ideas_is_told_of_at_the_head_of_the_file(tmp_path: Path) -> None:
    config, path = Instruct(per_task=40), review_file(tmp_path / FOLDER, "trajectory", "en")
    config.prepare(Lent(tmp_path, Teacher(lambda prompt, seed: "How did my emotion change just here?")))
    assert len(read_review(path)) == 7 and "# 20 were wanted, it had no more than 7." in path.read_text()
    path.unlink()
    config.prepare(Lent(tmp_path, Teacher(eager)))
    assert len(read_review(path)) == 20 and "wanted" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "task", "lang", "good"),
    [
        ("Can you explain how my feelings changed?", "trajectory", "en", True),
        ("Feelings changed?", "trajectory", "en", False),
        ("Tell me how the weather changed in the north today.", "trajectory", "en", False),
        ("Explain how the emotion changed and", "trajectory", "en", False),
        ("Why was I so low? Tell me what made me feel it.", "reasoning", "en", False),
        ("How did your mood change in the end?", "trajectory", "en", False),
        ("I was feeling a bit happy over there.", "trajectory", "en", False),
        ("Why did 心情 make me feel like this?", "reasoning", "en", False),
        ("Why do I " + "feel " * 40 + "so?", "reasoning", "en", False),
        ("请说明我的心情是怎样变化的。", "trajectory", "zh", True),
        ("请说明我的心情。", "trajectory", "zh", False),
        ("请 explain 我的 emotion 心情是怎样变化的。", "trajectory", "zh", False),
        ("为什么我的心情这么差？", "reasoning", "zh", True),
        ("为什么今天的天气这么差？", "reasoning", "zh", False),
        ("因为我在这些感觉背后的原因而产生了这种情绪。", "reasoning", "zh", False),
    ],
)
def test_what_fits(text: str, task: str, lang: str, good: bool) -> None:
    assert fits(text, task, lang) is good


def test_review_files_are_written_once_and_respected(tmp_path: Path) -> None:
    teacher = Teacher(eager)
    config, lent = Instruct(per_task=20, speech=Speech(read_back=None)), Lent(tmp_path, teacher)
    config.prepare(lent)
    path = review_file(tmp_path / FOLDER, "trajectory", "en")
    assert len(list((tmp_path / FOLDER).iterdir())) == 4 and len(read_review(path)) == 10
    assert "fake (1)" in path.read_text().splitlines()[0]
    lines = path.read_text().splitlines()
    struck, left_out = lines[3], lines[4]
    path.write_text("\n".join([f"# {struck}", *(line for line in lines if line not in (struck, left_out))]))
    asked = len(teacher.asked)
    config.prepare(lent)
    assert len(teacher.asked) == asked
    kept = read_review(path)
    assert len(kept) == 8 and struck not in kept and left_out not in kept


def test_an_empty_or_missing_review_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.en.txt"
    with pytest.raises(DataError, match="cannot be read"):
        read_review(path)
    path.write_text("# all struck\n\n")
    with pytest.raises(DataError, match="no instruction left"):
        read_review(path)


class Hums:
    """Opens humming voices; `names` has which."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> FakeVoice:
        self.names.append(name)
        return FakeVoice()


TEXTS = {
    (task, lang): [f"{task} {lang} {place}" for place in PLACES] for task in SPOKEN_TASKS for lang in LANGS
}


def row(number: int, task: Any = "trajectory", lang: str = "en", split: str = "train") -> Row:
    turns = (Turn("user", "Hi.", "x.ogg", 1.0),)
    return Row(f"row-{number}", "g", split, task, "2", lang, "test", "CC0-1.0", True, turns, target="Well.")


def step(hums: Hums, hear: Callable[[np.ndarray, str], str] | None = None) -> InstructStep:
    return InstructStep(Instruct(), TEXTS, SpeechMaker(Speech(), hums, hear))


def test_rows_hear_one_of_many_texts_in_one_of_many_voices(tmp_path: Path) -> None:
    workspace, hums = Workspace(tmp_path), Hums()
    rows = [row(number) for number in range(60)]
    made = [r for r in step(hums)(rows, workspace) if isinstance(r, Row) and r.instruction]
    heard = [r.instruction for r in made if r.instruction]
    assert len(heard) == 60 and {i.text for i in heard} == set(TEXTS["trajectory", "en"])
    assert len({i.voice for i in heard}) > 25 and any("+" in str(i.voice) for i in heard)
    for instruction in heard:
        check_cast("train", str(instruction.voice))
        assert instruction.audio and instruction.seconds
        assert workspace.recording(instruction.audio).seconds == pytest.approx(instruction.seconds, abs=0.001)
    assert [replace(r, instruction=None) for r in made] == rows
    assert list(step(Hums())(rows, workspace)) == made


def test_other_rows_pass_and_dev_hears_dev_voices(tmp_path: Path) -> None:
    hums = Hums()
    other, dev, chinese = row(1, "empathy"), row(2, split="dev"), row(3, "reasoning", "zh")
    passed, spoken, mandarin = step(hums)([other, dev, chinese], Workspace(tmp_path))
    assert passed is other and isinstance(spoken, Row) and spoken.instruction
    assert set(parts(str(spoken.instruction.voice))) <= set(DEV_VOICES)
    assert isinstance(mandarin, Row) and mandarin.instruction
    assert mandarin.instruction.text.startswith("reasoning zh") and str(mandarin.instruction.voice)[0] == "z"


def test_words_that_cannot_be_read_back_are_drawn_again_then_dropped(tmp_path: Path) -> None:
    readings: list[int] = []

    def third_time(samples: np.ndarray, lang: str) -> str:
        readings.append(len(samples))
        return "something else" if len(readings) < 3 else f"trajectory en {PLACES[0]}"

    texts = {key: value[:1] for key, value in TEXTS.items()}
    lucky = InstructStep(Instruct(), texts, SpeechMaker(Speech(), Hums(), third_time))
    (made,) = lucky([row(1)], Workspace(tmp_path / "a"))
    assert isinstance(made, Row) and made.instruction and len(readings) == 3
    never = InstructStep(Instruct(), texts, SpeechMaker(Speech(), Hums(), lambda samples, lang: "no"))
    (dropped,) = never([row(1)], Workspace(tmp_path / "b"))
    assert isinstance(dropped, Dropped) and (dropped.step, dropped.reason) == (
        "instruct",
        "cannot be read back",
    )
