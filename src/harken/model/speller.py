"""From heard pieces to words, and from words to what the core reads.

A word that was heard in the core's own spelling keeps its soft vectors, doubt and all. A word that was
spelled with shorter pieces, or mended, becomes the core's own tokens, since those are what the core knows
how to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from harken.model.ctc_bridge import SoftTokens
from harken.model.lexicon import Lexicon
from harken.model.pieces import Pieces

_LETTERS = re.compile(r" ?[A-Za-z']+")


@dataclass(frozen=True)
class HeardWord:
    """One word, with the punctuation after it and the space before it."""

    text: str
    start: int
    stop: int
    """The heard pieces that it was read from: places among those of its row."""
    pieces: tuple[int, ...]
    """Which pieces they are."""


class Speller:
    """Reads rows of what the bridge heard."""

    def __init__(self, pieces: Pieces, lexicon: Lexicon | None = None) -> None:
        """Args: lexicon: mends misspelled words and leaves out fragments; None leaves all as heard."""
        self.pieces = pieces
        self.lexicon = lexicon

    def words(self, soft: SoftTokens, log_probs: Tensor, row: int = 0) -> list[HeardWord]:
        """The words of one row; log_probs (B, U, P + 1) as the bridge gave them.

        Each look at a number waits for a GPU that has it: give `soft.to_spell()`, and log_probs on the CPU.
        """
        present = soft.valid[row]
        numbers, frames = soft.pieces[row][present].tolist(), soft.frames[row][present].tolist()
        words = []
        for start, stop in self.pieces.words(numbers):
            text = self.pieces.spelled(numbers[start:stop])
            letters = _LETTERS.match(text)
            if self.lexicon and self.lexicon.is_fragment(text):
                continue
            if letters and self.lexicon:
                end = frames[stop] if stop < len(frames) else log_probs.shape[1]
                sound = log_probs[row, max(0, frames[start] - 1) : end].detach().cpu()
                text = self.lexicon.mend(letters[0], sound) + text[letters.end() :]
            words.append(HeardWord(text, start, stop, tuple(numbers[start:stop])))
        return words

    def vectors(
        self, words: list[HeardWord], soft: SoftTokens, embed: Callable[[list[int]], Tensor], row: int = 0
    ) -> Tensor:
        """What the core reads for one row: (N', D).

        Args: embed: token ids -> (T, D).
        """
        heard = soft.embeddings[row]  # (N, D); valid ones stand first
        places: list[int] = []  # in `heard`, or behind it in what is embedded
        spelled: list[int] = []
        for word in words:
            ids = self.pieces.tokenizer.encode(word.text, add_special_tokens=False)
            if ids == [self.pieces.ids[n] for n in word.pieces]:
                places += range(word.start, word.stop)
            else:
                places += range(len(heard) + len(spelled), len(heard) + len(spelled) + len(ids))
                spelled += ids
        if not places:
            return heard[:0]
        table = torch.cat([heard, embed(spelled).to(heard)]) if spelled else heard
        return table[torch.tensor(places, device=table.device)]

    @staticmethod
    def transcript(words: list[HeardWord]) -> str:
        return "".join(word.text for word in words).strip()
