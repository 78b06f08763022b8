"""CosyVoice2 (Apache-2.0), from a checkout that the user names or from its FastAPI server.

It has no package of its own on the package index, so nothing of it is installed with Harken: a checkout is
imported in place, in an environment that has what it needs; a server only needs its address. A voice is a
prompt recording (3 to 30 s), a style becomes an instruction in words. The instruction is given with the whole
text and closed by `<|endofprompt|>`: with a text generator, or without the mark, CosyVoice2 speaks it aloud.
"""

from __future__ import annotations

import http.client
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harken.errors import HarkenError, InputError, WeightsError
from harken.voices.base import NEUTRAL, Samples, Style, level
from harken.voices.phonemes import sentences
from harken.voices.styles import REPLY_STYLES, user_style

SAMPLE_RATE_HZ = 24_000
END_OF_PROMPT = "<|endofprompt|>"
TIMEOUT_S = 120.0

_EMOTIONS = {
    "happy": "用开心的语气说",
    "surprise": "用惊讶的语气说",
    "anger": "用生气的语气说",
    "disgust": "用厌恶的语气说",
    "sad": "用悲伤的语气慢慢地说",
    "fear": "用害怕的语气小声地说",
}
_REPLIES = {"gentle": "用温柔的语气慢慢地说", "calm": "用平静的语气说", "bright": "用明快的语气说"}
_PLAIN = "用自然的语气说"
_INSTRUCTIONS = {user_style(name): text for name, text in _EMOTIONS.items()} | {
    REPLY_STYLES[name]: text for name, text in _REPLIES.items()
}


class Engine(Protocol):
    """Wherever CosyVoice2 runs."""

    @property
    def sample_rate(self) -> int: ...

    def instruct(self, text: str, instruction: str, prompt: Path) -> Iterator[Samples]:
        """Float32 chunks (N,) of the text said as instructed, in the prompt's voice. Raises HarkenError."""
        ...


class CosyVoice2Voice:
    """The voice of one prompt recording."""

    def __init__(self, engine: Engine, prompt: Path, name: str) -> None:
        """Raises InputError where there is no such recording."""
        if not prompt.is_file():
            raise InputError(f"{prompt}: no such prompt recording", "name a WAV of 3 to 30 s of one speaker")
        self._engine, self._prompt, self.name = engine, prompt, name

    @property
    def sample_rate(self) -> int:
        return self._engine.sample_rate

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """Float32 chunks (N,), one or more a sentence; none where nothing in `text` can be spoken."""
        for sentence in sentences(text):
            if any(c.isalnum() for c in sentence):
                for chunk in self._engine.instruct(sentence, instruction(style), self._prompt):
                    yield level(chunk, style.gain)


def instruction(style: Style) -> str:
    """A style in the words that CosyVoice2 follows, closed so that they are not spoken."""
    said = _INSTRUCTIONS.get(style)
    if said is None:
        pace = "快一点" if style.speed > 1.05 else "慢一点" if style.speed < 0.95 else ""
        said = f"{_PLAIN}，{pace}" if pace else _PLAIN
    return said + END_OF_PROMPT


def load(at: str, model: str, prompt: Path, name: str) -> CosyVoice2Voice:
    """The voice of a prompt recording, by a server (an address) or a checkout (a folder).

    Raises InputError, and WeightsError where the checkout or its model cannot be loaded.
    """
    engine: Engine = Server(at) if at.startswith(("http://", "https://")) else checkout(at, model)
    return CosyVoice2Voice(engine, prompt, name)


class Checkout:
    """A checkout of CosyVoice, imported in place; `cosyvoice` is its own `CosyVoice2`."""

    def __init__(self, folder: Path, model: str) -> None:
        places = (folder, folder / "third_party" / "Matcha-TTS")
        if not (folder / "cosyvoice").is_dir():
            raise InputError(
                f"{folder} is no checkout of CosyVoice", "git clone --recursive the CosyVoice repository"
            )
        sys.path[:0] = [str(place) for place in places if str(place) not in sys.path]
        try:
            self.cosyvoice: Any = import_module("cosyvoice.cli.cosyvoice").CosyVoice2(str(folder / model))
        except Exception as error:  # a missing package or file, or whatever its loader raises
            raise WeightsError(
                f"CosyVoice2 in {folder} cannot be loaded: {error!r}",
                "run its own example in this environment, or start its server and name the address",
            ) from None

    @property
    def sample_rate(self) -> int:
        return int(self.cosyvoice.sample_rate)

    def instruct(self, text: str, instruction: str, prompt: Path) -> Iterator[Samples]:
        try:
            for made in self.cosyvoice.inference_instruct2(text, instruction, str(prompt), stream=False):
                yield np.asarray(made["tts_speech"], dtype=np.float32).reshape(-1)
        except Exception as error:  # whatever a foreign model raises about one text
            raise HarkenError(f"CosyVoice2 cannot say it: {error!r}") from None


@lru_cache(maxsize=1)
def checkout(folder: str, model: str) -> Checkout:
    """A checkout, loaded once. Raises InputError and WeightsError as `load` does."""
    return Checkout(Path(folder), model)


class Server:
    """CosyVoice's FastAPI server: a form in, 16-bit samples at 24 kHz out."""

    sample_rate = SAMPLE_RATE_HZ

    def __init__(self, address: str) -> None:
        self._url = address.rstrip("/") + "/inference_instruct2"

    def instruct(self, text: str, instruction: str, prompt: Path) -> Iterator[Samples]:
        boundary = uuid.uuid4().hex
        body = _form(boundary, {"tts_text": text, "instruct_text": instruction}, prompt)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                pcm = answer.read()
        except (OSError, http.client.HTTPException) as error:  # the latter of an answer that breaks off
            raise HarkenError(f"{self._url}: {error}", "is CosyVoice's server running there?") from None
        if len(pcm) % 2 or not pcm:
            raise HarkenError(f"{self._url} answered {len(pcm)} bytes, no 16-bit samples")
        yield (np.frombuffer(pcm, "<i2") / 32768).astype(np.float32)


def _form(boundary: str, fields: dict[str, str], prompt: Path) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    file = f'{head}"prompt_wav"; filename="prompt.wav"\r\nContent-Type: audio/wav\r\n\r\n'.encode()
    return b"".join([*parts, file, prompt.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])
