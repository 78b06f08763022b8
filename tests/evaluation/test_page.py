"""The page of a report: what it shows, that it escapes, and that it plays without anything beside it."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("jinja2", reason="the page needs harken[eval]")
pytest.importorskip("matplotlib", reason="the page needs harken[eval]")
pytest.importorskip("sklearn", reason="calibration needs harken[eval]")

from pages import read

from harken.errors import InputError, MissingExtra
from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.page import chosen
from harken.evaluation.humdial.run import run_humdial
from harken.evaluation.humdial.scores import TASKS
from harken.evaluation.humdial.testset import Case, read_test_set
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.page import EXAMPLES, tables, write_page
from harken.evaluation.page.plots import ByLabel, Confusion, Plots, Scored
from harken.evaluation.planted import GENERIC, GOLD, Separation, trusted
from harken.evaluation.report import Report, figure
from harken.evaluation.statistics import Interval
from harken.evaluation.systems.base import Answer, Question
from harken.testing import FakeLLM

EVIL = "<script>alert('x')</script><img src=http://evil.example/x.png>\"'&"
TONE = (0.3 * np.sin(np.arange(16_000) / 10)).astype(np.float32)


def own(data: str, measure: str) -> dict[str, object]:
    return {**figure(data, "mini", measure, Interval(3.214, 2.9, 3.5), 150), "from": "measured here"}


def published(data: str, system: str, measure: str, value: float) -> dict[str, object]:
    return {
        "data": data,
        "system": system,
        "measure": measure,
        "value": value,
        "n": None,
        "from": "published",
    }


REPORT = Report(
    "humdial",
    {"system": "mini", "judge": "judge@abc", "final score": "none: nobody listened", "seed": 7},
    (own("en task 1", "mean"), published("test set", "Rank 2nd", "Final", 4.24)),
)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "said.wav"
    soundfile.write(path, TONE, 16_000)
    return path


def test_ours_have_intervals_and_the_published_are_marked_and_apart(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", REPORT, command="harken evaluate humdial", hashes={"rubric": "ab12"})
    page = read(tmp_path / "page.html")
    assert "3.21 [2.90, 3.50] n 150" in page.text and "Rank 2nd test set published 4.24" in page.text
    assert [row.get("class") for row in page.all("tr")] == [None, None, None, "published"]
    for said in ("judge@abc", "none: nobody listened", "seed 7", "harken evaluate humdial", "rubric ab12"):
        assert said in page.text
    assert page.all("svg") == page.all("audio") == []


def test_rows_of_one_data_set_share_a_table_ours_first() -> None:
    ours, theirs = own("AQA", "en"), published("AQA", "Qwen", "en", 50.1)
    (table,) = tables([theirs, ours, {**ours, "measure": "zh"}])
    assert table.measures == ("en", "zh") and not table.published
    assert [(line.system, line.published) for line in table.lines] == [("mini", False), ("Qwen", True)]
    assert table.lines[1].cells == (theirs, None)
    assert [t.measures for t in tables([ours, {**ours, "data": "other"}, own("more", "x")])] == [
        ("en",),
        ("x",),
    ]


def test_rows_of_another_form_are_a_table_as_they_are(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", Report("affect", {}, ({"protocol": "mine", "recall": 0.5},)))
    assert "protocol recall mine 0.500" in read(tmp_path / "page.html").text


@pytest.mark.parametrize("auc", [0.55, 0.9])
def test_it_says_whether_judged_rankings_are_withheld(tmp_path: Path, auc: float) -> None:
    found = Separation({(GOLD, GENERIC): Interval(auc, auc - 0.1, auc + 0.05)}, 40, 160, {})
    write_page(tmp_path / "page.html", REPORT, trust=trusted(found).why)
    page = read(tmp_path / "page.html")
    done = "withheld" if auc < 0.75 else "shown"
    assert f"Judged rankings are {done}: this judge tells gold replies from generic ones" in page.text
    assert [one["id"] for one in page.all("div") if one.get("role") == "note"] == ["trust"]
    write_page(tmp_path / "page.html", REPORT)
    assert "Judged rankings" not in read(tmp_path / "page.html").text


def test_dialogues_play_from_the_page_itself(tmp_path: Path, recording: Path) -> None:
    turns = (
        ExampleTurn("I failed.", "sad", recording, "Oh no.", recording, scored=True),
        ExampleTurn("Well.", None, tmp_path / "gone.wav"),
    )
    example = Example(
        "d1", "en", "empathy", turns, {"D1": 4.0, "D2": None}, {"D1": "It mirrors."}, "Warm.",
        facts={"gold answer": "sad, neutral"},
    )  # fmt: skip
    write_page(tmp_path / "page.html", REPORT, examples=[example])
    page = read(tmp_path / "page.html")
    assert [(rate, abs(len(samples) / rate - 1) < 0.05) for samples, rate in page.sounds] == [
        (24_000, True)
    ] * 2
    assert all(np.abs(samples).max() > 0.2 and samples.ndim == 1 for samples, _ in page.sounds)
    assert "user, annotated: sad I failed. reply, scored Oh no." in page.text
    assert "no sound: gone.wav: no such file" in page.text
    assert "gold answer sad, neutral D1 4 It mirrors. D2 – The judge: Warm." in page.text


def test_it_shows_ten_dialogues_at_most(tmp_path: Path) -> None:
    examples = [Example(f"d{n}", "zh", "", (ExampleTurn("你好"),)) for n in range(EXAMPLES + 3)]
    write_page(tmp_path / "page.html", REPORT, examples=examples)
    assert len(read(tmp_path / "page.html").all("article")) == EXAMPLES == 10


def all_plots(label: str) -> Plots:
    return Plots(
        [
            Confusion((label, "愤怒"), ((8, 2), (1, 9))),
            Confusion((label,), ((1, 2, 3),), ("愤怒", "none"), label),
        ],
        [
            Scored((1, 1, 3, 3, 5, 5), (False, False, False, True, True, True)),
            Scored((2,), (True,), label, ("one group",)),
        ],
        ByLabel(label, label, {label: [1, 3, 3], "悲伤": [5], "none": []}),
        {label: [0.5, 0.7], "never": []},
    )


def test_plots_are_drawn_where_there_is_something_to_draw(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", REPORT, plots=all_plots("happy"))
    page, source = read(tmp_path / "page.html"), (tmp_path / "page.html").read_text()
    assert len(page.all("svg")) == 6
    assert "17 of 20 emotions are answered as they are annotated" in page.text
    assert "P(correct | score) by an isotonic fit over 6 items: 1: 0.00, 3: 0.50, 5: 1.00." in page.text
    assert "1 of 6 emotions are answered as they are annotated" in page.text
    assert "What a score is worth: happy" in page.text and "over 1 items: 2: 1.00." in page.text
    assert "悲伤 5.00, happy 2.33" in page.text and "Medians: happy 0.60 s (n 2)." in page.text
    drawing = source[source.index("<svg") : source.rindex("</svg>")]
    assert "var(--ink)" in drawing and not re.search(r"#0([1-7])0\1", drawing), "colours are the page's"
    ids = re.findall(r' id="([^"]+)"', source)
    assert len(ids) == len(set(ids)), "drawings keep their ids apart"
    write_page(tmp_path / "page.html", REPORT, plots=Plots(first_audio_s={}, by_label=ByLabel("a", "b", {})))
    assert read(tmp_path / "page.html").all("svg") == []


def test_what_comes_from_outside_is_escaped_and_nothing_is_asked_for(tmp_path: Path, recording: Path) -> None:
    evil_row = {**own(EVIL, EVIL), "system": EVIL}
    turn = ExampleTurn(EVIL, EVIL, recording, EVIL, tmp_path / EVIL.replace("/", ""), scored=True)
    example = Example(EVIL, EVIL, EVIL, (turn,), {EVIL: 3.0}, {EVIL: EVIL}, EVIL, facts={EVIL: EVIL})
    write_page(
        tmp_path / "page.html",
        Report(EVIL, {"system": EVIL, EVIL: EVIL}, (evil_row, {EVIL: EVIL})),
        examples=[example],
        plots=all_plots(EVIL + "$x$"),
        trust=EVIL,
        command=EVIL,
        hashes={EVIL: EVIL},
    )
    page = read(tmp_path / "page.html")
    assert page.text.count(EVIL) >= 20
    assert page.all("script") == page.all("img") == page.all("link") == []
    addresses = [a for _, of in page.tags for name in ("src", "href", "xlink:href") if (a := of.get(name))]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"page\.html: cannot be written"):
        write_page(tmp_path / "file" / "page.html", REPORT)


@pytest.mark.parametrize(("package", "module"), [("jinja2", "page"), ("matplotlib", "plots")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str, module: str) -> None:
    name = f"harken.evaluation.page.{module}"
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra) as raised:
        importlib.import_module(name)
    assert raised.value.hint == "pip install 'harken[eval]'"


class FakeSystem:
    name, concurrency = "a system", 1

    def answer(self, question: Question) -> Answer:
        return Answer("I hear you.", TONE, 16_000, 0.5) if question.spoken else Answer("I hear you.")


def test_a_run_of_humdial_leaves_its_page(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    turns = (Turn(1, "I failed.", "sad", "said.wav"), Turn(2, "I passed!", "happy", "said.wav"))
    for task in TASKS:
        write_dialogues(data / "en" / f"T{task}.jsonl", [Dialogue(f"d{task}", turns)])
    soundfile.write(data / "said.wav", TONE, 16_000)
    names = [name for task in TASKS.values() for name in task.dimensions]
    verdict = {"comment": "Kind.", "reasons": {name: f"why {name}" for name in names}}
    judge = FakeLLM(lambda *_: json.dumps({**verdict, "scores": dict.fromkeys(names, 3)}))
    cases, problems = read_test_set(data)
    asking = Asking(command="harken evaluate humdial")
    run_humdial(cases, problems, FakeSystem(), judge, asking, out)
    withheld = read(out / "humdial.html")  # a judge that scores everything alike
    assert "Judged rankings are withheld" in withheld.text and "happy 3.00" not in withheld.text
    assert "insight 3" not in withheld.text and "why textual_empathy_insight" not in withheld.text
    run_humdial(cases, problems, FakeSystem(), judge, replace(asking, trial=0), out)
    page = read(out / "humdial.html")
    assert len(page.all("article")) == 3 and len(page.sounds) == 2 * 3 + 2
    assert "textual empathy insight 3 why textual_empathy_insight" in page.text
    assert "Accuracy Completeness 3 why Accuracy_Completeness" in page.text
    assert "en/T1.jsonl sha256" in page.text and "recordings 1, sha256" in page.text
    assert "rubric humdial-task1 version" in page.text and "fake@1" in page.text
    assert "happy 3.00" in page.text and "Medians: en 0.50 s (n 2)." in page.text


def test_dialogues_are_drawn_from_every_task_whatever_their_order() -> None:
    cases = [
        Case(language, task, Dialogue(f"task{task}_{language}_{n}", ()), (), Path())
        for language in ("en", "zh")
        for task in TASKS
        for n in range(30)
    ]
    shown = chosen(cases)
    assert len(shown) == EXAMPLES and shown == chosen(cases[::-1])
    assert {(case.language, case.task) for case in shown[:6]} == {
        (la, t) for la in ("en", "zh") for t in TASKS
    }
    assert [case.task for case in shown[:2]] == [3, 3]
