"""The speak step with voices that hum and recognisers that know, or do not know, what was hummed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harken.audio.io import Recording
from harken.data.build_recipes import build_recipe
from harken.data.labelers.base import Reading
from harken.data.rows import Affect, Row, Speaker, Turn
from harken.data.speech_making import (
    CosyVoice2,
    Kokoro,
    Speech,
    SpeechMaker,
    at_level,
    loudness_dbfs,
)
from harken.data.steps.attribute import Attribute
from harken.data.steps.base import Dropped
from harken.data.steps.label import Label, LabelStep
from harken.data.steps.speak import Speak, SpeakStep
from harken.data.workspace import Workspace
from harken.errors import DataError, HarkenError, MissingExtra
from harken.testing import FakeLLM, FakeResources, FakeVoice
from harken.voices.base import Style
from harken.voices.casts import DEV_VOICES, REPLY_VOICES, TRAINING_VOICES
from harken.voices.styles import REPLY_STYLES, user_style


class Studio:
    """Opens a humming voice for every name, and reads back what was last said, or what it is told to hear."""

    def __init__(self, heard: str | None = None) -> None:
        self.voices: dict[str, FakeVoice] = {}
        self.heard = heard
        self.readings = 0
        self._last = FakeVoice()

    def open(self, name: str) -> FakeVoice:
        self.voices[name] = FakeVoice()
        return self.voices[name]

    def hear(self, samples: np.ndarray, lang: str) -> str:
        self.readings += 1
        said = [text for voice in self.voices.values() for text, _ in voice.spoken]
        return next((t for t in said if abs(len(t) / 15 - len(samples) / 16_000) < 0.05), "")

    @property
    def spoken(self) -> list[tuple[str, str, Style]]:
        return [(name, *said) for name, voice in self.voices.items() for said in voice.spoken]

    def step(self, recognise: Callable[[np.ndarray, str], str] | None = None, **speech: Any) -> SpeakStep:
        config = Speak(speech=Speech(**speech))
        return SpeakStep(config, SpeechMaker(config.speech, self.open, recognise or self.hear))


class AlwaysSad:
    """A labeler that hears one thing."""

    name, revision = "always", "1"

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        return [Reading({"sad": 0.9, "other": 0.1}) for _ in recordings]


NOBODY = Speaker()


def user(text: str, emotion: str | None = None, speaker: Speaker = NOBODY, audio: str | None = None) -> Turn:
    return Turn("user", text, audio, speaker=speaker, affect=(Affect(emotion, "rule"),) if emotion else ())


def row(*turns: Turn, target: str | None = "I am sorry to hear that.", **changes: Any) -> Row:
    made = Row("r", "g", "train", "empathy", "1-2", "en", "test", "CC0-1.0", True, turns, target=target)
    return replace(made, **changes)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work", tmp_path)


def spoken(step: SpeakStep, workspace: Workspace, *rows: Row) -> list[Row | Dropped]:
    return list(step(rows, workspace))


def test_users_and_the_reply_are_spoken(workspace: Workspace) -> None:
    studio = Studio()
    given = row(
        user("They cancelled my flight.", "sad"), Turn("assistant", "Oh no."), user("Now what?", "anger")
    )
    (made,) = spoken(studio.step(), workspace, given)
    assert isinstance(made, Row) and [turn.role for turn in made.turns] == [
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    first, past, last, reply = made.turns
    assert past == given.turns[1]
    assert first.speaker == last.speaker and first.speaker.id in TRAINING_VOICES
    assert first.speaker.id not in REPLY_VOICES.values() and first.speaker.gender in ("female", "male")
    assert first.affect == given.turns[0].affect  # a rule said so, and the voice acts it
    assert (reply.text, reply.style) == (given.target, "calm") and made.target == given.target
    by_text = {text: (name, style) for name, text, style in studio.spoken}
    assert by_text["They cancelled my flight."] == (first.speaker.id, user_style("sad"))
    assert by_text[reply.text] == ("af_heart", REPLY_STYLES["calm"])
    for turn in (first, last, reply):
        assert turn.audio is not None and turn.seconds == pytest.approx(len(turn.text) / 15, abs=0.05)
        assert workspace.recording(turn.audio).seconds == pytest.approx(turn.seconds, abs=0.001)
    assert made.id == given.id


def test_recorded_turns_and_other_rows_are_left_alone(workspace: Workspace) -> None:
    studio = Studio()
    recorded = user("I was recorded.", audio="x.wav")
    source = row(user("Later."), task="source", target=None)
    made, passed = spoken(studio.step(), workspace, row(recorded, target=None), source)
    assert isinstance(made, Row) and made.turns == (recorded,) and passed is source and studio.spoken == []


def test_queries_are_spoken_where_the_step_is_told_so_and_labelled_and_attributed_after(
    workspace: Workspace,
) -> None:
    studio = Studio()
    config = Speak(tasks=("source",))
    query = row(user("They gave my desk away."), task="source", target="A person's answer.")
    first = SpeakStep(config, SpeechMaker(config.speech, studio.open, studio.hear))
    (source,) = spoken(first, workspace, query)
    assert isinstance(source, Row) and source.id == query.id and source.turns[0].audio is not None
    assert [(text, style) for _, text, style in studio.spoken] == [(query.turns[0].text, user_style(None))]

    (heard,) = list(LabelStep(Label(min_confidence=0.0), AlwaysSad())([source], workspace))
    assert isinstance(heard, Row) and heard.last_user.emotion == "sad"
    teacher = FakeLLM(lambda prompt, seed: " they gave their desk away.\n</think>\n\nThat must have hurt.")
    made = list(Attribute().open(FakeResources(teacher))([heard], workspace))
    empathy = [one for one in made if isinstance(one, Row) and one.task == "empathy"]
    assert [one.turns[0].audio for one in empathy] == [heard.turns[0].audio]
    assert empathy[0].turns[0].affect == heard.turns[0].affect
    assert spoken(studio.step(), workspace, source) == [source]


def test_the_paper_speaks_queries_before_they_are_labelled_and_attributed() -> None:
    steps = build_recipe("paper").steps
    queries = next(n for n, step in enumerate(steps) if isinstance(step, Speak) and "source" in step.tasks)
    label, attribute = ([step.step for step in steps].index(name) for name in ("label", "attribute"))
    assert queries < label < attribute
    assert isinstance(steps[-2], Speak) and "source" not in steps[-2].tasks


def test_a_target_that_stands_as_the_last_turn_is_not_said_twice(workspace: Workspace) -> None:
    (made,) = spoken(
        Studio().step(), workspace, row(user("Hi."), Turn("assistant", "Hello."), target="Hello.")
    )
    assert isinstance(made, Row) and [turn.text for turn in made.turns] == ["Hi.", "Hello."]
    assert made.turns[-1].audio is not None


def test_one_speaker_keeps_one_voice(workspace: Workspace) -> None:
    rows = [
        *(row(user(text), id=text) for text in ("One.", "Two.")),  # one group
        *(row(user(text, speaker=Speaker("s")), group=text) for text in ("Three.", "Four.")),
    ]
    studio = Studio()
    made = spoken(studio.step(), workspace, *rows)
    voice_of = {text: name for name, text, _ in studio.spoken}
    assert voice_of["One."] == voice_of["Two."] and voice_of["Three."] == voice_of["Four."]
    assert isinstance(made[2], Row) and made[2].turns[0].speaker.id == "s"
    many = [row(user(f"{number}."), group=str(number)) for number in range(60)]
    spoken(studio.step(), workspace, *many)
    assert len(studio.voices) > 10


def test_voices_follow_split_and_gender(workspace: Workspace) -> None:
    for number in range(8):
        asked = row(user(f"Hm {number}.", speaker=Speaker(f"s{number}", "male")), split="dev", target=None)
        studio = Studio()
        spoken(studio.step(), workspace, asked)
        ((voice, _, _),) = studio.spoken
        assert voice in DEV_VOICES and voice[1] == "m"


def test_equal_speech_is_made_once_and_found_again(workspace: Workspace) -> None:
    studio = Studio()
    rows = [row(user("Same words.", "sad"), id=name) for name in "ab"]
    first, second = spoken(studio.step(), workspace, *rows)
    assert isinstance(first, Row) and isinstance(second, Row) and first.turns == second.turns
    assert len(studio.spoken) == 2 and studio.readings == 2
    again = Studio()
    (third,) = spoken(again.step(recognise=studio.hear), workspace, rows[0])
    assert isinstance(third, Row) and third.turns == first.turns and again.spoken == []
    (other,) = spoken(studio.step(), workspace, row(user("Same words.", "happy")))
    assert isinstance(other, Row) and other.turns[0].audio != first.turns[0].audio


def test_what_is_not_read_back_is_dropped_with_both_texts(workspace: Workspace) -> None:
    step = Studio().step(recognise=lambda samples, lang: "Completely other words")
    (made,) = spoken(step, workspace, row(user("They cancelled my flight.")))
    assert isinstance(made, Dropped) and (made.step, made.reason) == ("speak", "cannot be read back")
    assert "They cancelled my flight." in made.detail and "Completely other words" in made.detail


def test_a_careful_second_reading_saves_a_clip(workspace: Workspace) -> None:
    studio = Studio()
    speech = Speech()
    maker = SpeechMaker(speech, studio.open, lambda samples, lang: "", studio.hear)
    (made,) = spoken(SpeakStep(Speak(), maker), workspace, row(user("They cancelled my flight.")))
    assert isinstance(made, Row) and studio.readings == 2


def test_without_a_recogniser_the_voice_is_believed(workspace: Workspace) -> None:
    step = SpeakStep(Speak(), SpeechMaker(Speech(read_back=None), Studio().open))
    (made,) = spoken(step, workspace, row(user("Hm hm hm.")))
    assert isinstance(made, Row)


def test_what_cannot_be_spoken_is_dropped(workspace: Workspace) -> None:
    class Broken(Studio):
        def open(self, name: str) -> FakeVoice:
            if name.startswith("z"):
                raise MissingExtra("speaking Chinese with Kokoro", "kokoro")
            return super().open(name)

    step = Broken().step()
    rows = [row(user(text), lang=lang) for text, lang in (("", "en"), ("你好。", "zh"), ("Salut.", "fr"))]
    empty, chinese, french = spoken(step, workspace, *rows)
    assert isinstance(empty, Dropped) and empty.reason == "nothing to speak"
    assert isinstance(chinese, Dropped) and chinese.reason == "cannot be spoken"
    assert "speaking Chinese" in chinese.detail and "你好。" in chinese.detail
    assert isinstance(french, Dropped) and french.reason == "no voice"


def test_loudness_is_brought_to_the_level_and_then_styled(workspace: Workspace) -> None:
    rows = [
        row(user("They cancelled my flight.", emotion), target=None)
        for emotion in ("neutral", "sad", "anger")
    ]
    levels = []
    for made in spoken(Studio().step(), workspace, *rows):
        assert isinstance(made, Row) and made.turns[0].audio is not None
        levels.append(loudness_dbfs(workspace.recording(made.turns[0].audio).samples, 16_000))
    gains = [20 * math.log10(user_style(emotion).gain) for emotion in ("neutral", "sad", "anger")]
    np.testing.assert_allclose(levels, [-23 + gain for gain in gains], atol=1.0)


def test_level_ignores_pauses_and_keeps_within_full_scale() -> None:
    hum = (0.2 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    paused = np.concatenate([hum, np.zeros(24_000, np.float32)])
    assert loudness_dbfs(paused, 8000) == pytest.approx(loudness_dbfs(hum, 8000), abs=0.2)
    assert np.abs(at_level(hum, 8000, 6.0)).max() <= 1.0
    assert at_level(np.zeros(100, np.float32), 8000, -23).tolist() == [0] * 100


def test_fifty_voices_for_instructions() -> None:
    assert len(Kokoro().many("train", "en", 50)) == 50
    assert Kokoro().gender("af_bella") == "female" and Kokoro().gender("af_bella+am_adam") is None


def test_cosyvoice_casts_prompt_recordings(tmp_path: Path) -> None:
    voices = CosyVoice2(at="http://localhost:50000", prompts=tmp_path)
    with pytest.raises(DataError, match="no prompt recordings"):
        voices.check()
    for name in ("train/en/f-ann.wav", "train/en/m-bob.wav", "train/en/kim.wav", "reply/en/f-eve.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    voices.check()
    assert voices.cast("train", "en") == ["train/en/f-ann", "train/en/kim", "train/en/m-bob"]
    assert (
        voices.cast("train", "en", "male") == ["train/en/m-bob"] and len(voices.many("train", "en", 2)) == 2
    )
    assert voices.reply_voices == {"en": "reply/en/f-eve"}
    with pytest.raises(DataError, match="dev"):
        voices.cast("dev", "en")


def test_recipes_name_voices_by_kind(tmp_path: Path) -> None:
    config = Speak.model_validate({"speech": {"voices": {"kind": "cosyvoice2", "at": "x", "prompts": "y"}}})
    assert isinstance(config.speech.voices, CosyVoice2) and config.maker != Speak().maker
    assert Speak.model_validate(Speak().model_dump(mode="json")) == Speak()


@pytest.mark.weights
def test_a_row_is_spoken_by_kokoro_and_read_back_by_whisper(workspace: Workspace) -> None:
    for needed in ("onnxruntime", "phonemizer", "espeakng_loader"):
        pytest.importorskip(needed, reason="the extra kokoro is not installed")
    config = Speak()
    step = SpeakStep(config, config.speech.open())
    (made,) = spoken(step, workspace, row(user("They cancelled my flight to Paris.", "sad")))
    assert isinstance(made, Row) and all(turn.seconds and 1 < turn.seconds < 6 for turn in made.turns)
