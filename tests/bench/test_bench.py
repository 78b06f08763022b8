"""What benches report, on fakes: shapes, ratios and errors, never times."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from harken import bench
from harken.api import Harken
from harken.audio.io import write
from harken.bench import cascade, cold, latency, reflecting, turns
from harken.bench.apart import Apart
from harken.bench.moments import Moments, moments
from harken.bench.recording import recording
from harken.bench.result import print_result, ratio, spread
from harken.dialogue.events import Attribution, AudioChunk, Done, Event, TextDelta
from harken.errors import HarkenError, InputError, MissingExtra, RecipeError
from harken.evaluation.dnsmos import Opinion
from harken.recipes import ReflectConfig, mini
from harken.testing import FakeVoice, ScriptedLM, ToneVoice, heard_turn, tiny_model
from harken.weights.catalogue import find


def test_a_stage_needs_data_and_a_place() -> None:
    with pytest.raises(InputError, match="the stage joint needs one folder of data") as refused:
        bench.run("train", recipe=mini(), stage="joint", data=[Path("d")])
    assert "--data DATA --out OUT" in refused.value.hint


def test_spread_and_ratio() -> None:
    assert spread([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9}
    assert spread([]) is None
    assert ratio({"p50": 1.0, "p95": 9.0}, {"p50": 4.0, "p95": 9.0}) == 0.25
    assert ratio(None, {"p50": 4.0, "p95": 9.0}) is None


@pytest.mark.parametrize("voice", [FakeVoice(), None])
def test_latency_measures_all_systems_on_the_same_recordings(
    voice: FakeVoice | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "understood", lambda replies: {"word_error_rate": 0.25})
    heard: list[tuple[str, int]] = []

    def cascade() -> latency.Timed:
        def answer(samples: np.ndarray) -> Iterator[Event]:
            heard.append(("cascade", samples.size))
            yield TextDelta("Hello there.")
            if voice:
                (sound,) = voice.speak("Hello there.")
                yield AudioChunk(sound, voice.sample_rate, 0.0, 1000.0, 12)
            yield Done("Hello there.", "", Attribution(None, None))

        return lambda samples: moments(answer(samples))

    def broken() -> latency.Timed:
        raise MissingExtra("a thing", "bench")

    def falls_silent() -> latency.Timed:
        def answer(samples: np.ndarray) -> Moments:
            raise HarkenError("its process ended with 1")

        return answer

    recordings = [recording(seconds)[0] for seconds in (3.0, 4.0)]
    harken = Harken(tiny_model())
    others = {"cascade": cascade, "broken": broken, "falls silent": falls_silent}
    result = latency.compare(harken, voice, recordings, others)
    assert [size for _, size in heard] == [48_000, 48_000, 64_000]  # the first one warms up
    ours, theirs = result["harken"], result["cascade"]
    assert set(ours) > {"listen_real_time_factor", "first_text_ms", "decode_tokens_per_s", "peak_rss_gb"}
    assert ours["first_text_ms"]["p50"] <= ours["total_ms"]["p50"]
    assert result["first_text_ratio"]["cascade"] == ratio(ours["first_text_ms"], theirs["first_text_ms"])
    assert (result["audible_ratio"]["cascade"] is None) == (voice is None) == (ours["audible_ms"] is None)
    assert list(result["not_measured"]) == ["broken", "falls silent"]
    assert "harken[bench]" in result["not_measured"]["broken"] and "falls silent" not in result
    json.dumps(result)


def test_reflecting_is_measured_beside_replies_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflecting, "understood", lambda replies: {"word_error_rate": 0.25})
    how = ReflectConfig(response_tokens=5, reflection_tokens=8, real_time=False)
    model = ScriptedLM(
        lambda text: "That hurts a lot.",
        lambda samples: heard_turn(seconds=len(samples) / 16_000, width=1),
        reflect=how,
        reflection=lambda _: "Sad?",
    )
    recordings = [recording(seconds)[0] for seconds in (3.0, 4.0)]
    result = reflecting.compare(Harken(model, ToneVoice()), ToneVoice(), recordings)
    assert result["runs"] == 2 and result["plain"]["word_error_rate"] == 0.25
    plain, reflected = (result[kind]["seconds_of_sound"] for kind in ("plain", "reflecting"))
    assert plain == reflected, "nobody hears a reflection"
    assert result["audible_ratio"] == ratio(result["reflecting"]["audible_ms"], result["plain"]["audible_ms"])
    told = result["reflections"]
    assert told["made"] == told["places"] == told["places limited by length"] > 2
    assert told["tokens"] >= told["made"] and told["tokens hidden by a second of sound"] > 0
    print_result({"bench": "reflect", **result}, as_json=False, out=(shown := io.StringIO()))
    assert "places limited by length" in shown.getvalue()


def test_a_model_that_cannot_reflect_has_no_cost_of_it() -> None:
    with pytest.raises(RecipeError, match="has no tokens for reflections"):
        bench.run("reflect", recipe=mini(), runs=1)


def test_why_a_system_cannot_be_opened_is_said_where_it_is_measured() -> None:
    with pytest.raises(HarkenError, match="no weights are named 'nobody'") as failed:
        Apart(partial(find, "nobody"))  # type: ignore[arg-type]
    assert "whisper-base" in failed.value.hint


def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(HarkenError, match="process ended with 3"):
        Apart(partial(os._exit, 3))


def test_what_was_said_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harken.evaluation.moonshine.Moonshine", lambda: lambda wave: "hello you")
    monkeypatch.setattr("harken.evaluation.dnsmos.dnsmos", lambda wave: Opinion(3.0, 3.0, 2.5))
    sound = AudioChunk(np.full(2400, 0.1, np.float32), 24_000, 0.0, 100.0, 11)
    replies = [Moments(text="Hello there", arrivals_s=[0.1], chunks=[sound]), Moments(text="no sound")]
    assert latency.understood(replies) == {"word_error_rate": 0.5, "dnsmos_overall": 2.5}
    assert latency.understood(replies[1:]) == {}


def test_a_cascade_hears_writes_and_speaks_piece_by_piece() -> None:
    voice = ToneVoice()
    written = iter(["I hear", " you, my", " friend. Go", " on."])
    answer = cascade.Cascade(lambda samples: "heard", lambda heard: written, voice, cascade.clauses)
    events = list(answer(np.zeros(16_000, np.float32)))
    kinds = [type(event).__name__ for event in events]
    sounds = [event for event in events if isinstance(event, AudioChunk)]
    assert [sound.text_end for sound in sounds] == [11, 22, 29]  # one a clause
    assert kinds.index("AudioChunk") < len(kinds) - 1 - kinds[::-1].index(
        "TextDelta"
    )  # before all is written
    assert isinstance(events[-1], Done) and events[-1].reply == "I hear you, my friend. Go on."


def test_clauses_end_at_every_mark() -> None:
    assert cascade.clauses("Oh no, I am sorry... What happened? Tell") == [
        "Oh no,", "I am sorry...", "What happened?", "Tell",
    ]  # fmt: skip
    assert cascade.clauses("") == []


def test_a_result_is_one_json_object_or_a_table() -> None:
    result = {
        "bench": "cold",
        "first_audio_ratio": None,
        "harken": {"reply_s": {"p50": 1.5, "p95": 2.25}, "peak": 0.5},
    }
    out = io.StringIO()
    print_result(result, True, out)
    assert json.loads(out.getvalue()) == result and out.getvalue().count("\n") == 1
    out = io.StringIO()
    print_result(result, False, out)
    for text in ("reply_s", "1.5", "2.25", "peak", "first_audio_ratio: –"):
        assert text in out.getvalue()


def test_the_recording_is_an_example_or_made_up_at_the_length_asked_for(tmp_path: Path) -> None:
    made_up, name = recording(5.0, tmp_path)
    assert made_up.shape == (80_000,) and made_up.dtype == np.float32 and name == "made-up sounds"
    assert 0.05 < np.abs(made_up).max() <= 1
    own = (0.1 * np.sin(np.arange(16_000) / 10)).astype(np.float32)
    write(tmp_path / "a.wav", own, 16_000)
    tiled, name = recording(2.5, tmp_path)
    assert name == "a.wav" and len(tiled) == 40_000 and np.array_equal(tiled[:8000], tiled[16_000:24_000])


def test_cold_counts_no_first_run_and_times_imports_in_their_own_process() -> None:
    ran: list[list[str]] = []

    def run(arguments: list[str]) -> str:
        ran.append(arguments)
        return "0.125\n"

    figures = cold.measure(["-m", "harken"], 2, run)
    assert figures["import_s"] == {"p50": 0.125, "p95": 0.125}
    assert [arguments[0] for arguments in ran] == ["-m", *["-m", "-c", "-c"] * 2]
    assert "import harken" in ran[2][1]


def test_a_cold_process_that_fails_says_why() -> None:
    assert cold._run(["-c", "print(7)"]) == "7\n"
    with pytest.raises(HarkenError, match="no weights here"):
        cold._run(["-c", "raise SystemExit('no weights here')"])


def test_wrong_names_and_counts_are_said() -> None:
    with pytest.raises(InputError, match="no bench 'speed'"):
        bench.run("speed", recipe=mini())
    with pytest.raises(InputError, match="0 runs"):
        bench.run("latency", recipe=mini(), runs=0)


def test_memory_is_read_as_turns_go_by_and_some_are_interrupted() -> None:
    held = iter([100.0, 101.0, 103.5, 104.0])
    voice = FakeVoice(chunk_s=0.1)
    harken = Harken(tiny_model(), voice)
    found = turns.measure(harken, 4, lambda: next(held))
    assert found == {
        "held_mb_after_1": 100.0, "held_mb_after_2": 101.0, "held_mb_after_3": 103.5,
        "held_mb_after_4": 104.0, "grown_mb": 4.0,
    }  # fmt: skip
    assert turns._held_mb() > 50
