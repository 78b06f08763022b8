"""From encoder states to the language model's space by CTC: one soft token for each piece that was heard.

Frames are classified by cosine similarity to the language model's own token embeddings, with a blank apart.
Runs of one piece collapse to a single vector: the probability-weighted mean of embeddings, so that doubt
between two words reaches the language model as a point between them, at the scale that it expects. The heard
transcript comes for free.

Sources: CTC onto LLM embeddings (Soundwave, arXiv 2502.12900); posterior-weighted embeddings (LegoSLM,
arXiv 2505.11352).

Shapes: B rows, T encoder frames (50 a second), U = T / 2 bridge frames (25 a second), N heard pieces,
P pieces, E encoder width, W bridge width, D language-model width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.scalars import reshape_saved, scalar


@dataclass(frozen=True)
class CtcBridgeSizes:
    """Widths, depth and heads; the kernel is of the convolution over bridge frames."""

    encoder_width: int = 512
    width: int = 384
    layers: int = 2
    heads: int = 6
    kernel: int = 15
    dropout: float = 0.1


class SoftTokens(NamedTuple):
    """What was heard, one vector a piece."""

    embeddings: Tensor  # (B, N, D), zero where not valid
    valid: Tensor  # (B, N) bool
    pieces: Tensor  # (B, N) int64 most probable piece
    confidence: Tensor  # (B, N) its probability
    frames: Tensor  # (B, N) int64 bridge frame (25 a second) at which its run begins

    def to_spell(self) -> SoftTokens:
        """The same with all but the embeddings on the CPU, where words are spelled one by one."""
        return self._replace(
            valid=self.valid.cpu(),
            pieces=self.pieces.cpu(),
            confidence=self.confidence.detach().cpu(),
            frames=self.frames.cpu(),
        )


class CtcBridge(nn.Module):
    """Two encoder frames -> one bridge frame -> scores over pieces and a blank."""

    def __init__(self, sizes: CtcBridgeSizes, table: Tensor) -> None:
        """Args: table: (P, D) the language model's embeddings of the pieces; kept as it is, never trained."""
        super().__init__()
        self.sizes = sizes
        w = sizes.width
        self.norm = nn.LayerNorm(2 * sizes.encoder_width)
        self.stack = nn.Linear(2 * sizes.encoder_width, w)
        self.local = nn.Conv1d(w, w, sizes.kernel, padding=sizes.kernel // 2, groups=w)
        block = nn.TransformerEncoderLayer(
            w, sizes.heads, 4 * w, sizes.dropout, F.gelu, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, sizes.layers, enable_nested_tensor=False)
        self.final = nn.LayerNorm(w)
        self.out = nn.Linear(w, table.shape[1])
        self.blank = nn.Linear(w, 1)
        self.scale = scalar(16.0)
        self.bias = nn.Parameter(torch.zeros(table.shape[0]))
        self.register_buffer("table", table.clone(), persistent=False)
        centred = table - table.mean(0)
        self.register_buffer("directions", F.normalize(centred, dim=-1), persistent=False)
        self.register_load_state_dict_pre_hook(reshape_saved)

    def forward(self, states: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Score the pieces.

        Args:
            states: (B, T, E) the encoder's last layer.
            valid: (B, T) bool.

        Returns:
            log-probabilities (B, U, P + 1), blank last, and where not valid nothing but blank; valid (B, U)
            bool.
        """
        states = states * valid[..., None]  # the last pair of an odd row has nothing beside it
        if states.shape[1] % 2:
            states, valid = F.pad(states, (0, 0, 0, 1)), F.pad(valid, (0, 1))
        pairs = states.reshape(states.shape[0], -1, 2 * states.shape[2])  # (B, U, 2E)
        valid = valid[:, ::2]
        x = self.stack(self.norm(pairs)) * valid[..., None]  # (B, U, W)
        x = x + F.gelu(self.local(x.transpose(1, 2)).transpose(1, 2))
        x = self.final(self.blocks(x, src_key_padding_mask=~valid))
        directions: Tensor = self.directions  # type: ignore[assignment]
        similarity = F.normalize(self.out(x), dim=-1) @ directions.T  # (B, U, P)
        scores = torch.cat([self.scale[0] * similarity + self.bias, self.blank(x)], dim=-1)
        silence = scores.new_full(scores.shape[-1:], -torch.inf, dtype=torch.float32)
        silence[-1] = 0.0
        return torch.where(valid[..., None], scores.float().log_softmax(-1), silence), valid

    def collapse(self, log_probs: Tensor, valid: Tensor) -> SoftTokens:
        """Merge runs of one piece and drop blanks.

        Args: log_probs (B, U, P + 1) and valid (B, U), as `forward` gives them.
        """
        blank = log_probs.shape[-1] - 1
        best = log_probs.argmax(-1).masked_fill(~valid, blank)  # (B, U)
        changed = F.pad(best[:, 1:] != best[:, :-1], (1, 0), value=True)
        starts = changed & (best != blank)  # (B, U) where a run of a piece begins
        counts = starts.sum(1)
        longest = int(counts.max()) if counts.numel() else 0
        slot = (starts.cumsum(1) - 1).clamp(min=0)  # (B, U) run that a frame belongs to
        spoken = best != blank
        probs = log_probs[..., :blank].exp() * spoken[..., None]  # (B, U, P) frames of runs only
        pooled = probs.new_zeros(probs.shape[0], longest, blank)
        if longest:
            pooled.scatter_add_(1, slot.clamp(max=longest - 1)[..., None].expand_as(probs), probs)
        weights = pooled / pooled.sum(-1, keepdim=True).clamp(min=1e-6)  # (B, N, P)
        present = torch.arange(longest, device=best.device)[None] < counts[:, None]
        confidence, pieces = weights.max(-1) if longest else (weights.sum(-1), weights.sum(-1).long())
        peak = best.new_zeros(best.shape[0], longest)
        for row in range(best.shape[0]):
            peak[row, : int(counts[row])] = starts[row].nonzero()[:, 0]
        table: Tensor = self.table  # type: ignore[assignment]
        embeddings = (weights @ table) * present[..., None]
        return SoftTokens(embeddings, present, pieces, confidence, peak)
