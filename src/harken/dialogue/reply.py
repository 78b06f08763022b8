"""One reply, as a stream of events: hear, answer in words and voice, and say how the speaker feels and why.

`think="after"` (the default) writes and speaks the answer at once; attribution and trace are a second branch
from the same prefix, begun when text and sound are out. `before` thinks first, `off` not at all. Closing the
iterator at any moment stops within one step and leaves the conversation with what the user can have heard.
A guard sees the turn before a reply is begun, and the reply before it goes out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from harken.affect.labels import top_emotion
from harken.dialogue.conversation import Conversation
from harken.dialogue.decoding import Opening, TextStream, Writing, read
from harken.dialogue.events import (
    Attribution,
    AudioChunk,
    Done,
    Event,
    Heard,
    Notice,
    Reflected,
    ReflectionDelta,
    TextDelta,
    TraceDelta,
)
from harken.dialogue.guard import Exchange, Guard
from harken.dialogue.own_speech import OwnSpeech
from harken.dialogue.pace import Pace
from harken.dialogue.reflection import Alternation, check_reflects
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

    from harken.dialogue.together import Together
    from harken.model.spoken_lm import HeardTurn
    from harken.recipes import ReflectConfig

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
    least_confidence: float = LEAST_CONFIDENCE
    reflect: ReflectConfig | None = None
    """Reflect between chunks of the reply, and how; None does not."""


def reply(
    conversation: Conversation,
    said: NDArray[np.float32] | HeardTurn | str,
    settings: ReplySettings | None = None,
    voice: Voice | OwnVoice | None = None,
    guard: Guard | None = None,
    together: Together | None = None,
) -> Iterator[Event]:
    """Answer a user's turn, going on with `conversation`.

    Args:
        said: samples (N,) at 16 kHz, a turn already heard, or text.
        voice: speaks the reply, the model's own or another; None leaves it unspoken.
        guard: may answer in the model's place, or break a reply off.
        together: other replies that are made by turns with this one; one that reflects goes alone.

    Yields: Heard first (not for text), Done last; between them what `harken.dialogue.events` has besides.
    Raises: InputError where the turn is too long for the model, RecipeError where it cannot reflect.
    """
    settings = settings or ReplySettings()
    if settings.reflect:
        check_reflects(conversation.model)
    conversation.begin_reply()
    if isinstance(said, str):
        yield from _Reply(conversation, settings, voice, guard, said, together=together).answer()
        return
    heard = conversation.model.hear(said) if isinstance(said, np.ndarray) else said
    understood = is_understood(heard, settings.least_confidence)
    event = heard_event(heard, understood)
    yield event
    if event.words_from_s > 0:
        yield Notice(
            f"the recording is {event.seconds / 60:.0f} minutes long: words are read from "
            f"{event.words_from_s / 60:.1f} min on, the emotion is of all of it"
        )
    turn = _Reply(conversation, settings, voice, guard, heard, event, together)
    yield from turn.answer() if understood else turn.not_understood()


def say(conversation: Conversation, text: str, voice: Voice | OwnVoice | None = None) -> Iterator[Event]:
    """Say a text that is given, as a reply is said; the conversation does not keep it.

    Yields: the text, its sound, and Done.
    """
    conversation.begin_reply()
    yield from _Reply(conversation, ReplySettings(), voice, None, "").given(text)


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
        self,
        conversation: Conversation,
        settings: ReplySettings,
        voice: Voice | OwnVoice | None,
        guard: Guard | None,
        said: HeardTurn | str,
        heard: Heard | None = None,
        together: Together | None = None,
    ) -> None:
        """Args: heard: what the user sees of `said`; None where it was written."""
        self.conversation = conversation
        self.model = conversation.model
        self.settings = settings
        self.text = TextStream(self.model.tokenizer)
        self.thought = TextStream(self.model.tokenizer, stop=THINK_CLOSE.strip())
        self._voice, self._guard = voice, guard
        self._said, self._heard = said, heard
        self._together = None if settings.reflect else together
        self._shown = ""
        self._sound: list[AudioChunk] = []
        self._speaker: Speaker | OwnSpeech | None = None
        self._spoken_from = 0  # characters of what is shown
        self._out = 0  # characters that were said to their end
        self._pace = Pace()
        self._begun = perf_counter()
        self._timings_ms: dict[str, float] = {}

    def answer(self) -> Iterator[Event]:
        """Answer words."""
        content = self._said if isinstance(self._said, str) else self._said.embeddings
        opening, dropped = self.conversation.ask(UserTurn(content, self.settings.instruction))
        try:
            if dropped:
                yield Notice(f"the conversation is full: its {dropped} oldest turns are forgotten")
            attribution = None
            if self.settings.think == "before":
                attribution = yield from self._think(opening)
                marked = f"{THINK_OPEN}{self.thought.text}{THINK_CLOSE}"
                opening = read(self.model, self._encode(marked), opening.state)
            instead = self._instead(attribution)
            if instead:
                yield from self._say_instead(instead)
            else:
                yield from self._write(opening, attribution)
            self._out = len(self._shown)
            if self.settings.think == "after":
                attribution = yield from self._think(opening)
                if not instead and (instead := self._instead(attribution)):
                    yield from self._say_instead(instead)
                    self._out = len(self._shown)
        finally:
            self._remember()
        yield self._done(attribution)

    def not_understood(self) -> Iterator[Event]:
        """Words that were not caught are not answered, and the conversation does not keep them; unless the
        guard has something to say to them.
        """
        assert self._heard is not None, "what was written is understood"
        if instead := self._instead(None):
            yield from self._say_instead(instead)
        else:
            spoken = " and ".join(LANGUAGES.get(code, code) for code in self.model.recipe.languages)
            yield Notice(
                f"the words were not understood (confidence {self._heard.confidence:.2f}); "
                f"the model speaks {spoken}"
            )
            feeling = ADJECTIVES.get(self._heard.emotion)
            opening = f"I can hear that you may feel {feeling}, but" if feeling else "I am sorry,"
            yield from self._say(f"{opening} I did not catch the words. Could you say it again in {spoken}?")
        yield self._done(None)

    def given(self, text: str) -> Iterator[Event]:
        """Say a text, and no more."""
        yield from self._say(text)
        yield self._done(None)

    def _instead(self, attribution: Attribution | None, reply: str = "") -> str | None:
        """What the guard says in the model's place."""
        said = self._said if isinstance(self._said, str) else self._said.transcript
        return self._guard(Exchange(said, self._heard, attribution, reply)) if self._guard else None

    def _say_instead(self, text: str) -> Iterator[Event]:
        yield Notice("the guard answers in the model's place")
        broken_off = self._shown and self._shown[-1] not in ".!?。！？"
        yield from self._say(f" … {text}" if broken_off else f" {text}" if self._shown else text)

    def _say(self, text: str) -> Iterator[Event]:
        """Say what the model has not written."""
        self._begin_to_speak()
        yield self._show(text)
        if isinstance(self._speaker, OwnSpeech):
            ids = self._encode(text)
            shared = read(self.model, ids, self.conversation.prefix.state).shared  # (T, D)
            for n, token in enumerate(ids):
                self._speaker.read(token, shared[n], len(self.model.tokenizer.decode(ids[: n + 1])))
        yield from self._speak(text, final=True)

    def _begin_to_speak(self) -> None:
        self._speaker, self._spoken_from = self._new_speaker(), len(self._shown)

    def _new_speaker(self) -> Speaker | OwnSpeech | None:
        if isinstance(self._voice, OwnVoice):
            sampler = UnitSampler(
                self.settings.units, self._voice.speak.sizes.levels, self.conversation.asked
            )
            affect = None if isinstance(self._said, str) else self._said.affect
            return OwnSpeech(self._voice, words, SYMBOL_IDS, sampler, self.model.embed, affect)
        return Speaker(self._voice, self._heard.emotion if self._heard else None) if self._voice else None

    def _write(self, opening: Opening, attribution: Attribution | None) -> Iterator[Event]:
        """Text as it is written, and its sound as soon as enough of it is there, until the guard objects.

        Sound is some words behind the text, so that of the words that it objects to none was heard.
        """
        self._begin_to_speak()
        most = self.settings.max_reply_tokens or self.model.recipe.max_reply_tokens
        with closing(self._writing(opening, 0, self.text, most, reply=True)) as writing:
            for delta in self._with_reflections(writing):
                if not isinstance(delta, str):
                    yield delta
                    continue
                if instead := self._instead(attribution, self._shown + delta):
                    yield from self._say_instead(instead)
                    return
                yield self._show(delta)
                yield from self._speak(self._shown)
        yield from self._speak(self._shown, final=True)

    def _writing(
        self, opening: Opening, branch: int, stream: TextStream, most: int, reply: bool = False
    ) -> Writing:
        on_read = self._read if reply else None
        return Writing(
            self.model, opening, self._sampler(branch), stream, most, reply, on_read, self._together
        )

    def _with_reflections(self, writing: Writing) -> Iterator[str | ReflectionDelta | Reflected]:
        """The reply as it is written and, where it reflects, what it reflects on in between."""
        reflect = self.settings.reflect
        if not reflect or not reflect.reflection_tokens:
            return iter(writing)
        sampler = Sampler(self.settings.sampling, -self.conversation.asked)
        spoken, positions = self._speaker is not None, self.conversation.limit
        self._pace = Pace()
        return iter(Alternation(self.model, writing, reflect, sampler, self._pace, spoken, positions))

    def _show(self, text: str) -> TextDelta:
        self._mark("first_text")
        self._shown += text
        return TextDelta(text)

    def _read(self, token: int, shared: Tensor) -> None:
        if isinstance(self._speaker, OwnSpeech):
            self._speaker.read(token, shared, len(self.text.text))

    def _speak(self, text: str, final: bool = False) -> Iterator[Event]:
        """Say more of a text that begins at `_spoken_from`."""
        if self._speaker is None:
            return
        for chunk in self._speaker.speak(text, final):
            self._mark("first_audio")
            self._pace.made((chunk.end_ms - chunk.start_ms) / 1000)
            self._sound.append(self._in_reply(chunk))
            yield self._sound[-1]
        sound = self._speaker.chunks
        if final and isinstance(self._speaker, OwnSpeech) and self._speaker.cut and sound:
            yield Notice(
                f"the reply's sound went on for too long and was cut after {sound[-1].end_ms / 1000:.0f} s"
            )

    def _in_reply(self, chunk: AudioChunk) -> AudioChunk:
        """A chunk of what is being said, as one of the whole reply."""
        start_ms = self._sound[-1].end_ms if self._sound else 0.0
        end_ms = start_ms + chunk.end_ms - chunk.start_ms
        return replace(chunk, start_ms=start_ms, end_ms=end_ms, text_end=self._spoken_from + chunk.text_end)

    def _think(self, opening: Opening) -> Generator[Event, None, Attribution]:
        """A branch of its own: the trace in a think block, and what it states."""
        branch = read(self.model, self._encode(THINK_OPEN), opening.state.fork())
        most = self.model.recipe.max_trace_tokens
        with closing(self._writing(branch, 1, self.thought, most)) as writing:
            for delta in writing:
                yield TraceDelta(delta)
        attribution = Attribution(*parse_trace(self.thought.text))
        yield attribution
        return attribution

    def _remember(self) -> None:
        """The reply as heard: what is out, and more as far as it was spoken (without a voice: shown)."""
        text, sound = self._shown, self._sound
        if self._speaker:
            text = text[: max(self._out, sound[-1].text_end if sound else 0)]
        self.conversation.answer(text, sound)

    def _sampler(self, branch: int) -> Sampler:
        return Sampler(self.settings.sampling, 2 * self.conversation.asked + branch)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.model.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _mark(self, moment: str) -> None:
        self._timings_ms.setdefault(moment, 1000 * (perf_counter() - self._begun))

    def _done(self, attribution: Attribution | None) -> Done:
        self._mark("total")
        return Done(self._shown, self.thought.text, attribution or Attribution(None, None), self._timings_ms)
