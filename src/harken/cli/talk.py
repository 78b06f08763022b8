"""`harken talk`: a conversation in the terminal, with the machine's own microphone and loudspeaker."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from harken.cli.command import FAILED, Command, WrongUse, check_system, chosen_guard, say, say_error
from harken.cli.show import People, Turn
from harken.dialogue.events import Event
from harken.errors import HarkenError

if TYPE_CHECKING:
    from harken.api import Session


@dataclass(frozen=True, kw_only=True)
class Talk(Command):
    """Talk with Harken here: it listens by the microphone, says its replies, and shows what it heard and why.
    The voice is synthetic, emotions are guesses, and nothing is kept. Ctrl-C ends it."""

    headphones: bool = False
    """You wear headphones: talking stops a reply. With a loudspeaker the microphone would hear the reply."""
    microphone: str | None = None
    """Which microphone, by its name or a part of it; `python -m sounddevice` lists them."""
    loudspeaker: str | None = None
    """Which loudspeaker, by its name or a part of it."""
    system: str | None = None
    """The system prompt, instead of the recipe's."""
    recipe: str | None = None
    """Which system answers (`harken recipes list`); mini where nothing else is said."""
    checkpoint: Path | None = None
    """A folder of trained parts with their recipe, instead of those that ship with Harken."""
    think: Literal["after", "before", "off"] = "after"
    """When to state how you feel and why."""
    voice: str = "recipe"
    """Who speaks: a voice's name."""
    reflect: bool = False
    """Let the model think about its reply while it speaks; it has to be taught to (docs/reflection.md)."""
    show: Literal["reflections"] | None = None
    """Show, between the chunks of a reply, what the model thought while it spoke."""
    care: Path | None = None
    """What is said to turns about self-harm or danger, and what is looked for, instead of what Harken brings
    (docs/safety.md)."""
    no_care: bool = False
    """Let the model answer such turns itself."""

    def run(self) -> int:
        check_system(self.recipe, self.checkpoint)
        if self.show and not self.reflect:
            raise WrongUse("--show reflections, and the model is not to reflect", "add --reflect")
        guard = chosen_guard(self.care, self.no_care)
        from harken import api
        from harken.dialogue.reflection import check_reflects
        from harken.serving import memory, talk
        from harken.serving.devices import Loudspeaker, Microphone
        from harken.serving.turns import open_vad

        def loaded() -> Session:
            harken = api.load(self.recipe, trained=self.checkpoint, voice=self.voice, guard=guard)
            harken.voice()  # what is missing shows now
            if self.reflect:
                check_reflects(harken.model)
            return harken.conversation(self.system)

        with (
            ThreadPoolExecutor(1, "harken-model") as thread,  # waited for when the devices are closed
            Microphone(self.microphone) as microphone,
            Loudspeaker(self.loudspeaker) as loudspeaker,
        ):
            judges = open_vad()
            api.fetch(self.recipe, self.checkpoint, self.voice)
            session = thread.submit(loaded).result()
            screen = Terminal(sys.stdout, self.think, self.reflect, self.show is not None)
            talking = talk.Talk(
                session, thread, loudspeaker, judges, screen, self.think, self.headphones, self.reflect
            )
            with memory.settled():
                microphone.forget()
                try:
                    talking.run(microphone.chunks())
                finally:
                    screen.leave()
        say("the microphone is gone")
        return FAILED


class Terminal:
    """Shows a conversation to people, turn by turn."""

    def __init__(self, out: IO[str], think: str, reflects: bool = False, reflections: bool = False) -> None:
        """Args: reflections: whether they are shown."""
        self._people, self._think, self._reflects = People(out, reflections), think, reflects
        self._number = 0

    def listening(self) -> None:
        say("listening; talk, and be quiet for a moment when you have ended")

    def begin(self) -> None:
        self._number += 1
        self._turn = Turn(f"turn {self._number}", self._think, self._reflects)
        self._people.begin(self._turn)

    def event(self, event: Event) -> None:
        self._turn.take(event)
        self._people.event(event)

    def end(self, interrupted: bool) -> None:
        if self._turn.done is None:
            self._people.abandon()
        else:
            self._people.end(self._turn)
        if interrupted:
            say("you interrupted the reply")

    def failed(self, error: HarkenError) -> None:
        self._people.abandon()
        say_error(error, self._turn.input)

    def leave(self) -> None:
        """End the line of a reply that is left in the middle."""
        self._people.abandon()
