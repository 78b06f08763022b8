"""The readout's linear path on every pooled value: a logistic regression and a discriminant, their mean.

Where training clips come from several corpora, the networks' few hundred components lose what sets emotions
apart in the smaller one; a strongly regularised linear map of all values does not. The logistic regression
finds what tells the classes apart; the discriminant (linear discriminant analysis with a ridge and equal
priors, in closed form) compares the classes' means in units of the spread within classes. They err on
different clips. In the readout their logits are the straight units of a view's vector.

Shapes: N clips, P pooled values, F of them used, C classes of a head, O outputs (the emotions, then the
genders).
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
    """Inverse of the logistic regression's L2 penalty, as scikit-learn counts it: smaller is stronger."""
    steps: int = 60
    ridge: float = 0.3
    """Added to the discriminant's scatter within classes, in units of the clips' mean squared deviation."""
    spread: float = 2.0
    """Root mean square of the discriminant's logits on the training clips."""
    discriminant_share: float = 0.5
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
    """Fit the heads.

    Args:
        scaled: (N, P) pooled values of mean 0 and standard deviation 1.
        targets: for each head, (N,) int64 classes.
        counts: how many classes each head has; some may not occur.
        first: the first pooled value that is used.
    """
    weights, biases, share = [], [], training.discriminant_share
    for target, count in zip(targets, counts, strict=True):
        weight, bias = logistic(scaled[:, first:], target, count, training)
        other_weight, other_bias = discriminant(scaled[:, first:], target, count, training)
        weights.append(F.pad((1 - share) * weight + share * other_weight, (first, 0)))
        biases.append((1 - share) * bias + share * other_bias)
    return Linear(torch.cat(weights), torch.cat(biases))


def logistic(inputs: Tensor, target: Tensor, count: int, training: LinearTraining) -> tuple[Tensor, Tensor]:
    """Inputs (N, F) and classes (N,) -> weight (C, F) and bias (C,), by L-BFGS."""
    weight = torch.zeros(count, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=training.steps, line_search_fn="strong_wolfe")
    penalty = 0.5 / (training.strength * len(target))

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(inputs, weight, bias), target) + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    return weight.detach(), bias.detach()


def discriminant(
    inputs: Tensor, target: Tensor, count: int, training: LinearTraining
) -> tuple[Tensor, Tensor]:
    """Inputs (N, F) and classes (N,) -> weight (C, F) and bias (C,); a class without clips is unlikely."""
    members = F.one_hot(target, count).to(inputs.dtype)  # (N, C)
    sizes = members.sum(0)
    means = members.T @ inputs / sizes.clamp_min(1)[:, None]  # (C, F)
    within = inputs - means[target]  # (N, F)
    weight = ridge_solve(within, training.ridge * float(within.square().sum(1).mean()), means)
    bias = -0.5 * (weight * means).sum(1)  # (C,)
    occurs = sizes > 0
    weight, bias = weight - weight[occurs].mean(0), bias - bias[occurs].mean()
    logits = (inputs @ weight.T + bias)[:, occurs]
    scale = training.spread / logits.square().mean().sqrt().clamp_min(1e-6)
    unlikely = -2.0 * logits.abs().max() * scale
    return torch.where(occurs[:, None], scale * weight, 0.0), torch.where(occurs, scale * bias, unlikely)


def ridge_solve(rows: Tensor, ridge: float, wanted: Tensor) -> Tensor:
    """`wanted` (C, F) times the inverse of (rowsᵀ rows + ridge), rows (N, F), by the smaller side."""
    count, width = rows.shape
    if width <= count:
        scatter = rows.T @ rows + ridge * torch.eye(width, dtype=rows.dtype)  # (F, F)
        return torch.linalg.solve(scatter, wanted.T).T
    gram = rows @ rows.T + ridge * torch.eye(count, dtype=rows.dtype)  # (N, N)
    return (wanted - torch.linalg.solve(gram, rows @ wanted.T).T @ rows) / ridge
