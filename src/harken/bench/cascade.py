"""What a user would otherwise build: a recogniser, a language model in llama.cpp, a voice, one after another.

Two of them, both of parts that the catalogue has, each used as its makers intend: the usual one
(faster-whisper base, Kokoro sentence by sentence) and the fastest (Moonshine, Piper, from the first clause
on). Both let SmolLM2-135M-Instruct answer as it was pretrained, greedily.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from harken.dialogue.events import Attribution, Done, Event, TextDelta
from harken.dialogue.speaking import Speaker
from harken.errors import MissingExtra
from harken.evaluation.cascade import Samples
from harken.processor import cores
from harken.recipes import Recipe
from harken.voices.base import Voice
from harken.voices.phonemes import sentences
from harken.weights.store import ensure

LANGUAGE_MODEL = "smollm2-135m-instruct-gguf"
RECOGNISER = "whisper-base-ctranslate2"
_CONTEXT = 2048
_CLAUSE = re.compile(r"[^,;:.!?…]+[,;:.!?…]*\s*")


class Cascade:
    """Samples (N,) at 16 kHz -> the events of a reply."""

    def __init__(
        self,
        hear: Callable[[Samples], str],
        write: Callable[[str], Iterator[str]],
        voice: Voice,
        pieces: Callable[[str], list[str]],
    ) -> None:
        """Args: pieces: a text -> what is spoken at once."""
        self._hear, self._write, self._voice, self._pieces = hear, write, voice, pieces

    def __call__(self, samples: Samples) -> Iterator[Event]:
        text, speaker = "", Speaker(self._voice, None, self._pieces)
        for delta in self._write(self._hear(samples)):
            text += delta
            yield TextDelta(delta)
            yield from speaker.speak(text)
        yield from speaker.speak(text, final=True)
        yield Done(text, "", Attribution(None, None))


def usual(recipe: Recipe) -> Cascade:
    """faster-whisper base -> SmolLM2-135M in llama.cpp -> Kokoro, by sentences. Raises HarkenError."""
    from harken.voices import kokoro

    return Cascade(_faster_whisper(), LlamaCpp(recipe), kokoro.load(recipe.speaker), sentences)


def fastest(recipe: Recipe) -> Cascade:
    """Moonshine-tiny -> SmolLM2-135M in llama.cpp -> Piper, clause by clause. Raises HarkenError."""
    from harken.bench.piper import WEIGHTS, PiperVoice
    from harken.evaluation.moonshine import Moonshine

    return Cascade(Moonshine(), LlamaCpp(recipe), PiperVoice(ensure(WEIGHTS)), clauses)


def clauses(text: str) -> list[str]:
    """The parts of a text up to each mark, without surrounding white space."""
    return [clause[0].strip() for clause in _CLAUSE.finditer(text) if clause[0].strip()]


class LlamaCpp:
    """SmolLM2-135M-Instruct in this process; what was heard -> the answer, piece by piece."""

    def __init__(self, recipe: Recipe) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise MissingExtra("llama.cpp in this process", "data") from None
        params = xllamacpp.CommonParams()
        params.model.path = str(next(ensure(LANGUAGE_MODEL).glob("*.gguf")))
        params.verbosity = -1
        params.n_parallel, params.n_ctx = 1, _CONTEXT
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = cores()
        self._server: Any = xllamacpp.Server(params)
        self._recipe = recipe

    def __call__(self, heard: str) -> Iterator[str]:
        pieces: SimpleQueue[str | None] = SimpleQueue()
        request = {
            "messages": [
                {"role": "system", "content": self._recipe.system},
                {"role": "user", "content": heard},
            ],
            "stream": True,
            "temperature": 0.0,
            "max_tokens": self._recipe.max_reply_tokens,
        }
        asking = Thread(target=partial(self._ask, request, pieces), daemon=True)
        asking.start()
        yield from iter(pieces.get, None)
        asking.join()

    def _ask(self, request: dict[str, Any], pieces: SimpleQueue[str | None]) -> None:
        def take(event: dict[str, Any]) -> bool:
            delta = event["choices"][0].get("delta", {}).get("content")
            if delta:
                pieces.put(delta)
            return False  # go on

        try:
            self._server.handle_chat_completions(request, take)
        finally:
            pieces.put(None)


def _faster_whisper() -> Callable[[Samples], str]:
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise MissingExtra("faster-whisper", "bench") from None
    folder: Path = ensure(RECOGNISER)
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=cores())

    def hear(samples: Samples) -> str:
        segments, _ = model.transcribe(samples, language="en", beam_size=1, without_timestamps=True)
        return " ".join(segment.text.strip() for segment in segments)

    return hear
