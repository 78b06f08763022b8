"""Figures of labelers, on made-up speech: right, wrong, unsure and unreadable clips."""

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.affect.labels import EMOTIONS
from harken.audio.io import Recording
from harken.data.labelers.base import Reading
from harken.errors import DataError, HarkenError
from harken.evaluation.labelers import evaluate_labelers, kappa, people

LOUDNESS = {"anger": 0.8, "calm": 0.5, "sad": 0.2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight dev clips, louder the angrier, and one of a train speaker."""
    rows = []
    with tarfile.open(tmp_path / "ravdess.tar", "w") as tar:
        for number, emotion in enumerate(
            ["anger", "calm", "sad", "anger", "sad", "calm", "sad", "anger", "sad"]
        ):
            wave = io.BytesIO()
            time_s = np.arange(8000) / 16_000
            loud = LOUDNESS[emotion] * np.sin(2 * np.pi * 200 * time_s)
            soundfile.write(wave, loud, 16_000, format="WAV")
            info = tarfile.TarInfo(f"{number}.wav")
            info.size = len(wave.getvalue())
            tar.addfile(info, io.BytesIO(wave.getvalue()))
            rows.append(
                {"path": info.name, "corpus": "ravdess", "split": "train" if number == 8 else "dev",
                 "speaker": f"s{number % 2}", "gender": "female", "emotion": emotion, "text": "Hello."}
            )  # fmt: skip
    with gzip.open(tmp_path / "manifest.jsonl.gz", "wt") as lines:
        lines.write("\n".join(map(json.dumps, rows)))
    return tmp_path


class ByLoudness:
    """Hears anger where it is loud, is unsure of what is not, and cannot read `7.wav`."""

    name, revision = "loudness", "1"

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        return [self._read(recording) for recording in recordings]

    def _read(self, recording: Recording) -> Reading | HarkenError:
        if recording.name == "7.wav":
            return HarkenError("no")
        peak = float(np.abs(recording.samples).max())
        label, sure = ("anger", 0.9) if peak > 0.7 else ("neutral", 0.6) if peak > 0.4 else ("fear", 0.3)
        return Reading(dict.fromkeys(EMOTIONS, 0.0) | {label: sure}, "female", 0.9)


def test_figures(folder: Path) -> None:
    report = evaluate_labelers([ByLoudness()], people([folder]))
    values = {row["measure"]: row["value"] for row in report.rows}
    over = {row["measure"]: row["n"] for row in report.rows}
    assert {row["data"] for row in report.rows} == {"ravdess"}
    assert (over.pop("accuracy where it does not abstain"), over.pop("gender accuracy")) == (4, 7)
    assert set(over.values()) == {8}
    assert values["accuracy"][0] == 4 / 8  # three sad ones heard as fear, one not read
    assert values["unweighted average recall"][0] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert values["abstains"] == 4 / 8 and values["accuracy where it does not abstain"][0] == 1
    assert values["gender accuracy"][0] == 1 and 0 < values["agreement (kappa)"] < 1
    assert "8 clips, 2 dev speakers" in report.markdown()


def test_of_nothing_there_is_no_figure(folder: Path) -> None:
    class Deaf(ByLoudness):
        def _read(self, recording: Recording) -> Reading | HarkenError:
            return HarkenError("no")

    rows = evaluate_labelers([Deaf()], people([folder])).rows
    assert {row["measure"]: row["value"] for row in rows if row["measure"] == "abstains"} == {"abstains": 1.0}
    assert not {row["measure"] for row in rows} & {"accuracy where it does not abstain", "gender accuracy"}


def test_limit_draws_the_same_clips(folder: Path) -> None:
    assert people([folder], 3) == people([folder], 3) and len(people([folder], 3)["ravdess"]) == 3


def test_kappa() -> None:
    assert kappa(["a", "b"], ["a", "b"]) == 1 == kappa(["a"], ["a"])
    assert kappa(["a", "a", "b", "b"], ["a", "b", "a", "b"]) == 0


def test_a_folder_without_dev_speakers(folder: Path) -> None:
    row = {"path": "8.wav", "corpus": "ravdess", "split": "train", "speaker": "s", "gender": "male"}
    with gzip.open(folder / "manifest.jsonl.gz", "wt") as lines:
        lines.write(json.dumps(row | {"emotion": "sad", "text": "Hi."}))
    with pytest.raises(DataError, match="no dev speakers"):
        people([folder])
