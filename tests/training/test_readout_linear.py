"""The readout's linear path in closed form: what is solved, and what becomes of classes without clips."""

from __future__ import annotations

import pytest
import torch

from harken.training.readout_linear import LinearTraining, discriminant, ridge_solve


@pytest.mark.parametrize(("count", "width"), [(40, 7), (7, 7), (7, 40)])
def test_a_ridge_is_solved_by_whichever_side_is_smaller(count, width):
    torch.manual_seed(0)
    rows = torch.randn(count, width, dtype=torch.float64)
    wanted = torch.randn(3, width, dtype=torch.float64)
    scatter = rows.T @ rows + 0.7 * torch.eye(width, dtype=torch.float64)
    torch.testing.assert_close(ridge_solve(rows, 0.7, wanted), wanted @ torch.linalg.inv(scatter))


@pytest.mark.parametrize("width", [4, 60])
def test_a_class_that_does_not_occur_is_never_the_likeliest(width):
    torch.manual_seed(0)
    target = torch.arange(30) % 3 * 2  # of five classes 0, 2 and 4
    inputs = torch.randn(30, width) + 3 * torch.nn.functional.one_hot(target, width + 5)[:, :width]
    weight, bias = discriminant(inputs, target, 5, LinearTraining())
    logits = inputs @ weight.T + bias
    assert (logits.argmax(-1) == target).float().mean() > 0.9
    assert logits[:, [1, 3]].max() < logits[:, [0, 2, 4]].min()
    far = 1000 * torch.randn(200, width) @ weight.T + bias
    assert set(far.argmax(-1).tolist()) == {0, 2, 4}
