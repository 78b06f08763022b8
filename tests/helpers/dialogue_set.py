"""A small set of dialogues on disk, with fakes for system, ears and judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from harken.evaluation.dialogue_sets.build import ITEMS, SET
from harken.evaluation.dialogue_sets.items import Item, contrast_item
from harken.evaluation.dialogue_sets.read import read_set
from harken.evaluation.dialogue_sets.run import run_dialogues
from harken.evaluation.dialogue_sets.sound import Ears, Wave
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.scores import TASKS
from harken.evaluation.judges.judging import SAMPLING, Judge, Judgement, Judging
from harken.evaluation.judges.judging import Item as JudgedItem
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.judges.verdicts import Verdict
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Felt, Question
from harken.llm.cache import Usage
from harken.testing import FakeLLM

RATE_HZ = 16_000
TONE = (0.3 * np.sin(np.arange(RATE_HZ // 4) / 10)).astype(np.float32)
LETTER, LIKELY = "right choice, by letter", "right choice, by likelihood gained"
FELT = ("sad", "happy")
TOLD = {"en": "I hear you. That matters.", "zh": "我听到了。这很重要。"}
WORDS = {
    "en": {"neutral": "calm", "sad": "sad", "happy": "glad", "anger": "angry"},
    "zh": {"neutral": "平静", "sad": "难过", "happy": "高兴", "anger": "生气"},
}
CAUSES = {"en": "my train was late", "zh": "我的火车晚点了"}
OTHERS = {"en": ("a dog barked", "it rained", "the shop shut"), "zh": ("狗叫了", "下雨了", "商店关门了")}


def scene(lang: str, number: int) -> tuple[Dialogue, list[Item]]:
    """Two turns, neutral and then sad or happy, and what is asked about them."""
    name, group, last = f"{lang}-d{number}", f"{lang}-g{number}", FELT[number % 2]
    turns = tuple(
        Turn(n, f"{CAUSES[lang]} {n}", emotion, f"audio/{name}_{n}.ogg", f"so {n}?")
        for n, emotion in enumerate(("neutral", last), 1)
    )
    right = f"neutral, {last}"
    wrong = ("sad, sad", "anger, happy", "happy, neutral")
    common = {"dialogue_id": name, "lang": lang, "group": group, "question": "What of it?"}
    return Dialogue(name, turns), [
        Item(f"{name}-trajectory", "trajectory", turn_id=None, gold=("neutral", last),
             candidates=(wrong[0], right, *wrong[1:]), answer=right, **common),
        Item(f"{name}-reasoning", "reasoning", turn_id=2, gold=(CAUSES[lang],),
             candidates=(*OTHERS[lang], CAUSES[lang]), answer=CAUSES[lang], cause_turns=(1,), **common),
        Item(f"{name}-empathy", "empathy", turn_id=2, **common),
    ]  # fmt: skip


def contrast(lang: str, number: int) -> list[tuple[Dialogue, Item]]:
    group, emotions = f"contrast-{lang}-{number}", ("anger", "happy", "neutral", "sad")
    made = []
    for emotion in emotions:
        name = f"{group}-{emotion}"
        turn = Turn(1, "It is there.", emotion, f"audio/{name}_1.ogg")
        made.append(
            (Dialogue(name, (turn,)), contrast_item(name, lang, group, emotion, emotions, seed=number))
        )
    return made


def write_set(place: Path) -> Path:
    """In each language four scenes and two contrast groups of four emotions."""
    (place / "audio").mkdir(parents=True)
    items: list[Item] = []
    for lang in LANGUAGES:
        scenes = [scene(lang, number) for number in range(4)]
        takes = [take for number in range(2) for take in contrast(lang, number)]
        write_dialogues(place / f"dialogues-{lang}.jsonl", [dialogue for dialogue, _ in scenes])
        write_dialogues(place / f"contrast-{lang}.jsonl", [dialogue for dialogue, _ in takes])
        items += [item for _, asked in scenes for item in asked] + [item for _, item in takes]
        for dialogue in [d for d, _ in scenes] + [d for d, _ in takes]:
            for turn in dialogue.turns:
                soundfile.write(place / str(turn.split_audio_file), TONE, RATE_HZ, format="WAV")
    write_items(place, [asdict(item) for item in items])
    (place / SET).write_text("{}")
    return place


def write_items(place: Path, rows: list[dict[str, Any]]) -> None:
    (place / ITEMS).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def rows_of(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / ITEMS).read_text().splitlines()]


@dataclass
class FakeSystem:
    """Knows the items, and answers each question by `says`."""

    items: dict[str, Item]
    says: Callable[[Item, Question], Answer]
    name: str = "fake system"
    concurrency: int = 1
    ranks: bool = False
    asked: list[Question] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.says(self.items[question.key.rpartition("-")[0]], question)


def system(folder: Path, says: Callable[[Item, Question], Answer], **options: Any) -> FakeSystem:
    items = [case.item for case in read_set(folder).cases]
    return FakeSystem({item.id: item for item in items}, says, **options)


def perfect(item: Item, question: Question) -> Answer:
    """Letters in English, the candidate's text in Chinese; emotions in the language's own words."""
    if question.spoken:
        last = 8 * TONE.size if item.dialogue_id[-1] in "02" else 4 * TONE.size  # slower to sad turns
        return Answer(TOLD[item.lang], np.resize(TONE, last), RATE_HZ, 0.5)
    if question.candidates:
        return Answer(str(item.answer), felt=Felt(item.gold[0], item.gold[0], item.gold[0]))
    if "A)" in str(question.instruction):
        letter = "ABCD"[item.candidates.index(str(item.answer))]
        return Answer(f"{letter}." if item.lang == "en" else f"是“{item.answer}”。")
    if item.task == "trajectory":
        return Answer(", then ".join(WORDS[item.lang][emotion] for emotion in item.gold))
    return Answer(item.gold[0])


def only_words(item: Item, question: Question) -> Answer:
    """The same for all recordings of the same words."""
    return Answer("B") if item.task == "contrast" else perfect(item, question)


class FakeEars(Ears):
    """Reads back what was said but for the last word, in Chinese for the last two, and signs that sound the
    same; finds longer sounds lower."""

    words = staticmethod(lambda wave: "I hear you. That")  # type: ignore[assignment]

    def characters(self, wave: Wave) -> str:
        return "我聽到了 這很"

    def quality(self, wave: Wave) -> float:
        return 3.0

    def semitones(self, wave: Wave) -> float:
        return 20.0 - wave.size / RATE_HZ


def fake_judge(score: int = 3) -> FakeLLM:
    scores = {name: score for task in TASKS.values() for name in task.dimensions}
    said = {"comment": "Kind.", "reasons": {name: f"why {name}" for name in scores}, "scores": scores}
    return FakeLLM(lambda prompt, seed: json.dumps(said))


class FakeScorer:
    """A trained scorer to whom every reply is worth the same, between two scores of its rubric."""

    name, revision = "fake scorer", "1"

    def judged(self, rubric: Rubric, items: Sequence[JudgedItem]) -> Judging:
        worth = Verdict({dimension.name: 4.5 for dimension in rubric.dimensions}, {}, "", in_prose=False)
        verdicts = tuple(Judgement(item.id, 0, worth, tries=1, seed=0) for item in items)
        return Judging("fake scorer@1", rubric.label, SAMPLING, verdicts, Usage())


def run(folder: Path, asked: FakeSystem, judge: Judge | None = None, out: str = "out") -> Report:
    return run_dialogues(read_set(folder), asked, judge, folder.parent / out, ears=FakeEars())
