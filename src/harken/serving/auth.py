"""Who may speak to the server: those who know its key, where it has one; without one, this machine's pages
and programs alone.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import string
from collections.abc import Mapping
from urllib.parse import urlsplit

from harken.errors import InputError

VARIABLE = "HARKEN_API_KEY"
PROTOCOL = "realtime"
_IN_PROTOCOL = "openai-insecure-api-key."
"""How a page in a browser hands over a key: it can send no headers with a WebSocket."""
_MARKS = "!#$%&'*+-.^_`|~"
IN_KEYS = frozenset(string.ascii_letters + string.digits + _MARKS)
"""What may stand in a subprotocol's name (RFC 9110, token): of anything else a browser makes no WebSocket."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host's name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_for(host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The key from the environment; None for no key. Raises InputError where others could reach the server
    and there is none, and for one that the page could not send.
    """
    key = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if not key and not is_loopback(host):
        raise InputError(
            f"others reach {host}, and {VARIABLE} holds no key",
            f'{VARIABLE}="$(openssl rand -hex 32)" harken serve --host {host}, or --host 127.0.0.1',
        )
    if not IN_KEYS.issuperset(key):
        raise InputError(
            f"{VARIABLE} holds what a page cannot send: only letters, digits and {_MARKS} may be in it",
            f'{VARIABLE}="$(openssl rand -hex 32)", for example',
        )
    return key or None


def may_enter(headers: Mapping[str, str], key: str | None) -> bool:
    """Whether a request may be answered: it has the key, or there is none and it comes from this machine's
    own pages or from no page.
    """
    if key is None:
        return _is_own_page(headers)
    given = headers.get("authorization", "")
    offered = [given[7:]] if given[:7].lower() == "bearer " else []
    offered += [p.removeprefix(_IN_PROTOCOL) for p in protocols(headers) if p.startswith(_IN_PROTOCOL)]
    return any(secrets.compare_digest(one.strip().encode(), key.encode()) for one in offered)


def protocols(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols that a WebSocket's client offers."""
    return [offered.strip() for offered in headers.get("sec-websocket-protocol", "").split(",")]


def _is_own_page(headers: Mapping[str, str]) -> bool:
    """A page of another site may not speak to a server that asks nobody for a key."""
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        origin = urlsplit(headers.get("origin", "")).netloc
    except ValueError:
        return False
    if not is_loopback(host):  # another site's name that was made to point to this machine
        return False
    return "origin" not in headers or origin == headers.get("host")
