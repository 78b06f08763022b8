"""Systems under test: Harken on a scripted model, a server over a real socket, and folders of predictions."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_servers import QUICK, FakeServer, JsonHandler, serving

from harken.api import Harken
from harken.audio import pcm
from harken.audio.io import write
from harken.dialogue.conversation import embed_segments
from harken.dialogue.events import Attribution, Done, Event
from harken.dialogue.render import AssistantTurn, Turn, UserTurn, render
from harken.errors import DataError, HarkenError, InputError
from harken.evaluation.spoken_qa import Prediction, write_predictions
from harken.evaluation.systems import chat
from harken.evaluation.systems.base import Felt, Question, Unanswered, ranks
from harken.evaluation.systems.predictions import Predictions
from harken.evaluation.systems.select import open_system
from harken.evaluation.systems.server import ServedSystem
from harken.evaluation.systems.spoken_lm import SpokenSystem
from harken.recipes import ReflectConfig, mini
from harken.testing import REFLECT, FakeVoice, ScriptedLM, heard_turn, tiny_model

TONE = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)


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


def test_harken_reflects_where_it_is_told_to(recordings: tuple[Path, Path]) -> None:
    how = ReflectConfig(response_tokens=4, reflection_tokens=8)
    model = ScriptedLM(lambda read: "You told me twice.", reflect=how)
    question = Question("set", "key", recordings, ("Oh no.",))
    for reflects in (False, True):
        assert SpokenSystem(Harken(model, None), "scripted", reflects).answer(question).text == (
            "You told me twice."
        )
        assert (REFLECT in "".join(model.read_texts)) == reflects


def test_a_recording_that_cannot_be_heard_is_one_unanswered_question(tmp_path: Path) -> None:
    system = SpokenSystem(Harken(ScriptedLM(lambda read: "Hm."), None), "scripted")
    with pytest.raises(Unanswered, match="no such file"):
        system.answer(Question("set", "key", (tmp_path / "none.wav",)))
    with pytest.raises(Unanswered, match="mute said nothing"):
        SpokenSystem(Mute(ScriptedLM(lambda read: "")), "mute").answer(Question("set", "key", (tmp_path,)))


def test_among_candidates_the_one_is_taken_that_gains_most_by_what_is_heard(
    recordings: tuple[Path, Path],
) -> None:
    model = tiny_model()
    system, candidates = SpokenSystem(Harken(model, None), "tiny"), ("sad, happy", "neutral", "ab")
    question = Question("set", "key", recordings, ("Oh no.",), "Which?", candidates=candidates)
    turn = heard_turn().embeddings
    past: list[Turn] = [UserTurn(turn), AssistantTurn("Oh no."), UserTurn(turn, "Which?")]

    def log_prob(turns: list[Turn], candidate: str) -> float:
        ids = model.tokenizer.encode(candidate, add_special_tokens=False)
        inputs = embed_segments(model, [*render(turns, model.tokenizer, model.recipe.system), ids])
        expected = model.core.logits(model.core(inputs[None]).hidden[0]).log_softmax(-1)
        return float(expected[range(len(inputs) - len(ids) - 1, len(inputs) - 1), ids].detach().sum())

    gains = [log_prob(past, each) - log_prob([UserTurn("", "Which?")], each) for each in candidates]
    answer = system.answer(question)
    assert answer.text == candidates[int(np.argmax(gains))] and answer.felt is None
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


class Server(FakeServer):
    """Answers chats with `message`, or in a stream with `chunks`, after as many refusals as it is told."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.message: object = {"role": "assistant", "content": "I hear you."}
        self.chunks: list[dict[str, Any]] | None = None
        """None refuses streams."""
        self.missing_bytes = 0
        """A stream is cut by so many before its end."""
        self.refusals: list[int] = []
        self.models = ["listener"]
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()


class Handler(JsonHandler):
    """`/v1/models` and `/v1/chat/completions`."""

    server: Server

    def do_GET(self) -> None:
        models = [{"id": m, "object": "model", "created": 1, "owned_by": "me"} for m in self.server.models]
        self.answer(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        self.server.bodies.append(body := self.body())
        self.server.keys.add(self.headers["Authorization"])
        if self.server.refusals:
            said = {"error": {"message": f"no, {self.headers['Authorization']}"}}
            self.answer(self.server.refusals.pop(0), said, QUICK)
            return
        if body.get("stream"):
            self.stream()
            return
        choice = {"index": 0, "finish_reason": "stop", "message": self.server.message}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "listener"}
        self.answer(200, {**head, "choices": [choice]})

    def stream(self) -> None:
        if self.server.chunks is None:
            self.answer(400, {"error": {"message": "no streams here"}})
            return
        data = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in self.server.chunks)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True


def chunk(finish: str | None = None, **delta: object) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "listener"}
    return {**head, "choices": [choice]}


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("openai")
    with serving(Server()) as served:
        yield served


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
    streamed, whole = server.bodies
    assert streamed["stream"] and "stream" not in whole
    assert whole["audio"] == {"voice": "anna", "format": "wav"}
    assert (answer.text, answer.sample_rate) == ("I am here.", 24_000)
    assert answer.samples is not None and answer.samples.shape == (8000,)
    assert answer.first_audio_s is not None and answer.first_audio_s > 0
    system.answer(Question("set", "key", recordings[:1]))
    assert "audio" not in server.bodies[2]
    server.message = {"role": "assistant", "content": None, "audio": audio | {"data": "AAAA"}}
    with pytest.raises(Unanswered, match="sound of its answer cannot be read"):
        system.answer(Question("set", "key", recordings[:1], spoken=True))
    assert not any("stream" in body for body in server.bodies[1:])  # it was refused once


def test_a_spoken_answer_is_streamed(server: Server, recordings: tuple[Path, Path]) -> None:
    sound = base64.b64decode(pcm.encoded(TONE))
    begun, rest = (base64.b64encode(part).decode() for part in (sound[:999], sound[999:]))  # within a sample
    server.chunks = [
        chunk(role="assistant", content=""),
        chunk(audio={"id": "a", "transcript": "I am "}),
        chunk(audio={"data": begun}),
        chunk(audio={"transcript": "here.", "data": rest}),
        {**chunk(), "choices": []},
        chunk("stop"),
    ]
    system = ServedSystem(server.url, voice="anna")
    answer = system.answer(Question("set", "key", recordings, ("Oh no.",), spoken=True))
    (body,) = server.bodies
    assert body["stream"] and body["audio"] == {"voice": "anna", "format": "pcm16"}
    assert (answer.text, answer.sample_rate) == ("I am here.", 24_000)
    assert answer.samples is not None and np.allclose(answer.samples, TONE, atol=1e-3)
    assert answer.first_audio_s is not None and answer.first_audio_s > 0
    server.chunks = [chunk(content="In writing."), chunk("stop")]
    answer = system.answer(Question("set", "key", recordings, spoken=True))
    assert (answer.text, answer.samples, answer.first_audio_s) == ("In writing.", None, None)


def test_the_time_to_the_first_sound_is_not_that_of_the_whole_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 10.0
    monkeypatch.setattr(chat, "time", SimpleNamespace(monotonic=lambda: now_s))

    def chunks() -> Iterator[Any]:
        nonlocal now_s
        for at_s, sound in ((11.0, None), (12.5, pcm.encoded(TONE)), (19.0, pcm.encoded(TONE))):
            now_s = at_s
            delta = SimpleNamespace(content="Hm.", audio=SimpleNamespace(transcript=None, data=sound))
            yield SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason="stop")])

    answer = chat.read_stream(chunks(), 10.0)
    assert answer.first_audio_s == 2.5 and answer.samples is not None and len(answer.samples) == 2 * len(TONE)


def test_a_stream_that_breaks_off_is_one_unanswered_question(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    system = ServedSystem(server.url, voice="anna")
    question = Question("set", "key", recordings[:1], spoken=True)
    server.chunks = [chunk(content="I am"), chunk(content=" here.")]
    for missing in (0, 100):
        server.missing_bytes = missing
        with pytest.raises(Unanswered, match="broke off"):
            system.answer(question)
    server.missing_bytes = 0
    for wrong in ([{"error": {"message": "out of memory"}}], [chunk("stop", audio={"data": "AAA"})]):
        server.chunks = [chunk(content="I am"), *wrong]
        with pytest.raises(Unanswered, match=r"out of memory|cannot be read"):
            system.answer(question)


def test_a_question_that_is_refused_either_way_does_not_end_streams(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    server.chunks = [chunk(content="I am here."), chunk("stop")]
    system = ServedSystem(server.url, voice="anna")
    question = Question("set", "key", recordings[:1], spoken=True)
    server.refusals = [400, 400]
    with pytest.raises(Unanswered):
        system.answer(question)
    assert system.answer(question).text == "I am here."
    assert [body.get("stream", False) for body in server.bodies] == [True, False, True]


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
    with pytest.raises(InputError, match="is no system") as unknown:
        open_system(str(tmp_path / "none"), recipe=mini())
    assert all(form in unknown.value.hint for form in ("http://", "ws://", "folder", "cascade"))
