"""The Python door: `import harken` costs nothing, and everything that can be said can be answered."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import harken
from harken import api
from harken.api import Harken
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import InputError, RecipeError
from harken.recipes import mini
from harken.testing import FakeVoice, ScriptedLM, heard_turn, tiny_model, tiny_own_voice

SOURCE = Path(__file__).parents[1] / "src"
ANSWER = "Yes, go on."


def hum(seconds=1.0, rate=16000):
    return (0.3 * np.sin(np.arange(int(seconds * rate)) / 20)).astype(np.float32)


def heard(samples):
    return heard_turn(
        "Repeat after me." if len(samples) > 24000 else "Hi there.", seconds=len(samples) / 16000, width=1
    )


@pytest.fixture
def model():
    return ScriptedLM(lambda text: "Hm.</think>\n\n" if text.endswith("<think>\n") else ANSWER, heard)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "hi.wav"
    soundfile.write(path, hum(), 16000)
    return path


def asked(model):
    """All that the model read, but for what it wrote itself."""
    return "".join(text for text in model.read_texts if len(text) > 1)


def test_import_loads_nothing_heavy():
    code = "import harken, sys, json; print(json.dumps(sorted(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    modules = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env).stdout
    )
    heavy = {"torch", "transformers", "numpy", "soundfile", "scipy", "pydantic", "rich", "onnxruntime"}
    assert heavy.isdisjoint(modules)


def test_public_names_are_there_and_others_are_not():
    for name in harken.__all__:
        assert getattr(harken, name) is not None
    assert set(harken.__all__) <= set(dir(harken))
    with pytest.raises(AttributeError, match="no attribute 'listen_to_me'"):
        harken.listen_to_me  # noqa: B018


def test_every_form_of_a_recording_is_answered(model, wav):
    forms = [
        wav,
        str(wav),
        wav.read_bytes(),
        io.BytesIO(wav.read_bytes()),
        (hum(), 16000),
        api.read_audio(wav),
    ]
    for form in forms:
        events = list(Harken(model, "none").reply(form, think="off"))
        assert (events[0].transcript, events[-1].reply) == ("Hi there.", ANSWER)


def test_a_string_is_text_unless_it_names_a_recording(model, tmp_path, wav):
    answering = Harken(model, "none")
    assert list(answering.reply("I lost my job.", think="off"))[-1].reply == ANSWER
    assert "I lost my job." in asked(model)
    with pytest.raises(InputError, match=r"gone\.wav: no such file"):
        list(answering.reply(str(tmp_path / "gone.wav")))
    for text in ("a" * 5000, "nul \0 byte"):
        assert not api.names_audio(text)


def test_a_history_of_messages_is_read_before_the_answer(model, wav):
    history = [
        {"role": "user", "audio": wav},
        {"role": "assistant", "text": "Hello."},
        {"role": "user", "text": "What now?"},
    ]
    assert list(Harken(model, "none").reply(history, system="Be brief.", think="off"))[-1].reply == ANSWER
    assert asked(model) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n···<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nWhat now?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("history", "message"),
    (
        (
            [{"role": "user", "text": "Hi."}, {"role": "assistant", "text": "Hello."}],
            "does not end with the user",
        ),
        ([], "does not end with the user"),
        ([{"role": "robot", "text": "Hi."}, {"role": "user", "text": "Hi."}], "turn 1 of the history"),
        ([{"role": "user", "text": " "}], "the text is empty"),
        ([{"role": "user", "text": "Hi."}, {"role": "user"}], "turn 2 of the history"),
        ([{"role": "assistant", "audio": "a.wav"}, {"role": "user", "text": "Hi."}], "turn 1 of the history"),
    ),
)
def test_a_history_that_makes_no_sense_is_refused(model, history, message):
    with pytest.raises(InputError, match=message):
        list(Harken(model, "none").reply(history))


def test_an_instruction_may_be_spoken(model, wav, tmp_path):
    soundfile.write(tmp_path / "instruction.wav", hum(2.0), 16000)
    list(Harken(model, "none").reply(wav, instruction=str(tmp_path / "instruction.wav"), think="off"))
    assert "<|im_start|>user\nRepeat after me.\n···<|im_end|>" in asked(model)


def test_a_spoken_instruction_that_is_not_understood_is_refused(wav):
    unclear = ScriptedLM(lambda _: ANSWER, lambda samples: heard_turn(confidence=0.1, width=1))
    with pytest.raises(InputError, match="its words were not understood"):
        list(Harken(unclear, "none").reply("Hi.", instruction=wav))


def test_a_conversation_remembers_and_can_be_interrupted(model, wav):
    session = Harken(model, FakeVoice()).conversation()
    events = list(session.reply(wav, think="off"))
    spoken_ms = next(event.end_ms for event in events if isinstance(event, harken.AudioChunk))
    assert session.turns[-1] == AssistantTurn(ANSWER)
    assert session.interrupted_at(spoken_ms / 2) == "Yes,"
    list(session.reply("Go on.", think="off"))
    assert [type(turn) for turn in session.turns] == [UserTurn, AssistantTurn] * 2
    assert session.turns[1] == AssistantTurn("Yes,")


def test_a_system_prompt_is_read_once_for_many_replies(model):
    answering = Harken(model, "none")
    for _ in range(3):
        list(answering.reply("Hi.", think="off"))
    assert asked(model).count("<|im_start|>system") == 1


def test_voices_are_chosen_by_name_or_given_and_opened_once(model, monkeypatch):
    opened = []
    monkeypatch.setattr(
        api, "_open_voice", lambda kind, speaker: opened.append((kind, speaker)) or FakeVoice()
    )
    answering = Harken(model)
    assert opened == []  # a voice is loaded when it first speaks
    assert answering.voice() is answering.voice("recipe") is answering.voice(mini().speaker)
    answering.voice("am_puck")
    assert opened == [("kokoro-82m", "af_heart"), ("kokoro-82m", "am_puck")]
    assert answering.voice("none") is None and Harken(model, None).voice() is None
    mine = FakeVoice()
    assert answering.voice(mine) is mine


@pytest.mark.parametrize(
    ("content", "message"),
    ((None, "holds no recipe.json"), ("{}", "is no recipe: name"), ("nonsense", "is no recipe")),
)
def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(RecipeError, match=re.escape(message)):
        api.chosen_recipe(None, tmp_path)


def test_the_recipe_is_the_named_one_or_the_checkpoints_or_mini(tmp_path):
    assert api.chosen_recipe(None, None) == mini()
    assert api.chosen_recipe("bilingual", None).name == "bilingual"
    (tmp_path / "recipe.json").write_text(mini().model_copy(update={"name": "mine"}).model_dump_json())
    assert api.chosen_recipe(None, tmp_path).name == "mine"
    with pytest.raises(RecipeError, match="there is no recipe 'x'"):
        api.chosen_recipe("x", None)


def test_a_model_that_was_taught_to_speak_speaks_for_itself_unless_told_otherwise(monkeypatch):
    pytest.importorskip("phonemizer", reason="the extra kokoro is not installed")
    model, opened = tiny_model(), []
    voice = tiny_own_voice(model.core)
    model.open_voice = lambda: opened.append("own") or voice
    monkeypatch.setattr(api, "_open_voice", lambda kind, speaker: opened.append(speaker) or FakeVoice())
    answering = Harken(model)
    assert answering.voice() is answering.voice("recipe") is voice and opened == ["own"]
    assert answering.voice("ben").speaker == "ben" and answering.voice("ben").speak is voice.speak
    assert answering.voice("ben").table is voice.table, "it is large, and the same for all"
    answering.voice("kokoro")
    answering.voice("am_puck")  # nobody of the model's own
    assert opened == ["own", "af_heart", "am_puck"]
