"""A unit codec on disk: what is trained of it, and what that builds on.

A folder of trained parts holds `unit_decoder.safetensors`, which speaking needs, and `units.json`, which
names the voices; the tokenizer, which only training and evaluation need, is `unit_tokenizer.safetensors`.
What says units is `speak.safetensors`, its matrices as bytes (`harken.tensors`). The hash of
the tokenizer is the codec's: units of another hash mean something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import RecipeError
from harken.recipes import Recipe, UnitCodecConfig
from harken.tensors import read_bytes, read_tensors, save_bytes, save_tensors

if TYPE_CHECKING:
    from harken.model.core import Core
    from harken.model.encoder import SpeechEncoder
    from harken.model.own_voice import OwnVoice, ReplyStyle
    from harken.model.speak import Speak
    from harken.model.units.decoder import HarkenUnitDecoder
    from harken.model.units.encoder import HarkenUnitEncoder
    from harken.model.units.mel_decoder import MelDecoder
    from harken.model.units.tokenizer import UnitTokenizer

DECODER, TOKENIZER, UNITS = "unit_decoder.safetensors", "unit_tokenizer.safetensors", "units.json"
UNIT_FILES = (DECODER, TOKENIZER, UNITS)
SPEAK = "speak.safetensors"


def unit_config(recipe: Recipe) -> UnitCodecConfig:
    """The recipe's codec. Raises RecipeError where it has none of its own."""
    if recipe.units is None:
        raise RecipeError(f"the recipe {recipe.name!r} has no unit codec", "take one that has, such as mini")
    return recipe.units


def new_codec(recipe: Recipe, voices: int) -> tuple[UnitTokenizer, MelDecoder]:
    """An untrained tokenizer and decoder of the recipe's sizes."""
    from harken.audio.vocoder_mel import HOP, SAMPLE_RATE_HZ
    from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder, MelDecoderSizes
    from harken.model.units.tokenizer import TokenizerSizes, UnitTokenizer

    config = unit_config(recipe)
    tokenizer = TokenizerSizes(
        recipe.listen.encoder_width, config.encoder_layers, config.width, config.layers, config.heads,
        levels=config.levels,
    )  # fmt: skip
    decoder = MelDecoderSizes(
        code=len(config.levels),
        voices=voices,
        width=config.decoder_width,
        layers=config.decoder_layers,
        frame_width=config.frame_width,
        frame_layers=config.frame_layers,
    )
    units_hz = SAMPLE_RATE_HZ / (HOP * FRAMES_PER_UNIT)
    return UnitTokenizer(tokenizer, units_hz), MelDecoder(decoder)


def save_codec(
    folder: Path, tokenizer: UnitTokenizer, decoder: MelDecoder, voices: Mapping[str, float], quiet: int
) -> None:
    """Write what was trained.

    Args: voices: name -> mean log pitch, in the order of the decoder's table. quiet: the unit of silence.
    """
    save_tensors(folder / TOKENIZER, tokenizer.state_dict())
    save_tensors(folder / DECODER, decoder.state_dict())
    about = {"codec_sha256": hash_of(folder / TOKENIZER), "voices": dict(voices), "quiet": quiet}
    unfinished = folder / f"{UNITS}.part"
    unfinished.write_text(json.dumps(about, indent=2) + "\n")
    unfinished.replace(folder / UNITS)


def load_unit_decoder(recipe: Recipe, folder: Path) -> HarkenUnitDecoder:
    """The trained decoder with its vocoder. Raises RecipeError where a part is missing."""
    from harken.audio.vocoder_mel import SAMPLE_RATE_HZ
    from harken.model.units.decoder import HarkenUnitDecoder
    from harken.model.units.hifigan import load_hifigan
    from harken.weights.hifigan import GENERATOR
    from harken.weights.store import ensure

    config, about = unit_config(recipe), _about(folder)
    _, mel = new_codec(recipe, len(about["voices"]))
    _fill(mel, folder / DECODER)
    decoder = HarkenUnitDecoder(
        mel,
        load_hifigan(ensure(config.vocoder) / GENERATOR),
        config.levels,
        tuple(about["voices"]),
        SAMPLE_RATE_HZ,
        about["codec_sha256"],
        about["quiet"],
    )
    return decoder.requires_grad_(False).eval()


def load_unit_encoder(recipe: Recipe, folder: Path, speech: SpeechEncoder | None = None) -> HarkenUnitEncoder:
    """The trained tokenizer. Args: speech: Listen's encoder, where it is loaded already.

    Raises RecipeError where a part is missing or belongs to another decoder.
    """
    from harken.model.encoder import load_encoder
    from harken.model.units.encoder import HarkenUnitEncoder
    from harken.weights.store import ensure

    about = _about(folder)
    tokenizer, _ = new_codec(recipe, 1)
    _fill(tokenizer, folder / TOKENIZER)
    found = hash_of(folder / TOKENIZER)
    if found != about["codec_sha256"]:
        raise RecipeError(
            f"{folder / TOKENIZER} is not the tokenizer of {UNITS}: {found[:8]}, {about['codec_sha256'][:8]}",
            "take both from one training run",
        )
    units_hz = 50 / tokenizer.frames_per_unit
    encoder = HarkenUnitEncoder(
        speech or load_encoder(ensure(recipe.listen.encoder), recipe.listen),
        tokenizer,
        about["voices"],
        units_hz,
        found,
    )
    return encoder.requires_grad_(False).eval()


def codec_voices(folder: Path) -> tuple[str, ...]:
    """The voices of a codec, in its decoder's order."""
    return tuple(_about(folder)["voices"])


def new_speak(recipe: Recipe, core: Core, voices: int) -> Speak:
    """An untrained Speak of the recipe's sizes: its layers are the core's top ones, copied.

    Args: voices: that the codec has.

    Raises RecipeError where the recipe has none.
    """
    import copy

    from harken.model.layer_stack import LayerStack
    from harken.model.own_voice import STYLES
    from harken.model.speak import Speak, SpeakSizes
    from harken.voices.symbols import SYMBOL_IDS

    config = recipe.speak
    if config is None:
        raise RecipeError(f"the recipe {recipe.name!r} has no Speak", "take one that has, such as mini")
    layers = copy.deepcopy(core.write.layers[-config.layers :]).float().requires_grad_(True)
    sizes = SpeakSizes(
        width=core.width,
        levels=unit_config(recipe).levels,
        symbols=max(SYMBOL_IDS.values()) + 1,
        manners=len(STYLES) + voices,
        units_per_step=config.units_per_step,
        heads=config.heads,
        behind=config.behind,
        ahead=config.ahead,
    )
    return Speak(sizes, LayerStack(layers, core.write.rotary))


def save_speak(folder: Path, speak: Speak, style: ReplyStyle) -> None:
    """Write what was trained, with the codec that its units are of."""
    tensors = {f"speak.{name}": tensor for name, tensor in speak.state_dict().items()}
    tensors |= {f"style.{name}": tensor for name, tensor in style.state_dict().items()}
    save_bytes(folder / SPEAK, tensors, {"codec_sha256": _about(folder)["codec_sha256"]})


def load_own_voice(recipe: Recipe, folder: Path, core: Core) -> OwnVoice:
    """What the model speaks with. Raises RecipeError where a part is missing or belongs to another codec."""
    from harken.model.own_voice import OwnVoice
    from harken.model.quick_layer import quicken

    decoder = load_unit_decoder(recipe, folder)
    speak, style = load_speak(recipe, folder, core)
    quicken(speak)
    assert recipe.speak is not None
    return OwnVoice(speak, decoder, style, recipe.speak.speaker)


def load_speak(recipe: Recipe, folder: Path, core: Core) -> tuple[Speak, ReplyStyle]:
    """The trained Speak and the reply's style. Raises RecipeError where there are none of this codec."""
    from harken.model.own_voice import ReplyStyle

    if not (folder / SPEAK).exists():
        raise RecipeError(f"{folder} lacks {SPEAK}", "train it: harken train speak")
    (tensors, about), codec = read_bytes(folder / SPEAK), _about(folder)["codec_sha256"]
    if about["codec_sha256"] != codec:
        raise RecipeError(
            f"{folder / SPEAK} says units of another codec: {about['codec_sha256'][:8]}, {codec[:8]}",
            "take both from one training run",
        )
    speak = new_speak(recipe, core, len(codec_voices(folder)))
    style = ReplyStyle(tensors["style.styles.weight"].shape[1])
    for name, part in (("speak.", speak), ("style.", style)):
        part.load_state_dict(
            {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}
        )
        part.requires_grad_(False).eval()
    return speak, style


def hash_of(path: Path) -> str:
    """Of a file of tensors."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _about(folder: Path) -> dict[str, Any]:
    if not (folder / UNITS).exists():
        raise RecipeError(f"{folder} lacks {UNITS}: no unit codec was trained there", "harken train codec")
    about: dict[str, Any] = json.loads((folder / UNITS).read_text())
    return about


def _fill(module: Any, path: Path) -> None:
    if not path.exists():
        raise RecipeError(f"{path.parent} lacks {path.name}", "the folder is incomplete: copy or train it")
    module.load_state_dict({name: tensor.float() for name, tensor in read_tensors(path).items()})
