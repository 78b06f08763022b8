"""The label step with a made-up labeler, and the labelers: what is kept, what is heard, what is refused."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from harken.affect.labels import EMOTIONS
from harken.audio.io import Recording, write
from harken.data.labelers import open_labeler
from harken.data.labelers.base import Reading, in_segments
from harken.data.labelers.emotion2vec import LABELS, Emotion2vec
from harken.data.labelers.readout import Readout
from harken.data.rows import Affect, Row, Speaker, Turn
from harken.data.steps.base import Dropped
from harken.data.steps.label import Label, LabelStep
from harken.data.workspace import Workspace
from harken.errors import DataError, HarkenError, MissingExtra, WeightsError

RATE_HZ = 16_000


def tone(seconds: float, amplitude: float = 0.3) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 220 * time_s)).astype(np.float32)


def scores(label: str, confidence: float) -> dict[str, float]:
    rest = (1 - confidence) / (len(EMOTIONS) - 2)
    return dict.fromkeys(EMOTIONS, rest) | {"other": 0.0, label: confidence}


class LoudIsAnger:
    """Loud recordings are anger, quiet ones sad; one named to break it breaks it."""

    name, revision = "loudness", "abc123"

    def __init__(self) -> None:
        self.asked = 0

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        self.asked += len(recordings)
        return [self._read(recording) for recording in recordings]

    def _read(self, recording: Recording) -> Reading | HarkenError:
        if "breaks" in recording.name:
            return HarkenError("it broke")
        loud = float(np.abs(recording.samples).max())
        return Reading(scores("anger" if loud > 0.2 else "sad", 0.8 if loud > 0.05 else 0.4), "female", 0.95)


def row(*turns: Turn) -> Row:
    return Row("r", "g", "train", "source", "", "en", "test", "CC0-1.0", True, turns)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name, samples in {
        "loud": tone(1), "quiet": tone(1, 0.1), "faint": tone(1, 0.02), "breaks": tone(1),
        "silent": np.zeros(RATE_HZ, np.float32),
        "both": np.concatenate([tone(2), np.zeros(8000, np.float32), tone(2, 0.1)]),
    }.items():  # fmt: skip
        write(tmp_path / f"{name}.wav", samples, RATE_HZ)
    (tmp_path / "corrupt.wav").write_bytes(b"RIFFnonsense")
    return Workspace(tmp_path / "work", tmp_path)


def labelled(workspace: Workspace, *turns: Turn, **settings: Any) -> Row | Dropped:
    (made,) = LabelStep(Label(**settings), LoudIsAnger())([row(*turns)], workspace)
    return made


def test_a_turn_gets_emotion_gender_and_length(workspace: Workspace) -> None:
    made = labelled(workspace, Turn("user", "No!", "loud.wav"), Turn("assistant", "Oh."), Turn("user", "Bye"))
    assert isinstance(made, Row)
    turn, reply, written = made.turns
    assert turn.emotion == "anger" and turn.seconds == 1.0 and turn.speaker.gender == "female"
    (affect,) = turn.affect
    assert (affect.source, affect.model, affect.confidence) == ("model", "loudness@abc123", 0.8)
    assert dict(affect.scores) == scores("anger", 0.8) and list(affect.scores) == sorted(affect.scores)
    assert reply == Turn("assistant", "Oh.") and written == Turn("user", "Bye")


def test_it_abstains_below_the_stated_confidence(workspace: Workspace) -> None:
    made = labelled(workspace, Turn("user", "Hm.", "faint.wav"))
    assert isinstance(made, Row) and made.last_user.emotion is None
    assert made.last_user.affect[0].label == "other" and made.last_user.affect[0].confidence == 0.4
    surer = labelled(workspace, Turn("user", "Hm.", "faint.wav"), min_confidence=0.3)
    assert isinstance(surer, Row) and surer.last_user.emotion == "sad"


@pytest.mark.parametrize("source", ["human", "rule"])
def test_what_people_and_rules_said_stays(workspace: Workspace, source: Any) -> None:
    given = Affect("happy", source)
    turn = Turn("user", "No!", "loud.wav", speaker=Speaker("s", "male"), affect=(given,))
    for settings in ({}, {"overwrite": True}):
        made = labelled(workspace, turn, **settings)
        assert isinstance(made, Row) and made.last_user.affect == (given,)
        assert made.last_user.speaker == Speaker("s", "male")
    both = labelled(workspace, turn, agreement=True)
    assert isinstance(both, Row) and both.last_user.emotion == "happy"
    assert [a.label for a in both.last_user.affect] == ["happy", "anger"]


def test_nothing_is_heard_twice_for_nothing(workspace: Workspace) -> None:
    labeler = LoudIsAnger()
    done = Turn(
        "user", "No!", "loud.wav", None, speaker=Speaker(gender="male"), affect=(Affect("sad", "human"),)
    )
    earlier = Turn(
        "user", "No!", "loud.wav", speaker=Speaker(gender="male"), affect=(Affect("sad", "model"),)
    )
    (made,) = LabelStep(Label(), labeler)([row(done, earlier)], workspace)
    assert isinstance(made, Row) and labeler.asked == 0 and made.turns[1].emotion == "sad"
    again = labelled(workspace, earlier, overwrite=True)
    assert isinstance(again, Row) and [a.label for a in again.last_user.affect] == ["anger"]


def test_segments_say_when(workspace: Workspace) -> None:
    made = labelled(workspace, Turn("user", "No! Sorry.", "both.wav"), window_s=2.5)
    assert isinstance(made, Row)
    whole, *parts = made.last_user.affect
    assert (whole.t0, whole.t1) == (None, None) and [part.label for part in parts] == ["anger", "sad"]
    assert parts[0].t0 == 0 and 2 < (parts[0].t1 or 0) <= 2.5 and parts[0].t1 == parts[1].t0
    assert parts[1].t1 == made.last_user.seconds == 4.5
    few = labelled(workspace, Turn("user", "No! Sorry.", "both.wav"), window_s=4.0)
    assert isinstance(few, Row) and len(few.last_user.affect) == 2, "less than half a window is no segment"
    assert few.last_user.affect[1].t1 == 4.5


@pytest.mark.parametrize(
    ("audio", "reason", "detail"),
    [
        ("silent.wav", "audio cannot be heard", "silent"),
        ("corrupt.wav", "audio cannot be heard", "corrupt.wav"),
        ("missing.wav", "audio cannot be heard", "missing.wav"),
        ("breaks.wav", "labeler failed", "it broke"),
    ],
)
def test_what_cannot_be_heard_is_dropped(workspace: Workspace, audio: str, reason: str, detail: str) -> None:
    made = labelled(workspace, Turn("user", "Hm.", "loud.wav"), Turn("user", "Hm.", audio))
    assert isinstance(made, Dropped) and (made.step, made.reason) == ("label", reason)
    assert detail in made.detail


def test_a_silent_window_leaves_a_gap() -> None:
    class NoSilence(LoudIsAnger):
        def _read(self, recording: Recording) -> Reading | HarkenError:
            return super()._read(recording) if recording.samples.any() else HarkenError("silent")

    samples = np.concatenate([tone(1), np.zeros(3 * RATE_HZ, np.float32), tone(1)])
    (reading,) = in_segments(NoSilence(), [Recording(samples, RATE_HZ, "x")], 1.0)
    assert isinstance(reading, Reading) and 2 <= len(reading.segments) < 5


def test_a_recipe_names_its_labeler() -> None:
    config = Label.model_validate({"labeler": {"kind": "emotion2vec"}})
    assert config.labeler == Emotion2vec() and config.maker != Label().maker == Label(workers=3).maker
    with pytest.raises(ValidationError):
        Label.model_validate({"labeler": {"kind": "guess"}})


@pytest.mark.parametrize("mark", ["checkpoint-0000250", "align/checkpoint-0000250", "readout/pooled-0.f32"])
@pytest.mark.parametrize("kind", [Readout, Emotion2vec])
def test_the_model_under_training_never_labels(
    tmp_path: Path, mark: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "funasr", SimpleNamespace(AutoModel=None))
    trained = tmp_path / "trained"
    for folder in (trained, tmp_path / mark):
        folder.parent.mkdir(parents=True, exist_ok=True)
    trained.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    config = Readout(trained=trained) if kind is Readout else Emotion2vec(model=str(trained))
    with pytest.raises(DataError, match="never the model under training"):
        open_labeler(config)


@pytest.mark.weights
def test_the_readout_that_ships() -> None:
    labeler = open_labeler(Readout())
    long = Recording(np.concatenate([tone(20), tone(20, 0.1)]), RATE_HZ, "long")
    short = Recording(tone(1), RATE_HZ, "short")
    first, second = labeler.label([long, short])
    assert isinstance(first, Reading) and set(first.scores) == set(EMOTIONS)
    assert sum(first.scores.values()) == pytest.approx(1, abs=1e-3) and first.gender in ("female", "male")
    assert labeler.label([short]) == [second] and first != second
    assert labeler.name == "harken-readout-mini" and len(labeler.revision) == 12
    assert open_labeler(Readout(revision=labeler.revision[:6])).revision == labeler.revision
    with pytest.raises(DataError, match="pins 000000"):
        open_labeler(Readout(revision="000000"))


@pytest.fixture
def funasr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, float]], Emotion2vec]:
    """FunASR's interface, answering every recording with given scores."""
    (tmp_path / "model.pt").write_bytes(b"weights")

    def install(scores: dict[str, float]) -> Emotion2vec:
        class AutoModel:
            model_path = str(tmp_path)

            def __init__(self, model: str, **options: Any) -> None:
                assert options["disable_update"] is True

            def generate(self, wav: np.ndarray, **options: Any) -> list[dict[str, Any]]:
                assert options["granularity"] == "utterance" and options["fs"] == RATE_HZ
                if not wav.any():
                    raise RuntimeError("empty")
                labels = [f"某/{name}" if name != "<unk>" else name for name in scores]
                return [{"key": "0", "labels": labels, "scores": list(scores.values())}]

        monkeypatch.setitem(sys.modules, "funasr", SimpleNamespace(AutoModel=AutoModel))
        return Emotion2vec()

    return install


NINE = dict(zip(LABELS, [0.5, 0.1, 0.05, 0.05, 0.1, 0.05, 0.05, 0.04, 0.06], strict=True))


def test_emotion2vec_in_our_words(funasr: Callable[[dict[str, float]], Emotion2vec]) -> None:
    labeler = open_labeler(funasr(NINE))
    reading, broken = labeler.label(
        [Recording(tone(1), RATE_HZ, "x"), Recording(np.zeros(RATE_HZ, np.float32), RATE_HZ, "zeros")]
    )
    assert isinstance(reading, Reading) and (reading.label, reading.confidence) == ("anger", 0.5)
    assert reading.scores["other"] == pytest.approx(0.11) and reading.gender is None
    assert reading.scores["disgust"] == 0.1 and reading.scores["fear"] == 0.05
    assert isinstance(broken, HarkenError) and "zeros" in broken.message
    assert labeler.name == "emotion2vec_plus_large" and len(labeler.revision) == 12


@pytest.mark.parametrize(
    "faulty",
    [
        NINE | {"disgusted": 0.0, "angry": 0.6},
        NINE | {"fearful": 0.0, "surprised": 0.0, "angry": 0.59},
        dict.fromkeys(("angry", "happy", "neutral", "sad", "<unk>"), 0.2),
        NINE | {"angry": 5.0},
    ],
)
def test_masked_labels_are_refused(
    funasr: Callable[[dict[str, float]], Emotion2vec], faulty: dict[str, float]
) -> None:
    labeler = open_labeler(funasr(faulty))
    with pytest.raises(WeightsError, match="nine labels"):
        labeler.label([Recording(tone(1), RATE_HZ, "x")])


def test_emotion2vec_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "funasr", None)
    with pytest.raises(MissingExtra) as error:
        open_labeler(Emotion2vec())
    assert error.value.hint == "pip install 'harken[emotion2vec]'"
