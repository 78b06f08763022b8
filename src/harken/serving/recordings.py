"""`POST /v1/audio/replies`: one recording in, and all that came of it out."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any

import numpy as np
import soundfile
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from harken.audio.io import Recording, encode, read
from harken.dialogue.events import AudioChunk, Done, TextDelta
from harken.dialogue.record import turn_record
from harken.dialogue.reply import ReplySettings, Think, heard_event, is_understood
from harken.dialogue.sampling import Sampling
from harken.errors import HarkenError, InputError
from harken.serving.answering import Talk
from harken.serving.host import Host
from harken.serving.items import Item, Question
from harken.serving.response import Times
from harken.serving.settings import LONGEST_TEXT
from harken.serving.wire import Refused

UPLOAD_S = 60.0
"""How long a recording may be on its way."""
STATUS = {"server_busy": 503, "server_leaving": 503, "too_large": 413, "too_slow": 408, "not_found": 404}
Text = Annotated[str | None, Query(max_length=LONGEST_TEXT)]
BODY = {"required": True, "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}}}


class Speaker(BaseModel):
    """Who was heard."""

    gender: str | None


class HeardPart(BaseModel):
    """What was heard."""

    emotion: str
    scores: dict[str, float]
    speaker: Speaker
    transcript: str | None
    seconds: float


class AttributionPart(BaseModel):
    """How the speaker feels, and why."""

    emotion: str | None
    cause: str | None


class Reply(BaseModel):
    """What `harken reply --json` prints; `speech` is a WAV file in base64."""

    input: str
    heard: HeardPart
    attribution: AttributionPart
    trace: str | None
    reply: str
    speech: str | None
    think: Think
    timings_ms: dict[str, float | None]
    real_time_factor: float


class Fault(BaseModel):
    """What went wrong."""

    error: dict[str, str | None]


@dataclass
class _Made:
    """What has come of it so far."""

    times: Times
    text: str = ""
    chunks: list[AudioChunk] = field(default_factory=list)
    done: Done | None = None

    def take(self, event: Any) -> None:
        if isinstance(event, TextDelta):
            self.text += event.text
        elif isinstance(event, AudioChunk):
            self.times.last_audio_s = monotonic()
            self.times.first_audio_s = self.times.first_audio_s or self.times.last_audio_s
            self.chunks.append(event)
        elif isinstance(event, Done):
            self.done = event

    def speech(self) -> str | None:
        if not self.chunks:
            return None
        samples = np.concatenate([chunk.samples for chunk in self.chunks])
        return base64.b64encode(encode(samples, self.chunks[0].sample_rate)).decode()


def routes(host: Host) -> APIRouter:
    """The route; who may ask is its caller's to see to."""
    router = APIRouter()

    @router.post(
        "/v1/audio/replies",
        summary="Answer a recording",
        response_model=Reply,
        responses={code: {"model": Fault} for code in (401, 404, 408, 413, 422, 503)},
        openapi_extra={"requestBody": BODY},
    )
    async def replies(
        request: Request,
        think: Think = "after",
        system: Text = None,
        instruction: Text = None,
        voice: Annotated[str | None, Query(max_length=100)] = None,
        seed: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    ) -> Any:
        try:
            with host.session():
                recording = await _received(request, host)
                settings = ReplySettings(think, instruction or None, Sampling(seed))
                return await _answered(host, recording, settings, system, voice)
        except Refused as refused:
            return fault(refused, STATUS.get(refused.code, 422))
        except HarkenError as error:
            return fault(Refused(error.message, "unprocessable"), 422)

    return router


def fault(refused: Refused, status: int) -> JSONResponse:
    """An error over HTTP, in the form that OpenAI's have."""
    error = {
        "type": refused.kind,
        "code": refused.code,
        "message": refused.message,
        "param": refused.param,
    }
    return JSONResponse({"error": error}, status, {"Retry-After": "5"} if status == 503 else None)


async def _received(request: Request, host: Host) -> Recording:
    """The recording in a request's body. Raises Refused, and InputError where it cannot be heard."""
    most, body = host.limits.message_bytes, bytearray()
    async with _in_time():
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise Refused(f"a recording has {most} bytes at most", "too_large")
    return await asyncio.to_thread(_decoded, bytes(body), host.limits.buffered_s)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(UPLOAD_S):
            yield
    except TimeoutError:
        raise Refused(f"the recording did not come within {UPLOAD_S:g} s", "too_slow") from None


def _decoded(body: bytes, most_s: float) -> Recording:
    try:
        seconds = soundfile.info(io.BytesIO(body)).duration
    except soundfile.LibsndfileError:
        seconds = 0.0  # `read` says what is wrong
    if seconds > most_s:
        raise Refused(f"the recording is {seconds:.0f} s long, and may be {most_s:g} s", "too_large")
    return read(body)


async def _answered(
    host: Host, recording: Recording, settings: ReplySettings, system: str | None, voice: str | None
) -> dict[str, Any]:
    """What came of a recording. Raises Refused and HarkenError."""
    speaker = _voice(host, voice)
    made = _Made(Times(asked_s := monotonic()))
    heard = await host.worker.call(lambda: host.harken.model.hear(recording.samples))
    heard_ms = 1000 * (monotonic() - asked_s)
    question = Question([], Item("user", spoken=True, heard=heard), settings.instruction)
    system = host.harken.recipe.system if system is None else system
    steps = Talk(host.harken, host.guard, host.together).answer(question, system, settings, speaker)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(error: Exception | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    job = host.worker.submit(steps, made.take, end)
    try:
        await ended
    finally:
        job.cancel()
    done = made.done
    if done is None:
        raise InputError("the server ended before the reply was whole", "ask again")
    sound_s = made.chunks[-1].end_ms / 1000 if made.chunks else 0.0
    host.metrics.spoke(made.times, sound_s, "completed")
    timings = {moment: ms + heard_ms for moment, ms in done.timings_ms.items()}
    done = Done(made.text, done.trace, done.attribution, timings)
    told = heard_event(heard, is_understood(heard))
    return turn_record(recording.name, told, done, settings.think, made.speech(), timings)


def _voice(host: Host, name: str | None) -> Any:
    """Whose voice it is. Raises Refused for nobody's."""
    if name == "none" or (name is None and not host.voices):
        return None
    if name is not None and name not in host.voices:
        known = ", ".join([*host.voices, "none"])
        raise Refused(f"there is no such voice; choose one of: {known}", "not_found", "voice")
    return host.voices[name or next(iter(host.voices))]
