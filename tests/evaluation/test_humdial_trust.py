"""HumDial with judges that are tried first: whose scores are shown, what stays without them, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.figures import MEASURED
from harken.evaluation.humdial.run import run_humdial
from harken.evaluation.humdial.scores import D1, D2, D3, MEAN, TASKS
from harken.evaluation.humdial.testset import read_test_set
from harken.evaluation.judges.judging import NO_ANSWER
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.trial import TRUST, WITHHELD, starter_dialogues
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question
from harken.llm.base import LLMError
from harken.llm.cache import CachedLLM
from harken.testing import FakeLLM

TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
GOLD = {lang: {gold for _, gold in starter_dialogues(lang)} for lang in LANGUAGES}


class Kind:
    """A system that says something kind in the language it is asked in."""

    name = "kind"
    concurrency = 1

    def answer(self, question: Question) -> Answer:
        text = "我听到了。" if "/zh/" in question.dataset else "I hear you."
        return Answer(text, TONE, 16_000, 0.5) if question.spoken else Answer(text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dialogue of two turns for each task and language."""
    for language in LANGUAGES:
        for task in TASKS:
            path = tmp_path / "data" / language / f"HD-Track1-T{task}.jsonl"
            name = f"task{task}_2_{language}_0001_0001"
            turns = [Turn(n, f"turn {n}", "sad", f"{name}_{n}.wav") for n in (1, 2)]
            write_dialogues(path, [Dialogue(name, tuple(turns))])
            for n in (1, 2):
                soundfile.write(path.parent / f"{name}_{n}.wav", TONE, 16_000)
    return tmp_path / "data"


def judge_of(*languages: str) -> FakeLLM:
    """A judge that knows gold replies in these languages, and scores all else 3."""

    def said(prompt: str, seed: int) -> str:
        gold = any(f"\n{reply}\n</reply>" in prompt for lang in languages for reply in GOLD[lang])
        scores = {name: 5 if gold else 3 for task in TASKS.values() for name in task.dimensions}
        return json.dumps({"comment": "hm", "reasons": {D1: "because"}, "scores": scores})

    return FakeLLM(said)


def run(data: Path, judge: FakeLLM | CachedLLM | None, asking: Asking | None = None) -> Report:
    cases, problems = read_test_set(data)
    return run_humdial(cases, problems, Kind(), judge, asking or Asking(trial=4), data.parent / "out")


def measured(report: Report, language: str) -> dict[tuple[str, str], object]:
    """(task, measure) -> value, of one language."""
    rows = [row for row in report.rows if row["from"] == MEASURED and str(row["data"]).startswith(language)]
    return {(str(row["data"])[3:9], str(row["measure"])): row["value"] for row in rows}


def verdicts(data: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (data.parent / "out" / "verdicts.jsonl").read_text().splitlines()]


def ratings(folder: Path) -> Path:
    path = folder / "ratings.csv"
    rows = [f"task3_2_{lang}_0001_0001,{name},4,ann" for lang in LANGUAGES for name in (D2, D3)]
    path.write_text("\n".join(["id,dimension,rating,rater", *rows]))
    return path


def test_a_judge_that_tells_gold_replies_apart_is_shown(data: Path) -> None:
    report = run(data, judge_of("en", "zh"))
    trust = report.setting[TRUST]
    assert isinstance(trust, dict) and all("are shown" in why for why in trust.values())
    assert set(trust) == {"en", "zh"}
    found = measured(report, "en")
    assert found["task 1", MEAN] == [3.0, 3.0, 3.0] and ("task 1", WITHHELD) not in found


def test_what_a_judge_scores_that_cannot_tell_is_withheld_and_saved(data: Path) -> None:
    report = run(data, judge_of())
    for language in LANGUAGES:
        found = measured(report, language)
        assert {task for task, measure in found if measure == WITHHELD} == {"task 1", "task 2", "task 3"}
        assert not {measure for _, measure in found} & {MEAN, D1, *TASKS[1].dimensions, "final score"}
        assert found["task 3", "first audio, median s"] == 0.5
    trust = report.setting[TRUST]
    assert isinstance(trust, dict) and "withheld" in trust["en"] and "0.50" in trust["en"]
    assert str(report.setting["final score"]).startswith("withheld")
    assert WITHHELD in report.markdown()
    kept = verdicts(data)
    assert {(row["task"], row["lang"]) for row in kept} == {
        (task, lang) for lang in LANGUAGES for task in TASKS
    }
    (one,) = (row for row in kept if (row["task"], row["lang"]) == (3, "en"))
    assert one == {
        "id": "task3_2_en_0001_0001", "task": 3, "lang": "en", "rubric": rubric("humdial-task3-text").label,
        "judge": "fake@1", "scores": {D1: 3}, "reasons": {D1: "because"}, "comment": "hm",
    }  # fmt: skip


def test_a_language_is_withheld_for_itself_and_ratings_stay(data: Path) -> None:
    report = run(data, judge_of("en"), Asking(trial=4, ratings=ratings(data.parent)))
    zh, en = measured(report, "zh"), measured(report, "en")
    assert zh["task 3", D2] == [4.0, 4.0, 4.0] and zh["task 3", WITHHELD] is None
    assert ("task 3", D1) not in zh and ("task 3", MEAN) not in zh
    assert en["task 3", D1] == [3.0, 3.0, 3.0]
    finals = [row["data"] for row in report.rows if row["measure"] == "final score"]
    assert finals == ["en"] and "withheld in zh" in str(report.setting["final score"])


def test_without_a_trial_or_a_judge_the_report_says_so(data: Path) -> None:
    judge = judge_of()
    untried = run(data, judge, Asking(trial=0))
    assert untried.setting[TRUST] == "not tried" and len(judge.asked) == 6
    assert measured(untried, "en")["task 1", MEAN] == [3.0, 3.0, 3.0]
    (data.parent / "out" / "verdicts.jsonl").unlink()
    assert run(data, None).setting[TRUST] == "no judge"
    assert not (data.parent / "out" / "verdicts.jsonl").exists()


def test_faults_are_saved_in_the_place_of_scores(data: Path) -> None:
    run(data, FakeLLM(lambda *_: LLMError("refused")), Asking(trial=0))
    assert [row["fault"] for row in verdicts(data)] == [NO_ANSWER] * 6
    assert all("scores" not in row and row["detail"] == "refused" for row in verdicts(data))


def test_a_judge_is_tried_once_for_all_runs(data: Path, tmp_path: Path) -> None:
    def asked(change: Callable[[], object] = lambda: None) -> int:
        change()
        llm = judge_of("en", "zh")
        cached = CachedLLM(llm, tmp_path / "judges" / "fake.sqlite")
        run(data, cached)
        cached.close()
        return len(llm.asked)

    first = asked()
    assert first == 2 * 4 * 4 + 6  # planted replies of both languages, and the system's own
    assert asked() == 0
    assert asked(lambda: (data.parent / "out").rename(tmp_path / "an earlier run")) == 0
