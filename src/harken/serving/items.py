"""What was said in a session, as items that a client can add, look at, cut short and take away; and what the
model reads of it. What it has read already is kept by `harken.dialogue.conversation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harken.dialogue.conversation import spoken_text
from harken.dialogue.events import AudioChunk
from harken.dialogue.render import AssistantTurn, Turn, UserTurn
from harken.dialogue.reply import is_understood
from harken.serving.settings import LONGEST_TEXT
from harken.serving.wire import Event, Refused, new_id, text_in

if TYPE_CHECKING:
    from harken.model.spoken_lm import HeardTurn

MOST_ITEMS = 1_000
LONGEST_ID = 100
Role = Literal["user", "assistant", "system"]


@dataclass(eq=False)
class Item:
    """One message."""

    role: Role
    text: str = ""
    """What was written; of sound its transcript."""
    spoken: bool = False
    id: str = field(default_factory=lambda: new_id("item"))
    status: Literal["completed", "incomplete", "in_progress"] = "completed"
    heard: HeardTurn | None = None
    """Of the user's sound, when the model has heard it."""
    hearing: asyncio.Task[None] | None = None
    instruction: str | None = None
    """What to do with what was said."""
    chunks: list[AudioChunk] = field(default_factory=list)
    """Of a spoken reply: when what of it is said; without the samples."""
    cut_ms: float | None = None
    """Of a spoken reply that was stopped: how much of it was played."""
    kept: bool = True
    """Whether the model remembers it."""

    @property
    def duration_ms(self) -> float:
        return self.chunks[-1].end_ms if self.chunks else 0.0

    @property
    def words(self) -> str:
        """What was said, as far as the user heard it."""
        return self.text if self.cut_ms is None else spoken_text(self.text, self.chunks, self.cut_ms)

    def add_chunk(self, chunk: AudioChunk) -> None:
        self.chunks.append(replace(chunk, samples=chunk.samples[:0]))

    def hear(self, heard: HeardTurn) -> None:
        """The model has heard it."""
        self.heard, self.text = heard, (heard.transcript or "").strip()

    def turn(self) -> Turn | None:
        """What the model reads of it; None for nothing."""
        if not self.kept or self.role == "system":
            return None
        if self.role == "assistant":
            return AssistantTurn(self.words) if self.words else None
        if not self.spoken:
            return UserTurn(self.text, self.instruction)
        if self.heard is None or not is_understood(self.heard):
            return None
        return UserTurn(self.heard.embeddings, self.instruction)

    def as_event(self) -> Event:
        """As the protocol has it; a user's sound is not given back."""
        content: list[Event]
        if self.role == "assistant":
            form = ("output_audio", "transcript") if self.spoken else ("output_text", "text")
            content = [{"type": form[0], form[1]: self.words}]
        elif self.spoken:
            written = [{"type": "input_text", "text": self.instruction}] if self.instruction else []
            content = [{"type": "input_audio", "transcript": self.text or None}, *written]
        else:
            content = [{"type": "input_text", "text": self.text}]
        if self.status == "in_progress":
            content = []
        head = {"id": self.id, "object": "realtime.item", "type": "message"}
        return {**head, "status": self.status, "role": self.role, "content": content}


@dataclass(frozen=True)
class Question:
    """What is to be answered, and what was said before."""

    before: list[Turn]
    item: Item | None
    """None where only an instruction says what to do."""
    instruction: str | None

    @property
    def said(self) -> HeardTurn | str:
        """What is answered; an item of sound has been heard."""
        if self.item is None:
            return self.instruction or ""
        return self.item.heard if self.item.heard is not None else self.item.text


class Items:
    """The conversation, oldest first."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def has_room(self, items: int = 1) -> bool:
        """Whether it takes so many more."""
        return len(self._items) + items <= MOST_ITEMS

    def check_room(self) -> None:
        """Raises Refused where it takes no more."""
        if not self.has_room():
            raise Refused(f"the conversation has {MOST_ITEMS} items, and takes no more", "conversation_full")

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put an item in; gives the id of the one before it.

        Args: after: an item's id, or "root" for the beginning; None is the end.

        Raises: Refused.
        """
        self.check_room()
        if len(item.id) > LONGEST_ID or any(item.id == other.id for other in self._items):
            raise Refused("the item's id is taken or too long", param="item.id")
        system = sum(len(other.text) for other in (*self._items, item) if other.role == "system")
        if item.role == "system" and system > LONGEST_TEXT:
            raise Refused(
                f"system messages may be {LONGEST_TEXT} characters long in all", param="item.content"
            )
        place = len(self._items)
        if after is not None:
            place = 0 if after == "root" else self._place(after, "previous_item_id") + 1
        self._items.insert(place, item)
        return self._items[place - 1].id if place else None

    def add_reply(self, item: Item) -> str | None:
        """Put in what is said in a response that has begun, whatever was added since; gives the id of the one
        before it.
        """
        self._items.append(item)
        return self._items[-2].id if len(self._items) > 1 else None

    def find(self, item_id: str) -> Item:
        """The item of an id. Raises Refused."""
        return self._items[self._place(item_id, "item_id")]

    def remove(self, item: Item) -> None:
        self._items.remove(item)

    def forget(self, turns: int) -> None:
        """The model has forgotten so many of the oldest turns."""
        read = [item for item in self._items if item.role != "system" and item.kept]
        for of_turn, _ in _grouped(read)[:turns]:
            for item in of_turn:
                item.kept, item.heard = False, None

    def system(self, instructions: str) -> str:
        """The system prompt: the session's, and what the conversation adds to it."""
        added = [item.text for item in self._items if item.role == "system"]
        return "\n".join([instructions, *added])

    def question(self, instruction: str | None = None) -> Question:
        """What is to be answered now. Args: instruction: the response's own. Raises Refused for nothing."""
        said = [item for item in self._items if item.role != "system" and item.kept]
        if said and said[-1].role == "user":
            item = said.pop()
            if _goes_with(item, said):  # written to be done with what was said just before
                written, item = item.text, said.pop()
                instruction = instruction or item.instruction or written
            return Question(_turns(said), item, instruction or item.instruction)
        if not instruction:
            raise Refused("there is no turn of the user's to answer", "nothing_to_answer")
        return Question(_turns(said), None, instruction)

    def _place(self, item_id: str, param: str) -> int:
        for place, item in enumerate(self._items):
            if item.id == item_id:
                return place
        raise Refused("there is no such item", "item_not_found", param)


def _goes_with(item: Item, before: list[Item]) -> bool:
    """Whether a text of the user's says what to do with their sound before it."""
    if item.role != "user" or item.spoken or not before:
        return False
    return before[-1].role == "user" and before[-1].spoken


def _turns(items: list[Item]) -> list[Turn]:
    return [turn for _, turn in _grouped(items)]


def _grouped(items: list[Item]) -> list[tuple[list[Item], Turn]]:
    """Each turn that the model reads of the items, and those that it is made of."""
    found: list[tuple[list[Item], Turn]] = []
    for place, item in enumerate(items):
        turn = item.turn()
        if turn is None:
            continue
        of_turn, before = found[-1] if found else ([], None)
        if _goes_with(item, items[:place]) and isinstance(before, UserTurn):
            whole = replace(before, instruction=before.instruction or item.text)
            found[-1] = [*of_turn, item], whole
        else:
            found.append(([item], turn))
    return found


def created(given: Any) -> tuple[Item, str | None]:
    """An item that a client has written, and the base64 of its sound, if it has any.

    Raises: Refused for what there is not in a conversation here.
    """
    if given.type != "message":
        raise Refused(f"an item is a message here, not a {given.type}", "unsupported", "item.type")
    kinds = {"user": ("input_text", "input_audio"), "system": ("input_text",)}.get(
        given.role, ("output_text", "output_audio")
    )
    if not given.content or any(part.type not in kinds for part in given.content):
        raise Refused(f"the content is of {' and '.join(kinds)} here", "unsupported", "item.content")
    sounds = [part.audio for part in given.content if part.type == "input_audio"]
    texts = [part.text or (part.transcript if given.role == "assistant" else None) or ""
             for part in given.content if part.type != "input_audio"]  # fmt: skip
    text = text_in("\n".join(texts), "item.content", LONGEST_TEXT)
    if len(sounds) > 1 or (not sounds and not text.strip()) or (sounds and not sounds[0]):
        raise Refused("an item has one recording at most, and is not empty", param="item.content")
    item = Item(given.role, "" if sounds else text, bool(sounds))
    item.instruction = text or None if sounds else None
    if given.id is not None:
        item.id = given.id
    return item, sounds[0] if sounds else None
