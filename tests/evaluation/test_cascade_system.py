"""The reference cascade as a system under test, of fakes for its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harken.errors import InputError
from harken.evaluation.systems import cascade
from harken.evaluation.systems.base import Question, Unanswered
from harken.evaluation.systems.cascade import ByLanguage, CascadeSystem, open_cascade
from harken.evaluation.systems.select import open_system
from harken.llm.base import Completion, LLMError
from harken.recipes import Recipe, bilingual, mini
from harken.testing import FakeLLM, FakeVoice, ToneVoice


def by_length(recordings: Sequence[Any]) -> list[str]:
    """Names a recording by its number of samples."""
    return [f"heard {len(samples)}." for samples in recordings]


def test_it_hears_every_turn_knows_its_replies_and_the_instruction(recordings: tuple[Path, Path]) -> None:
    llm = FakeLLM(lambda prompt, seed: " They said it twice. ")
    system = CascadeSystem(mini(), by_length, llm, None)
    question = Question("set", "key", recordings, ("Oh no.",), "Say it briefly.", spoken=True)
    answer = system.answer(question)
    assert (answer.text, answer.samples, answer.first_audio_s) == ("They said it twice.", None, None)
    turns = [
        f"system\n{mini().system}",
        "user\nheard 8000.",
        "assistant\nOh no.",
        "user\nheard 4000.\nSay it briefly.",
    ]
    prompt = "".join(f"<|im_start|>{turn}<|im_end|>\n" for turn in turns)
    assert llm.asked == [f"{prompt}<|im_start|>assistant\n"]


def test_it_speaks_where_sound_is_wanted(recordings: tuple[Path, Path]) -> None:
    voice = FakeVoice(chunk_s=0.2)
    system = CascadeSystem(mini(), by_length, FakeLLM(lambda prompt, seed: "I am here."), voice)
    assert system.name == "cascade: whisper-base, smollm2-135m-instruct, kokoro"
    assert system.answer(Question("set", "key", recordings[:1])).samples is None
    answer = system.answer(Question("set", "key", recordings[:1], spoken=True))
    assert [text for text, _ in voice.spoken] == ["I am here."]
    assert answer.samples is not None and answer.sample_rate == voice.sample_rate
    assert np.array_equal(answer.samples, np.concatenate(list(FakeVoice().speak("I am here."))))
    assert answer.first_audio_s is not None and answer.first_audio_s > 0


def test_a_reply_that_nobody_can_say_has_no_sound(recordings: tuple[Path, Path]) -> None:
    system = CascadeSystem(mini(), by_length, FakeLLM(lambda prompt, seed: "…"), ToneVoice())
    answer = system.answer(Question("set", "key", recordings[:1], spoken=True))
    assert (answer.text, answer.samples, answer.first_audio_s) == ("…", None, None)


def test_what_is_chinese_is_said_by_a_voice_of_its_own(recordings: tuple[Path, Path]) -> None:
    voice, chinese, opened = FakeVoice(), FakeVoice(), []

    def open_chinese() -> FakeVoice:
        opened.append(True)
        return chinese

    both = ByLanguage(voice, open_chinese)
    for said in ("I am here.", "我在这里。", "你好。"):
        system = CascadeSystem(mini(), by_length, FakeLLM(lambda prompt, seed, said=said: said), both)
        answer = system.answer(Question("set", "key", recordings[:1], spoken=True))
        assert answer.samples is not None and answer.sample_rate == voice.sample_rate
    assert [text for text, _ in voice.spoken] == ["I am here."] and len(opened) == 1
    assert [text for text, _ in chinese.spoken] == ["我在这里。", "你好。"]


def test_earlier_turns_are_known_before_the_clock_starts(
    recordings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    started_after: list[int] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            started_after.append(len(heard))
            return float(len(heard))

    def transcribe(windows: Sequence[Any]) -> list[str]:
        heard.extend(map(len, windows))
        return by_length(windows)

    monkeypatch.setattr(cascade, "time", Clock)
    system = CascadeSystem(mini(), transcribe, FakeLLM(lambda prompt, seed: "I am here."), FakeVoice())
    answer = system.answer(Question("set", "key", recordings, (None,), spoken=True))
    assert heard == [8000, 4000] and started_after == [1, 2] and answer.first_audio_s == 1.0


def test_a_long_recording_is_heard_window_by_window(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.sin(np.arange(40 * 16_000) / 10), 16_000)
    llm = FakeLLM(lambda prompt, seed: "Yes.")
    CascadeSystem(mini(), by_length, llm, None).answer(Question("set", "key", (tmp_path / "long.wav",)))
    assert "heard 480000. heard 160000." in llm.asked[0]


@pytest.mark.parametrize(
    ("finish", "said", "text"),
    [
        ("stop", "It is sad news. And so", "It is sad news. And so"),
        ("length", "It is sad news. And so", "It is sad news."),
        ("length", "It is sad news. And so it is.", "It is sad news. And so it is."),
        ("length", "Without an end", "Without an end"),
    ],
)
def test_a_text_that_was_cut_ends_with_a_sentence(
    finish: Any, said: str, text: str, recordings: tuple[Path, Path]
) -> None:
    llm = FakeLLM(lambda prompt, seed: Completion(said, finish))
    answer = CascadeSystem(mini(), by_length, llm, None).answer(Question("set", "key", recordings[:1]))
    assert answer.text == text


def test_what_it_cannot_answer_is_one_unanswered_question(recordings: tuple[Path, Path]) -> None:
    question = Question("set", "key", recordings[:1])
    for failure, why in ((LLMError("the prompt is too long"), "too long"), (" ", "said nothing")):
        with pytest.raises(Unanswered, match=why):
            CascadeSystem(mini(), by_length, FakeLLM(lambda prompt, seed, f=failure: f), None).answer(
                question
            )
    with pytest.raises(Unanswered, match="no such file"):
        llm = FakeLLM(lambda prompt, seed: "Yes.")
        CascadeSystem(mini(), by_length, llm, None).answer(Question("set", "key", (Path("none.wav"),)))


@pytest.mark.parametrize(
    ("recipe", "raw"),
    [(mini(), "smollm2-135m-instruct-gguf"), (bilingual(), "qwen2.5-coder-0.5b-instruct")],
    ids=["mini", "bilingual"],
)
def test_the_language_model_is_the_recipes_core_as_llama_cpp_reads_it(
    recipe: Recipe, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, slots: int) -> None:
        raise InputError(f"asked for {name}")

    monkeypatch.setattr("harken.llm.embedded.EmbeddedLLM", refuse)
    with pytest.raises(InputError, match=f"^asked for {raw}$"):
        open_cascade(recipe)


@pytest.mark.weights
def test_the_real_parts_answer_a_recording() -> None:
    pytest.importorskip("xllamacpp", reason="the extra data is not installed")
    from harken.bench.recording import EXAMPLES

    system = open_system("cascade", recipe=mini())
    answer = system.answer(Question("set", "key", (EXAMPLES / "sad.wav",), spoken=True))
    assert len(answer.text.split()) > 3 and answer.sample_rate == 24_000
    assert answer.samples is not None and answer.samples.size > 24_000
