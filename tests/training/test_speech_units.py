"""Replies as units on disk, and as the steps that Speak learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.data.speech import Clip
from harken.errors import DataError
from harken.model.speak import Speak, SpeakSizes
from harken.testing import WIDTH, tiny_core
from harken.training.speak import SpeakConfig, SpeakTask, furthest, steps_of
from harken.training.speech_units import SpokenReply, read_replies, write_replies
from harken.voices.base import TimedWord

IDS = {letter: number for number, letter in enumerate(" aeho.", 1)}


class Encoder:
    """Writes as many units as there are tenths of a second, numbered on."""

    units_hz, vocabulary, codec_sha256 = 10.0, (15,), "a" * 64

    def encode(self, wave: np.ndarray, sample_rate: int, voice: str | None = None) -> np.ndarray:
        return np.arange(round(10 * wave.size / sample_rate))[:, None] % 15


def clip(name: str, seconds: float = 1.1, words: bool = True) -> Any:
    timed = (TimedWord(0, 2, "oh ", (0.2, 0.4, 0.5)), TimedWord(3, 6, "he. ", (0.6, 0.9, 1.0, 1.1)))
    found = Clip(
        name, "oh he.", "en", "train", "reply", seconds, "anna", None, "g", "s", Path("none"), None,
        "gentle", timed if words else (), "hello?",
    )  # fmt: skip
    object.__setattr__(found, "samples", lambda rate: np.zeros(int(rate * seconds), np.float32))
    return found


def speaker(m: int = 4) -> Speak:
    core = tiny_core()
    from harken.model.layer_stack import LayerStack

    sizes = SpeakSizes(WIDTH, (3, 5), 8, 4, m, behind=1, ahead=2, symbol_width=4, furthest=3)
    return Speak(sizes, LayerStack(core.write.layers[-1:], core.write.rotary))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    assert len(list(write_replies(path, [clip("one"), clip("none", words=False)], Encoder()))) == 1
    assert [r.id for r in write_replies(path, [clip("one"), clip("two")], Encoder())] == ["two"]
    replies = read_replies(path, Encoder.codec_sha256)
    assert [r.id for r in replies] == ["one", "two"]
    assert replies[0].unit_array().tolist() == [*range(11)]
    assert replies[0].ends == (2.0, 4.0, 5.0, 6.0, 9.0, 10.0, 11.0)
    assert replies[0].words == ((0, 2, "oh "), (3, 6, "he. ")) and replies[0].before == "hello?"


def test_a_half_written_reply_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    list(write_replies(path, [clip("one")], Encoder()))
    with path.open("a") as file:
        file.write('{"id": "tw')
    assert [r.id for r in write_replies(path, [clip("one"), clip("two")], Encoder())] == ["two"]


def test_units_of_another_codec_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    list(write_replies(path, [clip("one")], Encoder()))
    with pytest.raises(DataError, match="units of the codec aaaaaaaa, not of bbbbbbbb"):
        read_replies(path, "b" * 64)
    with pytest.raises(DataError, match="no such file"):
        read_replies(tmp_path / "none.jsonl")


def reply(seconds: float = 1.1) -> SpokenReply:
    from harken.training.speech_units import spoken_reply

    return spoken_reply(clip("one", seconds), Encoder())


def test_a_reply_step_by_step() -> None:
    said = steps_of(reply(), [7, 8, 9], [2, 5, 6], speaker(), IDS, ("bright", "gentle"))
    assert said.units.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 15]]  # 15 is the end
    assert said.moves.tolist() == [2, 2, 3]  # at 4 units "oh" was said, at 8 " h", at 12 all
    h, o, e, space, stop = (IDS[c] for c in "hoe .")
    assert said.windows.tolist() == [[0, o, h, space], [h, space, h, e], [h, e, stop, space]]
    assert said.tokens.tolist() == [0, 0, 2] and said.style == 1


def test_a_reply_that_fills_its_last_step_has_one_more_for_the_end() -> None:
    said = steps_of(reply(0.8), [7], [6], speaker(), IDS, ("gentle",))
    assert said.units.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [15, 15, 15, 15]]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).map(sorted), st.integers(1, 6))
def test_a_pointer_never_leaps(pointers: list[int], most: int) -> None:
    kept = furthest(np.array(pointers), most)
    assert kept[0] == pointers[0] and (np.diff(kept) >= 0).all() and (np.diff(kept) <= most).all()
    assert (kept <= np.array(pointers)).all()


def test_losses_fall_and_padding_counts_for_nothing() -> None:
    speak, core = speaker(), tiny_core()
    speak.requires_grad_(True)
    said = [steps_of(reply(s), [7, 8, 9], [2, 5, 6], speak, IDS, ("bright", "gentle")) for s in (0.5, 1.1)]
    task = SpeakTask(speak, core.embed, said, lambda n: torch.ones(3, WIDTH) * n, SpeakConfig())
    both, alone = task.batch([0, 1]), task.batch([1])
    assert both.valid.sum(1).tolist() == [2, 3]
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(speak.parameters(), lr=1e-2)
    first = task.losses(both, torch.float32, hide=False)
    for _ in range(30):
        optimizer.zero_grad()
        task.losses(both, torch.float32, hide=False)["loss"].backward()
        optimizer.step()
    after = task.losses(both, torch.float32, hide=False)
    assert float(after["loss"]) < 0.5 * float(first["loss"]) and float(after["right"]) > float(first["right"])
    assert torch.isfinite(task.losses(alone, torch.float32, hide=False)["loss"])


def test_the_copied_layers_learn_at_half_the_rate() -> None:
    schedule = SpeakConfig().schedule
    factors = {name: schedule.factor(name) for name, _ in speaker().named_parameters()}
    assert {name for name, factor in factors.items() if factor == 0.5} == {
        name for name in factors if name.startswith("stack.layers.")
    }
    assert 0.5 in factors.values() and 1.0 in factors.values()


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="no replies to learn to say"):
        SpeakTask(speaker(), tiny_core().embed, [], lambda n: torch.zeros(1, WIDTH), SpeakConfig())
