"""A set of dialogues with a judge that hears, behind a real socket: what it scores, and when it is shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_ears import EarServer, hears_nothing
from fake_servers import serving
from pages import read

from harken.evaluation.dialogue_sets.build import ITEMS, SET
from harken.evaluation.dialogue_sets.items import Item
from harken.evaluation.dialogue_sets.read import read_set
from harken.evaluation.dialogue_sets.run import run_dialogues
from harken.evaluation.dialogue_sets.sound import Ears, Wave
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.scores import D2, D3
from harken.evaluation.item_scores import read_scores
from harken.evaluation.judges.by_ear import BY_EAR, TRUST_BY_EAR, WITHHELD_BY_EAR
from harken.evaluation.judges.hearing import NO_SOUND
from harken.evaluation.judges.select import open_hearing_judge
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question

pytest.importorskip("openai")
TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
SAID = {"en": "I hear you.", "zh": "我听到了。"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In each language four replies to be spoken."""
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
    place, items = tmp_path / "set", []
    place.mkdir()
    for lang in LANGUAGES:
        names = [f"{lang}-d{number}" for number in range(4)]
        turn = Turn(1, "It rained.", "sad", "said.ogg")
        write_dialogues(place / f"dialogues-{lang}.jsonl", [Dialogue(name, (turn,)) for name in names])
        items += [Item(f"{name}-empathy", "empathy", name, 1, lang, name, "What of it?") for name in names]
    soundfile.write(place / "said.ogg", TONE, 16_000, format="WAV")
    (place / ITEMS).write_text("".join(json.dumps(asdict(item)) + "\n" for item in items))
    (place / SET).write_text("{}")
    return place


class Kind:
    """Replies in the language, but for one English item that it answers in Chinese and one without sound."""

    name, concurrency = "kind", 1

    def answer(self, question: Question) -> Answer:
        lang = "zh" if question.key.startswith(("zh", "en-d1")) else "en"
        silent = question.key.startswith("en-d2")
        return Answer(SAID[lang]) if silent else Answer(SAID[lang], TONE, 16_000, 0.5)


class FakeEars(Ears):
    words = staticmethod(lambda wave: "I hear you.")  # type: ignore[assignment]

    def quality(self, wave: Wave) -> float:
        return 3.0

    def semitones(self, wave: Wave) -> float:
        return 20.0


def run(folder: Path, server: EarServer) -> Report:
    hearing = open_hearing_judge(server.url, "ears", None)
    out = folder.parent / "out"
    return run_dialogues(read_set(folder), Kind(), None, out, ears=FakeEars(), trial=2, hearing=hearing)


def value(report: Report, data: str, measure: str) -> tuple[Any, object, object]:
    (row,) = (row for row in report.rows if (row["data"], row["measure"]) == (data, measure))
    shown = row["value"]
    return shown[0] if isinstance(shown, list) else shown, row["n"], row["unscored"]


def test_spoken_replies_are_judged_by_ear(folder: Path) -> None:
    with serving(EarServer()) as server:
        report = run(folder, server)
        assert run(folder, server).rows == report.rows
        assert len({sound.tobytes() for *_, sound in server.asked}) == 3  # as it is, with noise, cut
    assert value(report, "zh empathy", f"heard {D3}") == (5.0, 4, 0)
    assert value(report, "zh empathy", "heard mean") == (4.5, 4, 0)
    assert value(report, "en empathy", f"heard {D2}") == ((4 + 1 + 4) / 3, 3, 1)  # a 1 for its language
    assert report.setting["unscored scores"][f"{BY_EAR}: {NO_SOUND}"] == 3  # type: ignore[index]
    assert "are shown" in str(report.setting[TRUST_BY_EAR]) and str(report.setting[BY_EAR]).startswith(
        "ears@"
    )
    rows = [json.loads(line) for line in (folder.parent / "out" / "verdicts.jsonl").read_text().splitlines()]
    assert {(row["task"], row["lang"]) for row in rows} == {("empathy", lang) for lang in LANGUAGES}


def test_scores_of_one_that_does_not_hear_noise_are_shown_nowhere(folder: Path) -> None:
    with serving(EarServer(hears_nothing)) as server:
        report = run(folder, server)
    assert not [row for row in report.rows if f"heard {D3}" in str(row["measure"])]
    assert value(report, "zh empathy", f"heard scores: {WITHHELD_BY_EAR}") == (None, 0, 4)
    assert value(report, "zh empathy", "DNSMOS overall") == (3.0, 4, 0)
    kept = [score for score in read_scores(folder.parent / "out")[1] if score.measure == f"heard {D3}"]
    assert kept and {(score.score, score.why) for score in kept} == {
        (None, f"heard scores: {WITHHELD_BY_EAR}")
    }
    assert "heard audio" not in read(folder.parent / "out" / "dialogues.html").text
    rows = (folder.parent / "out" / "verdicts.jsonl").read_text().splitlines()
    assert any(json.loads(row)["scores"] for row in rows), "what it said is kept"
