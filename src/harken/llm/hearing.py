"""A language model that hears, behind a server of OpenAI's chat completions that takes `input_audio` parts.

A prompt is a text that names recordings by their sha256 (`Sounds`): whatever keeps answers by their prompts
(`harken.llm.cache`) keeps those to recordings too, and no recording is kept with them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harken.errors import HarkenError
from harken.llm.base import Sampling
from harken.llm.server import ServedLLM, one_line

if TYPE_CHECKING:
    import openai

CONCURRENCY = 8
_OF_SOUND = re.compile(r"audio|multi-?modal", re.IGNORECASE)
_TEXT, _SOUND = "text", "sound"


class Sounds:
    """The recordings that prompts name, held until they are forgotten."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}  # sha256 -> WAV file

    def prompt(self, parts: Sequence[str | bytes]) -> str:
        """One prompt of texts and the bytes of WAV files, in the order in which they are read and heard."""
        return json.dumps([self._named(part) for part in parts], ensure_ascii=False)

    def content(self, prompt: str) -> list[dict[str, Any]]:
        """The prompt as parts of a chat message."""
        return [self._part(**each) for each in json.loads(prompt)]

    def forget(self) -> None:
        """Let go of all recordings."""
        self._held.clear()

    def _named(self, part: str | bytes) -> dict[str, str]:
        if isinstance(part, str):
            return {_TEXT: part}
        name = hashlib.sha256(part).hexdigest()
        self._held[name] = part
        return {_SOUND: name}

    def _part(self, text: str | None = None, sound: str | None = None) -> dict[str, Any]:
        if sound is None:
            return {"type": "text", "text": text}
        data = base64.b64encode(self._held[sound]).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


class HearingLLM(ServedLLM):
    """A model of the server at `url`, asked by prompts that `sounds` made."""

    def __init__(self, url: str, model: str, sounds: Sounds, *, api_key_env: str | None = None) -> None:
        """Args and errors: as of `ServedLLM`."""
        super().__init__(url, model, api_key_env=api_key_env, concurrency=CONCURRENCY)
        self.template = "chat"  # of the server: none is applied here
        self._sounds = sounds
        self._hears = False

    def _create(
        self, client: openai.OpenAI, prompt: str, sampling: Sampling, more: dict[str, object] | None
    ) -> Any:
        """As of the class. Raises HarkenError where the server says that it takes no such recordings; once
        it has answered, a refusal is of the one prompt."""
        import openai

        messages: list[Any] = [{"role": "user", "content": self._sounds.content(prompt)}]
        try:
            answer = client.chat.completions.create(
                model=self.name,
                messages=messages,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                stop=[*sampling.stop] or None,
                seed=sampling.seed,
                extra_body=more,
            )
        except openai.APIStatusError as error:
            said = one_line(error, self._key)
            if more is None and not self._hears and _OF_SOUND.search(said):
                raise HarkenError(
                    f"{self.name} at {self._url} does not hear: {said}",
                    "serve a model that takes two recordings a prompt, such as Qwen3-Omni "
                    "(vLLM: --limit-mm-per-prompt '{\"audio\": 2}')",
                ) from error
            raise
        self._hears = True
        return answer

    def _text(self, choice: Any) -> Any:
        return getattr(getattr(choice, "message", None), "content", None)
