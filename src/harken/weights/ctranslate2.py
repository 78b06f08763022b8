"""Whisper as CTranslate2 stores it (`model.bin`, `config.json`, `tokenizer.json`), made into an ordinary
transformers folder once: encoder and decoder, fp32 safetensors. CTranslate2 itself is not needed. Where the
files come from and where the folder goes is `store`'s business.

model.bin, little endian: u32 format version; string spec name; u32 revision; u32 count; then per tensor:
string name, u8 rank, u32 sizes[rank], u8 kind, u32 number of bytes, the bytes; after them aliases, which
Whisper does not use. A string is a u16 length, then that many bytes, the last one NUL.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harken.errors import WeightsError

Arrays = dict[str, np.ndarray]
Rename = tuple[str, str, int, int]  # target, source, and which of how many equal groups of the source's rows

_KINDS = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_END, _START = "<|endoftext|>", "<|startoftranscript|>"


class _Reader:
    """Takes values off the front of a buffer; running out of bytes is a WeightsError."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data, self.at = name, memoryview(data), 0

    def take(self, count: int) -> memoryview:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise WeightsError(f"{self.name} is cut short or not a CTranslate2 model")
        self.at += count
        return piece

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0])

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode("utf-8", errors="replace")


def read_ctranslate2(path: Path) -> Arrays:
    """Every tensor of a CTranslate2 `model.bin` by name. Raises WeightsError if the file is damaged or
    foreign.
    """
    reader = _Reader(path.name, path.read_bytes())
    reader.number("I"), reader.text(), reader.number("I")
    arrays: Arrays = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        data = reader.take(reader.number("I"))
        try:
            arrays[name] = np.frombuffer(data, _KINDS[kind]).reshape(shape)
        except (KeyError, ValueError) as error:
            raise WeightsError(
                f"{path.name}: the tensor {name!r} does not fit its own description"
            ) from error
    return arrays


def whisper_state(arrays: Arrays) -> Arrays:
    """CTranslate2's Whisper tensors as the fp32 state of transformers' `WhisperForConditionalGeneration`.

    The output projection is tied to the embeddings and left out. Raises WeightsError if a tensor is missing,
    has no place to go, or if the keys of an attention have a bias, which Whisper's do not.
    """
    layers = _layer_count(arrays)
    state: Arrays = {}
    unused = {name for name, array in arrays.items() if array.ndim}  # scalars are settings, not weights
    for target, source, index, groups in _renames(layers):
        if source not in arrays:
            raise WeightsError(f"the Whisper model lacks the tensor {source!r}")
        unused.discard(source)
        part = np.split(arrays[source], groups)[index]
        if not target.endswith("k_proj.bias"):
            state["model." + target] = np.ascontiguousarray(part, dtype=np.float32)
        elif part.any():
            raise WeightsError(f"the Whisper model has a bias on keys in {source!r}")
    if unused:
        raise WeightsError(f"the Whisper model has a tensor with no place to go: {min(unused)!r}")
    return state


def convert_ctranslate2(source: Path, folder: Path) -> None:
    """Write the Whisper model in the folder `source` into the existing `folder` as a transformers checkpoint
    in fp32, with its tokenizer, feature extractor and generation config. Raises WeightsError if it does not
    convert.
    """
    from safetensors.numpy import save_file
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

    arrays = read_ctranslate2(source / "model.bin")
    settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    added = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: int(token["id"]) for token in added}
    special = {"bos_token_id": ids[_END], "eos_token_id": ids[_END], "pad_token_id": ids[_END]}
    special["decoder_start_token_id"] = ids[_START]

    save_file(whisper_state(arrays), folder / "model.safetensors", metadata={"format": "pt"})
    config = WhisperConfig(**_sizes(arrays), **special, dtype="float32")
    config.architectures = ["WhisperForConditionalGeneration"]
    config.save_pretrained(folder)
    GenerationConfig(**special, **_generation(settings, ids)).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    tokenizer = {"tokenizer_class": "WhisperTokenizer", "model_max_length": config.max_target_positions}
    tokenizer |= {f"{role}_token": _END for role in ("bos", "eos", "pad", "unk")}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n", encoding="utf-8")


def _layer_count(arrays: Arrays) -> int:
    return len(
        {name.split("/")[1] for name in arrays if name.startswith("decoder/layer_") and name.count("/") > 2}
    )


def _renames(layers: int) -> Iterator[Rename]:
    yield from _module("encoder.conv1", "encoder/conv1", "weight", "bias")
    yield from _module("encoder.conv2", "encoder/conv2", "weight", "bias")
    yield "decoder.embed_tokens.weight", "decoder/embeddings/weight", 0, 1
    for side in ("encoder", "decoder"):
        yield f"{side}.embed_positions.weight", f"{side}/position_encodings/encodings", 0, 1
        yield from _module(f"{side}.layer_norm", f"{side}/layer_norm", "gamma", "beta")
        for layer in range(layers):
            target, source = f"{side}.layers.{layer}", f"{side}/layer_{layer}"
            yield from _attention(f"{target}.self_attn", f"{source}/self_attention", "qkv", "o")
            if side == "decoder":
                yield from _attention(f"{target}.encoder_attn", f"{source}/attention", "q", "kv", "o")
            yield from _module(f"{target}.fc1", f"{source}/ffn/linear_0", "weight", "bias")
            yield from _module(f"{target}.fc2", f"{source}/ffn/linear_1", "weight", "bias")
            yield from _module(f"{target}.final_layer_norm", f"{source}/ffn/layer_norm", "gamma", "beta")


def _module(target: str, source: str, *parameters: str) -> Iterator[Rename]:
    for parameter in parameters:
        yield f"{target}.{_PARAMETERS[parameter]}", f"{source}/{parameter}", 0, 1


def _attention(target: str, source: str, *linears: str) -> Iterator[Rename]:
    """`linears` says which projections each of CTranslate2's linear layers fuses, row block by row block."""
    yield from _module(f"{target}_layer_norm", f"{source}/layer_norm", "gamma", "beta")
    for number, fused in enumerate(linears):
        for index, letter in enumerate(fused):
            name = "out_proj" if letter == "o" else f"{letter}_proj"
            for parameter in ("weight", "bias"):
                yield (
                    f"{target}.{name}.{parameter}",
                    f"{source}/linear_{number}/{parameter}",
                    index,
                    len(fused),
                )


def _sizes(arrays: Arrays) -> dict[str, Any]:
    layers, heads = _layer_count(arrays), int(arrays["encoder/num_heads"])
    vocabulary, width = arrays["decoder/embeddings/weight"].shape
    inner = arrays["encoder/layer_0/ffn/linear_0/bias"].shape[0]
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "num_mel_bins": arrays["encoder/conv1/weight"].shape[1],
        "max_source_positions": arrays["encoder/position_encodings/encodings"].shape[0],
        "max_target_positions": arrays["decoder/position_encodings/encodings"].shape[0],
        **{f"{side}_layers": layers for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": heads for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": inner for side in ("encoder", "decoder")},
    }


def _generation(settings: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """What transformers' Whisper `generate` wants to know, in its own names."""
    languages = set(settings["lang_ids"])
    return {
        "alignment_heads": settings["alignment_heads"],
        "suppress_tokens": settings["suppress_ids"],
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "is_multilingual": True,
        "task": "transcribe",  # without a task the decoder of a detected language babbles
        "lang_to_id": {token: number for token, number in ids.items() if number in languages},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "return_timestamps": False,
    }
