"""Mending misspelled words: what was heard letter by letter is held against the words that the core knows.

Words for which the bridge has no piece are spelled with shorter ones, by ear: "venu", "gamees". The core's
own vocabulary is a dictionary that costs nothing: its single-token words, the frequent first. A heard word
that is not in it is compared with the dictionary's nearest by how well each explains the sound (the CTC
likelihood of its spelling over the word's frames) and by how common it is; the word is kept where nothing
explains it better. One or two letters that are no word are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from harken.model.pieces import Pieces

_WORD = re.compile(r" ?[A-Za-z']+")


@dataclass(frozen=True)
class MendConfig:
    """How far a heard word may be from the dictionary's, and what an unknown one costs."""

    unknown: float = -17.0
    """Log-prior of a word that is not in the dictionary."""
    prior_weight: float = 1.3
    furthest: int = 3
    """Most letters changed."""
    candidates: int = 24


class Lexicon:
    """The single-token words of a language model's vocabulary, with a prior by rank."""

    def __init__(self, pieces: Pieces, config: MendConfig | None = None) -> None:
        self.pieces = pieces
        self.config = config or MendConfig()

    @cached_property
    def priors(self) -> dict[str, float]:
        """Lower-case word -> log-prior, by Zipf's law; the vocabulary's order is that of frequency."""
        tokenizer = self.pieces.tokenizer
        found: dict[str, int] = {}
        for rank in range(len(tokenizer)):
            text = tokenizer.decode([rank])
            if re.fullmatch(r" [A-Za-z]{2,}|  ?[AaI]", text):
                found.setdefault(text.strip().lower(), len(found))
        total = math.log(sum(1 / (rank + 10) for rank in range(len(found))) or 1)
        return {word: -math.log(rank + 10) - total for word, rank in found.items()}

    def is_fragment(self, word: str) -> bool:
        """Whether it is one or two letters that are no word: a noise that was spelled, between two words."""
        plain = re.sub(r"[^A-Za-z']", "", word).lower()
        return 0 < len(plain) <= 2 and plain not in self.priors

    def mend(self, word: str, log_probs: Tensor) -> str:
        """The word that was most probably said.

        Args:
            word: as heard, with the space before it where there is one.
            log_probs: (F, P + 1) over the frames of this word, blank last.

        Returns:
            The word itself, or the dictionary's, in the same case and with the same space.
        """
        plain = word.strip().lower()
        if not _WORD.fullmatch(word) or "'" in word or plain in self.priors or len(plain) < 2:
            return word
        near = self._near(plain)
        choices = [word, *(_like(found, word) for found in near)]
        priors = [self.config.unknown, *(self.priors[found] for found in near)]
        prior = torch.tensor(priors, device=log_probs.device)
        scores = self._likelihoods(choices, log_probs) + self.config.prior_weight * prior
        return choices[int(scores.argmax())]

    @cached_property
    def _near(self) -> Callable[[str], tuple[str, ...]]:
        """Letters -> the dictionary's nearest words, the nearest first and of these the frequent."""
        return lru_cache(maxsize=1 << 16)(self._nearest)

    def _nearest(self, plain: str) -> tuple[str, ...]:
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        furthest = min(self.config.furthest, 1 + len(plain) // 4)
        found = process.extract(
            plain,
            self._of_length(len(plain), furthest),
            scorer=Levenshtein.distance,
            score_cutoff=furthest,
            limit=self.config.candidates,
        )
        return tuple(word for word, _, _ in found)

    @cached_property
    def _of_length(self) -> Callable[[int, int], tuple[str, ...]]:
        """Length, and by how much it may differ -> the dictionary's words, the frequent first."""
        return cache(
            lambda length, most: tuple(word for word in self.priors if abs(len(word) - length) <= most)
        )

    def _likelihoods(self, words: list[str], log_probs: Tensor) -> Tensor:
        """CTC log-likelihood of each word's spelling over (F, P + 1) -> (len(words),)."""
        spelled = [self.pieces.spell_exactly(word) for word in words]
        device = log_probs.device
        lengths = torch.tensor([len(s) for s in spelled], device=device)
        targets = torch.tensor([n for s in spelled for n in s], device=device)
        frames = log_probs.float()[:, None].expand(-1, len(words), -1)  # (F, W, P + 1)
        loss = F.ctc_loss(
            frames,
            targets,
            torch.full((len(words),), len(log_probs), device=device),
            lengths,
            log_probs.shape[-1] - 1,
            "none",
        )
        return -loss


def _like(found: str, word: str) -> str:
    """A dictionary word in the case of the heard one, with its space."""
    plain = word.strip()
    cased = (
        found.upper()
        if plain.isupper() and len(plain) > 1
        else found.capitalize()
        if plain[:1].isupper()
        else found
    )
    return word[: len(word) - len(word.lstrip())] + cased
