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
from harken.errors import DataError, RecipeError
from harken.model.own_voice import STYLES
from harken.model.speak import Speak, SpeakSizes
from harken.recipes import Recipe
from harken.testing import WIDTH, tiny_core
from harken.training.dry_run import parts
from harken.training.examples import IGNORED
from harken.training.reply_style import train_reply_style
from harken.training.schedule import trainable
from harken.training.speak import SpeakConfig, SpeakTask, furthest, one_hot, steps_of, train_speak
from harken.training.speech_units import (
    BEFORE_UNITS,
    LEAD_S,
    TAIL_S,
    SpokenReply,
    read_replies,
    spoken_reply,
    write_replies,
)
from harken.unit_checkpoint import new_speak
from harken.voices.base import TimedWord

IDS = {letter: number for number, letter in enumerate(" aeho.", 1)}


class Encoder:
    """Writes as many units as there are tenths of a second, numbered from the end of the silence before."""

    units_hz, vocabulary, codec_sha256 = 10.0, (15,), "a" * 64

    def encode(self, wave: np.ndarray, sample_rate: int, voice: str | None = None) -> np.ndarray:
        return (np.arange(round(10 * wave.size / sample_rate))[:, None] - BEFORE_UNITS) % 15


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
        read_replies(tmp_path / "none.jsonl", "b" * 64)


def reply(seconds: float = 1.1) -> SpokenReply:
    from harken.training.speech_units import spoken_reply

    return spoken_reply(clip("one", seconds), Encoder())


def test_a_reply_step_by_step() -> None:
    said = steps_of(reply(), [7, 8, 9], [2, 5, 6], speaker(), IDS, ("bright", "gentle"), ("ben", "anna"))
    assert said.units.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 15]]  # 15 is the end
    # "o" ends at 2 units, "h" at 4, the space at 5, "h" at 6, "e" at 9: in quarters of symbols
    assert said.moves.tolist() == [[2, 2, 2, 2], [4, 4, 1, 1], [2, 4, 4, IGNORED]]
    h, o, e, space, stop = (IDS[c] for c in "hoe .")
    quarter = speaker().sizes.symbols
    assert said.windows[:, 0].tolist() == [
        [0, o, h, space, quarter], [h, space, h, e, quarter], [h, e, stop, space, quarter + 2],
    ]  # fmt: skip
    assert said.windows[0, 1].tolist() == [0, o, h, space, quarter + 2]
    assert torch.equal(said.windows[:-1, 4], said.windows[1:, 0])  # where a step ends, the next begins
    assert said.tokens.tolist() == [0, 0, 2] and said.style == 1


def test_a_reply_that_fills_its_last_step_has_one_more_for_the_end() -> None:
    said = steps_of(reply(0.8), [7], [6], speaker(), IDS, ("gentle",), ())
    assert said.units.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [15, 15, 15, 15]]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).map(sorted), st.integers(1, 6))
def test_a_pointer_never_leaps(pointers: list[int], most: int) -> None:
    kept = furthest(np.array(pointers), most)
    assert kept[0] == pointers[0] and (np.diff(kept) >= 0).all() and (np.diff(kept) <= most).all()
    assert (kept <= np.array(pointers)).all()


def test_losses_fall_and_padding_counts_for_nothing() -> None:
    speak, core = speaker(), tiny_core()
    speak.requires_grad_(True)
    said = [
        steps_of(reply(s), [7, 8, 9], [2, 5, 6], speak, IDS, ("bright", "gentle"), ("ben", "anna"))
        for s in (0.5, 1.1)
    ]
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
    rates = trainable(speaker(), SpeakConfig().schedule.rates)
    copied = {name for name in rates if name.startswith("stack.layers.")}
    assert copied and {name for name, rate in rates.items() if rate == 4e-4} == copied
    assert {rate for name, rate in rates.items() if name not in copied} == {8e-4}


def test_two_steps_move_all_of_speak(recipe: Recipe, tmp_path: Path, trains_what_is_told: Any) -> None:
    pytest.importorskip("peft")
    core, voices = tiny_core(), ("ben", "anna")
    torch.manual_seed(0)
    speak = new_speak(recipe, core, len(voices))

    def train(config: SpeakConfig) -> None:
        said = [steps_of(reply(s), [7, 8, 9], [2, 5, 6], speak, IDS, STYLES, voices) for s in (0.5, 1.1)]
        task = SpeakTask(speak, core.embed, said, lambda n: torch.ones(3, WIDTH) * n, config)
        train_speak(task, task, tmp_path, "here", torch.float32)
        with pytest.raises(RecipeError, match="origin"):
            train_speak(task, task, tmp_path, "elsewhere", torch.float32)

    trains_what_is_told("speak", recipe, SpeakConfig(), "speak.", speak, train)
    told = parts("speak", recipe, SpeakConfig())
    assert told["speak"].learning_rates == (4e-4, 8e-4)
    style = train_reply_style({"sad": torch.randn(2, 148), "happy": torch.randn(2, 148)})
    assert told["style"].trained == sum(p.numel() for p in style.parameters())


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="no replies to learn to say"):
        SpeakTask(speaker(), tiny_core().embed, [], lambda n: torch.zeros(1, WIDTH), SpeakConfig())


def test_silence_at_either_end_is_not_learned() -> None:
    class Listener(Encoder):
        heard: tuple[int, ...] = ()

        def encode(self, wave: np.ndarray, sample_rate: int, voice: str | None = None) -> np.ndarray:
            self.heard = (*self.heard, wave.size)
            return super().encode(wave, sample_rate, voice)

    listener, spoken = Listener(), clip("one", 2.0)
    sound = np.concatenate([np.zeros(7200), np.full(12_000, 0.1), np.zeros(28_800)]).astype(np.float32)
    object.__setattr__(spoken, "samples", lambda rate: sound)
    reply = spoken_reply(spoken, listener)
    before_s = (
        BEFORE_UNITS / Listener.units_hz
    )  # is read too, so that the first sound does not come from nowhere
    assert listener.heard == (round(24_000 * (before_s + LEAD_S + 0.5 + TAIL_S)),)
    assert reply.unit_array().tolist() == [*range(7)]
    cut_s = 7200 / 24_000 - LEAD_S  # symbols that ended before the first sound end at its start
    assert reply.ends == pytest.approx(
        [max(0.0, 10 * (s - cut_s)) for s in (0.2, 0.4, 0.5, 0.6, 0.9, 1.0, 1.1)]
    )


def test_what_speak_hardly_believes_is_not_learned_where_told_so() -> None:
    said = steps_of(reply(), [5, 6], [2, 6], speaker(), IDS, ("bright", "gentle"), ("ben", "anna"))
    hidden = torch.zeros(2, WIDTH)

    def losses(least: float) -> float:
        task = SpeakTask(
            speaker(), tiny_core().embed, [said], lambda n: hidden, SpeakConfig(least_confidence=least)
        )
        return float(task.losses(task.batch([0]), torch.float32, hide=False)["unit0"])

    everything, hardly_anything = losses(0.0), losses(0.99)
    assert everything > 1.0 and hardly_anything < 0.02


def test_a_units_neighbours_count_as_almost_right() -> None:
    said = steps_of(reply(), [5, 6], [2, 6], speaker(), IDS, ("bright", "gentle"), ())

    def task(nearby: float) -> SpeakTask:
        return SpeakTask(
            speaker(), tiny_core().embed, [said], lambda n: torch.zeros(2, WIDTH), SpeakConfig(nearby=nearby)
        )

    logits = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    units = torch.tensor([0, 7, 15])  # digits (0, 0) and (1, 2) of 3 and 5 levels, and the end
    logs = logits.log_softmax(-1)
    exactly = task(0.0).surprise(logits, units)
    assert torch.allclose(exactly, -logs[torch.arange(3), units])
    smeared = task(0.2).surprise(logits, units)
    corner = 0.64 * logs[0, 0] + 0.16 * logs[0, 1] + 0.16 * logs[0, 3] + 0.04 * logs[0, 4]
    middle = sum(
        weight * across * logs[1, first + 3 * second]
        for first, weight in ((0, 0.1), (1, 0.8), (2, 0.1))
        for second, across in ((1, 0.1), (2, 0.8), (3, 0.1))
    )
    assert torch.allclose(smeared, -torch.stack([corner, middle, logs[2, 15]]), atol=1e-5)


def test_who_speaks_and_how_is_given_where_it_is_known() -> None:
    known = steps_of(reply(), [5, 6], [2, 6], speaker(), IDS, ("bright", "gentle"), ("ben", "anna"))
    unknown = steps_of(reply(), [5, 6], [2, 6], speaker(), IDS, ("bright", "gentle"), ("ben",))
    assert (known.style, known.voice, unknown.voice) == (1, 1, -1)
    assert one_hot([known.voice, unknown.voice], 2).tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_replies_stand_where_speak_learns_and_tokens_where_the_core_is() -> None:
    class Embed(torch.nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            assert ids.device == self.weight.device
            return super().forward(ids)

    speak = speaker().to("meta")
    said = steps_of(reply(), [5, 6], [2, 6], speaker(), IDS, ("bright", "gentle"), ("ben", "anna"))
    task = SpeakTask(speak, Embed(9, WIDTH), [said], lambda n: torch.zeros(2, WIDTH), SpeakConfig())
    assert {value.device.type for value in vars(task.batch([0])).values()} == {"meta"}
