"""Reflecting while speaking: chunks of the reply and of unspoken thoughts about it, by turns.

A reflection is read into the same state as the reply, so that what is said next follows from it; it is never
spoken, shown as the reply, or remembered. The phase says which tokens may come: a chunk of the reply cannot
hold the marks around reflections, a reflection can neither open another nor end the turn, and it is closed
for the model where the model does not close it in time.

Source: ReEmpathy's alternating inference. What of it is there and what is not: docs/reflection.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from harken.dialogue.decoding import Lean, TextStream, Writing, read, stop_ids
from harken.dialogue.events import Limit, Reflected, ReflectionDelta
from harken.errors import RecipeError

if TYPE_CHECKING:
    from harken.dialogue.pace import Pace
    from harken.dialogue.sampling import Sampler
    from harken.model.spoken_lm import SpokenLM
    from harken.recipes import ReflectConfig

LEAST_TOKENS = 6
"""What is shorter says nothing: then there is no reflection, unless no longer one was asked for."""
MARKS = 2


def check_reflects(model: SpokenLM) -> ReflectConfig:
    """How a model was taught to reflect. Raises RecipeError where it was not."""
    recipe = model.recipe
    if recipe.reflect and model.marks:
        return recipe.reflect
    why = "its checkpoint holds none" if recipe.reflect else "its recipe does not say `reflect`"
    raise RecipeError(
        f"{recipe.name} has no tokens for reflections: {why}",
        "it takes a checkpoint whose recipe says `reflect`: harken train reflect --from mini makes one "
        "(docs/reflection.md)",
    )


class Alternation:
    """A reply that is written in chunks, with reflections between them."""

    def __init__(
        self,
        model: SpokenLM,
        writing: Writing,
        settings: ReflectConfig,
        sampler: Sampler,
        pace: Pace,
        spoken: bool,
        positions: int,
    ) -> None:
        """Args:
        sampler: chooses the reflections' tokens.
        spoken: whether the reply is; only then time matters.
        positions: that the context has in all.
        """
        assert model.marks, "only a model that was taught to reflects"
        self._model, self._writing, self._settings, self._sampler = model, writing, settings, sampler
        self._pace, self._spoken, self._positions = pace, spoken and settings.real_time, positions
        self._marks = model.marks
        self._banned = stop_ids(model.tokenizer) | {model.marks.opening}

    def __iter__(self) -> Iterator[str | ReflectionDelta | Reflected]:
        """Text of the reply, of reflections, and after each what became of it."""
        start = self._writing.state.length
        if self._settings.first == "reflection":
            yield from self._reflect(start)
        while not self._writing.finished:
            start = self._writing.state.length
            yield from self._respond()
            if not self._writing.finished:
                yield from self._reflect(start)

    def _respond(self) -> Iterator[str]:
        """A chunk of the reply."""
        for _ in range(self._settings.response_tokens):
            if self._writing.finished:
                return
            begun_s, before = self._pace.clock(), self._writing.state.length
            delta = self._writing.step()
            self._pace.read(self._writing.state.length - before, self._pace.clock() - begun_s)
            if delta:
                yield delta

    def _reflect(self, chunk: int) -> Iterator[ReflectionDelta | Reflected]:
        """A reflection, if there is time and room. Args: chunk: where the reply's last chunk begins."""
        writing = self._writing
        writing.catch_up()
        ahead_s, reserve_s = self._pace.ahead_s, self._pace.reserve_s
        allowed, limit = self._allowed(delays=writing.state.length == chunk)
        stream, closed = TextStream(self._model.tokenizer), False
        begun_s = self._pace.clock()
        if allowed:
            closed = yield from self._think(stream, allowed, self._lean(chunk, writing.state.length))
        self._pace.stood_aside(self._pace.clock() - begun_s)
        yield Reflected(
            stream.text,
            tokens=len(stream.ids),
            allowed=allowed,
            limit=limit,
            closed=closed,
            ahead_ms=1000 * ahead_s if self._spoken else None,
            reserve_ms=1000 * reserve_s if self._spoken else None,
            tokens_per_s=self._pace.tokens_per_s,
        )

    def _think(
        self, stream: TextStream, most: int, lean: Lean | None
    ) -> Generator[ReflectionDelta, None, bool]:
        """Write a reflection into the reply's state; gives whether the model closed it."""
        writing, opened = self._writing, self._writing.state.length
        logits, state, _ = read(self._model, [self._marks.opening], writing.state, lean)
        closed = False
        while len(stream.ids) < most and not closed:
            token = self._sampler.choose(logits, stream.ids, self._banned)
            closed = token == self._marks.closing
            if not closed:
                if delta := stream.push(token):
                    yield ReflectionDelta(delta)
                logits, state, _ = read(self._model, [token], state, lean)
        writing.logits, writing.state, _ = read(self._model, [self._marks.closing], state, lean)
        writing.lean = self._lean(opened, writing.state.length)
        return closed

    def _allowed(self, delays: bool) -> tuple[int, Limit]:
        """How many tokens a reflection may have, and what sets that. Args: delays: there is no reply yet, so
        that sound has to wait in any case.
        """
        most = self._settings.reflection_tokens
        limits: dict[Limit, int] = {"length": most}
        if self._spoken and not delays:
            limits["playback"] = self._pace.hidden_tokens() - MARKS
        limits["context"] = self._positions - self._writing.state.length - self._writing.left - MARKS
        limit = min(limits, key=limits.__getitem__)
        return (limits[limit] if limits[limit] >= min(LEAST_TOKENS, most) else 0), limit

    def _lean(self, start: int, end: int) -> Lean | None:
        """Attend more to these; a weight of 1 is no matter of attention."""
        return Lean(start, end, self._settings.weight) if self._settings.weight != 1 else None
