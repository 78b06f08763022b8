"""What one server takes on: the more it took, the slower it would speak to everybody."""

from __future__ import annotations

from dataclasses import dataclass

from harken.serving.head_start import MOST_S


@dataclass(frozen=True)
class Limits:
    """Each has a clear answer where it is reached."""

    sessions: int = 4
    """At once, replies over HTTP among them (`capacity` tries what a machine can bear)."""
    session_s: float = 3600.0
    """How long one may last."""
    buffered_s: float = 60.0
    """The longest turn of a user's."""
    message_bytes: int = 16 << 20
    """The longest message; an append may carry 15 MiB."""
    unread_bytes: int = 8 << 20
    """What may wait for a client that does not read; a client that lets more come up is let go."""
    head_start_s: float = MOST_S
    """The most sound that is made before a reply is sent, where speech is made slowly (`head_start`)."""
    after_broken_s: float = 0.25
    """How long a client's next message waits after one that is no event of the protocol."""
    shutdown_s: float = 30.0
    """How long replies that have begun may take when the server is to end."""
