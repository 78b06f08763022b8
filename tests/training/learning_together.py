"""A small training for `torchrun`: `learning_together.py OUT STEPS ACCUMULATE [recompute]`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.testing import tiny_core
from harken.training.callbacks import Checkpoints, Evaluate, Metrics, WordsGuard
from harken.training.loop import Objective, train
from harken.training.saving import identity
from harken.training.schedule import Schedule
from harken.training.world import world


class Student(nn.Module):
    """A core of which two layers' products are trained, a prefix and a bridge; not all batches use both."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.core = tiny_core()
        self.prefix = nn.Linear(4, self.core.width)
        sizes = CtcBridgeSizes(6, 16, layers=1, heads=2, kernel=3)
        self.bridge = CtcBridge(sizes, self.core.embed.weight[:4].detach())


def objective(student: Student) -> Objective:
    def losses_at(number):
        random = torch.Generator().manual_seed(number)
        ids = torch.randint(0, 4, (4, 12), generator=random)
        heard = torch.randn(4, 1, 4, generator=random)
        voice = student.prefix(heard) if number % 2 == 0 else torch.zeros(4, 1, student.core.width)
        inputs = torch.cat([voice, student.core.embed(ids)], dim=1)  # (B, 1 + T, D)
        logits = student.core.logits(student.core(inputs).hidden[:, :-1])
        states = torch.randn(4, 24, 6, generator=random)
        scores, _ = student.bridge(states, torch.ones(4, 24, dtype=torch.bool))  # (B, T, P + 1)
        written = F.cross_entropy(logits.flatten(0, 1), ids.flatten())
        return {
            "loss": written + 0.1 * F.nll_loss(scores.flatten(0, 1), ids.flatten()),
            "tokens": torch.tensor(ids.numel()),
        }

    return Objective(student, losses_at, lambda number: [str(number)])


def main(out: str, steps: str, accumulate: str, recompute: str = "") -> None:
    rates = (
        ("prefix.*", 1e-2),
        ("bridge.scale", 1e-2),
        ("bridge.stack.*", 1e-3),
        ("core.*q_proj*", 1e-3),
        ("core.*down_proj*", 1e-3),
    )
    schedule = Schedule(
        int(steps), rates, warmup=2, accumulate=int(accumulate), evaluate_every=20, save_every=25
    )
    student = Student()
    losses_at = objective(student).losses_at

    def measure() -> dict[str, float]:
        """Stands for words: it reads what is spread over the processes, before training and in it."""
        prefix = float(student.prefix.weight.abs().sum())
        return {"wer": float(losses_at(10_000)["loss"]) / 100, "prefix": prefix}

    beside = (Evaluate(measure), WordsGuard(measure), Checkpoints(), Metrics())
    with world(bool(recompute)) as here:
        whose = identity("together", Schedule(50, rates))
        train(objective(student), schedule, Path(out), whose, beside, here)
        if here.first:
            torch.save(student.state_dict(), Path(out) / "student.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
