"""The reference cascade as a system under test: Whisper's own decoder, a language model, Kokoro, in a row.

It is made of the parts that its recipe names, as they were pretrained; nothing that Harken trained is in it.
The text is written whole, then spoken sentence by sentence. How early sound comes where text and speech
overlap is `harken.bench`'s to measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from harken.audio.io import Samples, read
from harken.errors import InputError
from harken.evaluation.cascade import WINDOW, Transcribe, WhisperDecoder
from harken.evaluation.language import written_in
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.base import LLM, LLMError, Sampling
from harken.llm.templates import Message, render
from harken.recipes import Recipe
from harken.voices.base import NEUTRAL, Style, Voice
from harken.voices.casts import REPLY_VOICES
from harken.voices.phonemes import sentences

_SENTENCE_ENDS = tuple(".!?…。！？\"'”’)")


class CascadeSystem:
    """Answers greedily; its voice speaks where sound is wanted."""

    concurrency = 1

    def __init__(
        self,
        recipe: Recipe,
        transcribe: Transcribe,
        llm: LLM,
        speaker: Voice | None,
        voice: str | None = None,
    ) -> None:
        """Args:
        recipe: what the language model is told, how much it may write, and the parts' names.
        voice: the speaker by its name, where one was chosen.
        """
        parts = [recipe.listen.encoder, recipe.core.weights, *(["kokoro"] if speaker else [])]
        self.name = f"cascade: {', '.join(parts)}"
        self.voice = voice
        self._recipe, self._transcribe, self._llm, self._speaker = recipe, transcribe, llm, speaker

    def answer(self, question: Question) -> Answer:
        """As of every `System`; what was said in earlier turns is known before the clock starts."""
        try:
            *earlier, last = [read(recording).samples for recording in question.recordings]
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error
        messages = [Message("system", self._recipe.system)]
        for samples, (_, reply) in zip(earlier, question.turns[:-1], strict=True):
            messages.append(Message("user", self._hear(samples)))
            if reply is not None:
                messages.append(Message("assistant", reply))
        start_s = time.monotonic()
        asked = [self._hear(last), *([question.instruction] if question.instruction else [])]
        text = self._write([*messages, Message("user", "\n".join(asked))])
        if self._speaker is None or not question.spoken:
            return Answer(text)
        return _spoken(text, self._speaker, start_s)

    def _hear(self, samples: Samples) -> str:
        windows = [samples[start : start + WINDOW] for start in range(0, len(samples), WINDOW)]
        return " ".join(self._transcribe(windows)).strip()

    def _write(self, messages: list[Message]) -> str:
        prompt = render(self._llm.template, messages)
        sampling = Sampling(max_tokens=self._recipe.max_reply_tokens, temperature=0.0)
        (said,) = self._llm.complete([prompt], sampling)
        if isinstance(said, LLMError):
            raise Unanswered(said.message, said.hint) from said
        text = said.text.strip()
        if not text:
            raise Unanswered(f"{self.name} said nothing")
        return _to_sentence_end(text) if said.finish == "length" else text


class ByLanguage:
    """A voice, and one of the same kind for what is Chinese, which is opened when there is some."""

    def __init__(self, voice: Voice, chinese: Callable[[], Voice]) -> None:
        self.name, self.sample_rate = voice.name, voice.sample_rate
        self._voice, self._chinese = voice, cache(chinese)

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """As of every `Voice`."""
        voice = self._chinese() if written_in(text) == "zh" else self._voice
        return voice.speak(text, style)


def open_cascade(recipe: Recipe, voice: str | None = None) -> CascadeSystem:
    """The cascade of a recipe's parts; weights that are not here yet are fetched.

    Args: voice: a speaker of Kokoro's; None, "recipe" and "kokoro" are the recipe's, and another for Chinese;
        "none" is nobody.

    Raises: MissingExtra, WeightsError and InputError where a part cannot be had. The core has to be a GGUF
        model of the catalogue.
    """
    from harken.llm.embedded import EmbeddedLLM
    from harken.weights.store import ensure

    llm = EmbeddedLLM(_gguf(recipe.core.weights), slots=1)
    llm.start()
    language = recipe.languages[0] if len(recipe.languages) == 1 else None
    transcribe = WhisperDecoder(ensure(recipe.listen.encoder), language)
    return CascadeSystem(recipe, transcribe, llm, _speaker(recipe, voice), voice)


def _gguf(core: str) -> str:
    """The catalogue's name of a core as llama.cpp reads it: one that transformers reads was made of the same
    file.
    """
    from harken.weights.catalogue import CATALOGUE, find

    files = find(core).files
    raw = (entry.name for entry in CATALOGUE if entry.files == files and not entry.converter)
    return next(raw, core)


def _speaker(recipe: Recipe, voice: str | None) -> Voice | None:
    from harken.voices import kokoro

    if voice == "none":
        return None
    chosen = None if voice in ("recipe", "kokoro") else voice
    speaker = kokoro.load(chosen or recipe.speaker)
    list(speaker.speak("Hello."))  # what is missing shows now, and the first reply need not wait
    return speaker if chosen else ByLanguage(speaker, lambda: kokoro.load(REPLY_VOICES["zh"]))


def _to_sentence_end(text: str) -> str:
    """A text that was cut, without the sentence that is not whole, unless there is no other."""
    *whole, rest = sentences(text)
    return text[: text.rindex(rest)].rstrip() if whole and not rest.endswith(_SENTENCE_ENDS) else text


def _spoken(text: str, voice: Voice, start_s: float) -> Answer:
    """The answer with its sound; without, where nothing in it can be spoken."""
    chunks: list[Samples] = []
    first_audio_s: float | None = None
    for chunk in voice.speak(text):
        if first_audio_s is None:
            first_audio_s = time.monotonic() - start_s
        chunks.append(chunk)
    if not chunks:
        return Answer(text)
    return Answer(text, np.concatenate(chunks), voice.sample_rate, first_audio_s)
