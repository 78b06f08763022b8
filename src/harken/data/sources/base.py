"""What a source is: where rows begin, under which licence, and what becomes of what cannot be read.

A `Source` describes a set that others made (its licence, the upstream files whose form its reader follows)
and has the reader; a `Place` is where a user has it and what is asked of it. A reader gives rows of task
"source" lazily, and an `Unread` in the place of whatever cannot become one: one bad line, clip or dialogue
never stops it. What is wrong with the whole (no such folder, an unknown column) is a DataError at once. Ids
of source rows name what was read; the build joins them with its recipe. Opening audio is left to the build:
readers only see that a file is there. A turn without any transcript has the text "".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harken.affect.labels import to_emotion
from harken.data.rows import Affect, Origin, Row, Turn, content_id
from harken.errors import DataError, HarkenError

ABSTENTIONS = ("other", "unknown", "xxx", "oth")
"""What data sets call an emotion that their annotators could not name."""
SAME_LANGUAGE = 0.5
"""Share of a text's words (of Chinese: characters) that are to be in the language it is said to be in."""

_WORDS = {"zh": re.compile("[㐀-鿿]"), "en": re.compile("[A-Za-zÀ-ɏ]+")}
_OTHER = re.compile(r"[^\W\d_A-Za-zÀ-ɏ㐀-鿿]")


@dataclass(frozen=True)
class Unread:
    """Something of a source that gave no row: where, why (the same phrase for the same fault), details."""

    where: str
    reason: str
    detail: str = ""


class Unusable(Exception):
    """Raised while one item is read: it can give no row. `items_to_rows` makes an Unread of it."""

    def __init__(self, reason: str, detail: object = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, str(detail)


@dataclass(frozen=True)
class Item:
    """One object of a source's file, not yet looked at, and where it is."""

    where: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A set that rows come from."""

    name: str
    about: str
    licence: str
    shippable: bool
    """May what was trained on it be shipped (under the terms of its licence)?"""
    langs: tuple[str, ...]
    form_of: str
    """The upstream files, and their revision, whose form the reader follows."""
    url: str
    read: Callable[[Place], Iterator[Row | Unread]] = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    """What may be asked of it: name -> what it does."""

    def row(
        self,
        key: str,
        turns: Sequence[Turn],
        lang: str,
        *,
        group: str | None = None,
        split: str = "train",
        target: str | None = None,
        licence: str | None = None,
    ) -> Row:
        """A source row. `key` is the source's own id; `group` is taken as it is, by default from the key."""
        return Row(
            id=content_id(self.name, key, [turn.text for turn in turns], target),
            group=group or f"{self.name}-{key}",
            split=split,
            task="source",
            stage="",
            lang=lang,
            source=self.name,
            licence=licence or self.licence,
            shippable=self.shippable,
            turns=tuple(turns),
            target=target,
        )


@dataclass(frozen=True)
class Place:
    """Where a user has a source, and what is asked of it."""

    source: Source
    path: str
    """A folder, a file, or `hub://owner/name` (`harken.data.sources.hub`)."""
    keep: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def kept(self, key: str, suffix: str, data: Callable[[], bytes]) -> str:
        """A reference to audio that no path on this disk names: `data` is written to `keep` under its key.

        What an earlier reading kept is not written again. Raises DataError where there is no `keep`,
        Unusable where there is no room in it.
        """
        if self.keep is None:
            raise DataError(
                f"source {self.source.name!r} at {self.path} has audio inside other files or on the hub",
                "give open_source a folder to keep what is read of it (keep=)",
            )
        file = self.keep.absolute() / f"{content_id(self.source.name, key)}{suffix}"
        if not file.is_file():
            part = file.with_name(f".{file.name}.part")
            content = data()
            try:
                self.keep.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{self.keep}: cannot be made: {error.strerror}", "name another") from None
            try:
                part.write_bytes(content)
                part.replace(file)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise Unusable("cannot be kept", f"{file}: {error.strerror}") from None
        return str(file)


def items_to_rows(
    items: Iterable[Item | Unread], make: Callable[[dict[str, Any]], Iterable[Row | Unread]]
) -> Iterator[Row | Unread]:
    """What `make` makes of each item; where it raises Unusable, or the item is of another form, an Unread."""
    for item in items:
        if isinstance(item, Unread):
            yield item
            continue
        try:
            rows = list(make(item.data))
        except HarkenError:
            raise
        except Unusable as error:
            yield Unread(item.where, error.reason, error.detail)
        except KeyError as error:
            yield Unread(item.where, "lacks a field", str(error.args[0]))
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            yield Unread(item.where, "not of the source's form", f"{type(error).__name__}: {error}")
        else:
            yield from rows


def said(text: object, lang: str) -> str:
    """The text without spaces around it. Raises Unusable where it is empty or plainly in another language."""
    if not isinstance(text, str):
        raise Unusable("empty text" if text is None else "not of the source's form", f"text is {text!r}")
    text = text.strip()
    if not re.search(r"\w", text):
        raise Unusable("empty text", text)
    if lang in _WORDS:
        counts = {name: len(words.findall(text)) for name, words in _WORDS.items()}
        if counts[lang] < SAME_LANGUAGE * (sum(counts.values()) + len(_OTHER.findall(text))):
            raise Unusable("other language", f"not {lang}: {text[:60]}")
    return text


def affect_of(name: str | None, source: Origin) -> tuple[Affect, ...]:
    """An annotated emotion; none where nobody said or could say. Raises Unusable for an unknown label."""
    if not name or name.lower() in ABSTENTIONS:
        return ()
    label = to_emotion(name)
    if label == "other":
        raise Unusable("label outside the set", f"emotion {name!r}")
    return (Affect(label, source),)


def one_of(what: str, value: str | None, known: Mapping[str, str]) -> str | None:
    """The value by the name that rows use; None for none. Raises Unusable for one outside the set."""
    if not value:
        return None
    if value.lower() not in known:
        raise Unusable("label outside the set", f"{what} {value!r}")
    return known[value.lower()]


GENDERS = {"female": "female", "male": "male", "f": "female", "m": "male"}
AGES = {name: name for name in ("child", "young", "adult", "senior")} | {
    "middle-aged": "adult",
    "elderly": "senior",
}
SPLITS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev"}
"""Splits by the names that sets use. What is kept for testing is not read."""
