"""Several texts that are written by turns, on one thread, with the core's weights read once for all of them.

Between two of its steps a text has a token that the core has not read yet. Whoever comes to need its own read
has those of all that wait read in the same pass, and they find theirs done. So nobody waits for anybody, no
text is written otherwise than alone, and one that is left takes its token with it.

Shapes: R texts, D core width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harken.model.eight_bit import MOST_ROWS

if TYPE_CHECKING:
    from harken.model.core import CoreState
    from harken.model.spoken_lm import Read, SpokenLM


class Together:
    """Those who write with one model. Not for use by two threads at once."""

    def __init__(self, model: SpokenLM, most: int = MOST_ROWS) -> None:
        """Args: most: tokens that are read in one pass."""
        self._model, self._most = model, most
        self._waiting: dict[object, tuple[int, CoreState]] = {}  # the longest first
        self._found: dict[object, Read] = {}

    def wait(self, text: object, token: int, state: CoreState) -> None:
        """A text will need this token read after this state."""
        self._waiting[text] = token, state

    def leave(self, text: object) -> None:
        """A text needs nothing read any more."""
        self._waiting.pop(text, None)
        self._found.pop(text, None)

    def read(self, text: object) -> Read:
        """What comes of a text's token, which waits or was read beside another's."""
        if text in self._waiting:
            self._read([text, *(other for other in self._waiting if other is not text)][: self._most])
        return self._found.pop(text)

    @torch.no_grad()
    def _read(self, texts: list[object]) -> None:
        tokens, states = zip(*(self._waiting[text] for text in texts), strict=True)
        found = self._model.read_each(self._model.embed(list(tokens)), states)  # (R, D)
        for text, read in zip(texts, found, strict=True):
            del self._waiting[text]
            self._found[text] = read
