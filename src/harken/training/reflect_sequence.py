"""A reply and its reflections as one sequence of tokens, in the order in which `harken.dialogue.reflection`
writes and reads them: a chunk, a reflection between its marks, a chunk.

What is learned of it are the reply, but not a weak beginning; and reflections with the mark that closes them:
the one that opens them the loop writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harken.data.rows import Reflection
from harken.recipes import ReflectConfig

Part = Literal["given", "reply", "reflection"]


@dataclass(frozen=True)
class Marks:
    """The ids of the tokens around a reflection."""

    opening: int
    closing: int


@dataclass(frozen=True)
class Sequenced:
    """Tokens, and of each what it is: `given` is read and not learned."""

    ids: list[int]
    parts: list[Part]


def sequenced(
    tokenizer: Any,
    reply: str,
    given: int,
    reflections: Sequence[Reflection],
    how: ReflectConfig | None,
    marks: Marks,
    silent: Sequence[bool] = (),
) -> Sequenced:
    """A reply with the end of its turn and, unless `how` is None, with its reflections.

    A weak beginning of `given` characters is a chunk, however long, or the last of several. At the end of a
    chunk stands the last of the reflections on what was said since the end of the one before.

    Args: silent: of each of the places for reflections, whether there is none after all.
    """
    read = tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = read["input_ids"]
    ends = [end for _, end in read["offset_mapping"]]
    begun = sum(end <= given for end in ends)
    ids, parts = [*ids, tokenizer.eos_token_id], [_reply(i, begun) for i in range(len(ids) + 1)]
    out, kinds, start, last = list[int](), list[Part](), 0, -1
    for place, stop in enumerate(chunk_ends(len(ends), begun, how) if how else ()):
        out, kinds = out + ids[start:stop], kinds + parts[start:stop]
        said = ends[stop - 1] if stop else 0
        thought = next((r for r in reversed(reflections) if last < r.at <= said), None)
        start, last = stop, said
        thought = None if place < len(silent) and silent[place] else thought
        tokens = _reflection(tokenizer, thought, how) if thought and how else None
        if tokens:
            out += [marks.opening, *tokens, marks.closing]
            thinking: list[Part] = ["reflection"] * (len(tokens) + 1)
            kinds += ["given", *thinking]
    return Sequenced(out + ids[start:], kinds + parts[start:])


def chunk_ends(tokens: int, given: int, how: ReflectConfig) -> list[int]:
    """After how many tokens of a reply a reflection may stand. Args: given: of a weak beginning."""
    size = how.response_tokens
    first = [0] if how.first == "reflection" else []
    weak = [*range(size, given, size), given] if given else []
    return [*first, *weak, *range(given + size, tokens + 1, size)]


def _reply(place: int, begun: int) -> Part:
    return "given" if place < begun else "reply"


def _reflection(tokenizer: Any, reflection: Reflection, how: ReflectConfig) -> list[int] | None:
    """Its tokens; None where it is longer than a reflection may be, so that there is none."""
    ids: list[int] = tokenizer.encode(reflection.text, add_special_tokens=False)
    return ids if len(ids) <= how.reflection_tokens else None
