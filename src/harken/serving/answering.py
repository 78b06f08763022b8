"""The model's side of a session: everything here runs on the worker's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harken.api import Harken
from harken.dialogue.conversation import Conversation, Prefix
from harken.dialogue.events import Event
from harken.dialogue.guard import Guard
from harken.dialogue.reply import ReplySettings, reply, say
from harken.dialogue.together import Together
from harken.serving.items import Question

if TYPE_CHECKING:
    from harken.model.own_voice import OwnVoice
    from harken.voices.base import Voice


@dataclass(frozen=True)
class Forgotten:
    """So many of the oldest turns did not fit beside the last one, and the model has forgotten them."""

    turns: int


@dataclass
class Talk:
    """A session's conversation, kept between its turns."""

    harken: Harken
    guard: Guard | None = None
    together: Together | None = None
    """All that are answered at once."""
    _conversation: Conversation | None = None

    def answer(
        self, question: Question, system: str, settings: ReplySettings, voice: Voice | OwnVoice | None
    ) -> Iterator[Event | Forgotten]:
        """The events of a reply."""
        conversation = self._about(system)
        conversation.remember(question.before)
        dropped = conversation.dropped
        for event in reply(conversation, question.said, settings, voice, self.guard, self.together):
            if conversation.dropped > dropped:
                yield Forgotten(conversation.dropped - dropped)
                dropped = conversation.dropped
            yield event

    def say(self, text: str, system: str, voice: Voice | OwnVoice | None) -> Iterator[Event]:
        """The events of saying a text that the model did not write."""
        yield from say(self._about(system), text, voice)

    def _about(self, system: str) -> Conversation:
        """The conversation under a system prompt; another prompt begins it anew."""
        if self._conversation is None or self._conversation.prefix.system != system:
            model = self.harken.model
            if system == model.recipe.system:
                self._conversation = self.harken.conversation().conversation
            else:  # not among those that Harken keeps: clients think of many, and long ones
                self._conversation = Conversation(model, Prefix.read(model, system))
        return self._conversation
