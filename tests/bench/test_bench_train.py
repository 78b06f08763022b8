"""Training beside the `Trainer`: what a step costs on paper, equal work, and whose turn it is."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from harken.bench import train, train_core
from harken.bench.train_core import CoreLesson
from harken.bench.train_cost import (
    Shape,
    Sizes,
    Tally,
    compiled_bytes,
    flops,
    matrix_rate,
    peak_bytes,
    row_bytes,
)
from harken.bench.train_process import Account, Pupil, Step, TooLarge
from harken.bench.train_systems import GROUPED, HARKEN, RANDOM, SYSTEMS, Work, run
from harken.errors import HarkenError
from harken.recipes import mini
from harken.testing import Family, tiny_core, tiny_text_side
from harken.training import compiled as compiled_layers
from harken.training.compiled import compile_layers
from harken.training.examples import example as in_the_stages
from harken.training.examples import target_ids
from harken.training.loop import attention, autocast
from harken.training.low_rank import add_low_rank
from harken.training.samples import listening_dialogues
from harken.training.shared_prompt import read
from harken.training.world import ALONE, World
from harken.weights.catalogue import find

pytest.importorskip("peft", reason="the extra train is not installed")
CPU = torch.device("cpu")
OPEN = partial(CoreLesson, tiny_text_side)
WORK = Work(OPEN, mini().model_copy(update={"system": "Hear."}), samples_a_step=8, precision=torch.bfloat16)
SMALL = Sizes(10, 20, 2, 1, 4, 3, 100, 2, frozen=1000, trained=50, head_norms=False, number=2)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize(
    ("compiled", "prompt"), [(False, 0), (False, 25), (True, 0)], ids=["rows", "prompt", "compiled"]
)
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_the_formula_counts_what_is_kept_for_backward(
    family: Family, compiled: bool, prompt: int, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    core = tiny_core(family, layers=6, split=3).to(precision).train()
    add_low_rank(core, rank=8)
    if compiled:  # divided into forward and backward as on a GPU, without its kernels
        backend = "aot_eager_decomp_partition"
        program = torch.compile(compiled_layers.run_layer, dynamic=True, fullgraph=True, backend=backend)
        monkeypatch.setattr(compiled_layers, "program", lambda: program)
        compile_layers(core, replace(ALONE, device=torch.device("cuda")))
    own = {p.untyped_storage().data_ptr() for p in core.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    plain = nullcontext() if compiled else attention(CPU)
    ids = torch.zeros(5, 60, dtype=torch.long)
    with plain, autocast(core, precision), saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = read(core, core.embed(ids), None, prompt)
    trained = sum(p.numel() for p in core.parameters() if p.requires_grad)
    copies = 2 * trained if precision is torch.bfloat16 else 0  # that autocast keeps
    saved = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own) - copies
    assert hidden.requires_grad
    sizes = Sizes.of(core, 8)
    a_row = 60 * compiled_bytes(sizes) if compiled else row_bytes(sizes, 60, prompt)
    expected = 6 * (5 * a_row + row_bytes(sizes, prompt))
    assert expected == pytest.approx(saved, rel=0.06 if compiled else 0.02)


def test_peak_memory_is_weights_update_activations_and_loss() -> None:
    shape = Shape(2, 5, learned=3)
    norms, attended, fed, small = 2 * (4 * 10 + 4 + 2 * 10), 4 * 8 + 4 * 2 * 5 + 2 * 8, 8 * 20, 14 * 2
    own, repeated = norms + attended + fed + small, 2 * 4 * 8
    assert row_bytes(SMALL, 5) == 5 * (own + repeated)
    assert row_bytes(SMALL, 5, prompt=3) == 2 * own + 5 * repeated
    norms, attended, fed = 2 * (2 * 10 + 2 * 10 + 4), 2 * 8 + 2 * 2 * 4 + 4 * 2 + 2 * 8, 6 * 20
    assert compiled_bytes(SMALL) == norms + attended + fed + small
    held = 2 * 1000 + 18 * 50 + 12 * 3 * 100
    assert peak_bytes(SMALL, shape, compiled=False) == held + 3 * 2 * row_bytes(SMALL, 5)
    assert peak_bytes(SMALL, shape, compiled=True) == held + 3 * 10 * compiled_bytes(SMALL)
    full = replace(SMALL, number=4)  # nothing is copied for products
    held = 4 * 1000 + 16 * 50 + 12 * 3 * 100
    assert peak_bytes(full, shape, compiled=False) == held + 3 * 2 * row_bytes(full, 5)
    once = held + 3 * (2 * row_bytes(full, 5, 3) + row_bytes(full, 3))
    assert peak_bytes(full, replace(shape, prompt=3), compiled=False) == once


def test_operations_are_counted_for_real_tokens() -> None:
    linear = 3 * (10 * 8 + 2 * 10 * 4 + 8 * 10 + 3 * 10 * 20)
    a_token = 4 * linear + 6 * 50 + 3 * 3 * 4 * 8 * 6 / 2
    assert flops(SMALL, tokens=7, learned=2, length=6) == 7 * a_token + 2 * 4 * 10 * 100
    tally = Tally()
    tally.add([2, 4], learned=3)
    tally.add([4], learned=1)
    assert (tally.tokens, tally.padded, tally.learned) == (10, 12, 4)
    assert tally.flops_a_token(SMALL) == pytest.approx(flops(SMALL, 10, 4, (4 + 16 + 16) / 10) / 10)
    assert tally.peak_bytes(SMALL, False) == peak_bytes(SMALL, Shape(2, 4, 3), False)
    tally = Tally()
    tally.add([3, 4, 4], learned=4, prompt=2)  # two rows are spared two tokens
    assert (tally.tokens, tally.read, tally.padded) == (11, 7, 12)
    spared = flops(SMALL, 7, 4, (9 + 16 + 16 - 2 * 4) / 7) / 11
    assert tally.flops_a_token(SMALL) == pytest.approx(spared)
    assert matrix_rate(CPU, torch.float32, side=64, times=1) > 0


@pytest.fixture
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    some = listening_dialogues()[::8]
    monkeypatch.setattr(train_core, "listening_dialogues", lambda: some)


class Enough(Exception):
    pass


def trained(system: str, work: Work, steps: int, out: Path) -> CoreLesson:
    lesson = OPEN(work, ALONE)
    teach_steps(system, lesson, steps, out)
    return lesson


def teach_steps(system: str, lesson: CoreLesson, steps: int, out: Path) -> None:
    done = iter(range(1, steps))

    def after() -> None:
        if next(done, None) is None:
            raise Enough

    with pytest.raises(Enough):
        run(system, lesson, out, after)


@pytest.mark.usefixtures("fewer_samples")
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_every_system_learns_the_same_and_ours_reads_little_padding(
    tmp_path: Path, precision: torch.dtype
) -> None:
    work = replace(WORK, accumulate=2, precision=precision)
    before = OPEN(work, ALONE)
    lessons = {system: trained(system, work, 8, tmp_path / system) for system in SYSTEMS}
    padding = {system: 1 - each.tally.tokens / each.tally.padded for system, each in lessons.items()}
    assert padding[HARKEN] < 0.02 < padding[GROUPED] + 0.02 < padding[RANDOM]
    frozen = dict(before.core.named_parameters())
    for lesson in lessons.values():
        assert len(lesson.tally.shapes) > 4 and lesson.held_out() < before.held_out()
        for name, parameter in lesson.core.named_parameters():
            assert parameter.dtype is (torch.float32 if "lora_" in name else precision)
            assert torch.equal(parameter, frozen[name]) != ("lora_" in name), name


@pytest.mark.usefixtures("fewer_samples")
def test_the_trainer_is_given_the_loss_of_the_stage() -> None:
    lesson = OPEN(WORK, ALONE)
    core, chosen = lesson.core, lesson.samples[:1]
    (sample, row), ids = chosen[0], torch.tensor([chosen[0][1]["input_ids"]])
    ids_after = target_ids(sample, lesson.tokenizer)
    example = in_the_stages(core, lesson.tokenizer, WORK.recipe.system, sample, sample.said, ids_after)
    assert torch.equal(core.embed(ids)[0], example.inputs)
    assert row["labels"] == example.labels.tolist()


def test_a_training_in_a_process_of_its_own_goes_step_by_step() -> None:
    pupil = Pupil(HARKEN, WORK)
    pupil.begin(2)
    first, second = pupil.step(), pupil.step()
    account = pupil.account()
    pupil.begin(2)
    again, _, third = pupil.step(), pupil.step(), pupil.step()
    anew = pupil.account()
    pupil.close()
    assert 0 < first.tokens < second.tokens == account.tokens <= second.padded
    assert second.seconds > 0 and account.loss > 0
    assert (account.flops_a_token or 0) > 0 and (account.predicted_bytes or 0) > 0
    assert again.tokens == first.tokens and anew.tokens == third.tokens > account.tokens


@pytest.mark.usefixtures("fewer_samples")
def test_what_begins_anew_learns_the_same_again(tmp_path: Path) -> None:
    once = trained(HARKEN, WORK, 2, tmp_path)
    twice = OPEN(WORK, ALONE)
    for accumulate in (4, 1):
        twice.begin(accumulate)
        teach_steps(HARKEN, twice, 2, tmp_path)
    assert twice.work.accumulate == 1 and twice.tally.tokens == once.tally.tokens
    for ours, theirs in zip(twice.core.parameters(), once.core.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def _tell(work: Work, world: World) -> CoreLesson:
    print("some progress")
    return OPEN(work, world)


def test_what_a_training_tells_is_not_among_the_figures(capfd: pytest.CaptureFixture[str]) -> None:
    Pupil(HARKEN, replace(WORK, open_lesson=_tell)).close()
    found = capfd.readouterr()
    assert "some progress" not in found.out and "some progress" in found.err


def _find(name: str, work: Work, world: World) -> None:
    find(name)


def test_why_a_training_cannot_begin_is_said_where_it_is_asked_for() -> None:
    with pytest.raises(HarkenError, match="no weights are named 'nobody'"):
        Pupil(HARKEN, replace(WORK, open_lesson=partial(_find, "nobody")))  # type: ignore[arg-type]


class FakePupil:
    """Reads so many tokens a step, in as many milliseconds as its system and its batches take."""

    open: ClassVar[list[FakePupil]] = []
    most: ClassVar[int] = 0

    def __init__(self, system: str, work: Work) -> None:
        self.system, self.tight = system, work.tight
        self.a_step = {HARKEN: 100, RANDOM: 80, GROUPED: 120}[system]
        self.open.append(self)
        FakePupil.most = max(FakePupil.most, len(self.open))

    def begin(self, accumulate: int) -> None:
        if accumulate == 1 and self.system == RANDOM:
            raise TooLarge
        slow = {HARKEN: 1.0, RANDOM: 2.0, GROUPED: 1.25}[self.system]
        self.seconds = self.a_step * slow * (1.0 if accumulate == 2 else 1.5) / 1000
        self.steps = 0

    def step(self) -> Step:
        self.steps += 1
        return Step(self.steps * self.a_step, 2 * self.steps * self.a_step, self.seconds)

    def account(self) -> Account:
        predicted = 1_000_000_000 if self.tight else 3_000_000_000
        return Account(self.steps * self.a_step, 2.5, predicted, 2_000_000_000, 1e6)

    def close(self) -> None:
        self.open.remove(self)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("warmup", [1, 3])
def test_each_goes_on_at_its_best_for_as_many_tokens(together: bool, warmup: int) -> None:
    start: Any = FakePupil
    FakePupil.most = 0
    pace = train.Pace(8, warmup, 2, 2, together)
    result = train.measure(WORK, pace, 3, 1e12, start)
    json.dumps(result)
    assert FakePupil.open == [] and FakePupil.most == (3 if together else 1)
    assert {result[system]["batches_a_step"] for system in SYSTEMS} == {2}
    assert result[HARKEN]["tokens_per_s"] == {"p50": 1000.0, "p95": 1000.0}
    assert result["harken_over"][RANDOM]["p50"] == 2.0 and result["harken_over"][GROUPED]["p50"] == 1.25
    tokens = [result[system]["tokens"] for system in SYSTEMS]
    assert min(tokens) >= (6 + warmup) * (120 if together else 100) and max(tokens) - min(tokens) < 120
    assert result[HARKEN]["padding"] == 0.5
    assert result["memory_of_harken"]["predicted_over_peak"] == (0.5 if together else 1.5)
    assert result[HARKEN]["flop_utilisation"] == pytest.approx(1000 * 1e6 / 1e12)


@pytest.mark.parametrize("fits", [0, 7])
def test_where_nothing_fits_it_is_said(fits: int) -> None:
    class Large(FakePupil):
        def step(self) -> Step:
            if self.steps >= fits:
                raise TooLarge
            return super().step()

    start: Any = Large
    said = "harken fits into memory" if fits == 0 else "trainer_grouped outgrew memory"
    with pytest.raises(HarkenError, match=said):
        train.measure(WORK, train.Pace(8, 1, 2, 2, True), 9, 1e12, start)
    assert FakePupil.open == []
