"""A system behind a server of OpenAI's chat completions with audio input: vLLM, SGLang or a hosted one.

Recordings go as they are heard here, 16 kHz mono WAV; sound comes back as WAV where it is wanted and a voice
was chosen. Answers are not streamed, so that the time to first audio is that of the whole answer.
"""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import soundfile

from harken.audio.io import Recording, read
from harken.errors import HarkenError, InputError
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.server import key_in, open_client

TRIES = 4
TIMEOUT_S = 300.0


class ServedSystem:
    """A model of the server at `url`."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key_env: str | None = None,
        voice: str | None = None,
        concurrency: int = 8,
        tries: int = TRIES,
    ) -> None:
        """Find the model.

        Args:
            url: as the `openai` client wants it, mostly ending in `/v1`.
            model: its name at that server; None takes the only one that there is.
            api_key_env: the environment variable that holds the key; None for a server without keys.
            voice: asks for spoken answers in this voice; None for text alone.
            concurrency: questions out at once.
            tries: of a question before it counts as unanswered.

        Raises: InputError for an empty key or a server of several models, MissingExtra without the `openai`
            package, HarkenError where no server answers.
        """
        self.concurrency = concurrency
        self._key = key_in(api_key_env)
        self._url = url
        self._voice = voice
        self._client = open_client(url, self._key, tries, TIMEOUT_S)
        self.name = model or self._only_model()

    def answer(self, question: Question) -> Answer:
        """As of every `System`."""
        import openai

        spoken: dict[str, Any] = {}
        if question.spoken and self._voice:
            spoken = {"modalities": ["text", "audio"], "audio": {"voice": self._voice, "format": "wav"}}
        try:
            messages = _messages(question)
            start_s = time.monotonic()
            said = self._client.chat.completions.create(
                model=self.name, messages=messages, temperature=0.0, seed=0, **spoken
            )
        except openai.APITimeoutError as error:
            raise Unanswered(f"{self.name}: no answer within {TIMEOUT_S:.0f} s") from error
        except openai.APIConnectionError as error:  # also after the last try: nobody is there
            raise HarkenError(
                f"no server answers at {self._url}: {self._said(error)}",
                "is it running? the run goes on where it stopped",
            ) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise HarkenError(
                f"{self._url} refuses {self.name}: {self._said(error)}",
                "check --model, and name the key's variable in --api-key-env",
            ) from error
        except (openai.OpenAIError, ValueError) as error:
            raise Unanswered(f"{self.name}: {self._said(error)}") from error
        return self._answer(said, time.monotonic() - start_s)

    def _answer(self, said: Any, seconds: float) -> Answer:
        choices = getattr(said, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        audio = getattr(message, "audio", None)
        text = getattr(message, "content", None) or getattr(audio, "transcript", None)
        if not isinstance(text, str) or not text.strip():
            raise Unanswered(f"{self.name}: the server's answer holds no text")
        text = text.encode(errors="replace").decode()  # half a character is no text anywhere else
        if audio is None:
            return Answer(text)
        try:
            encoded = base64.b64decode(audio.data)
            samples, rate = soundfile.read(io.BytesIO(encoded), dtype="float32", always_2d=True)
        except (AttributeError, TypeError, ValueError, soundfile.LibsndfileError) as error:
            raise Unanswered(f"{self.name}: the sound of its answer cannot be read: {error}") from error
        return Answer(text, samples.mean(axis=1), rate, seconds)

    def _only_model(self) -> str:
        import openai

        try:
            names = [model.id for model in self._client.models.list()]
        except openai.OpenAIError as error:
            raise HarkenError(
                f"no server says at {self._url} which models it has: {self._said(error)}",
                "is it running, and does the address end in /v1? else name the model with --model",
            ) from error
        if len(names) != 1:
            raise InputError(
                f"{self._url} has {', '.join(sorted(names)) or 'no model'}", "choose one with --model"
            )
        return names[0]

    def _said(self, error: Exception) -> str:
        """The error on one line, without the key, which some servers repeat."""
        text = " ".join(str(error).split()) or type(error).__name__
        return (text.replace(self._key, "…") if self._key else text)[:300]


def _messages(question: Question) -> list[Any]:
    """The conversation as chat messages; the instruction stands beside the last recording."""
    messages: list[Any] = []
    for recording, reply in question.turns:
        try:
            content: list[Any] = [_audio_part(read(recording))]
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error
        messages.append({"role": "user", "content": content})
        if reply is not None:
            messages.append({"role": "assistant", "content": reply})
    if question.instruction is not None:
        messages[-1]["content"].append({"type": "text", "text": question.instruction})
    return messages


def _audio_part(recording: Recording) -> dict[str, Any]:
    encoded = io.BytesIO()
    soundfile.write(encoded, recording.samples, recording.sample_rate, format="WAV", subtype="PCM_16")
    data = base64.b64encode(encoded.getbuffer()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
