"""The page of a run over a set of dialogues: what it shows, and what it withholds."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from dialogue_set import LIKELY, FakeEars, fake_judge, perfect, run, system, write_set
from pages import read

from harken.evaluation.dialogue_sets.items import Item
from harken.evaluation.dialogue_sets.read import read_set
from harken.evaluation.dialogue_sets.run import run_dialogues
from harken.evaluation.humdial.scores import TASKS
from harken.evaluation.item_scores import read_scores
from harken.evaluation.language import LANGUAGES
from harken.evaluation.planted import GENERICS
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.testing import FakeLLM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def tells(item: Item, question: Question) -> Answer:
    """As `perfect`, but its readout hears nothing but happiness, and its trace states disgust, or nothing."""
    answer = perfect(item, question)
    stated = "disgust" if item.lang == "en" else None
    return replace(answer, felt=replace(answer.felt, heard="happy", stated=stated)) if answer.felt else answer


def test_the_page_shows_items_of_every_task_and_language_and_what_scores_are_worth(folder: Path) -> None:
    out = folder.parent / "out"
    run_dialogues(
        read_set(folder), system(folder, tells, ranks=True), fake_judge(), out, ears=FakeEars(),
        command="harken evaluate dialogues",
    )  # fmt: skip
    page = read(out / "dialogues.html")
    shown = set(product(LANGUAGES, ("trajectory", "reasoning", "empathy", "contrast")))
    tags = page.text_of("span", "tag")
    assert len(page.all("article")) == 10 and set(zip(tags[1::2], tags[::2], strict=True)) == shown
    assert all(np.abs(samples).max() > 0.2 for samples, _ in page.sounds)
    assert len(page.sounds) == len(page.all("audio")) > 10
    assert "gold answer neutral, sad" in page.text and "in its own words calm, then" in page.text
    assert "its choice 我的火车晚点了 the cause in its trace 我的火车晚点了" in page.text
    assert "judged textual empathy insight 3 why textual_empathy_insight" in page.text
    assert "The judge: Kind." in page.text and "reply, scored I hear you. That matters." in page.text
    assert page.titles == [
        "The same words, acted differently: what the answer says",
        "The same words, acted differently: what the trace states",
        "The same words, acted differently: what the readout hears",
        "What a score is worth: trajectory, judged mean against trajectory exact, own words",
        f"What a score is worth: reasoning, judged mean against {LIKELY}",
        "judged textual empathy insight by the user's emotion",
        "Time to first audio",
    ]
    for about in ("16 of 16 emotions", "0 of 16 emotions", "4 of 16 emotions"):
        assert f"{about} are answered as they are annotated" in page.text
    assert "P(correct | score) by an isotonic fit over 8 items: 3: 1.00." in page.text
    assert "happy 3.00, sad 3.00" in page.text
    assert "Medians: zh 0.50 s (n 4), en 0.50 s (n 4)." in page.text and "chance 0.25" in page.text
    made = page.text[page.text.index("How this was made") :]
    for what in ("set/items.jsonl", "set/dialogues-en.jsonl", "set/contrast-zh.jsonl", "answers.jsonl"):
        assert f"{what} sha256" in made
    assert "recordings 32, sha256" in made and "rubric humdial-task1 version" in made
    assert "harken evaluate dialogues" in made


def test_the_page_of_a_judge_that_is_withheld_draws_nothing_of_it_and_gives_no_reasons(folder: Path) -> None:
    out = folder.parent / "out"
    asked = system(folder, perfect)
    run_dialogues(read_set(folder), asked, fake_judge(), out, ears=FakeEars(), trial=2)
    page = read(out / "dialogues.html")
    assert "zh: Judged rankings are withheld" in page.text and "en: Judged rankings are withheld" in page.text
    assert page.titles == ["The same words, acted differently: what the answer says", "Time to first audio"]
    for said in ("Kind.", "why ", "judged mean", "isotonic"):
        assert said not in page.text
    assert len(page.all("article")) == 10 and "trajectory exact, own words 1" in page.text
    judged = [score for score in read_scores(out)[1] if score.measure.startswith("judged")]
    assert judged and {score.score for score in judged} == {None}, "compare would show them"


def test_a_judge_that_is_trusted_in_one_language_is_shown_in_that_one_alone(folder: Path) -> None:
    def knows_english(prompt: str, seed: int) -> str:
        score = 1 if any(text in prompt for text in GENERICS["en"]) else 5
        names = [name for task in TASKS.values() for name in task.dimensions]
        said = {"comment": "Kind.", "reasons": dict.fromkeys(names, "because")}
        return json.dumps({**said, "scores": dict.fromkeys(names, score)})

    out = folder.parent / "out"
    judge, asked = FakeLLM(knows_english), system(folder, perfect)
    run_dialogues(read_set(folder), asked, judge, out, ears=FakeEars(), trial=2)
    page = read(out / "dialogues.html")
    assert "zh: Judged rankings are withheld" in page.text and "en: Judged rankings are shown" in page.text
    assert "isotonic fit over 4 items: 5: 1.00." in page.text and "happy 5.00, sad 5.00" in page.text
    judged = {text[:2] for text in page.articles if "judged" in text or "Kind." in text}
    assert judged == {"en"} and {text[:2] for text in page.articles} >= {"en", "zh"}


def test_a_set_with_no_readable_recording_and_no_answer_still_gives_a_page(folder: Path) -> None:
    def deaf(item: Item, question: Question) -> Answer:
        raise Unanswered("too quiet")

    for recording in (folder / "audio").iterdir():
        recording.write_bytes(b"no sound")
    run(folder, system(folder, deaf))
    page = read(folder.parent / "out" / "dialogues.html")
    assert page.all("audio") == page.titles == [] and len(page.all("article")) == 10
    assert page.text.count("no sound: ") > 10 and "its choice no answer" in page.text
