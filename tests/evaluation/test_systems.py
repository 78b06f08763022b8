"""Systems under test: Harken on a scripted model, a server over a real socket, and folders of predictions."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harken.api import Harken
from harken.audio.io import write
from harken.dialogue.conversation import embed_segments
from harken.dialogue.events import Attribution, Done, Event
from harken.dialogue.render import AssistantTurn, UserTurn, render
from harken.errors import DataError, HarkenError, InputError
from harken.evaluation.spoken_qa import Prediction, write_predictions
from harken.evaluation.systems.base import Felt, Question, Unanswered, ranks
from harken.evaluation.systems.predictions import Predictions
from harken.evaluation.systems.select import open_system
from harken.evaluation.systems.server import ServedSystem
from harken.evaluation.systems.spoken_lm import SpokenSystem
from harken.recipes import mini
from harken.testing import FakeVoice, ScriptedLM, heard_turn, tiny_model

TONE = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
QUICK = {"retry-after-ms": "1"}


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "one.wav", tmp_path / "two.wav"
    soundfile.write(first, TONE, 16_000)
    soundfile.write(second, TONE[:4000], 16_000)
    return first, second


def wav(samples: Any, rate: int) -> str:
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, rate, format="WAV")
    return base64.b64encode(encoded.getvalue()).decode()


# Harken


class Mute(Harken):
    def reply(self, *_: Any, **__: Any) -> Iterator[Event]:
        yield Done(" ", "", Attribution(None, None))


def test_harken_hears_the_turns_its_own_replies_and_the_instruction(recordings: tuple[Path, Path]) -> None:
    model = ScriptedLM(lambda read: "You told me twice.")
    system = SpokenSystem(Harken(model, FakeVoice()), "scripted")
    question = Question("set", "key", recordings, ("Oh no.",), "Say it briefly.")
    answer = system.answer(question)
    assert (answer.text, answer.samples, answer.first_audio_s) == ("You told me twice.", None, None)
    read = "".join(model.read_texts)
    assert read.index("·") < read.index("Oh no.") < read.rindex("·") and "Say it briefly." in read
    spoken = system.answer(Question("set", "key", recordings, (None,), spoken=True))
    assert spoken.samples is not None and spoken.samples.size > 0 and spoken.sample_rate == 8000
    assert spoken.first_audio_s is not None and spoken.first_audio_s > 0


def test_a_recording_that_cannot_be_heard_is_one_unanswered_question(tmp_path: Path) -> None:
    system = SpokenSystem(Harken(ScriptedLM(lambda read: "Hm."), None), "scripted")
    with pytest.raises(Unanswered, match="no such file"):
        system.answer(Question("set", "key", (tmp_path / "none.wav",)))
    with pytest.raises(Unanswered, match="mute said nothing"):
        SpokenSystem(Mute(ScriptedLM(lambda read: "")), "mute").answer(Question("set", "key", (tmp_path,)))


def test_among_candidates_the_one_is_taken_whose_tokens_are_the_most_probable(
    recordings: tuple[Path, Path],
) -> None:
    model = tiny_model()
    system, candidates = SpokenSystem(Harken(model, None), "tiny"), ("sad, happy", "neutral", "ab")
    question = Question("set", "key", recordings, ("Oh no.",), "Which?", candidates=candidates)
    turn = heard_turn().embeddings
    past = [UserTurn(turn), AssistantTurn("Oh no."), UserTurn(turn, "Which?")]
    segments = render(past, model.tokenizer, model.recipe.system)
    means = []
    for candidate in candidates:
        ids = model.tokenizer.encode(candidate, add_special_tokens=False)
        inputs = embed_segments(model, [*segments, ids])
        expected = model.core.logits(model.core(inputs[None]).hidden[0]).log_softmax(-1)
        said = expected[range(len(inputs) - len(ids) - 1, len(inputs) - 1), ids]
        means.append(float(said.detach().mean()))
    answer = system.answer(question)
    assert answer.text == candidates[int(np.argmax(means))] and answer.felt is None
    assert ranks(system)


def test_harken_says_what_it_felt_where_that_is_asked(recordings: tuple[Path, Path]) -> None:
    def script(read: str) -> str:
        return 'The speaker feels fear because: "the dark"\n</think>' if read.endswith("<think>\n") else "Oh."

    model = ScriptedLM(script, lambda samples: heard_turn(emotion="sad", width=1))
    system = SpokenSystem(Harken(model, None), "scripted")
    answer = system.answer(Question("set", "key", recordings, (None,), "Why?", felt=True))
    assert (answer.text, answer.felt) == ("Oh.", Felt("sad", "fear", "the dark"))
    blurred = ScriptedLM(script, lambda samples: heard_turn(emotion="sad", confidence=0.1, width=1))
    unsure = SpokenSystem(Harken(blurred, None), "blurred")
    assert unsure.answer(Question("set", "key", recordings[:1], felt=True)).felt == Felt("sad")


# A server


class Server(ThreadingHTTPServer):
    """Answers chats with `message`, after as many refusals as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.message: object = {"role": "assistant", "content": "I hear you."}
        self.refusals: list[int] = []
        self.models = ["listener"]
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    """`/v1/models` and `/v1/chat/completions`."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        models = [{"id": m, "object": "model", "created": 1, "owned_by": "me"} for m in self.server.models]
        self.answer(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.add(self.headers["Authorization"])
        if self.server.refusals:
            said = {"error": {"message": f"no, {self.headers['Authorization']}"}}
            self.answer(self.server.refusals.pop(0), said)
            return
        choice = {"index": 0, "finish_reason": "stop", "message": self.server.message}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "listener"}
        self.answer(200, {**head, "choices": [choice]})

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **QUICK}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("openai")
    served = Server()
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def test_a_server_hears_the_recordings_in_order_between_its_replies(
    server: Server, recordings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    system = ServedSystem(server.url, api_key_env="THE_KEY")
    answer = system.answer(Question("set", "key", recordings, ("Oh no.",), "Be brief.", spoken=True))
    assert (system.name, answer.text, answer.samples) == ("listener", "I hear you.", None)
    (body,) = server.bodies
    assert server.keys == {"Bearer secret"} and "modalities" not in body and body["model"] == "listener"
    first, reply, second = body["messages"]
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert reply["content"] == "Oh no." and second["content"][1] == {"type": "text", "text": "Be brief."}
    for message, samples in ((first, 8000), (second, 4000)):
        part = message["content"][0]
        assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
        assert (len(heard), rate) == (samples, 16_000)


def test_a_server_with_a_voice_speaks_where_sound_is_wanted(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    audio = {"id": "a", "expires_at": 1, "transcript": "I am here.", "data": wav(TONE, 24_000)}
    server.message = {"role": "assistant", "content": None, "audio": audio}
    system = ServedSystem(server.url, voice="anna")
    answer = system.answer(Question("set", "key", recordings[:1], spoken=True))
    assert server.bodies[0]["audio"] == {"voice": "anna", "format": "wav"}
    assert (answer.text, answer.sample_rate) == ("I am here.", 24_000)
    assert answer.samples is not None and answer.samples.shape == (8000,)
    assert answer.first_audio_s is not None and answer.first_audio_s > 0
    system.answer(Question("set", "key", recordings[:1]))
    assert "audio" not in server.bodies[1]
    server.message = {"role": "assistant", "content": None, "audio": audio | {"data": "AAAA"}}
    with pytest.raises(Unanswered, match="sound of its answer cannot be read"):
        system.answer(Question("set", "key", recordings[:1], spoken=True))


def test_a_server_that_refuses_is_asked_again_and_then_leaves_one_question_unanswered(
    server: Server, recordings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    system = ServedSystem(server.url, api_key_env="THE_KEY", tries=2)
    question = Question("set", "key", recordings[:1])
    server.refusals = [500]
    assert system.answer(question).text == "I hear you." and len(server.bodies) == 2
    for refusals in ([500, 500], [400]):
        server.refusals = refusals
        with pytest.raises(Unanswered, match="no, Bearer …"):
            system.answer(question)
    server.message = {"role": "assistant", "content": " "}
    with pytest.raises(Unanswered, match="holds no text"):
        system.answer(question)
    with pytest.raises(Unanswered, match="no such file"):
        system.answer(Question("set", "key", (Path("none.wav"),)))


def test_a_server_that_is_down_or_refuses_the_key_ends_the_run(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    system = ServedSystem(server.url, "listener", tries=1)
    question = Question("set", "key", recordings[:1])
    for refusal in (401, 404):
        server.refusals = [refusal]
        with pytest.raises(HarkenError, match="refuses listener") as refused:
            system.answer(question)
        assert not isinstance(refused.value, Unanswered)
    server.shutdown()
    server.server_close()
    with pytest.raises(HarkenError, match="no server answers") as gone:
        ServedSystem(server.url, "listener", tries=1).answer(question)
    assert not isinstance(gone.value, Unanswered)
    with pytest.raises(HarkenError, match="which models it has"):
        ServedSystem(server.url, tries=1)


def test_of_several_models_one_has_to_be_named(server: Server) -> None:
    server.models = ["b", "a"]
    with pytest.raises(InputError, match="has a, b"):
        ServedSystem(server.url)
    assert ServedSystem(server.url, "b").name == "b"


# Predictions


def test_answers_to_televals_sets_are_looked_up(tmp_path: Path) -> None:
    write_predictions(tmp_path, "theirs", "webq-en", [Prediction("k1", "Paris.", "Paris")])
    system = Predictions(tmp_path, "theirs")
    assert system.answer(Question("webq-en", "k1", (tmp_path,))).text == "Paris."
    for question in (Question("webq-en", "k2", (tmp_path,)), Question("webq-zh", "k1", (tmp_path,))):
        with pytest.raises(Unanswered, match=f"no answer to {question.key} of {question.dataset}"):
            system.answer(question)
    with pytest.raises(DataError, match="neither HD-Track1 nor prediction/ours"):
        Predictions(tmp_path, "ours")


def test_recordings_of_predictions_keep_their_rate_and_damaged_ones_are_unanswered(tmp_path: Path) -> None:
    from harken.evaluation.humdial.dialogues import Dialogue, Turn
    from harken.evaluation.humdial.submission import reply_file, write_task

    write_task(tmp_path, "en", 3, [Dialogue("d", (Turn(1, "x", response_text="Yes."),))])
    reply_file(tmp_path, "en", "d", 1).parent.mkdir()
    write(reply_file(tmp_path, "en", "d", 1), TONE, 24_000)
    system = open_system(str(tmp_path), recipe=mini())
    question = Question("HD-Track1/en/HD-Track1-T3", "d_1", (tmp_path,), spoken=True)
    answer = system.answer(question)
    assert system.name == tmp_path.name and answer.first_audio_s is None
    assert answer.samples is not None and (len(answer.samples), answer.sample_rate) == (8000, 24_000)
    reply_file(tmp_path, "en", "d", 1).write_bytes(b"")
    with pytest.raises(Unanswered, match="is empty"):
        system.answer(question)


def test_what_is_neither_a_server_nor_a_folder_is_no_system(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no system"):
        open_system(str(tmp_path / "none"), recipe=mini())
