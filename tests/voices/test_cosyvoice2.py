"""CosyVoice2 by its interface: a made-up checkout, and a server that answers as its FastAPI server does."""

import sys
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest

from harken.errors import HarkenError, InputError, WeightsError
from harken.voices import cosyvoice2
from harken.voices.base import NEUTRAL, Style, Voice
from harken.voices.cosyvoice2 import END_OF_PROMPT, Server, instruction, load
from harken.voices.styles import reply_style, user_style

PACKAGE = """
class Tensor:
    def __init__(self, rows): self.rows = rows
    def __array__(self, dtype=None, copy=None):
        import numpy
        return numpy.array(self.rows, dtype)

class CosyVoice2:
    sample_rate = 24000
    def __init__(self, model_dir):
        if "missing" in model_dir: raise FileNotFoundError(model_dir)
        self.asked = []
    def inference_instruct2(self, tts_text, instruct_text, prompt_wav, stream=False):
        assert isinstance(tts_text, str), "a generator would have the instruction spoken aloud"
        self.asked.append((tts_text, instruct_text, prompt_wav))
        if "BAD" in tts_text: raise RuntimeError("out of memory")
        for _ in range(2): yield {"tts_speech": Tensor([[0.5] * 1200])}
"""


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "ann.wav"
    path.write_bytes(b"RIFF-prompt")
    return path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    cli = tmp_path / "CosyVoice" / "cosyvoice" / "cli"
    cli.mkdir(parents=True)
    for folder in (cli.parent, cli):
        (folder / "__init__.py").touch()
    (cli / "cosyvoice.py").write_text(PACKAGE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cosyvoice2.checkout.cache_clear()
    yield cli.parents[1]
    cosyvoice2.checkout.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "cosyvoice"]:
        monkeypatch.delitem(sys.modules, name)


def test_styles_become_closed_instructions() -> None:
    told = {
        instruction(style)
        for style in (user_style("sad"), user_style("anger"), reply_style("anger")[1], NEUTRAL)
    }
    assert len(told) == 4 and all(text.endswith(END_OF_PROMPT) for text in told)
    assert "悲伤" in instruction(user_style("sad")) and "慢" in instruction(Style(speed=0.5))


def test_a_checkout_speaks_in_the_prompts_voice(checkout: Path, prompt: Path) -> None:
    voice: Voice = load(str(checkout), "model", prompt, "ann")
    chunks = list(voice.speak("I have lost my keys. Can you help me?", user_style("sad")))
    assert voice.sample_rate == 24_000 and voice.name == "ann" and len(chunks) == 4
    assert chunks[0].shape == (1200,) and chunks[0].dtype == np.float32
    assert chunks[0][0] == pytest.approx(0.5 * user_style("sad").gain)
    asked = cosyvoice2.checkout(str(checkout), "model").cosyvoice.asked
    assert asked[0] == ("I have lost my keys.", instruction(user_style("sad")), str(prompt))
    assert list(voice.speak("… 😀")) == []
    with pytest.raises(HarkenError, match="out of memory"):
        list(voice.speak("BAD news, everyone."))


def test_what_is_missing_is_named(checkout: Path, prompt: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkout"):
        load(str(tmp_path), "model", prompt, "ann")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load(str(checkout), "missing", prompt, "ann")
    with pytest.raises(InputError, match="no such prompt"):
        load("http://localhost", "", tmp_path / "none.wav", "ann")


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Answer(BaseHTTPRequestHandler):
        asked: ClassVar[list[dict[str, bytes]]] = []

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            form = {
                str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
                for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()  # type: ignore[attr-defined]
            }
            self.asked.append(form)
            odd = b"odd" in form["tts_text"]
            self.send_response(200 if self.path == "/inference_instruct2" else 404)
            if b"dies" in form["tts_text"]:
                self.send_header("Content-Length", "48000")
            self.end_headers()
            self.wfile.write(b"\0" if odd else np.array([0, 16384, -32768], "<i2").tobytes())

        def log_message(self, *_: Any) -> None: ...

    serving = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


def test_a_server_gets_a_form_and_gives_samples(server: HTTPServer, prompt: Path) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    (chunk,) = load(address + "/", "", prompt, "ann").speak("我今天很难过。")
    assert chunk.tolist() == [0.0, 0.5, -1.0]
    (form,) = server.RequestHandlerClass.asked  # type: ignore[attr-defined]
    assert form["tts_text"].decode() == "我今天很难过。" and form["instruct_text"].decode().endswith(
        END_OF_PROMPT
    )
    assert form["prompt_wav"] == b"RIFF-prompt"
    with pytest.raises(HarkenError, match="no 16-bit samples"):
        list(load(address, "", prompt, "ann").speak("an odd answer"))
    with pytest.raises(HarkenError, match=r"IncompleteRead\(6 bytes"):
        list(load(address, "", prompt, "ann").speak("Here it dies."))
    with pytest.raises(HarkenError, match="404"):
        list(Server(address + "/elsewhere").instruct("x", "y", prompt))


def test_a_server_that_is_not_there(prompt: Path) -> None:
    with pytest.raises(HarkenError, match="refused"):
        list(load("http://127.0.0.1:9", "", prompt, "ann").speak("Hello there."))
