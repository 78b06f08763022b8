"""What a user waits for who starts from nothing: `harken reply` on one file, and `import harken`, as
processes of their own.

Beside them, the same interpreter importing torch and transformers alone: what no program that runs this
core can avoid.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from harken.audio.io import SAMPLE_RATE_HZ, write
from harken.bench.recording import recording
from harken.bench.result import spread
from harken.errors import HarkenError
from harken.evaluation.report import hardware
from harken.recipes import Recipe

SECONDS = 5.0
RUNS = 3
IMPORTS = {"import_s": "harken", "import_torch_transformers_s": "torch, transformers"}

Run = Callable[[list[str]], str]
"""Arguments of the interpreter -> what it printed."""


def bench_cold(recipe: Recipe, checkpoint: Path | None = None, runs: int | None = None) -> dict[str, Any]:
    """Measure `runs` of each. Weights have to be in the cache: the first, uncounted reply fetches them."""
    samples, source = recording(SECONDS)
    chosen = ["--checkpoint", str(checkpoint)] if checkpoint else ["--recipe", recipe.name]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "question.wav"
        write(file, samples, SAMPLE_RATE_HZ)
        command = ["-m", "harken", "reply", str(file), "--json", "--out", folder, *chosen]
        figures = measure(command, runs or RUNS)
    return {
        "bench": "cold", "recipe": recipe.name, "checkpoint": str(checkpoint or "shipped"), "think": "after",
        "recording": f"{SECONDS:g} s of {source}", "hardware": hardware(), "runs": runs or RUNS,
        "alternative": "importing torch and transformers, and nothing else",
        "harken": figures,
    }  # fmt: skip


def measure(reply: list[str], runs: int, run: Run | None = None) -> dict[str, Any]:
    """{p50, p95} in seconds of a whole reply, and of imports (without the interpreter's own start)."""
    run = run or _run
    run(reply)
    replies, imports = [], dict[str, list[float]]()
    for _ in range(runs):
        begun = perf_counter()
        run(reply)
        replies.append(perf_counter() - begun)
        for name, modules in IMPORTS.items():
            timed = f"from time import perf_counter as now; t = now(); import {modules}; print(now() - t)"
            imports.setdefault(name, []).append(float(run(["-c", timed]).split()[-1]))
    return {"reply_s": spread(replies), **{name: spread(times) for name, times in imports.items()}}


def _run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise HarkenError(f"`{' '.join(arguments[:4])}` failed: {said[-1]}", "run it by itself to see why")
    return done.stdout
