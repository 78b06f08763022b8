"""Sessions that are answered at the same time: their tokens are read together, each gets its own reply."""

from __future__ import annotations

import asyncio

from served import ANSWER, PUSH_TO_TALK, HeldLM, a_host, heard, hum, run, script, served, shown


def test_a_session_joins_another_in_the_middle_of_its_reply_and_one_is_interrupted() -> None:
    model = HeldLM(script, heard)

    async def talk() -> None:
        async with running.client() as one, running.client() as other, running.client() as leaving:
            for client in (other, leaving):
                await client.set(PUSH_TO_TALK, output_modalities=["text"])
                await client.connection.input_audio_buffer.append(audio=hum(1.0))
                await client.connection.input_audio_buffer.commit()
                await client.until("harken.heard")
            await one.set(PUSH_TO_TALK, output_modalities=["text"])
            model.hold(after=6)
            await one.say()
            await asyncio.to_thread(model.waits.wait)  # in the middle of its reply
            for client in (other, leaving):
                await client.connection.response.create()
                await client.until("response.created")
            model.read_at_once.clear()
            model.hold(after=20)
            await asyncio.to_thread(model.waits.wait)  # now all three are
            assert max(model.read_at_once) == 3
            await leaving.connection.response.cancel()
            assert (await leaving.until("response.done"))["response"]["status"] == "cancelled"
            model.let_go()
            for client in (one, other):
                done = await client.until("response.done")
                assert done["response"]["status"] == "completed"
                assert shown(client, "response.output_text.delta") == ANSWER
            assert len(shown(leaving, "response.output_text.delta")) < len(ANSWER)

    with served(a_host(model=model)) as running:
        run(talk)
