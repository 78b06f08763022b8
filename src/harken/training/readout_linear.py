"""The readout's linear path: a logistic regression on every pooled value, beside the networks on components.

Where training clips come from several corpora, the networks' few hundred components lose what sets emotions
apart in the smaller one; a strongly regularised linear map of all values does not. In the readout its logits
are the straight units of a view's vector.

Shapes: N clips, P pooled values, O outputs (the emotions, then the genders).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class LinearTraining:
    """How the linear path is fitted, and how much it says."""

    strength: float = 0.005
    """Inverse of the L2 penalty, as scikit-learn counts it: smaller is stronger."""
    steps: int = 60
    share: float = 0.7
    """The linear path's share in the logits; the networks have the rest."""
    first_layer: int = 2
    """Layers below are left to the networks."""


@dataclass(frozen=True)
class Linear:
    """A fitted linear path."""

    weight: Tensor  # (O, P) on scaled pooled values
    bias: Tensor  # (O,)


def fit_linear(
    scaled: Tensor, targets: tuple[Tensor, ...], counts: tuple[int, ...], first: int, training: LinearTraining
) -> Linear:
    """Fit the heads by L-BFGS.

    Args:
        scaled: (N, P) pooled values of mean 0 and standard deviation 1.
        targets: for each head, (N,) int64 classes.
        counts: how many classes each head has; some may not occur.
        first: the first pooled value that is used.
    """
    heads = []
    for target, count in zip(targets, counts, strict=True):
        inputs = scaled[:, first:]
        weight = torch.zeros(count, inputs.shape[1], requires_grad=True)
        bias = torch.zeros(len(weight), requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=training.steps, line_search_fn="strong_wolfe")
        penalty = 0.5 / (training.strength * len(target))

        def objective(
            inputs: Tensor = inputs,
            weight: Tensor = weight,
            bias: Tensor = bias,
            target: Tensor = target,
            optimizer: torch.optim.Optimizer = optimizer,
            penalty: float = penalty,
        ) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(F.linear(inputs, weight, bias), target) + penalty * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(objective)
        heads.append((F.pad(weight.detach(), (first, 0)), bias.detach()))
    return Linear(torch.cat([w for w, _ in heads]), torch.cat([b for _, b in heads]))
