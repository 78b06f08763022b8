"""What a training step has to hold and to compute, worked out on paper: the core's low-rank update.

Shapes: B rows, T positions, M positions that are learned, D width, I inner width, H heads, G key-value heads,
C a head's width, L layers, V vocabulary, R rank, P bytes of a number in products (bfloat16 2, float32 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import torch

from harken.model.core import Core

FULL = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Sizes:
    """A core with its low-rank update, as far as cost depends on it."""

    width: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    layers: int
    vocabulary: int
    rank: int
    frozen: int
    """Parameters that stay, in the precision of products."""
    trained: int
    """Parameters of the update, in float32."""
    head_norms: bool
    """Queries and keys are normalised (Qwen3)."""
    number: int
    """Bytes of a number in products."""

    @classmethod
    def of(cls, core: Core, rank: int) -> Sizes:
        """Args: core: `add_low_rank` has seen it."""
        config, parameters = core.config, list(core.parameters())
        return cls(
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            config.num_hidden_layers,
            config.vocab_size,
            rank,
            sum(p.numel() for p in parameters if not p.requires_grad),
            sum(p.numel() for p in parameters if p.requires_grad),
            config.model_type == "qwen3",
            next(p.element_size() for p in parameters if not p.requires_grad),
        )


@dataclass(frozen=True)
class Shape:
    """A batch."""

    rows: int
    positions: int
    """Of the longest row: the others are padded to it."""
    learned: int
    """Over all rows."""
    prompt: int = 0
    """Positions that the rows begin with alike, and that are read once (`harken.training.shared_prompt`)."""


@dataclass
class Tally:
    """The batches that a training read."""

    tokens: int = 0
    read: int = 0
    """Tokens, without what other rows of the batch have read already."""
    padded: int = 0
    """Tokens, with padding."""
    learned: int = 0
    squares: int = 0
    """Of the rows' lengths, as far as they are read."""
    shapes: set[Shape] = field(default_factory=set)

    def add(self, lengths: Sequence[int], learned: int, prompt: int = 0) -> None:
        """A batch of rows so long, padded to the longest, whose first `prompt` positions are read once."""
        shape = Shape(len(lengths), max(lengths), learned, prompt)
        known = (shape.rows - 1) * prompt
        self.tokens += sum(lengths)
        self.read += sum(lengths) - known
        self.padded += shape.rows * shape.positions
        self.learned += learned
        self.squares += sum(length**2 for length in lengths) - known * prompt
        self.shapes.add(shape)

    def peak_bytes(self, sizes: Sizes, compiled: bool) -> int:
        """Of the batch that needs most."""
        return max(peak_bytes(sizes, shape, compiled) for shape in self.shapes)

    def flops_a_token(self, sizes: Sizes) -> float:
        """On average, of all tokens: what is not read again costs nothing."""
        length = self.squares / self.read  # of the row that a token is in
        return flops(sizes, self.read, self.learned, length) / self.tokens


def peak_bytes(sizes: Sizes, shape: Shape, compiled: bool) -> int:
    """What a step holds at most: as backward begins, when every activation is still there.

    - Frozen weights, P bytes each. The update, its gradients and two moments in float32, 4 + 4 + 8 bytes a
      parameter, and 2 for its copy that autocast keeps where products are in bfloat16.
    - Activations: frozen weights need no inputs for a gradient of theirs, the update does.
    - The loss: float32 log-probabilities, the gradient that meets them and the one that leaves, 3 x 4 bytes
      for each learned position and token of the vocabulary. Other positions have no logits.

    Args: compiled: layers are one program (`harken.training.compiled`), as on a GPU.
    """
    copy = sizes.number if sizes.number < FULL else 0
    held = sizes.number * sizes.frozen + (3 * FULL + FULL + copy) * sizes.trained
    positions, prompt = shape.positions, shape.prompt
    a_row = positions * compiled_bytes(sizes) if compiled else row_bytes(sizes, positions, prompt)
    saved = sizes.layers * (shape.rows * a_row + row_bytes(sizes, prompt))
    return held + saved + 3 * FULL * shape.learned * sizes.vocabulary


def row_bytes(sizes: Sizes, positions: int, prompt: int = 0) -> int:
    """What a row of so many positions (T) leaves in a layer for the backward pass, by each position that is
    its own, behind a prompt that was read for all rows:

    - two norms: the float32 input (4D) and its scale (4), and what comes out (PD), which q, k, v and gate, up
      share; with normalised heads two more, over (H + G) C numbers;
    - attention by plain products, in float32: q (4HC), and probabilities (4HT). What comes out (PHC), which o
      reads;
    - the feed-forward part: gate, its SiLU, up and their product (4 x PI);
    - what the seven small matrices pass on to each other (7 x PR);

    and by each position, the prompt's too, k and v once they are repeated for all heads (2 x 4HC).
    """
    d, hc, number = sizes.width, sizes.heads * sizes.head, sizes.number
    norms = 2 * (FULL * d + FULL + number * d)
    if sizes.head_norms:
        heads = sizes.heads + sizes.kv_heads
        norms += FULL * heads * sizes.head + FULL * heads
    attention = FULL * hc + FULL * sizes.heads * positions + number * hc
    own = norms + attention + 4 * number * sizes.inner + 7 * number * sizes.rank
    return (positions - prompt) * own + positions * 2 * FULL * hc


def compiled_bytes(sizes: Sizes) -> int:
    """What a position leaves in a compiled layer, which computes again what costs no product, in whole rows:

    - two norms: what comes in and what goes out (2 x PD), and the scale (4);
    - attention by one kernel that keeps no probabilities: q (PHC), k and v (2 x PGC), the logarithm of a sum
      for each head (4H), and what comes out (PHC); with normalised heads also q and k before it (P (H + G) C)
      and their scales (4 (H + G));
    - the feed-forward part: gate, up, and the product with the SiLU (3 x PI);
    - what the seven small matrices pass on to each other (7 x PR).
    """
    hc, gc, number = sizes.heads * sizes.head, sizes.kv_heads * sizes.head, sizes.number
    norms = 2 * (2 * number * sizes.width + FULL)
    attention = number * (hc + 2 * gc) + FULL * sizes.heads + number * hc
    if sizes.head_norms:
        attention += number * (hc + gc) + FULL * (sizes.heads + sizes.kv_heads)
    return norms + attention + 3 * number * sizes.inner + 7 * number * sizes.rank


def flops(sizes: Sizes, tokens: int, learned: int, length: float) -> float:
    """Floating-point operations that a step over so many real tokens needs; padding needs none.

    A product costs 2 operations a weight forward, 2 for the gradient of its input, and 2 for its own where it
    is trained: 4 a frozen weight, 6 a weight of the update. A token attends to half of a row of `length`, on
    average: forward that is 2HC operations a position with its key and as many with its value, backward twice
    that. Only learned positions go through the vocabulary.
    """
    hc, gc = sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    linear = sizes.layers * (2 * sizes.width * (hc + gc) + 3 * sizes.width * sizes.inner)
    attention = sizes.layers * 3 * 4 * hc * length / 2
    vocabulary = 4 * sizes.width * sizes.vocabulary
    return tokens * (4 * linear + 6 * sizes.trained + attention) + learned * vocabulary


def matrix_rate(
    device: torch.device, precision: torch.dtype, side: int | None = None, times: int = 5
) -> float:
    """Floating-point operations a second in products of square matrices of random numbers, the best of a few
    times; on a GPU ten products a time, so that none waits for the host.
    """
    side, products = (8192, 10) if device.type == "cuda" else (side or 2048, 1)
    left, right = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    out = torch.empty_like(left)
    best = float("inf")
    for _ in range(times + 1):  # the first one warms up
        wait_for(device)
        begun = perf_counter()
        for _ in range(products):
            torch.matmul(left, right, out=out)
        wait_for(device)
        best = min(best, (perf_counter() - begun) / products)
    return 2 * side**3 / best


def wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was given: before a look at the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
