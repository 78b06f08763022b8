"""The conversation's items: what a client puts into it, in its place, is what the model reads."""

from __future__ import annotations

from typing import Any

import pytest
from served import (
    ANSWER,
    PUSH_TO_TALK,
    HeldLM,
    Served,
    a_host,
    asked,
    heard,
    push_to_talk,
    run,
    script,
    served,
    shown,
)

from harken.serving.items import Item, Items
from harken.testing import ScriptedLM, heard_turn


def written(text: str, role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def test_every_kind_of_message_finds_its_place() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            items = client.connection.conversation.item
            await client.set(PUSH_TO_TALK, output_modalities=["text"], harken={"think": "off"})
            for role, kind, key, text in (
                ("user", "input_text", "text", "I am back."),
                ("assistant", "output_audio", "transcript", "Welcome."),
                ("system", "input_text", "text", "Her name is Ann."),
            ):
                content = [{"type": kind, key: text}]
                await items.create(item={"type": "message", "role": role, "content": content})
            first = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
            await items.create(item=first, previous_item_id="root")
            await client.connection.response.create(response={"instructions": "Say hello."})
            await client.until("response.done")
            assert "<|im_start|>system\nBe kind.\nHer name is Ann.<|im_end|>\n" in model.read_texts
            order = ("Hello?", "I am back.", "<|im_start|>assistant\nWelcome.<|im_end|>", "user\nSay hello.")
            places = [asked(model).index(text) for text in order]
            assert places == sorted(places)
            before = [event["previous_item_id"] for event in client.of("conversation.item.added")]
            assert before[0] is None and before[3] is None and before[1] is not None

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_text_in_and_text_out() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK, output_modalities=["text"], instructions="Be brief.")
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
            await client.connection.conversation.item.create(item=item)
            await client.connection.response.create()
            done = await client.until("response.done")
            assert shown(client, "response.output_text.delta") == ANSWER
            assert done["response"]["output"][0]["content"] == [{"type": "output_text", "text": ANSWER}]
            assert not client.of("response.output_audio.delta", "harken.heard")
            await client.until("harken.attribution")

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))
    assert "<|im_start|>system\nBe brief.<|im_end|>\n" in model.read_texts
    assert "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n" in model.read_texts


def test_turns_build_on_those_before_and_on_what_is_put_between_them() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            items = client.connection.conversation.item
            await push_to_talk(client, harken={"think": "off"})
            reply = client.of("response.done")[0]["response"]["output"][0]["id"]
            await client.say()
            await client.until("response.done")
            assert asked(model).startswith(f"<|im_start|>assistant\n{ANSWER}<|im_end|>\n<|im_start|>user\n·")
            await items.delete(item_id=reply)
            await client.until("conversation.item.deleted")
            said = {"type": "output_text", "text": "Do go on."}
            given = {"type": "message", "role": "assistant", "content": [said], "id": "mine"}
            first = client.of("input_audio_buffer.committed")[0]["item_id"]
            await items.create(item=given, previous_item_id=first)
            assert (await client.until("conversation.item.added"))["previous_item_id"] == first
            await client.say()
            await client.until("response.done")
            read = asked(model)
            assert "Do go on." in read and read.index("Do go on.") < read.index(ANSWER)
            await items.retrieve(item_id="mine")
            found = (await client.until("conversation.item.retrieved"))["item"]
            assert found["content"] == [said] and found["role"] == "assistant"

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_a_full_conversation_refuses_a_reply_and_goes_on_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harken.serving.items.MOST_ITEMS", 3)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            items, response = client.connection.conversation.item, client.connection.response
            await client.set(PUSH_TO_TALK, output_modalities=["text"], harken={"think": "off"})
            for text in ("One.", "Two.", "Three."):
                await items.create(item=written(text))
            await response.create()
            assert (await client.error())["code"] == "conversation_full"
            await items.delete(item_id=client.of("conversation.item.added")[0]["item"]["id"])
            await response.create()
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed" and shown(client, "response.output_text.delta") == ANSWER

    with served(a_host()) as running:
        run(lambda: talk(running))


def test_a_reply_that_has_begun_finds_room_in_a_conversation_that_is_full_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harken.serving.items.MOST_ITEMS", 2)
    model = HeldLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            items = client.connection.conversation.item
            await client.set(PUSH_TO_TALK, output_modalities=["text"], instructions="Be brief.")
            await items.create(item=written("One."))
            await client.until("conversation.item.done")
            model.hold(1)  # reads the instructions
            await client.connection.response.create()
            await client.until("response.created")
            await items.create(item=written("Two."))
            second = (await client.until("conversation.item.added"))["item"]["id"]
            model.let_go()
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            (said,) = [e for e in client.of("conversation.item.added") if e["item"]["role"] == "assistant"]
            assert said["previous_item_id"] == second

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_system_messages_are_bounded_together(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            items = client.connection.conversation.item
            for _ in range(2):
                await items.create(item=written("x" * 4000, "system"))
                await client.until("conversation.item.done")
            await items.create(item=written("x", "system"))
            assert (await client.error())["param"] == "item.content"
            await items.create(item=written("x"))
            await client.until("conversation.item.done")

    run(talk)


def test_instructions_that_the_model_cannot_read_fail_the_reply_and_nothing_else(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await client.set(PUSH_TO_TALK, output_modalities=["text"], instructions="word " * 1000)
            await client.say()
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "failed"
            assert "the instructions are" in done["status_details"]["error"]["message"]
            await client.set(instructions="Be brief.")
            await client.connection.response.create()
            assert (await client.until("response.done"))["response"]["status"] == "completed"

    run(talk)


def test_what_is_forgotten_is_counted_in_turns_not_in_items() -> None:
    items = Items()

    def spoken() -> Item:
        item = Item("user", spoken=True)
        item.hear(heard_turn(width=1))
        return item

    said = [
        spoken(),
        Item("user", "Answer warmly."),
        Item("assistant", "I see."),
        spoken(),
        Item("user", "Why?"),
    ]
    for item in (Item("system", "She is Ann."), *said):
        items.add(item)
    assert [turn.instruction for turn in items.question().before[:1]] == ["Answer warmly."]
    items.forget(1)
    assert [item.kept for item in said] == [False, False, True, True, True]
    items.forget(1)
    assert [item.kept for item in said] == [False, False, False, True, True]
