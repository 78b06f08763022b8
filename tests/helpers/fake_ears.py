"""A fake server of chat completions that hears: it decodes the recordings of a prompt and scores by them."""

import base64
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile
from fake_servers import FakeServer, JsonHandler

Listener = Callable[[np.ndarray, np.ndarray], dict[str, int]]
"""The samples of the user's turn and of the reply -> a score by dimension."""


def roughness(samples: np.ndarray) -> float:
    """The share of neighbours of which one is above 0 and one below: high for noise, low for a tone."""
    return float(np.mean(np.signbit(samples[1:]) != np.signbit(samples[:-1])))


def hears_noise(user: np.ndarray, reply: np.ndarray) -> dict[str, int]:
    return {"vocal_empathy_congruence": 4, "audio_quality_naturalness": 1 if roughness(reply) > 0.2 else 5}


def hears_nothing(user: np.ndarray, reply: np.ndarray) -> dict[str, int]:
    return {"vocal_empathy_congruence": 4, "audio_quality_naturalness": 3}


class EarServer(FakeServer):
    """Scores what it hears by `listener`, in the judges' form."""

    def __init__(self, listener: Listener = hears_noise) -> None:
        super().__init__(EarHandler)
        self.listener = listener
        self.refuses: str | None = None
        """Says so of every prompt, with a status of 400."""
        self.takes_formats = True
        self.spoilt: Callable[[int], str | None] = lambda seed: None
        """What it writes at a seed in the place of a verdict."""
        self.asked: list[tuple[int, str, np.ndarray, np.ndarray]] = []
        """Seed, text, user, reply of each prompt that it heard."""
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()


class EarHandler(JsonHandler):
    """`/v1/models` and `/v1/chat/completions`."""

    server: EarServer

    def do_GET(self) -> None:
        model = {"id": "ears", "object": "model", "created": 1, "owned_by": "me"}
        self.answer(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        body = self.body()
        with self.server.lock:
            self.server.bodies.append(body)
        if "response_format" in body and not self.server.takes_formats:
            self.answer(400, {"error": {"message": "response_format is not supported with this model"}})
        elif self.server.refuses is not None:
            self.answer(400, {"error": {"message": self.server.refuses}})
        else:
            self.judge(body)

    def judge(self, body: dict[str, Any]) -> None:
        (message,) = body["messages"]
        sounds = [heard(part) for part in message["content"] if part["type"] == "input_audio"]
        texts = [part["text"] for part in message["content"] if part["type"] == "text"]
        with self.server.lock:
            self.server.asked.append((body["seed"], "\n".join(texts), sounds[0], sounds[1]))
        scores = self.server.listener(*sounds)
        verdict = json.dumps({"comment": "Heard.", "reasons": dict.fromkeys(scores, "so"), "scores": scores})
        said = self.server.spoilt(body["seed"]) or verdict
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "ears"}
        usage = {"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79}
        self.answer(200, {**head, "choices": [choice], "usage": usage})


def heard(part: dict[str, Any]) -> np.ndarray:
    """The samples of a part with sound, which is 16 kHz mono WAV."""
    assert part["input_audio"]["format"] == "wav"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
    assert rate == 16_000 and samples.ndim == 1
    return samples
