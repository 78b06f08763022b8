"""A tokenizer whose vocabulary a test can read at a glance, and a Whisper encoder that fits in a test."""

from __future__ import annotations

import string
from typing import Any

import pytest
import torch

WORDS = (
    " the",
    " a",
    " I",
    " venue",
    " story",
    " menu",
    " job",
    " lost",
    " my",
    "ing",
    " Paris",
    " you",
    "ou",
)
ALPHABET = string.ascii_letters + string.digits + "',.?!-"


class LongestMatch:
    """Encodes by the longest token that fits; what no token covers is left out."""

    def __init__(self, vocabulary: list[str]) -> None:
        self.vocabulary = vocabulary
        self.index = {token: i for i, token in enumerate(vocabulary)}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        ids, at = [], 0
        while at < len(text):
            fits = [text[at:end] for end in range(len(text), at, -1) if text[at:end] in self.index]
            ids += [self.index[fits[0]]] if fits else []
            at += len(fits[0]) if fits else 1
        return ids

    def decode(self, ids: list[int]) -> str:
        return "".join(self.vocabulary[i] for i in ids)


@pytest.fixture(scope="session")
def tokenizer() -> LongestMatch:
    """Words, then every character alone and after a space."""
    return LongestMatch(
        [*WORDS, *(space + c for space in ("", " ") for c in ALPHABET if space + c not in WORDS)]
    )


@pytest.fixture
def tiny_whisper() -> Any:
    """whisper(positions) -> transformers' Whisper with random weights, 16 wide, 2 layers."""
    import transformers

    def build(positions: int) -> Any:
        config = transformers.WhisperConfig(
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            max_source_positions=positions,
            max_target_positions=8,
            vocab_size=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            init_std=0.3,  # far enough apart that a wrong position or mask shows
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return transformers.WhisperModel(config).eval()

    return build
