"""The reply's voice: sentences are spoken as soon as they are whole, while the rest is still being written.

Keeps the clock of the sound (`start_ms`, `end_ms`) and which text each chunk covers, so that an interrupted
reply can be remembered as it was heard. How a voice speaks is `harken.voices`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harken.dialogue.events import AudioChunk
from harken.voices.base import Samples, Voice
from harken.voices.phonemes import sentences
from harken.voices.styles import reply_style

CHARACTERS_PER_S = 15.0
"""How fast text is spoken, for chunks that end within a sentence."""


class Speaker:
    """Speaks one reply in the style that fits the heard emotion."""

    def __init__(
        self, voice: Voice, emotion: str | None, pieces: Callable[[str], list[str]] = sentences
    ) -> None:
        """Args: pieces: a text -> what of it is spoken at once; the last piece may still grow."""
        self.chunks: list[AudioChunk] = []
        self._voice, self._pieces = voice, pieces
        self._style = reply_style(emotion)[1]
        self._spoken = 0  # sentences
        self._text_end = 0  # characters

    def speak(self, text: str, final: bool = False) -> Iterator[AudioChunk]:
        """Say the sentences of the `text` so far that are whole and not yet said; all of it with `final`."""
        whole = self._pieces(text)
        for sentence in whole[self._spoken : len(whole) if final else len(whole) - 1]:
            start = text.index(sentence, self._text_end)
            yield from self._sentence(start, start + len(sentence), sentence)
            self._spoken += 1

    def _sentence(self, start: int, end: int, sentence: str) -> Iterator[AudioChunk]:
        held: Samples | None = None  # the last chunk covers the whole sentence, so each waits for the next
        said_s = 0.0
        for samples in self._voice.speak(sentence, self._style):
            if held is not None:
                said_s += len(held) / self._voice.sample_rate
                yield self._chunk(held, min(start + int(said_s * CHARACTERS_PER_S), end))
            held = samples
        if held is not None:
            yield self._chunk(held, end)
        self._text_end = end

    def _chunk(self, samples: Samples, text_end: int) -> AudioChunk:
        start_ms = self.chunks[-1].end_ms if self.chunks else 0.0
        end_ms = start_ms + 1000 * len(samples) / self._voice.sample_rate
        chunk = AudioChunk(samples, self._voice.sample_rate, start_ms, end_ms, text_end)
        self.chunks.append(chunk)
        return chunk
