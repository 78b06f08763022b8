"""The client of models that hear, over real sockets: what a prompt names, and what a deaf server says."""

import hashlib
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from fake_ears import EarServer
from fake_servers import serving

from harken.errors import HarkenError, InputError
from harken.llm.base import Completion, LLMError, Sampling, schema_text
from harken.llm.hearing import HearingLLM, Sounds

pytest.importorskip("openai")
FORMED = Sampling(json_schema=schema_text({"type": "object"}), seed=3)


def wav(pitch: float) -> bytes:
    encoded = io.BytesIO()
    soundfile.write(encoded, 0.3 * np.sin(np.arange(4000) * pitch), 16_000, format="WAV")
    return encoded.getvalue()


@pytest.fixture
def server() -> Iterator[EarServer]:
    with serving(EarServer()) as served:
        yield served


def test_a_prompt_names_recordings_by_their_hash_and_the_server_hears_them_in_order(
    server: EarServer,
) -> None:
    sounds, low, high = Sounds(), wav(0.1), wav(0.2)
    llm = HearingLLM(server.url, "ears", sounds)
    prompt = sounds.prompt(["before", low, "between", high, "after"])
    assert json.loads(prompt)[1] == {"sound": hashlib.sha256(low).hexdigest()}
    (answer,) = llm.complete([prompt], FORMED)
    assert isinstance(answer, Completion) and (answer.prompt_tokens, answer.completion_tokens) == (70, 9)
    ((seed, text, first, second),) = server.asked
    assert (seed, text) == (3, "before\nbetween\nafter")
    assert np.abs(np.fft.rfft(first)).argmax() < np.abs(np.fft.rfft(second)).argmax()
    body = server.bodies[0]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "input_audio"] * 2 + ["text"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert sounds.prompt(["before", low]) != sounds.prompt(["before", high])


def test_a_server_without_forms_is_asked_without_them(server: EarServer) -> None:
    server.takes_formats = False
    sounds = Sounds()
    llm = HearingLLM(server.url, "ears", sounds)
    prompts = [sounds.prompt([wav(0.1), wav(pitch)]) for pitch in (0.1, 0.2)]
    for prompt in prompts:
        assert isinstance(llm.complete([prompt], FORMED)[0], Completion)
    assert ["response_format" in body for body in server.bodies] == [True, False, False]


def test_a_model_that_does_not_hear_is_one_error_that_says_what_to_do(server: EarServer) -> None:
    server.refuses = "At most 0 audio(s) may be provided in one prompt."
    sounds = Sounds()
    prompt = sounds.prompt([wav(0.1), wav(0.2)])
    with pytest.raises(HarkenError, match=r"ears at .* does not hear: .*At most 0 audio") as raised:
        HearingLLM(server.url, "ears", sounds).complete([prompt], FORMED)
    assert not isinstance(raised.value, LLMError) and "two recordings a prompt" in raised.value.hint
    server.refuses = "prompt too long"
    (error,) = HearingLLM(server.url, "ears", sounds).complete([prompt], FORMED)
    assert isinstance(error, LLMError) and "too long" in error.message


def test_once_it_has_heard_a_refusal_is_of_one_recording(server: EarServer) -> None:
    sounds = Sounds()
    llm = HearingLLM(server.url, "ears", sounds)
    llm.complete([sounds.prompt([wav(0.1), wav(0.2)])], FORMED)
    server.refuses = "audio is longer than 30 s"
    (error,) = llm.complete([sounds.prompt([wav(0.1), wav(0.3)])], FORMED)
    assert isinstance(error, LLMError)


def test_a_server_that_is_down_or_has_no_such_model_is_said_at_the_start(server: EarServer) -> None:
    with pytest.raises(InputError, match="no model named 'other'"):
        HearingLLM(server.url, "other", Sounds()).start()
    with serving(EarServer()) as gone:
        url = gone.url
    with pytest.raises(HarkenError, match="no language model server answers"):
        HearingLLM(url, "ears", Sounds()).start()
