"""A session's replies: one at a time, made by the worker, told as events, and stopped when the user speaks.

When a reply is out the model may still think about how the user feels; that goes on until the next reply is
asked for, and holds nobody up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from harken.dialogue.events import (
    Attribution,
    AudioChunk,
    Done,
    Notice,
    ReflectionDelta,
    TextDelta,
    TraceDelta,
)
from harken.dialogue.events import Event as ReplyEvent
from harken.dialogue.reply import ReplySettings
from harken.errors import HarkenError
from harken.serving.answering import Forgotten, Talk
from harken.serving.host import Host
from harken.serving.items import Item, Items, Question
from harken.serving.response import Reason, Response
from harken.serving.settings import Settings
from harken.serving.wire import Event, Refused, made
from harken.serving.worker import Job

_log = logging.getLogger(__name__)


@dataclass
class _Reply:
    """What is being answered."""

    response: Response
    settings: Settings
    item: Item | None = None
    """The turn of the user's that is answered."""
    metadata: object = None


class Replying:
    """The replies of one session."""

    def __init__(
        self,
        host: Host,
        items: Items,
        send: Callable[[Event], None],
        on_over: Callable[[], None],
        behind: Callable[[], bool],
    ) -> None:
        """Args:
        on_over: is told when a response is over.
        behind: whether its replies are made after those of others.
        """
        self._host, self._items, self._send = host, items, send
        self._on_over, self._behind = on_over, behind
        self._talk = Talk(host.harken, host.guard, host.together)
        self._reply: _Reply | None = None
        self._job: Job | None = None

    @property
    def response(self) -> Response | None:
        """The last one, over or not."""
        return self._reply.response if self._reply else None

    @property
    def active(self) -> bool:
        return self._reply is not None and not self._reply.response.over

    def answer(
        self, settings: Settings, asked_s: float, instruction: str | None = None, metadata: object = None
    ) -> None:
        """Answer the user's last turn. Args: instruction: what to do with it. Raises Refused."""
        self._check()
        question = self._items.question(instruction)
        reply = self._begin(settings, asked_s, question.item, metadata)
        hearing = question.item.hearing if question.item else None
        if hearing is None or hearing.done():
            self._ask(reply, instruction)
        else:
            hearing.add_done_callback(lambda _: self._ask(reply, instruction))

    def say(self, settings: Settings, text: str) -> None:
        """Say what the model did not write. Raises Refused."""
        self._check()
        reply = self._begin(settings, monotonic(), None, None)
        reply.response.item.kept = False
        self._run(
            reply, self._talk.say(text, self._items.system(settings.instructions), self._voice(settings))
        )

    def interrupt(self, reason: Reason) -> None:
        """Stop the response that is not over, after the step that it is in."""
        reply = self._reply
        if reply is not None and not reply.response.over:
            self._leave()
            self._over(reply, "cancelled", reason)

    def close(self) -> None:
        """Nobody listens any more."""
        self._leave()
        if self._reply is not None and not self._reply.response.over:
            self._reply = None

    def _check(self) -> None:
        if self.active:
            raise Refused("there is a response that is not over", "conversation_already_has_active_response")
        if self._host.leaving:
            raise Refused("the server is about to end", "server_leaving", kind="server_error")
        self._items.check_room()

    def _begin(self, settings: Settings, asked_s: float, item: Item | None, metadata: object) -> _Reply:
        self._leave()
        add = self._items.add_reply
        response = Response(settings, self._send, add, asked_s, self._host.head_start, metadata)
        self._reply = _Reply(response, settings, item, metadata)
        response.begin()
        return self._reply

    def _leave(self) -> None:
        """No more of what is being made, or thought, from now on."""
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _ask(self, reply: _Reply, instruction: str | None) -> None:
        """The turn has been heard: have it answered."""
        if reply is not self._reply or reply.response.over:
            return
        settings = reply.settings
        try:
            question = self._items.question(instruction)
            if question.item is not reply.item or (question.item and not question.said):
                raise Refused("the turn is not there any more, or could not be heard", "nothing_to_answer")
        except Refused as refused:
            self._failed(reply, refused.code, refused.message)
            return
        if question.item is not None:
            question.item.instruction = instruction or question.item.instruction
        steps = self._talk.answer(
            question,
            self._items.system(settings.instructions),
            self._how(settings, question),
            self._voice(settings),
        )
        self._run(reply, steps)

    def _how(self, settings: Settings, question: Question) -> ReplySettings:
        recipe = self._host.harken.recipe
        longest = recipe.max_reply_tokens
        instruction = question.instruction if question.item else None
        return ReplySettings(
            settings.options.think,
            instruction,
            max_reply_tokens=min(settings.most_tokens or longest, longest),
            reflect=recipe.reflect if settings.options.reflect else None,
        )

    def _voice(self, settings: Settings) -> Any:
        return self._host.voices[settings.speaker] if settings.spoken else None

    def _run(self, reply: _Reply, steps: Iterator[ReplyEvent | Forgotten]) -> None:
        self._job = self._host.worker.submit(
            steps,
            lambda event: self._told(reply, event),
            lambda error: self._ended(reply, error),
            self._behind,
        )

    def _told(self, reply: _Reply, event: ReplyEvent | Forgotten) -> None:
        """What happens in a reply, as events of the protocol."""
        if isinstance(event, Forgotten):
            self._items.forget(event.turns)
            return
        about = {"item_id": reply.item.id if reply.item else reply.response.item.id}
        options = reply.settings.options
        if isinstance(event, TextDelta | AudioChunk):
            if reply.response.over:  # a guard has more said
                self._begin_again(reply)
            reply.response.take(event)
        elif isinstance(event, Notice):
            if options.heard:
                self._send(made("harken.notice", **about, text=event.text))
        elif isinstance(event, TraceDelta):
            self._out(reply)
            if options.trace:
                self._send(
                    made("harken.trace.delta", **about, response_id=reply.response.id, delta=event.text)
                )
        elif isinstance(event, ReflectionDelta):
            if options.reflections:
                self._send(
                    made("harken.reflection.delta", **about, response_id=reply.response.id, delta=event.text)
                )
        elif isinstance(event, Attribution):
            self._out(reply)
            self._send(attributed(event, reply.item, about["item_id"], reply.response.id))
        elif isinstance(event, Done):
            self._out(reply, done=True)

    def _begin_again(self, reply: _Reply) -> None:
        settings = reply.settings
        reply.response = Response(
            settings,
            self._send,
            self._items.add_reply,
            monotonic(),
            self._host.head_start,
            reply.metadata,
            reply.response.item,
        )
        reply.response.begin()

    def _out(self, reply: _Reply, done: bool = False) -> None:
        """The reply is out: what is thought comes before it or after it, not in between."""
        if not reply.response.over and (reply.response.has_output or done):
            self._over(reply, "completed")

    def _ended(self, reply: _Reply, error: Exception | None) -> None:
        if error is None or reply is not self._reply:
            return
        if isinstance(error, HarkenError):
            message = error.message
        else:
            message = "the model failed"
            _log.error("a reply failed", exc_info=error)
        if not reply.response.over:
            self._failed(reply, "model_failed", message)

    def _failed(self, reply: _Reply, code: str, message: str) -> None:
        self._over(reply, "failed", error={"type": "server_error", "code": code, "message": message})

    def _over(self, reply: _Reply, *how: Any, **why: Any) -> None:
        reply.response.end(*how, **why)
        self._host.metrics.replied(reply.response)
        if not reply.settings.options.reflect and not self._behind():  # these take longer for other reasons
            self._host.head_start.learn(reply.response.pace)
        self._on_over()


def attributed(event: Attribution, item: Item | None, item_id: str, response_id: str) -> Event:
    """`harken.attribution`: with the place of the cause in what was said, where it stands there."""
    said = item.words.casefold() if item else ""
    start = said.find(event.cause.casefold()) if event.cause else -1
    words = {"start": start, "end": start + len(event.cause or "")} if start >= 0 else None
    return made(
        "harken.attribution",
        item_id=item_id,
        response_id=response_id,
        emotion=event.emotion,
        cause=event.cause,
        words=words,
    )
