"""Reading CTranslate2's Whisper file, and where each tensor goes, on a tiny random model."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harken.errors import WeightsError
from harken.weights.ctranslate2 import convert_ctranslate2, read_ctranslate2, whisper_state

KINDS = {np.dtype(kind): number for number, kind in enumerate(["f4", "i1", "i2", "i4", "f2"])}
D, INNER, LAYERS, MELS, VOCABULARY = 8, 16, 2, 80, 30


def text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def binary(arrays: dict[str, np.ndarray]) -> bytes:
    """`arrays` as CTranslate2 writes them."""
    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(arrays))]
    for name, array in arrays.items():
        sizes = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        parts += [text(name), sizes, struct.pack("<BI", KINDS[array.dtype], array.nbytes), array.tobytes()]
    return b"".join([*parts, struct.pack("<I", 0)])


def random_whisper() -> dict[str, np.ndarray]:
    """A Whisper of D = 8 in CTranslate2's names and fp16, every number random."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int) -> None:
        arrays[name] = random.normal(size=shape).astype(np.float16)

    def norm(name: str) -> None:
        add(f"{name}/gamma", D)
        add(f"{name}/beta", D)

    def linear(name: str, rows: int, columns: int) -> None:
        add(f"{name}/weight", rows, columns)
        add(f"{name}/bias", rows)

    add("encoder/conv1/weight", D, MELS, 3)
    add("encoder/conv2/weight", D, D, 3)
    add("encoder/conv1/bias", D)
    add("encoder/conv2/bias", D)
    add("decoder/embeddings/weight", VOCABULARY, D)
    for side, positions in (("encoder", 1500), ("decoder", 448)):
        add(f"{side}/position_encodings/encodings", positions, D)
        norm(f"{side}/layer_norm")
        arrays[f"{side}/num_heads"] = np.array(2, np.int16)
        for layer in range(LAYERS):
            prefix = f"{side}/layer_{layer}"
            linear(f"{prefix}/self_attention/linear_0", 3 * D, D)
            arrays[f"{prefix}/self_attention/linear_0/bias"][D : 2 * D] = 0
            linear(f"{prefix}/self_attention/linear_1", D, D)
            norm(f"{prefix}/self_attention/layer_norm")
            if side == "decoder":
                linear(f"{prefix}/attention/linear_0", D, D)
                linear(f"{prefix}/attention/linear_1", 2 * D, D)
                arrays[f"{prefix}/attention/linear_1/bias"][:D] = 0
                linear(f"{prefix}/attention/linear_2", D, D)
                norm(f"{prefix}/attention/layer_norm")
            linear(f"{prefix}/ffn/linear_0", INNER, D)
            linear(f"{prefix}/ffn/linear_1", D, INNER)
            norm(f"{prefix}/ffn/layer_norm")
    return arrays


ARRAYS = st.dictionaries(
    st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=20),
    st.sampled_from(sorted(KINDS, key=str)).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(ARRAYS)
def test_reads_back_what_was_written(tmp_path_factory: Any, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path_factory.getbasetemp() / "model.bin"
    path.write_bytes(binary(arrays))
    read = read_ctranslate2(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


@settings(max_examples=40)
@given(st.data())
def test_a_file_cut_anywhere_is_a_plain_error(tmp_path_factory: Any, data: Any) -> None:
    whole = binary({"a": np.ones((3, 2), np.float32), "b/c": np.zeros(4, np.int8)})
    path = tmp_path_factory.getbasetemp() / "model.bin"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 5))])  # the last 4 bytes count aliases
    with pytest.raises(WeightsError, match=r"model\.bin"):
        read_ctranslate2(path)


def test_a_description_that_does_not_fit_is_named(tmp_path: Path) -> None:
    data = binary({"odd": np.ones(6, np.float32)})
    shape = struct.pack("<BI", 1, 6)
    (tmp_path / "model.bin").write_bytes(data.replace(shape, struct.pack("<BI", 1, 7)))
    with pytest.raises(WeightsError, match="'odd' does not fit"):
        read_ctranslate2(tmp_path / "model.bin")


def test_fused_projections_are_split_in_their_order() -> None:
    arrays = random_whisper()
    state = whisper_state(arrays)
    fused = arrays["decoder/layer_1/self_attention/linear_0/weight"].astype(np.float32)
    for rows, name in zip(np.split(fused, 3), "qkv", strict=True):
        assert np.array_equal(state[f"model.decoder.layers.1.self_attn.{name}_proj.weight"], rows)
    fused = arrays["decoder/layer_0/attention/linear_1/bias"].astype(np.float32)
    assert np.array_equal(state["model.decoder.layers.0.encoder_attn.v_proj.bias"], fused[D:])
    assert "model.decoder.layers.0.encoder_attn.k_proj.bias" not in state
    query = arrays["decoder/layer_0/attention/linear_0/weight"].astype(np.float32)
    assert np.array_equal(state["model.decoder.layers.0.encoder_attn.q_proj.weight"], query)


def test_a_missing_tensor_an_extra_one_and_a_key_bias_are_named() -> None:
    missing = random_whisper()
    del missing["encoder/layer_1/ffn/linear_1/bias"]
    with pytest.raises(WeightsError, match="lacks the tensor 'encoder/layer_1/ffn/linear_1/bias'"):
        whisper_state(missing)
    with pytest.raises(WeightsError, match="no place to go: 'encoder/adapter'"):
        whisper_state(random_whisper() | {"encoder/adapter": np.ones(3, np.float16)})
    biased = random_whisper()
    biased["encoder/layer_0/self_attention/linear_0/bias"][D] = 1
    with pytest.raises(WeightsError, match="bias on keys"):
        whisper_state(biased)


def write_source(folder: Path) -> None:
    (folder / "model.bin").write_bytes(binary(random_whisper()))
    special = [
        "endoftext",
        "startoftranscript",
        "en",
        "translate",
        "transcribe",
        "startofprev",
        "notimestamps",
    ]
    added = [{"id": number, "content": f"<|{name}|>"} for number, name in enumerate(special, start=20)]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    settings = {"lang_ids": [22], "suppress_ids": [1], "suppress_ids_begin": [2], "alignment_heads": [[0, 1]]}
    (folder / "config.json").write_text(json.dumps(settings))


def test_converts_with_no_missing_and_no_unexpected_keys(tmp_path: Path) -> None:
    from transformers import GenerationConfig, WhisperForConditionalGeneration

    (tmp_path / "out").mkdir()
    write_source(tmp_path)
    convert_ctranslate2(tmp_path, tmp_path / "out")
    model, report = WhisperForConditionalGeneration.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(report.values()), report
    config = model.config
    assert (config.d_model, config.encoder_layers, config.decoder_layers) == (D, LAYERS, LAYERS)
    assert (config.encoder_attention_heads, config.encoder_ffn_dim, config.vocab_size) == (
        2,
        INNER,
        VOCABULARY,
    )
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    generation = GenerationConfig.from_pretrained(tmp_path / "out")
    assert generation.lang_to_id == {"<|en|>": 22} and generation.task_to_id["transcribe"] == 24
    assert generation.decoder_start_token_id == 21 and generation.eos_token_id == 20
