"""`harken weights`: what is here, what is fetched, and what is damaged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import run

from harken.errors import WeightsError
from harken.weights import store


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of weights in which `whisper-base` is whole, `kokoro-82m` damaged, the rest not there."""
    states = {"whisper-base": True, "kokoro-82m": False}
    pulled = []

    def status():
        return [
            store.Status(
                name, f"what {name} is", "MIT", 90_000_000, tmp_path / name if name in states else None
            )
            for name in ("whisper-base", "smollm2-135m-instruct", "hifigan-universal", "kokoro-82m")
        ]

    def verify(name):
        if name not in states:
            raise WeightsError(f"{name} is not in the cache", f"harken weights pull {name}")
        return [store.FileCheck("model.bin", "aa", "aa" if states[name] else "bb")]

    def pull(name, source=None, progress=None, path=None):
        pulled.append((name, source, path))
        if source == "hub":
            raise WeightsError(f"{name} could not be fetched", "bring it by hand")
        return tmp_path / name

    for function in (status, verify, pull):
        monkeypatch.setattr(store, function.__name__, function)
    return SimpleNamespace(pulled=pulled, folder=tmp_path)


def test_weights_list_says_what_is_here(capsys, cache):
    code, out, _ = run(capsys, "weights", "list")
    assert code == 0 and f"{cache.folder / 'whisper-base'}" in out
    assert "not here" in next(line for line in out.splitlines() if line.startswith("smollm2"))


def test_weights_pull_fetches_what_is_missing_or_damaged(capsys, cache):
    code, out, _ = run(capsys, "weights", "pull")
    assert code == 0 and "whisper-base: already here" in out
    pulled = ("smollm2-135m-instruct", "hifigan-universal", "kokoro-82m")  # kokoro-82m is damaged
    assert cache.pulled == [(name, None, None) for name in pulled]


def test_weights_pull_takes_names_source_and_path(capsys, cache):
    code, _, _ = run(capsys, "weights", "pull", "kokoro-82m", "--source", "file", "--path", "here")
    assert code == 0 and cache.pulled == [("kokoro-82m", "file", Path("here"))]


def test_weights_pull_takes_repositories_of_a_hub_and_no_voice_that_is_not_there(capsys, cache):
    code, _, _ = run(capsys, "weights", "pull", "--recipe", "small")
    names = ("openai/whisper-small", "Qwen/Qwen3-0.6B")
    assert code == 0 and cache.pulled == [(name, None, None) for name in names]
    cache.pulled.clear()
    assert run(capsys, "weights", "pull", "someone/else")[0] == 0
    assert cache.pulled == [("someone/else", None, None)]


def test_weights_pull_tries_all_and_fails_if_one_does(capsys, cache):
    code, _, err = run(capsys, "weights", "pull", "--source", "hub")
    assert code == 1 and len(cache.pulled) == 3
    assert err.count("could not be fetched") == 3 and "hint: bring it by hand" in err


def test_weights_verify_names_both_hashes(capsys, cache):
    code, out, err = run(capsys, "weights", "verify")
    assert code == 1 and out == "whisper-base/model.bin: ok\nkokoro-82m/model.bin: damaged\n"
    assert "sha256 is bb, should be aa" in err and "harken weights pull kokoro-82m" in err
    assert run(capsys, "weights", "verify", "whisper-base")[0] == 0
    code, _, err = run(capsys, "weights", "verify", "--recipe", "mini")
    assert code == 1 and "smollm2-135m-instruct is not in the cache" in err
