"""The spoken language model: Listen, Think and Write joined, with the tokenizer.

`hear` turns recordings into what the core reads; `read` runs the core on embeddings with explicit state. What
a conversation looks like to the core, and the loop that writes a reply, are `harken.dialogue`'s. Where the
weights come from is `harken.checkpoint`'s.

Shapes: B rows, T positions, N heard tokens, K affect vectors, D core width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harken.affect.labels import GENDERS, heard_scores
from harken.audio.features import log_mel
from harken.audio.windows import last_window_start, windows
from harken.model.core import Core, CoreState
from harken.model.ctc_bridge import SoftTokens
from harken.model.lexicon import Lexicon
from harken.model.listen import Heard, Listen
from harken.model.own_voice import OwnVoice
from harken.model.pieces import Pieces
from harken.model.reflection_marks import ReflectionMarks
from harken.model.speller import Speller
from harken.recipes import Recipe

SAMPLE_RATE_HZ = 16000


@dataclass
class HeardTurn:
    """One recording as the model heard it."""

    embeddings: Tensor  # (K + N, D) affect vectors, then one vector a heard token
    transcript: str | None
    """The words; empty where none were heard, None where the bridge does not tell (the `paper` recipe's)."""
    confidence: float
    """Mean probability of the heard pieces; 0 where no word was heard, 1 where the bridge does not tell."""
    emotion: dict[str, float]
    """Label -> probability over `harken.affect`'s labels, sums to 1."""
    gender: dict[str, float]
    affect: Tensor  # (V,) the readout's vector
    seconds: float
    words_from_s: float
    """Where the part begins that the core reads: 0 unless the recording is longer than the limit."""


class Read(NamedTuple):
    """What reading gives."""

    logits: Tensor  # (B, V) of the next token; (B, V + 2) where there are marks around reflections
    state: CoreState
    shared: Tensor  # (B, T, D) after Think, of what was read


class Words(NamedTuple):
    """The words of one window."""

    vectors: Tensor  # (N, D)
    text: str | None
    confidence: Tensor  # (N',) of the heard pieces


class SpokenLM(nn.Module):
    """All that `mini` is, apart from its voice."""

    def __init__(
        self, recipe: Recipe, listen: Listen, core: Core, tokenizer: Any, pieces: Pieces | None
    ) -> None:
        """Args: pieces: what the bridge spells with; None where it does not."""
        super().__init__()
        self.recipe = recipe
        self.listen = listen
        self.core = core
        self.tokenizer = tokenizer
        self.speller = None if pieces is None else Speller(pieces, Lexicon(pieces))
        self.marks: ReflectionMarks | None = None
        """The tokens around reflections; None where it was not taught to reflect."""
        self.open_voice: Callable[[], OwnVoice] | None = None
        """Loads what the model speaks with; None where it was not taught to."""

    @torch.no_grad()
    def hear(self, samples: NDArray[np.float32]) -> HeardTurn:
        """Listen to a recording of any length.

        Args: samples: (N,) float32 at 16 kHz. Affect is read over all of it; words over the last 5 minutes.
        """
        parts = windows(samples)
        first = last_window_start(parts)
        heard = [self._hear_window(samples[part], words=i >= first) for i, part in enumerate(parts)]
        weights = torch.tensor([float(part.stop - part.start) for part in parts])
        weights = weights / weights.sum()  # (windows,)
        emotion = weights @ torch.cat([h.affect.emotion_logits.softmax(-1) for h in heard])  # (8,)
        gender = weights @ torch.cat([h.affect.gender_logits.softmax(-1) for h in heard])  # (2,)
        affect = weights @ torch.cat([h.affect.vector for h in heard])  # (V,)
        prefix = self.listen.prefix(affect[None])[0]  # (K, D)
        words = [self.words(h) for h in heard[first:]]
        confidence = torch.cat([w.confidence for w in words])
        return HeardTurn(
            embeddings=torch.cat([prefix, *(w.vectors for w in words)]),
            transcript=" ".join(w.text for w in words if w.text) if words[0].text is not None else None,
            confidence=float(confidence.mean()) if len(confidence) else 0.0,
            emotion=heard_scores(emotion.tolist()),
            gender=dict(zip(GENDERS, gender.tolist(), strict=True)),
            affect=affect,
            seconds=len(samples) / SAMPLE_RATE_HZ,
            words_from_s=parts[first].start / SAMPLE_RATE_HZ,
        )

    def _hear_window(self, samples: NDArray[np.float32], words: bool) -> Heard:
        heard: Heard = self.listen(torch.from_numpy(log_mel(samples))[None], words=words)
        return heard

    def words(self, heard: Heard, row: int = 0) -> Words:
        """One row of what was heard, as the core reads it."""
        soft = heard.words
        assert soft is not None, "words were not asked for"
        if not isinstance(soft, SoftTokens):
            vectors = soft.embeddings[row][soft.valid[row]]
            return Words(vectors, None, torch.ones(len(vectors)))
        assert heard.log_probs is not None and self.speller, "a CTC bridge gives its scores, and spells"
        words = self.speller.words(soft, heard.log_probs, row)
        vectors = self.speller.vectors(words, soft, self.embed, row)
        return Words(vectors, self.speller.transcript(words), soft.confidence[row][soft.valid[row]])

    def embed(self, ids: list[int]) -> Tensor:
        """Token ids -> embeddings (T, D)."""
        numbers = torch.tensor(ids, dtype=torch.long)
        if self.marks:
            return self.marks.embed(numbers, self.core.embed)
        embedded: Tensor = self.core.embed(numbers)
        return embedded

    def read(self, inputs: Tensor, state: CoreState | None = None, key_bias: Tensor | None = None) -> Read:
        """Read embeddings (B, T, D) after `state`; `key_bias` as `Core` takes it."""
        output = self.core(inputs, state, key_bias=key_bias)
        return Read(self._logits(output.hidden[:, -1]), output.state, output.shared)

    def read_each(self, inputs: Tensor, states: Sequence[CoreState]) -> list[Read]:
        """Read an embedding (R, D) of several rows, each after a state of its own (one row, without gaps).

        Returns: what `read` gives of each; in one pass where the core's layers can.
        """
        if not self.core.reads_each:
            return [self.read(row[None, None], state) for row, state in zip(inputs, states, strict=True)]
        shared, hidden, after = self.core.each(inputs, states)
        rows = zip(self._logits(hidden).split(1), after, shared.split(1), strict=True)
        return [Read(logits, state, row[None]) for logits, state, row in rows]

    def _logits(self, hidden: Tensor) -> Tensor:
        """Write's hidden states (B, D) -> (B, V), or (B, V + 2) where there are marks."""
        logits = self.core.logits(hidden)
        return self.marks.with_logits(logits, hidden) if self.marks else logits
