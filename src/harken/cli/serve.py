"""`harken serve`: the realtime server, which clients of OpenAI's Realtime protocol speak to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harken.cli.command import DONE, Command, WrongUse, check_counts, check_system, chosen_guard, say

if TYPE_CHECKING:
    from harken.dialogue.guard import Guard
    from harken.serving.host import Host
    from harken.serving.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve conversations: OpenAI's Realtime protocol at /v1/realtime, whole recordings at /v1/audio/replies,
    a page at /. Ctrl-C ends it when what has begun is said; twice, at once."""

    host: str = "127.0.0.1"
    """Where it listens. Where others than this machine reach it, HARKEN_API_KEY has to hold a key."""
    port: int = 8998
    """Which port; 0 takes a free one."""
    recipe: str | None = None
    """Which system answers (`harken recipes list`); mini where nothing else is said."""
    checkpoint: Path | None = None
    """A folder of trained parts with their recipe, instead of those that ship with Harken."""
    voice: str = "recipe"
    """Who speaks where a client chooses nobody: a voice's name, or none."""
    sessions: int | None = None
    """Speak to so many at once; others are told that the server is busy. Without it, to as many as this
    machine can speak to without pauses."""
    session_minutes: int = 60
    """How long a session may last."""
    turn_seconds: int = 60
    """How long a turn of the user's may be."""
    head_start: float = 4.0
    """Where speech is made slowly, begin a reply when up to so many seconds of it are made, so that it has no
    pauses; 0 begins at once."""
    compat: Literal["none", "beta"] = "none"
    """Speak the protocol's beta, to older clients."""
    care: Path | None = None
    """What is said to turns about self-harm or danger, and what is looked for, instead of what Harken brings
    (docs/safety.md)."""
    no_care: bool = False
    """Let the model answer such turns itself."""

    def run(self) -> int:
        check_system(self.recipe, self.checkpoint)
        if not 0 <= self.port <= 65_535:
            raise WrongUse(f"--port {self.port} is no port", "--port 8998, for example")
        check_counts(
            {
                "--sessions": self.sessions,
                "--session-minutes": self.session_minutes,
                "--turn-seconds": self.turn_seconds,
            }
        )
        if not 0 <= self.head_start <= 60:
            raise WrongUse(
                f"--head-start {self.head_start:g} is not from 0 to 60 s", "--head-start 0 is none"
            )
        guard = chosen_guard(self.care, self.no_care)
        from harken import api
        from harken.serving.auth import key_for
        from harken.serving.server import Server, listen
        from harken.serving.worker import Worker

        key = key_for(self.host)
        with listen(self.host, self.port) as at:
            api.fetch(self.recipe, self.checkpoint, self.voice)
            worker = Worker()
            ends = "it ends when the model is loaded; Ctrl-C again ends it at once"
            host = worker.do(lambda: self._host(guard, worker), lambda: say(ends))
            port = at.getsockname()[1]
            name = f"[{self.host}]" if ":" in self.host else self.host
            say(f"open http://{name}:{port}; clients take ws://{name}:{port}/v1/realtime")
            say(f"{_many(host.limits.sessions)} at once; Ctrl-C ends it")
            Server(host, key).run(sockets=[at])
        return DONE

    def _host(self, guard: Guard | None, worker: Worker) -> Host:
        from harken import api
        from harken.evaluation.progress import quiet_libraries
        from harken.serving.capacity import SHARE, pace, sessions_at
        from harken.serving.host import Host
        from harken.serving.limits import Limits
        from harken.serving.turns import open_vad

        quiet_libraries()
        harken = api.load(self.recipe, trained=self.checkpoint, voice=self.voice)
        found = None if self.sessions and not self.head_start else pace(harken)
        limits = Limits(
            sessions=self.sessions or sessions_at(found),
            session_s=60.0 * self.session_minutes,
            buffered_s=float(self.turn_seconds),
            head_start_s=self.head_start,
        )
        beta = self.compat == "beta"
        host = Host(harken, open_vad(), limits, voice=self.voice, guard=guard, beta=beta, worker=worker)
        host.head_start.learn(found)
        if found is not None:
            start = host.head_start.seconds
            later = f"; replies begin when {start:.1f} s of them are made" if start else ""
            pauses = "; they may have pauses" if found > (1 if start else SHARE) else ""
            say(f"a second of speech takes {found:.2f} s to make on this machine{later}{pauses}")
        return host


def _many(sessions: int) -> str:
    return "1 session" if sessions == 1 else f"{sessions} sessions"
