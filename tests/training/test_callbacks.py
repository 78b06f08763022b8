"""What is done beside training: figures, samples, a guard over words, and a disk that is full."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from harken.errors import TrainingError
from harken.training.callbacks import METRICS, Samples, WordsGuard, usual
from harken.training.loop import Callback, Objective, train
from harken.training.saving import checkpoint, identity
from harken.training.schedule import Schedule

SCHEDULE = Schedule(steps=6, rates=(("*", 0.01),), warmup=1, evaluate_every=3, save_every=2)
WHOSE = identity("words", SCHEDULE)


def objective(audio_s=3.0):
    net = nn.Linear(2, 1)
    return Objective(
        net, lambda n: {"loss": net.weight.sum().pow(2), "audio_s": torch.tensor(audio_s)}, lambda n: ["row"]
    )


def learn(out, *others, evaluate=None):
    train(objective(), SCHEDULE, out, WHOSE, usual(evaluate, *others))


class _Errors:
    """Word error rates, one after the other."""

    def __init__(self, *rates):
        self.rates = list(rates)

    def __call__(self):
        return {"wer": self.rates.pop(0)}


def test_a_stage_that_costs_words_is_refused_with_both_figures(tmp_path):
    measure = _Errors(0.100, 0.2, 0.106)  # before, half way, at the end
    with pytest.raises(TrainingError, match=r"10\.6%.*was 10\.0%") as refused:
        learn(tmp_path, WordsGuard(measure), evaluate=measure)
    assert "--allow-worse-words" in refused.value.hint
    learn(tmp_path / "kept", WordsGuard(kept := _Errors(0.100, 0.2, 0.104)), evaluate=kept)
    assert checkpoint(tmp_path / "kept").name == "checkpoint-0000006"


def test_the_guard_of_a_run_that_goes_on_knows_what_the_first_one_began_with(tmp_path):
    class Kill(Callback):
        def after(self, run, row):
            if run.step == 5:
                raise KeyboardInterrupt

    first = _Errors(0.10, 0.12)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path, WordsGuard(first), Kill(), evaluate=first)
    second = _Errors(0.12)  # only at the end: what it begins with is not measured again
    with pytest.raises(TrainingError, match=r"was 10\.0%"):
        learn(tmp_path, WordsGuard(second), evaluate=second)


def test_every_scalar_is_a_line_and_stands_in_tensorboard(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    learn(tmp_path, evaluate=lambda: {"wer": 0.25})
    written = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["step"] for row in written] == list(range(6))
    assert all(row["audio_s"] == 3.0 and row["audio_s_per_s"] > 0 for row in written)
    board = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(6))
    assert [(event.step, event.value) for event in board.Scalars("dev/wer")] == [(2, 0.25), (5, 0.25)]


def test_sample_replies_are_kept_in_text_and_sound(tmp_path):
    sound = np.sin(np.arange(2400) / 9).astype(np.float32) * 0.3
    learn(
        tmp_path, Samples(lambda: [("I won!", ("Well done!", sound, 24000)), ("Hm.", ("Yes?", None, 24000))])
    )
    names = sorted(file.name for file in (tmp_path / "samples").iterdir())
    assert names == ["0000003-0.wav", "0000003.txt", "0000006-0.wav", "0000006.txt"]
    assert "I won!\n  -> Well done!" in (tmp_path / "samples" / "0000006.txt").read_text()
    heard, rate = soundfile.read(tmp_path / "samples" / "0000006-0.wav", dtype="float32")
    assert rate == 24000 and np.allclose(heard, sound, atol=1e-3)


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    from torch.distributed.checkpoint import state_dict_saver

    real, calls = state_dict_saver.save, []

    def full(*given, checkpoint_id, **options):
        calls.append(checkpoint_id)
        real(*given, checkpoint_id=checkpoint_id, **options)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_dict_saver, "save", full)
    with pytest.raises(
        TrainingError, match=r"checkpoint-0000004 cannot be written: No space left.*checkpoint-0000002 stands"
    ):
        learn(tmp_path)
    assert [folder.name for folder in tmp_path.glob("*checkpoint*")] == ["checkpoint-0000002"]
    learn(tmp_path)
    assert checkpoint(tmp_path).name == "checkpoint-0000006"
