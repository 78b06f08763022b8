"""`harken reply`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken import api
from harken.cli import main
from harken.cli.reply import speech_paths
from harken.errors import InputError, MissingExtra, WeightsError
from harken.testing import FakeVoice, ScriptedLM, heard_turn

ANSWER = "Yes, go on."
TRACE = 'The speaker feels sad because: "the job"'


def hum(seconds=1.0, rate=16000):
    return (0.3 * np.sin(np.arange(int(seconds * rate)) / 20)).astype(np.float32)


def heard(samples):
    seconds = len(samples) / 16000
    return heard_turn(seconds=seconds, words_from_s=max(0.0, seconds - 300), width=1)


class Fakes:
    """What the command line loads instead of a real model, and what it asked for."""

    def __init__(self):
        self.model = ScriptedLM(
            lambda text: f"{TRACE}</think>" if text.endswith("<think>\n") else ANSWER, heard
        )
        self.voice: FakeVoice | Exception = FakeVoice()
        self.loaded: list[tuple[str | None, Path | None]] = []

    def load(self, recipe=None, trained=None, voice="recipe", guard=None):
        self.loaded.append((recipe, trained))
        return api.Harken(self.model, voice, guard)

    def open_voice(self, kind, speaker):
        if isinstance(self.voice, Exception):
            raise self.voice
        return self.voice


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    made = Fakes()
    monkeypatch.setattr(api, "load", made.load)
    monkeypatch.setattr(api, "_open_voice", made.open_voice)
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", hum(), 16000)
    soundfile.write("b.wav", hum(2.0), 16000)
    return made


def run(capsys, *arguments):
    """Exit code, JSON rows or text on standard output, text on standard error."""
    code = main(["reply", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, [json.loads(line) for line in out.splitlines()] if "--json" in arguments else out, err


def test_json_is_one_object_a_line_and_the_speech_is_written(fakes, capsys):
    code, rows, err = run(capsys, "a.wav", "b.wav", "--json", "--out", "replies")
    assert (code, err) == (0, "")
    first, second = rows
    assert first == {
        "input": "a.wav",
        "heard": {
            "emotion": "sad",
            "scores": {label: 0.7 if label == "sad" else 0.05 for label in first["heard"]["scores"]},
            "speaker": {"gender": "female"},
            "transcript": "I lost my job.",
            "seconds": 1.0,
        },
        "attribution": {"emotion": "sad", "cause": "the job"},
        "trace": TRACE,
        "reply": ANSWER,
        "speech": "replies/a.reply.wav",
        "think": "after",
        "timings_ms": first["timings_ms"],
        "real_time_factor": first["real_time_factor"],
    }
    assert set(first["timings_ms"]) == {"first_text", "first_audio", "total"}
    assert first["real_time_factor"] == pytest.approx(first["timings_ms"]["total"] / 1000, abs=1e-3)
    assert second["speech"] == "replies/b.reply.wav"
    samples, rate = soundfile.read("replies/a.reply.wav")
    assert (len(samples), rate) == (int(len(ANSWER) / 15 * 8000), 8000)
    assert sorted(p.name for p in Path("replies").iterdir()) == ["a.reply.wav", "b.reply.wav"]


def test_people_see_what_was_heard_the_reply_the_cause_and_the_speech(fakes, capsys):
    code, out, _ = run(capsys, "a.wav")
    assert code == 0
    for shown in (
        "a.wav",
        '"I lost my job."',
        "sad",
        "0.70",
        "female",
        ANSWER,
        'because of "the job"',
        "a.reply.wav",
    ):
        assert shown in out
    assert Path("a.reply.wav").is_file()


def test_without_thinking_and_voice_those_fields_are_null(fakes, capsys):
    _, (row,), _ = run(capsys, "a.wav", "--json", "--think", "off", "--voice", "none")
    assert row["attribution"] == {"emotion": None, "cause": None}
    assert (row["trace"], row["speech"], row["timings_ms"]["first_audio"], row["think"]) == (
        None,
        None,
        None,
        "off",
    )
    assert not list(Path().glob("*.reply.wav"))


def test_conversation_takes_the_files_as_turns_of_one_dialogue(fakes, capsys):
    run(capsys, "a.wav", "b.wav", "--json", "--conversation", "--think", "off")
    turn = f"<|im_start|>assistant\n{ANSWER}<|im_end|>\n<|im_start|>user\n"
    assert any(text.startswith(turn) for text in fakes.model.read_texts)
    fakes.model.read_texts.clear()
    run(capsys, "a.wav", "b.wav", "--json", "--think", "off")
    assert not any(text.startswith(turn) for text in fakes.model.read_texts)


def test_system_and_instruction_reach_the_model(fakes, capsys):
    run(capsys, "a.wav", "--json", "--system", "Be brief.", "--instruction", "Answer in one word.")
    read = "".join(fakes.model.read_texts)
    assert "system\nBe brief.<|im_end|>" in read and "user\nAnswer in one word.\n·" in read


def test_a_turn_about_danger_is_answered_by_the_guard_unless_it_is_not_wanted(fakes, capsys):
    fakes.model.heard = lambda samples: heard_turn("I want to die.", width=1)
    code, (row,), err = run(capsys, "a.wav", "--json")
    assert code == 0 and "emergency number" in row["reply"] and "the guard answers" in err
    assert row["attribution"] == {"emotion": "sad", "cause": "the job"} and row["speech"] == "a.reply.wav"
    Path("care.toml").write_text('[en]\nreply = "Call the ward."\n')
    _, (row,), _ = run(capsys, "a.wav", "--json", "--care", "care.toml")
    assert row["reply"] == "Call the ward."
    _, (row,), err = run(capsys, "a.wav", "--json", "--no-care")
    assert (row["reply"], err) == (ANSWER, "")
    code, rows, err = run(capsys, "a.wav", "--json", "--care", "gone.toml")
    assert (code, rows) == (2, []) and "gone.toml: cannot be read" in err
    code, _, err = run(capsys, "a.wav", "--no-care", "--care", "care.toml")
    assert code == 2 and "--no-care does not use --care" in err


def test_a_spoken_instruction_is_heard(fakes, capsys):
    code, _, _ = run(capsys, "a.wav", "--json", "--instruction", "b.wav")
    assert code == 0 and "user\nI lost my job.\n·" in "".join(fakes.model.read_texts)
    code, rows, err = run(capsys, "a.wav", "--json", "--instruction", "gone.wav")
    assert (code, rows) == (1, []) and "gone.wav: no such file" in err


def write_bad_inputs():
    Path("empty.wav").write_bytes(b"")
    Path("notes.wav").write_text("this is no sound")
    Path("cut.wav").write_bytes(Path("b.wav").read_bytes()[:20000])
    Path("folder.wav").mkdir()
    soundfile.write("silent.wav", np.zeros(16000), 16000)
    soundfile.write("nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    soundfile.write("blip.wav", hum(0.01), 16000)
    return {
        "empty.wav": "empty", "notes.wav": "not audio", "cut.wav": "cut short",
        "folder.wav": "is a directory", "silent.wav": "silent",
        "nan.wav": "NaN", "blip.wav": "too short", "gone.wav": "no such file",
    }  # fmt: skip


def test_each_bad_input_gets_its_line_and_the_others_are_still_done(fakes, capsys):
    bad = write_bad_inputs()
    code, rows, err = run(capsys, "a.wav", *bad, "b.wav", "--json", "--out", "replies")
    assert code == 1
    assert [row["input"] for row in rows] == ["a.wav", "b.wav"]
    lines = [line for line in err.splitlines() if line.startswith("harken: ")]
    assert len(lines) == len(bad)
    for line, (name, reason) in zip(lines, bad.items(), strict=True):
        assert line.startswith(f"harken: {name}: ") and reason in line
    assert sorted(p.name for p in Path("replies").iterdir()) == ["a.reply.wav", "b.reply.wav"]


def test_nothing_is_loaded_for_inputs_that_cannot_be_read(fakes, capsys):
    assert run(capsys, "gone.wav", "--json")[0] == 1
    assert fakes.loaded == []


@pytest.mark.parametrize(("rate", "channels"), ((8000, 1), (44100, 2), (192000, 6)))
def test_any_rate_and_channels_work(fakes, capsys, rate, channels):
    soundfile.write("odd.wav", np.repeat(hum(1.0, rate)[:, None], channels, 1), rate)
    code, (row,), _ = run(capsys, "odd.wav", "--json")
    assert code == 0 and row["heard"]["seconds"] == pytest.approx(1.0, abs=0.01)


def test_a_long_recording_is_announced_on_standard_error(fakes, capsys):
    soundfile.write("long.flac", hum(420.0, 8000), 8000)
    code, rows, err = run(capsys, "long.flac", "--json")
    assert code == 0 and len(rows) == 1
    assert err.startswith(
        "harken: long.flac: the recording is 7 minutes long: words are read from 2.0 min on"
    )


def test_an_unexpected_failure_is_one_line_that_names_its_type(fakes, capsys):
    def broken(samples):
        if len(samples) < 20000:
            raise RuntimeError("tensor\nsizes")
        return heard(samples)

    fakes.model.heard = broken
    code, rows, err = run(capsys, "a.wav", "b.wav", "--json")
    assert code == 1 and [row["input"] for row in rows] == ["b.wav"]
    assert (
        err == "harken: a.wav: unexpected RuntimeError: tensor sizes; "
        "run again with --debug for the stack trace\n"
    )


def test_debug_shows_the_stack_trace(fakes, capsys):
    code = main(["reply", "gone.wav", "--debug"])
    assert code == 1 and "Traceback" in capsys.readouterr().err


def test_missing_weights_end_the_run_with_one_message(fakes, capsys, monkeypatch):
    def load(*_, **__):
        raise WeightsError("whisper-base could not be fetched", "three ways to bring it by hand")

    monkeypatch.setattr(api, "load", load)
    code, rows, err = run(capsys, "a.wav", "b.wav", "--json")
    assert (code, rows) == (1, [])
    assert err == "harken: whisper-base could not be fetched\n  hint: three ways to bring it by hand\n"


def test_without_the_voices_extra_the_reply_is_text_unless_a_voice_was_asked_for(fakes, capsys):
    fakes.voice = MissingExtra("the Kokoro voice", "kokoro")
    code, (row,), err = run(capsys, "a.wav", "--json")
    assert (code, row["speech"], row["reply"]) == (0, None, ANSWER)
    assert err.startswith("harken: the reply is not spoken: ") and "harken[kokoro]" in err
    code, rows, err = run(capsys, "a.wav", "--json", "--voice", "af_heart")
    assert (code, rows) == (1, []) and "harken[kokoro]" in err
    fakes.voice = InputError("Kokoro has no voice 'x'", "voices: af_heart")
    assert run(capsys, "a.wav", "--json", "--voice", "x")[0] == 2


def test_libraries_that_print_do_not_reach_standard_output(fakes, capsys):
    def chatty(samples):
        print("loading shards")
        return heard(samples)

    fakes.model.heard = chatty
    code, rows, err = run(capsys, "a.wav", "--json")
    assert code == 0 and len(rows) == 1 and "loading shards" in err


def test_ctrl_c_ends_quietly(fakes, capsys):
    def interrupted(samples):
        raise KeyboardInterrupt

    fakes.model.heard = interrupted
    assert run(capsys, "a.wav", "--json") == (130, [], "")


def test_an_output_folder_that_cannot_be_written_fails_the_input(fakes, capsys):
    Path("file").write_text("")
    assert run(capsys, "a.wav", "--json", "--out", "file")[0] == 2
    code, rows, err = run(capsys, "a.wav", "--json", "--out", "file/deeper")
    assert (code, rows) == (1, []) and "file/deeper" in err


@pytest.mark.parametrize(
    "arguments",
    (
        (),
        ("a.wav", "--recipe", "huge"),
        ("a.wav", "--think", "twice"),
        ("a.wav", "--checkpoint", "nowhere"),
        ("a.wav", "--recipe", "mini", "--checkpoint", "."),
        ("a.wav", "--seed", "x"),
        ("a.wav", "--no-such-option"),
    ),
)
def test_wrong_use_is_exit_code_2(fakes, capsys, arguments):
    try:
        code = main(["reply", *arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and err and "Traceback" not in err


def test_recipe_and_checkpoint_reach_the_loader(fakes, capsys):
    Path("parts").mkdir()
    Path("parts/recipe.json").write_text("{}")
    run(capsys, "a.wav", "--json", "--checkpoint", "parts")
    run(capsys, "a.wav", "--json", "--recipe", "mini")
    assert fakes.loaded == [(None, Path("parts")), ("mini", None)]


def test_outputs_of_inputs_with_equal_names_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = ("x/a.wav", "y/a.wav", "z/a.flac", "A.ogg", "a-2.wav", "x/a.wav")
    paths = [str(path).casefold() for path in speech_paths(inputs, Path("out"))]
    assert len(set(paths)) == len(inputs)
    assert paths[:2] == ["out/a.reply.wav", "out/a-2.reply.wav"]


def test_a_reply_never_overwrites_an_input(fakes, capsys):
    Path("a.reply.wav").write_bytes(Path("b.wav").read_bytes())
    code, rows, _ = run(capsys, "a.wav", "a.reply.wav", "--json")
    assert code == 0 and [row["speech"] for row in rows] == ["a-2.reply.wav", "a.reply.reply.wav"]
    assert Path("a.reply.wav").read_bytes() == Path("b.wav").read_bytes()


def test_odd_file_names_are_printed(fakes, capsys):
    Path("a.wav").rename("größe 你好.wav")
    _, (row,), _ = run(capsys, "größe 你好.wav", "--json")
    assert row["input"] == "größe 你好.wav" and Path(row["speech"]).is_file()
