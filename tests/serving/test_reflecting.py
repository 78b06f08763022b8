"""Sessions whose model reflects while it speaks, and those whose model cannot."""

from __future__ import annotations

from contextlib import AbstractContextManager

from served import ANSWER, Served, a_host, heard, run, script, served

from harken.recipes import ReflectConfig
from harken.testing import ScriptedLM

HOW = ReflectConfig(response_tokens=10, reflection_tokens=8, real_time=False)
PUSH_TO_TALK = {"turn_detection": None}


def reflecting() -> AbstractContextManager[Served]:
    model = ScriptedLM(script, heard, reflect=HOW, reflection=lambda _: "Sad?")
    return served(a_host(model=model))


def test_reflections_are_told_to_who_asks_and_are_no_part_of_the_reply() -> None:
    async def talk() -> None:
        async with running.client() as client:
            for options in ({"reflect": True, "reflections": True}, {"reflect": True}, {}):
                client.told.clear()
                session = await client.set(PUSH_TO_TALK, harken={"think": "off", **options})
                assert session["harken"]["reflect"] == ("reflect" in options) and session["harken_reflects"]
                await client.say()
                done = await client.until("response.done")
                (item,) = done["response"]["output"]
                assert item["content"][0]["transcript"] == ANSWER
                told = client.of("harken.reflection.delta")
                assert {event["response_id"] for event in told} <= {done["response"]["id"]}
                thought = "".join(event["delta"] for event in told)
                assert thought == ("Sad?" * (len(ANSWER) // 10) if "reflections" in options else "")

    with reflecting() as running:
        run(talk)


def test_a_model_that_cannot_is_not_asked_to(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            assert client.told[0]["session"]["harken_reflects"] is False
            options = {"reflect": True}
            await client.connection.session.update(session={"type": "realtime", "harken": options})
            error = await client.error()
            assert (error["code"], error["param"]) == ("unsupported", "session.harken.reflect")
            assert "cannot reflect" in error["message"]

    run(talk)
