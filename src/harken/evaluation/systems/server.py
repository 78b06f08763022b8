"""A system behind a server of OpenAI's chat completions with audio input: vLLM, SGLang or a hosted one.

Where sound is wanted and a voice was chosen, the answer is streamed, so that the time to the first sound is
known. A server that refuses streams is asked without; the time is then that of the whole answer.
"""

from __future__ import annotations

import time
from typing import Any

from harken.errors import HarkenError, InputError
from harken.evaluation.systems import chat
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.server import key_in, one_line, open_client

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
        self.voice = voice
        self._streams = True
        self._client = open_client(url, self._key, tries, TIMEOUT_S)
        self.name = model or self._only_model()

    def answer(self, question: Question) -> Answer:
        """As of every `System`."""
        import openai

        try:
            return self._ask(chat.messages(question), self.voice if question.spoken else None)
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

    def _ask(self, messages: list[Any], voice: str | None) -> Answer:
        """A spoken answer is streamed. Where that is refused but the question is not, no more is streamed."""
        import openai

        if voice is None or not self._streams:
            return self._whole(messages, voice)
        try:
            return self._streamed(messages, voice)
        except openai.BadRequestError:
            answer = self._whole(messages, voice)
            self._streams = False
            return answer

    def _whole(self, messages: list[Any], voice: str | None) -> Answer:
        spoken = chat.speaking(voice, streamed=False) if voice else {}
        start_s = time.monotonic()
        said = self._client.chat.completions.create(
            model=self.name, messages=messages, temperature=0.0, seed=0, **spoken
        )
        return chat.read_whole(said, time.monotonic() - start_s)

    def _streamed(self, messages: list[Any], voice: str) -> Answer:
        import openai

        spoken = chat.speaking(voice, streamed=True)
        start_s = time.monotonic()
        chunks = self._client.chat.completions.create(
            model=self.name, messages=messages, temperature=0.0, seed=0, stream=True, **spoken
        )
        try:
            return chat.read_stream(chunks, start_s)
        except openai.APITimeoutError:
            raise
        except openai.APIConnectionError as error:  # it was there: the next question may be answered
            raise Unanswered(f"{self.name}: the server's answer broke off") from error

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
        return one_line(error, self._key)
