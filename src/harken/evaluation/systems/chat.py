"""What goes to OpenAI's chat completions with audio, and what is read of their answers, whole or streamed.

Recordings go as they are heard here, 16 kHz mono WAV.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterable
from typing import Any

import soundfile

from harken.audio import pcm
from harken.audio.io import Recording, read
from harken.errors import InputError
from harken.evaluation.systems.base import Answer, Question, Unanswered


def messages(question: Question) -> list[Any]:
    """The conversation as chat messages; the instruction stands beside the last recording.

    Raises: Unanswered for a recording that cannot be heard.
    """
    found: list[Any] = []
    for recording, reply in question.turns:
        try:
            content: list[Any] = [_audio_part(read(recording))]
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error
        found.append({"role": "user", "content": content})
        if reply is not None:
            found.append({"role": "assistant", "content": reply})
    if question.instruction is not None:
        found[-1]["content"].append({"type": "text", "text": question.instruction})
    return found


def speaking(voice: str, streamed: bool) -> dict[str, Any]:
    """What asks for a spoken answer. A stream's format is the only one that OpenAI streams."""
    audio = {"voice": voice, "format": "pcm16" if streamed else "wav"}
    return {"modalities": ["text", "audio"], "audio": audio}


def read_whole(said: Any, seconds: float) -> Answer:
    """The answer in a completion that took so long. Raises ValueError where it is none."""
    choices = getattr(said, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    audio = getattr(message, "audio", None)
    text = _text(getattr(message, "content", None) or getattr(audio, "transcript", None))
    if audio is None:
        return Answer(text)
    try:
        encoded = base64.b64decode(audio.data)
        samples, rate = soundfile.read(io.BytesIO(encoded), dtype="float32", always_2d=True)
    except (AttributeError, TypeError, ValueError, soundfile.LibsndfileError) as error:
        raise ValueError(f"the sound of its answer cannot be read: {error}") from error
    return Answer(text, samples.mean(axis=1), rate, seconds)


def read_stream(chunks: Iterable[Any], start_s: float) -> Answer:
    """The answer in the chunks of a completion that was asked for at `start_s` of the monotonic clock.

    Raises: ValueError where it is none, or not whole.
    """
    texts: list[str] = []
    transcripts: list[str] = []
    sounds: list[str] = []
    first_audio_s: float | None = None
    finished = False
    for choice in (choice for chunk in chunks for choice in getattr(chunk, "choices", None) or ()):
        delta = getattr(choice, "delta", None)
        audio = getattr(delta, "audio", None)
        texts.append(getattr(delta, "content", None) or "")
        transcripts.append(getattr(audio, "transcript", None) or "")
        if sound := getattr(audio, "data", None):
            if first_audio_s is None:
                first_audio_s = time.monotonic() - start_s
            sounds.append(sound)
        finished = finished or getattr(choice, "finish_reason", None) is not None
    if not finished:
        raise ValueError("the server's answer broke off")
    text = _text("".join(texts) or "".join(transcripts))
    if not sounds:
        return Answer(text)
    return Answer(text, pcm.decoded(sounds), pcm.SAMPLE_RATE_HZ, first_audio_s)


def _text(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError("the server's answer holds no text")
    return text.encode(errors="replace").decode()  # half a character is no text anywhere else


def _audio_part(recording: Recording) -> dict[str, Any]:
    encoded = io.BytesIO()
    soundfile.write(encoded, recording.samples, recording.sample_rate, format="WAV", subtype="PCM_16")
    data = base64.b64encode(encoded.getbuffer()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
