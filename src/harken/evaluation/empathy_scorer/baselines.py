"""What a scorer has to beat: heads on the reply's length alone, and on the words that occur in it.

Neither sees the conversation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harken.data.steps.replies import words
from harken.evaluation.statistics import Floats

FEWEST = 3
"""Replies that a word has to occur in to be counted."""


def length_numbers(replies: Sequence[str]) -> Floats:
    """(N, 3): words, their square, and characters."""
    counts = np.array([[len(words(reply)), len(reply)] for reply in replies], dtype=float)
    return np.column_stack([counts[:, 0], counts[:, 0] ** 2, counts[:, 1]])


@dataclass(frozen=True)
class BagOfWords:
    """Which words occur."""

    vocabulary: dict[str, int]

    @classmethod
    def of(cls, replies: Sequence[str]) -> BagOfWords:
        """The words that occur in several of the replies."""
        counts = Counter(word for reply in replies for word in set(words(reply)))
        known = sorted(word for word, count in counts.items() if count >= FEWEST)
        return cls({word: place for place, word in enumerate(known)})

    def numbers(self, replies: Sequence[str]) -> Floats:
        """(N, V): 1 for each word that occurs, 0 for the others."""
        found = np.zeros((len(replies), len(self.vocabulary)))
        for row, reply in enumerate(replies):
            for word in words(reply):
                if word in self.vocabulary:
                    found[row, self.vocabulary[word]] = 1.0
        return found
