"""One reply, as a stream of events: hear, answer in words and voice, and say how the speaker feels and why.

`think="after"` (the default) writes and speaks the answer at once; attribution and trace are a second branch
from the same prefix, begun when text and sound are out. `before` thinks first, `off` not at all. Closing the
iterator at any moment stops within one step and leaves the conversation with what the user can have heard.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from harken.affect.labels import top_emotion
from harken.dialogue.conversation import Conversation
from harken.dialogue.decoding import Opening, TextStream, read, write
from harken.dialogue.events import Attribution, Done, Event, Heard, Notice, TextDelta, TraceDelta
from harken.dialogue.own_speech import OwnSpeech
from harken.dialogue.render import THINK_CLOSE, THINK_OPEN, UserTurn, parse_trace
from harken.dialogue.sampling import Sampler, Sampling
from harken.dialogue.speaking import Speaker
from harken.dialogue.unit_sampling import UnitSampler, UnitSampling
from harken.model.own_voice import OwnVoice
from harken.voices.base import Voice
from harken.voices.phonemes import words
from harken.voices.symbols import SYMBOL_IDS

if TYPE_CHECKING:
    from torch import Tensor

    from harken.model.spoken_lm import HeardTurn

Think = Literal["after", "before", "off"]
LEAST_CONFIDENCE = 0.66
"""Mean probability of the heard pieces below which nothing is answered to them. Of mini's dev turns, 25 in
Chinese lie at 0.38 to 0.60 and 40 in English at 0.79 to 0.98; people reading at 0.66 to 0.95, people acting
from 0.71."""
SURE_OF_GENDER = 0.6
LANGUAGES = {"en": "English", "zh": "Chinese"}
ADJECTIVES = {
    "anger": "angry", "disgust": "disgusted", "fear": "afraid", "happy": "happy", "sad": "sad",
    "surprise": "surprised",
}  # fmt: skip
"""How a label reads after "you feel"."""


@dataclass(frozen=True)
class ReplySettings:
    """How one reply is made."""

    think: Think = "after"
    instruction: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    units: UnitSampling = field(default_factory=UnitSampling)
    """How the model's own voice chooses what it says."""
    max_reply_tokens: int | None = None
    """None takes the recipe's."""
    max_trace_tokens: int | None = None
    """None takes the recipe's."""
    least_confidence: float = LEAST_CONFIDENCE


def reply(
    conversation: Conversation,
    said: NDArray[np.float32] | HeardTurn | str,
    settings: ReplySettings | None = None,
    voice: Voice | OwnVoice | None = None,
) -> Iterator[Event]:
    """Answer a user's turn, going on with `conversation`.

    Args:
        said: samples (N,) at 16 kHz, a turn already heard, or text.
        voice: speaks the reply, the model's own or another; None leaves it unspoken.

    Yields: Heard first (not for text), Done last; between them what `harken.dialogue.events` has besides.
    Raises: InputError where the turn is too long for the model.
    """
    turn = _Reply(conversation, settings or ReplySettings(), voice)
    if isinstance(said, str):
        yield from turn.answer(said, None)
        return
    heard = conversation.model.hear(said) if isinstance(said, np.ndarray) else said
    understood = is_understood(heard, turn.settings.least_confidence)
    event = heard_event(heard, understood)
    yield event
    if event.words_from_s > 0:
        yield Notice(
            f"the recording is {event.seconds / 60:.0f} minutes long: words are read from "
            f"{event.words_from_s / 60:.1f} min on, the emotion is of all of it"
        )
    if understood:
        yield from turn.answer(heard, event.emotion)
    else:
        yield from turn.not_understood(event, heard.affect)


def say(
    conversation: Conversation,
    text: str,
    voice: Voice | OwnVoice | None = None,
    emotion: str | None = None,
) -> Iterator[Event]:
    """Say a text that is given, as a reply is said; the conversation does not keep it.

    Args: emotion: what the user was heard to feel, which an external voice's style answers.

    Yields: the text, its sound, and Done.
    """
    turn = _Reply(conversation, ReplySettings(), voice)
    yield from turn.say(text, None, emotion)
    yield turn.done(text, Attribution(None, None))


def is_understood(heard: HeardTurn, least_confidence: float = LEAST_CONFIDENCE) -> bool:
    """Whether words were heard, and surely enough to be answered."""
    words = heard.transcript is None or bool(heard.transcript.strip())
    return words and heard.confidence >= least_confidence


def heard_event(heard: HeardTurn, understood: bool = True) -> Heard:
    """What the user sees of what was heard; words that were not understood are not shown."""
    gender, certainty = max(heard.gender.items(), key=lambda item: item[1])
    return Heard(
        emotion=top_emotion(heard.emotion),
        scores=heard.emotion,
        gender=gender if certainty >= SURE_OF_GENDER else None,
        transcript=heard.transcript.strip() if heard.transcript and understood else None,
        confidence=heard.confidence,
        seconds=heard.seconds,
        words_from_s=heard.words_from_s,
    )


class _Reply:
    """A reply in the making."""

    def __init__(
        self, conversation: Conversation, settings: ReplySettings, voice: Voice | OwnVoice | None
    ) -> None:
        self.conversation = conversation
        self.model = conversation.model
        self.settings = settings
        self.text = TextStream(self.model.tokenizer)
        self.thought = TextStream(self.model.tokenizer, stop=THINK_CLOSE.strip())
        self._voice = voice
        self._speaker: Speaker | OwnSpeech | None = None
        self._begun = perf_counter()
        self._timings_ms: dict[str, float] = {}

    def answer(self, said: HeardTurn | str, emotion: str | None) -> Iterator[Event]:
        """Answer words."""
        content = said if isinstance(said, str) else said.embeddings
        opening, dropped = self.conversation.ask(UserTurn(content, self.settings.instruction))
        finished = False
        try:
            if dropped:
                yield Notice(f"the conversation is full: its {dropped} oldest turns are forgotten")
            attribution = Attribution(None, None)
            if self.settings.think == "before":
                attribution = yield from self._think(opening)
                marked = f"{THINK_OPEN}{self.thought.text}{THINK_CLOSE}"
                opening = read(self.model, self._encode(marked), opening.state)
            self._speaker = self._new_speaker(None if isinstance(said, str) else said.affect, emotion)
            yield from self._write(opening)
            finished = True
            if self.settings.think == "after":
                attribution = yield from self._think(opening)
        finally:
            self._remember(finished)
        yield self.done(self.text.text, attribution)

    def not_understood(self, heard: Heard, affect: Tensor) -> Iterator[Event]:
        """Words that were not caught are not answered, and the conversation does not keep them."""
        spoken = " and ".join(LANGUAGES.get(code, code) for code in self.model.recipe.languages)
        yield Notice(
            f"the words were not understood (confidence {heard.confidence:.2f}); the model speaks {spoken}"
        )
        feeling = ADJECTIVES.get(heard.emotion)
        opening = f"I can hear that you may feel {feeling}, but" if feeling else "I am sorry,"
        text = f"{opening} I did not catch the words. Could you say it again in {spoken}?"
        yield from self.say(text, affect, heard.emotion)
        yield self.done(text, Attribution(None, None))

    def say(self, text: str, affect: Tensor | None, emotion: str | None) -> Iterator[Event]:
        """A text that the model did not write, and its sound."""
        self._mark("first_text")
        yield TextDelta(text)
        self._speaker = self._new_speaker(affect, emotion)
        if isinstance(self._speaker, OwnSpeech):
            ids = self._encode(text)
            shared = read(self.model, ids, self.conversation.prefix.state).shared  # (T, D)
            for n, token in enumerate(ids):
                self._speaker.read(token, shared[n], len(self.model.tokenizer.decode(ids[: n + 1])))
        yield from self._speak(text, final=True)

    def _new_speaker(self, affect: Tensor | None, emotion: str | None) -> Speaker | OwnSpeech | None:
        if isinstance(self._voice, OwnVoice):
            sampler = UnitSampler(
                self.settings.units, self._voice.speak.sizes.levels, self.conversation.asked
            )
            return OwnSpeech(self._voice, words, SYMBOL_IDS, sampler, self.model.embed, affect)
        return Speaker(self._voice, emotion) if self._voice else None

    def _write(self, opening: Opening) -> Iterator[Event]:
        """Text as it is written, and its sound as soon as enough of it is there."""
        most = self.settings.max_reply_tokens or self.model.recipe.max_reply_tokens
        writing = write(
            self.model, opening, self._sampler(0), self.text, most, to_sentence_end=True, on_read=self._read
        )
        for delta in writing:
            self._mark("first_text")
            yield TextDelta(delta)
            yield from self._speak(self.text.text)
        yield from self._speak(self.text.text, final=True)

    def _read(self, token: int, shared: Tensor) -> None:
        if isinstance(self._speaker, OwnSpeech):
            self._speaker.read(token, shared, len(self.text.text))

    def _speak(self, text: str, final: bool = False) -> Iterator[Event]:
        if self._speaker is None:
            return
        for chunk in self._speaker.speak(text, final):
            self._mark("first_audio")
            yield chunk
        sound = self._speaker.chunks
        if final and isinstance(self._speaker, OwnSpeech) and self._speaker.cut and sound:
            yield Notice(
                f"the reply's sound went on for too long and was cut after {sound[-1].end_ms / 1000:.0f} s"
            )

    def _think(self, opening: Opening) -> Generator[Event, None, Attribution]:
        """A branch of its own: the trace in a think block, and what it states."""
        branch = read(self.model, self._encode(THINK_OPEN), opening.state.fork())
        most = self.settings.max_trace_tokens or self.model.recipe.max_trace_tokens
        for delta in write(self.model, branch, self._sampler(1), self.thought, most):
            yield TraceDelta(delta)
        attribution = Attribution(*parse_trace(self.thought.text))
        yield attribution
        return attribution

    def _remember(self, finished: bool) -> None:
        """The reply as heard: whole when it is out, else as far as it was spoken (without a voice: shown)."""
        text, sound = self.text.text, self._speaker.chunks if self._speaker else []
        if self._speaker and not finished:
            text = text[: sound[-1].text_end] if sound else ""
        self.conversation.answer(text, sound)

    def _sampler(self, branch: int) -> Sampler:
        return Sampler(self.settings.sampling, 2 * self.conversation.asked + branch)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.model.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _mark(self, moment: str) -> None:
        self._timings_ms.setdefault(moment, 1000 * (perf_counter() - self._begun))

    def done(self, text: str, attribution: Attribution) -> Done:
        """How the turn ends."""
        self._mark("total")
        return Done(text, self.thought.text, attribution, self._timings_ms)
