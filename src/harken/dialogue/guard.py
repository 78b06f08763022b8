"""What stands between the model and what is said: a guard sees a turn and its reply before it is spoken.

A guard is any function of an `Exchange`: it is asked before a reply is begun, again whenever more of it is
written, and when the model has stated how the user feels; what it gives is said in the model's place. `Care`
is the one that Harken brings: a turn that speaks of self-harm or danger gets a fixed answer that points to
people who can help. What it looks for and says is in `care.toml`; what it cannot do is in docs/safety.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from harken.dialogue.events import Attribution, Heard
from harken.errors import InputError

TEXTS, PATTERNS = ("reply", "instead"), ("sayings", "danger", "harm")
_HOW = f"a table a language, with {', '.join(TEXTS)} (texts) and {', '.join(PATTERNS)} (lists of patterns)"


@dataclass(frozen=True)
class Exchange:
    """What is known of a turn when the guard is asked."""

    said: str | None
    """The user's words, also those that were not surely heard; None where the model does not tell."""
    heard: Heard | None
    """None where the turn was written."""
    attribution: Attribution | None
    """None where the model has not thought yet."""
    reply: str
    """The reply so far, with what is about to be said; empty before it is begun."""


Guard = Callable[[Exchange], str | None]
"""Gives what to say in the model's place, or None to let it speak."""


Patterns = tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Watch:
    """What is looked for and said in one language."""

    reply: str
    instead: str
    sayings: Patterns
    danger: Patterns
    harm: Patterns

    def speaks_of_danger(self, words: str) -> bool:
        for saying in self.sayings:
            words = saying.sub("·", words)
        return any(pattern.search(words) for pattern in self.danger)

    def does_harm(self, reply: str) -> bool:
        return any(pattern.search(reply) for pattern in self.harm)


class Care:
    """Answers a turn about self-harm or danger with a fixed text, and lets no reply do harm."""

    def __init__(self, path: Path | None = None) -> None:
        """Args: path: a file like `care.toml`; what it names replaces what Harken brings.

        Raises: InputError for a file that cannot be used.
        """
        tables = tomllib.loads(files("harken.dialogue").joinpath("care.toml").read_text(encoding="utf-8"))
        if path is not None:
            for language, table in _own(path).items():
                tables[language] = tables.get(language, {}) | table
        self._watches = [_watch(language, table, path) for language, table in tables.items()]

    def __call__(self, exchange: Exchange) -> str | None:
        if exchange.reply:
            reply = _plain(exchange.reply)
            return next((watch.instead for watch in self._watches if watch.does_harm(reply)), None)
        cause = exchange.attribution.cause if exchange.attribution else None
        words = _plain(f"{exchange.said or ''}\n{cause or ''}")
        return next((watch.reply for watch in self._watches if watch.speaks_of_danger(words)), None)


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").split())


def _own(path: Path) -> Mapping[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "check the path") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise InputError(f"{path}: is not TOML: {error}", f"it holds {_HOW}") from None
    for language, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"{path}: {language} is no language's table", f"it holds {_HOW}")
        for key, value in table.items():
            _check(path, language, key, value)
    return tables


def _check(path: Path, language: str, key: str, value: object) -> None:
    text = key in TEXTS and isinstance(value, str) and value.strip()
    patterns = key in PATTERNS and isinstance(value, list) and all(isinstance(each, str) for each in value)
    if not text and not patterns:
        raise InputError(f"{path}: {language}.{key} is not understood", f"it holds {_HOW}")


def _watch(language: str, table: Mapping[str, Any], path: Path | None) -> Watch:
    missing = [key for key in (*TEXTS, *PATTERNS) if key not in table]
    if missing:
        raise InputError(f"{path}: {language} has no {missing[0]}", f"a new language needs {_HOW}")
    sayings, danger, harm = (_patterns(f"{path}: {language}.{key}", table[key]) for key in PATTERNS)
    return Watch(table["reply"].strip(), table["instead"].strip(), sayings, danger, harm)


def _patterns(name: str, texts: Sequence[str]) -> Patterns:
    """Each by itself: joined, one's groups and flags would reach into the next."""
    return tuple(_pattern(name, text) for text in texts)


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, OverflowError) as error:  # the latter of a repetition too often
        raise InputError(f"{name}: {text!r} is no pattern: {error}", "mend or remove it") from None
