"""`harken reply`: answer recordings, each for itself or as the turns of one dialogue."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from tyro.conf import Positional

from harken.cli.command import DONE, FAILED, Command, WrongUse, check_system, chosen_guard, say, say_error
from harken.errors import HarkenError, InputError

if TYPE_CHECKING:
    from harken.api import Harken, Session
    from harken.cli.show import Turn
    from harken.dialogue.guard import Guard


@dataclass(frozen=True, kw_only=True)
class Reply(Command):
    """Answer recordings: what was heard, a reply in words and voice, and how the speaker feels and why."""

    audio: Positional[tuple[str, ...]]
    """Recordings, in any format, one or more."""
    conversation: bool = False
    """Take the recordings as the turns of one dialogue."""
    system: str | None = None
    """The system prompt, instead of the recipe's."""
    instruction: str | None = None
    """What to do with each recording, as text or as a recording."""
    out: Path = Path(".")
    """The folder that the spoken replies are written to."""
    json: bool = False
    """Print one JSON object a line and nothing else on standard output."""
    recipe: str | None = None
    """Which system answers (`harken recipes list`); mini where nothing else is said."""
    checkpoint: Path | None = None
    """A folder of trained parts with their recipe, instead of those that ship with Harken."""
    think: Literal["after", "before", "off"] = "after"
    """When to state how the speaker feels and why."""
    voice: str | None = None
    """Who speaks: a voice's name, or none."""
    seed: int | None = None
    """Draw the reply with this seed, instead of taking the most probable one."""
    reflect: bool = False
    """Let the model think about its reply while it speaks; it has to be taught to (docs/reflection.md)."""
    show: Literal["reflections"] | None = None
    """Show, between the chunks of the reply, what the model thought while it spoke."""
    care: Path | None = None
    """What is said to turns about self-harm or danger, and what is looked for, instead of what Harken brings
    (docs/safety.md)."""
    no_care: bool = False
    """Let the model answer such turns itself."""

    def run(self) -> int:
        if not self.audio:
            raise WrongUse("no recording is named", "harken reply AUDIO...")
        check_system(self.recipe, self.checkpoint)
        if self.show and not self.reflect:
            raise WrongUse("--show reflections, and the model is not to reflect", "add --reflect")
        guard = chosen_guard(self.care, self.no_care)
        if self.checkpoint and not (self.checkpoint / "recipe.json").is_file():
            raise WrongUse(
                f"--checkpoint {self.checkpoint} holds no recipe.json", "name a folder that was trained"
            )
        if self.out.exists() and not self.out.is_dir():
            raise WrongUse(f"--out {self.out} is not a folder", "name a folder; it is made if need be")
        results = sys.stdout
        with redirect_stdout(sys.stderr):  # whatever a library prints is not a result
            return _Run(self, results, guard).all()


class _Run:
    """One run of the command: the model is loaded when the first recording turns out to be readable."""

    def __init__(self, options: Reply, results: IO[str], guard: Guard | None) -> None:
        from harken.cli.show import People

        self.options, self.guard = options, guard
        self.results = results
        self.people = None if options.json else People(results, options.show is not None)
        self.targets = speech_paths(options.audio, options.out)

    def all(self) -> int:
        failed = False
        for name, target in zip(self.options.audio, self.targets, strict=True):
            try:
                self._one(name, target)
            except (KeyboardInterrupt, BrokenPipeError, WrongUse, _Stop):
                raise
            except Exception as error:
                if self.people:
                    self.people.abandon()
                if self.options.debug:
                    traceback.print_exc()
                say_error(error, name)
                failed = True
        return FAILED if failed else DONE

    def _one(self, name: str, target: Path) -> None:
        from harken.audio.io import read
        from harken.cli.show import Turn

        recording = read(name)
        session = self._session()
        turn = Turn(name, self.options.think, reflects=self.options.reflect)
        if self.people:
            self.people.begin(turn)
        events = session.reply(
            recording,
            instruction=self._instruction,
            think=self.options.think,
            seed=self.options.seed,
            voice=self._voice,
            reflect=self.options.reflect,
        )
        for event in events:
            turn.take(event)
            if self.people:
                self.people.event(event)
        self._write(turn, target)
        if self.people:
            self.people.end(turn)
        else:
            print(turn.as_json(), file=self.results, flush=True)

    def _write(self, turn: Turn, target: Path) -> None:
        from harken.audio.io import write

        if not turn.chunks:
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{target.parent}: cannot be made: {error.strerror}", "name another --out"
            ) from None
        write(target, turn.samples(), turn.chunks[0].sample_rate)
        turn.speech = target

    def _session(self) -> Session:
        return self._dialogue if self.options.conversation else self._harken.conversation(self.options.system)

    @cached_property
    def _dialogue(self) -> Session:
        return self._harken.conversation(self.options.system)

    @cached_property
    def _harken(self) -> Harken:
        from transformers.utils import logging

        from harken import api
        from harken.dialogue.reflection import check_reflects

        logging.disable_progress_bar()
        try:
            harken = api.load(self.options.recipe, trained=self.options.checkpoint, guard=self.guard)
            if self.options.reflect:
                check_reflects(harken.model)
            return harken
        except HarkenError as error:
            raise _Stop(error.message, error.hint) from None

    @cached_property
    def _voice(self) -> str:
        """The voice to speak with; a voice that nobody asked for and that cannot be had is done without."""
        chosen = self.options.voice or "recipe"
        try:
            self._harken.voice(chosen)
        except HarkenError as error:
            if self.options.voice:
                raise (WrongUse if isinstance(error, InputError) else _Stop)(
                    error.message, error.hint
                ) from None
            say(f"the reply is not spoken: {error.message} ({error.hint})")
            return "none"
        return chosen

    @cached_property
    def _instruction(self) -> str | None:
        from harken.api import names_audio

        given = self.options.instruction
        if given is None or not names_audio(given):
            return given
        try:
            return self._harken.hear_text(given)
        except InputError as error:
            raise _Stop(error.message, error.hint) from None


class _Stop(HarkenError):
    """What makes every input fail alike: the run ends."""


def speech_paths(inputs: tuple[str, ...], out: Path) -> list[Path]:
    """Where the reply to each input is written: no two in one place, and none on an input."""
    taken = {_place(Path(name)) for name in inputs}
    paths = []
    for name in inputs:
        path = next(path for path in _names(Path(name).stem, out) if _place(path) not in taken)
        taken.add(_place(path))
        paths.append(path)
    return paths


def _names(stem: str, out: Path) -> Iterator[Path]:
    yield out / f"{stem}.reply.wav"
    number = 2
    while True:
        yield out / f"{stem}-{number}.reply.wav"
        number += 1


def _place(path: Path) -> str:
    """One string for one place, also on disks that take a.wav and A.wav for the same file."""
    try:
        return str(path.resolve()).casefold()
    except (OSError, ValueError):
        return str(path).casefold()
