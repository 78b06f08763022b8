"""Which style answers which heard voice: learned from people who acted an emotion, whose answer's style is
given by rule (`harken.voices.styles.reply_style`).

Shapes: M people's vectors, V their width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from harken.model.own_voice import STYLES, ReplyStyle
from harken.voices.styles import reply_style

LEARNING_RATE = 0.02
_STEPS = 300
_DECAY = 1e-3


def train_reply_style(felt: Mapping[str, Tensor], seed: int = 0) -> ReplyStyle:
    """Args: felt: emotion -> (M, V) readout vectors of people who acted it. Every style counts the same."""
    torch.manual_seed(seed)
    vectors = torch.cat(list(felt.values()))
    styles = torch.cat(
        [torch.full((len(rows),), STYLES.index(reply_style(emotion)[0])) for emotion, rows in felt.items()]
    )
    counts = torch.bincount(styles, minlength=len(STYLES)).clamp(min=1)
    weight = len(styles) / (len(STYLES) * counts)
    model = ReplyStyle(vectors.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=_DECAY)
    for _ in range(_STEPS):
        loss = F.cross_entropy(model(vectors), styles, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.requires_grad_(False).eval()
