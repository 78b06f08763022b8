"""What benches report, on fakes: shapes, ratios and errors, never times."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from harken import bench
from harken.api import Harken
from harken.audio.io import write
from harken.bench import cold, latency
from harken.bench.recording import recording
from harken.bench.result import print_result, ratio, spread
from harken.errors import HarkenError, InputError
from harken.recipes import mini
from harken.testing import FakeVoice, tiny_model


def test_spread_and_ratio() -> None:
    assert spread([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9}
    assert spread([]) is None
    assert ratio({"p50": 1.0, "p95": 9.0}, {"p50": 4.0, "p95": 9.0}) == 0.25
    assert ratio(None, {"p50": 4.0, "p95": 9.0}) is None


@pytest.mark.parametrize("voice", [FakeVoice(), None])
def test_latency_measures_both_systems_as_often(voice: FakeVoice | None) -> None:
    heard: list[str] = []

    def load_cascade():  # type: ignore[no-untyped-def]
        heard.append("loaded")
        return lambda recordings: [heard.append("transcribed") or "Hello there." for _ in recordings]

    samples, _ = recording(5.0)
    result = latency.compare(Harken(tiny_model()), voice, samples, load_cascade, runs=2)
    assert heard == ["loaded", *["transcribed"] * (1 + 2 * 2)]
    ours, cascade = result["harken"], result["cascade"]
    assert set(ours) > {"listen_real_time_factor", "first_text_ms", "decode_tokens_per_s", "peak_rss_gb"}
    assert ours["first_text_ms"]["p50"] <= ours["total_ms"]["p50"]
    assert result["first_text_ratio"] == ratio(ours["first_text_ms"], cascade["first_text_ms"])
    assert (result["first_audio_ratio"] is None) == (voice is None) == (ours["first_audio_ms"] is None)
    json.dumps(result)


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
