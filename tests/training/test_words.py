"""CTC training reads from the cache in batches that the step alone decides, and learns."""

from __future__ import annotations

import pytest
import torch

from harken.errors import DataError
from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.testing import tiny_core
from harken.training.schedule import Schedule
from harken.training.stage_modules import words_module
from harken.training.words import Batches, WordsConfig, ctc_loss, mask_frames, pad, train_words, transcribe

TEXTS = ("i lost my job", "oh no", "tell me", "we met in may")


@pytest.fixture
def bridge(pieces):
    torch.manual_seed(0)
    table = torch.randn(len(pieces), 16)
    return CtcBridge(CtcBridgeSizes(27, 32, layers=1, heads=2, kernel=5, dropout=0.0), table)


def test_the_bridge_learns_what_is_said(spoken, pieces, bridge, tmp_path):
    pytest.importorskip("jiwer")
    cache = spoken(*TEXTS, splits=("train", "dev"))
    schedule = Schedule(steps=100, rates=(("*", 4e-3),), warmup=10, evaluate_every=100)
    config = WordsConfig(schedule, batch_s=20.0, frame_dropout=0.02, spans=0)
    train_words(bridge, pieces, cache, config, tmp_path / "out", torch.float32)
    said = [clip for clip in cache.clips if clip.split == "train"]
    batch = Batches(cache, said, pieces, 20.0, seed=0).collate(said)
    assert transcribe(bridge.eval(), pieces, batch.states, batch.valid) == list(TEXTS)
    assert "dev_wer" in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()[-1]


def test_two_steps_move_the_whole_bridge(recipe, spoken, pieces, tmp_path, trains_what_is_told):
    pytest.importorskip("jiwer")
    pytest.importorskip("peft")
    torch.manual_seed(0)
    bridge, cache = words_module(recipe, tiny_core(), pieces.ids), spoken(*TEXTS, splits=("train", "dev"))

    def train(config):
        train_words(bridge, pieces, cache, config, tmp_path / "out", torch.float32)

    moved = trains_what_is_told("words", recipe, WordsConfig(), "bridge.", bridge, train)
    assert moved == {name for name, _ in bridge.named_parameters()}


def test_a_batch_depends_on_seed_and_step_alone(spoken, pieces):
    cache = spoken(*(f"{a}{b}" * n for n in (1, 2, 4) for a in "abc" for b in "xyz"))
    first, second = (Batches(cache, clips, pieces, 2.0, 3) for clips in (cache.clips, cache.clips[::-1]))
    assert len(first.batches) > 4
    for step in (0, 5, 17, 100):
        assert first.clips_at(step) == second.clips_at(step)
        assert torch.equal(first.at(step).states, second.at(step).states)
    other = Batches(cache, cache.clips, pieces, 2.0, 4)
    steps = range(len(first.batches))
    assert [first.clips_at(s) for s in steps] != [other.clips_at(s) for s in steps]


def test_an_epoch_has_every_clip_once_and_no_batch_is_too_long(spoken, pieces):
    cache = spoken(*(f"{a}{b}" * n for n in (1, 2, 4) for a in "abc" for b in "xyz"))
    batches = Batches(cache, cache.clips, pieces, 2.0, 0)
    orders = []
    for epoch in (0, 1):
        steps = range(epoch * len(batches.batches), (epoch + 1) * len(batches.batches))
        orders.append([clip.id for step in steps for clip in batches.clips_at(step)])
        assert sorted(orders[-1]) == sorted(clip.id for clip in cache.clips)
    assert orders[0] != orders[1]
    for batch in batches.batches:
        assert len(batch) == 1 or len(batch) * max(clip.frames for clip in batch) <= 2.0 * 50


def test_clips_that_ctc_cannot_align_are_left_out(spoken, pieces):
    cache = spoken("ab", "aab", "?" if "?" in pieces.text else "zz")
    squeezed = {"ab": 4, "aab": 6, "zz": 4}  # frames; half as many bridge frames: 2, 3, 2
    clips = [type(c)(**{**vars(c), "frames": squeezed[c.text]}) for c in cache.clips]
    kept = [clip.text for batch in Batches(cache, clips, pieces, 9.0, 0).batches for clip in batch]
    assert kept == ["ab"]  # `aab` needs a blank between the two, and `zz` as well


def test_without_a_clip_to_learn_from_there_is_no_training(spoken, pieces, bridge, tmp_path):
    cache = spoken("ab", splits=("dev",))
    with pytest.raises(DataError, match="none of 0 clips") as error:
        train_words(bridge, pieces, cache, WordsConfig(), tmp_path / "out", torch.float32)
    assert "split train" in error.value.hint


def test_collated_clips_are_their_states_and_spellings(spoken, pieces):
    cache = spoken("ab", "cde")
    batch = Batches(cache, cache.clips, pieces, 9.0, 0).collate(cache.clips)
    assert batch.target_lengths.tolist() == [2, 3]
    assert pieces.spelled(batch.targets.tolist()) == "abcde"
    assert batch.valid.sum(1).tolist() == [12, 18]
    assert not batch.states[0, 12:].any()
    assert torch.equal(batch.states[1], torch.from_numpy(cache.states()[12:30].astype("float32")))


def test_masking_blanks_frames_and_spans_and_changes_no_other():
    states = torch.ones(4, 400, 3)
    torch.manual_seed(0)
    masked = mask_frames(states, WordsConfig(frame_dropout=0.1, spans=0))
    assert set(masked.unique().tolist()) == {0.0, 1.0}
    assert 0.05 < 1 - float(masked[..., 0].mean()) < 0.15
    assert torch.equal(masked[..., 0], masked[..., 2])
    spans = mask_frames(states, WordsConfig(frame_dropout=0.0, spans=5))[..., 0]
    assert 0 < float((1 - spans).sum(1).max()) <= 5 * 14
    assert torch.equal(mask_frames(states, WordsConfig(frame_dropout=0.0, spans=0)), states)


def test_the_loss_is_the_mean_a_piece_and_blind_to_padding():
    log_probs = torch.randn(2, 6, 4).log_softmax(-1)
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    loss = ctc_loss(log_probs, valid, torch.tensor([0, 1, 2]), torch.tensor([1, 2]))
    one = ctc_loss(log_probs[:1], valid[:1], torch.tensor([0]), torch.tensor([1]))
    two = ctc_loss(log_probs[1:, :4], valid[1:, :4], torch.tensor([1, 2]), torch.tensor([2]))
    torch.testing.assert_close(loss, (one + 2 * two) / 3)


def test_padding_rows_of_unequal_length(spoken):
    cache = spoken("a", "bc")
    states, valid = pad([cache.states()[:6], cache.states()[6:18]])
    assert states.shape == (2, 12, 27) and states.dtype == torch.float32
    assert valid.sum(1).tolist() == [6, 12]
