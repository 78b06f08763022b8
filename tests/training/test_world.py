"""Processes that train together learn what one process learns, and go on from one another's checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harken.training.callbacks import METRICS
from harken.training.world import ALONE, World

SCRIPT = Path(__file__).with_name("learning_together.py")


def learn(out: Path, processes: int, steps: int, accumulate: int, *more: str) -> list[dict[str, float]]:
    """Train with so many processes; gives the scalars of each step."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    out.mkdir(exist_ok=True)
    ran = subprocess.run(
        [*launcher, str(SCRIPT), str(out), str(steps), str(accumulate), *more],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two processes, fifty steps, layers computed again; and the folder."""
    out = tmp_path_factory.mktemp("two")
    return learn(out, 2, 50, 1, "recompute"), out


def test_two_processes_learn_in_a_step_what_one_learns_from_two_batches(together, tmp_path):
    rows, out = together
    alone = learn(tmp_path, 1, 50, 2)
    assert len(rows) == len(alone) == 50
    for one, other in zip(rows, alone, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1.01e-5)  # written to five digits
        assert one["tokens"] == other["tokens"] == 96
    for step in (19, 39, 49):
        for measured in ("dev_wer", "dev_prefix"):
            assert rows[step][measured] == pytest.approx(alone[step][measured], rel=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    ours, theirs = (torch.load(folder / "student.pt", weights_only=True) for folder in (out, tmp_path))
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=1e-5), name


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 2), (3, 1)])
def test_what_two_processes_saved_loads_on_one_and_on_three(together, tmp_path, processes, accumulate):
    """Nothing is left to do at step 50, so what is written out is what was loaded."""
    _, out = together
    shutil.copytree(next(out.glob("checkpoint-*")), tmp_path / "checkpoint-0000050")
    learn(tmp_path, processes, 50, accumulate)
    ours, theirs = (torch.load(folder / "student.pt", weights_only=True) for folder in (out, tmp_path))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_every_batch_comes_once_over_steps_and_processes():
    of = [World(rank, 3, torch.device("cpu")) for rank in range(3)]
    numbers = [w.number(step, 2, batch) for step in range(4) for batch in range(2) for w in of]
    assert sorted(numbers) == list(range(24))
    assert [ALONE.number(step, 1, 0) for step in range(3)] == [0, 1, 2]
