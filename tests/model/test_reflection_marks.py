"""The two tokens beside the core's own: read and scored by vectors of their own, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harken.checkpoint import MARKS, load_marks, save_tensors
from harken.recipes import ReflectConfig
from harken.testing import WIDTH, tiny_model


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_they_are_read_and_scored_by_their_rows_and_all_else_as_before(family: str) -> None:
    plain, marked = tiny_model(family), tiny_model(family, reflect=ReflectConfig())
    vocabulary, marks = plain.recipe.core.vocabulary, marked.marks
    assert marks is not None and (marks.opening, marks.closing) == (vocabulary, vocabulary + 1)
    embedded = marked.embed([3, marks.closing, vocabulary - 1, marks.opening])
    assert torch.equal(embedded[[0, 2]], plain.embed([3, vocabulary - 1]))
    assert torch.equal(embedded[[1, 3]], marks.rows.flip(0))
    inputs = torch.randn(2, 5, WIDTH)
    logits = marked.read(inputs).logits
    assert torch.equal(logits[:, :vocabulary], plain.read(inputs).logits)
    hidden = marked.core(inputs).hidden[:, -1]
    torch.testing.assert_close(logits[:, vocabulary:], hidden @ marks.rows.T)


def test_they_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    model = tiny_model(reflect=ReflectConfig())
    assert model.marks is not None
    save_tensors(tmp_path / MARKS, model.marks.state_dict())
    again = load_marks(model.recipe, tmp_path)
    torch.testing.assert_close(again.rows.detach(), model.marks.rows.detach(), atol=1e-3, rtol=1e-3)
    assert (again.opening, again.closing) == (model.marks.opening, model.marks.closing)
