"""One recording over HTTP: the object of `harken reply --json`, or one clear error."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
from served import ANSWER, TRACE, Served, a_host, served

from harken.audio.io import encode
from harken.serving.limits import Limits

HUM = (0.3 * np.sin(np.arange(16_000) / 10)).astype(np.float32)


def posted(running: Served, body: bytes, **query: Any) -> tuple[int, dict[str, Any]]:
    url = f"{running.url}/audio/replies?{urlencode(query)}"
    request = urllib.request.Request(url, body, {"Content-Type": "audio/wav"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_recording_is_answered_as_by_the_command_line(serving: Served) -> None:
    for encoding in ("wav", "opus"):
        status, row = posted(serving, encode(HUM, 16_000, encoding))
        assert status == 200
        assert list(row) == [
            "input", "heard", "attribution", "trace", "reply", "speech", "think", "timings_ms",
            "real_time_factor",
        ]  # fmt: skip
        assert row["heard"]["transcript"] == "I lost my job." and row["heard"]["emotion"] == "sad"
        assert row["heard"]["seconds"] == pytest.approx(1.0, abs=0.01)
        assert row["attribution"] == {"emotion": "sad", "cause": "my job"} and row["trace"] == TRACE
        assert row["reply"] == ANSWER and row["think"] == "after"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(row["speech"])))
        assert len(samples) / rate == pytest.approx(len(ANSWER) / 15, abs=0.1)
        moments = row["timings_ms"]
        assert 0 < moments["first_text"] <= moments["first_audio"] <= moments["total"]
    figures = urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/metrics").read().decode()
    assert "harken_time_to_first_audio_seconds_count 2.0" in figures


def test_what_may_be_chosen_is_chosen(serving: Served) -> None:
    model = serving.host.harken.model
    wav = encode(HUM, 16_000)
    status, row = posted(serving, wav, think="off", voice="none", instruction="Be brief.", system="Be wise.")
    assert status == 200 and (row["speech"], row["trace"], row["think"]) == (None, None, "off")
    read = "".join(model.read_texts)
    assert "<|im_start|>system\nBe wise.<|im_end|>" in read and "<|im_start|>user\nBe brief.\n·" in read


@pytest.mark.parametrize(
    ("body", "query", "status", "said"),
    [
        (b"", {}, 422, "is empty"),
        (b"no sound at all", {}, 422, "is not audio"),
        (encode(0 * HUM, 16_000), {}, 422, "is silent"),
        (encode(HUM[:800], 16_000), {}, 422, "too short"),
        (encode(np.tile(HUM, 4), 16_000), {}, 413, "may be 3 s"),
        (bytes(200_001), {}, 413, "200000 bytes at most"),
        (encode(HUM, 16_000), {"voice": "nobody"}, 404, "choose one of: fake, none"),
        (encode(HUM, 16_000), {"think": "never"}, 422, "think"),
        (encode(HUM, 16_000), {"seed": -1}, 422, "seed"),
        (encode(HUM, 16_000), {"system": "x" * 9000}, 422, "system"),
    ],
)
def test_what_cannot_be_answered_gets_one_clear_error(
    body: bytes, query: dict[str, Any], status: int, said: str
) -> None:
    with served(a_host(Limits(message_bytes=200_000, buffered_s=3))) as running:
        found, answer = posted(running, body, **query)
        assert found == status and said in json.dumps(answer)
        assert set(answer) == {"error"} and answer["error"]["type"] == "invalid_request_error"
        assert posted(running, encode(HUM, 16_000))[0] == 200


def test_a_busy_server_says_when_to_ask_again() -> None:
    with served(a_host(Limits(sessions=0))) as running:
        status, answer = posted(running, encode(HUM, 16_000))
        assert status == 503 and answer["error"]["code"] == "server_busy"


def test_a_model_that_fails_is_the_servers_fault_and_the_next_is_answered(serving: Served) -> None:
    model = serving.host.harken.model
    hear, model.heard = model.heard, lambda samples: 1 / 0
    status, answer = posted(serving, encode(HUM, 16_000))
    assert status == 500 and answer["error"]["type"] == "server_error"
    model.heard = hear
    assert posted(serving, encode(HUM, 16_000))[0] == 200


def test_the_page_of_the_description_loads_nothing_from_another_host(serving: Served) -> None:
    for path in ("docs", "docs/docs.js", "docs/docs.css", "elements.js"):
        with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/{path}", timeout=30) as answer:
            assert answer.status == 200 and b"http://" not in answer.read().replace(b"http://www.w3.org", b"")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/redoc", timeout=30)


def test_the_servers_description_of_itself_names_the_recording_and_the_reply(serving: Served) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/openapi.json", timeout=30) as answer:
        described = json.load(answer)
    post = described["paths"]["/v1/audio/replies"]["post"]
    assert post["requestBody"]["content"]["audio/*"]["schema"]["format"] == "binary"
    reply = post["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert {"heard", "attribution", "reply", "speech"} <= set(
        described["components"]["schemas"][reply]["properties"]
    )
