"""A model on disk: our trained parts, the recipe they belong to, and the weights that they build on.

A folder of trained parts holds `listen.safetensors` (bridge and affect prefix), `affect_readout.safetensors`,
`core_update.safetensors` (low-rank differences), `pieces.json`, `recipe.json` and `card.md`, and
`reflection_marks.safetensors` where the model was taught to reflect. Harken ships `mini`'s in
`harken/trained/mini/`. The pretrained weights come from `harken.weights`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import RecipeError
from harken.recipes import EXTERNAL_VOICES, CtcBridgeConfig, Recipe, read_recipe
from harken.tensors import read_tensors, save_tensors
from harken.unit_checkpoint import SPEAK, UNITS, codec_voices, load_own_voice

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harken.model.conv_bridge import ConvBridge
    from harken.model.core import Core
    from harken.model.ctc_bridge import CtcBridge
    from harken.model.listen import AffectPrefix
    from harken.model.pieces import Pieces
    from harken.model.reflection_marks import ReflectionMarks
    from harken.model.spoken_lm import SpokenLM

LISTEN, READOUT, UPDATE = "listen.safetensors", "affect_readout.safetensors", "core_update.safetensors"
MARKS, PIECES, RECIPE = "reflection_marks.safetensors", "pieces.json", "recipe.json"


def shipped(name: str) -> Path:
    """The folder of the trained parts that ship with Harken. Raises RecipeError where a recipe has none."""
    folder = Path(str(files("harken") / "trained" / name))
    if not (folder / RECIPE).exists():
        raise RecipeError(
            f"no trained parts ship for the recipe {name!r}",
            "train them (`harken train`) and name the folder: --checkpoint DIR",
        )
    return folder


def stored_recipe(folder: Path) -> Recipe:
    """The recipe that a folder of trained parts belongs to. Raises RecipeError where it holds none."""
    path = folder / RECIPE
    if not path.exists():
        raise RecipeError(f"{folder} holds no {RECIPE}", "name a folder that `harken train` wrote")
    return read_recipe(path)


def load_model(recipe: Recipe, folder: Path | None = None) -> SpokenLM:
    """The whole model in evaluation mode, pretrained weights and trained parts.

    Args: folder: trained parts; None takes those that ship with Harken.

    Raises:
        RecipeError: another recipe trained the parts (the message shows what differs), or one is missing.
        WeightsError: pretrained weights cannot be had.
    """
    from harken.model.affect_readout import load_readout
    from harken.model.core import fold_low_rank
    from harken.model.encoder import load_encoder
    from harken.model.listen import Listen
    from harken.model.quick_layer import quicken
    from harken.model.spoken_lm import SpokenLM
    from harken.weights.store import ensure

    folder = folder or shipped(recipe.name)
    check_recipe(stored_recipe(folder), recipe, folder)
    tokenizer, core = load_text_side(recipe)
    if (folder / UPDATE).exists():
        fold_low_rank(core, read_tensors(folder / UPDATE))
    pieces = known_pieces(recipe, folder, tokenizer)
    readout = load_readout(_part(folder, READOUT))
    listen = Listen(
        load_encoder(ensure(recipe.listen.encoder), recipe.listen),
        load_bridge(recipe, folder, core, pieces.ids if pieces else ()),
        readout,
        load_prefix(recipe, folder, core, readout.config.vector),
    )
    quicken(core)
    model = SpokenLM(recipe, listen, core, tokenizer, pieces)
    if (folder / SPEAK).exists():
        model.open_voice = partial(load_own_voice, recipe, folder, core)
    if recipe.reflect and (folder / MARKS).exists():
        model.marks = load_marks(recipe, folder)
    return model.requires_grad_(False).eval()


def needed_weights(recipe: Recipe, trained: Path | None = None, voice: str | None = None) -> tuple[str, ...]:
    """The names of the pretrained weights that `load_model` and a voice read.

    Args:
        trained: as of `load_model`.
        voice: as of `harken.api.load`, by name; None any of the recipe's, whatever is trained.

    Raises: RecipeError where a voice is named and no parts were trained.
    """
    own, external = recipe.speak is not None, True
    if voice is not None:
        folder = trained or shipped(recipe.name)
        own = voice not in ("kokoro", "none") and (folder / SPEAK).exists()  # opened to see whom it can be
        says_it = own and (voice == "recipe" or voice in codec_voices(folder))
        external = voice != "none" and not says_it
    external = external and recipe.voice in EXTERNAL_VOICES
    vocoder = (recipe.units.vocoder,) if own and recipe.units else ()
    return (recipe.listen.encoder, recipe.core.weights, *vocoder, *((recipe.voice,) if external else ()))


def load_text_side(recipe: Recipe) -> tuple[Any, Core]:
    """The recipe's tokenizer and core, as they were pretrained.

    Raises: RecipeError where they are not the recipe's, WeightsError where they cannot be had.
    """
    from harken.model.core import load_core
    from harken.model.pretrained import load_tokenizer
    from harken.weights.store import ensure

    weights = ensure(recipe.core.weights)
    return load_tokenizer(weights), load_core(weights, recipe.core)


def load_bridge(recipe: Recipe, folder: Path, core: Core, pieces: Sequence[int]) -> CtcBridge | ConvBridge:
    """The trained bridge."""
    bridge = new_bridge(recipe, core, pieces)
    bridge.load_state_dict(listen_part("bridge.", folder))
    return bridge


def load_prefix(recipe: Recipe, folder: Path, core: Core, affect_width: int) -> AffectPrefix:
    """The trained affect prefix."""
    prefix = new_prefix(recipe, core, affect_width)
    prefix.load_state_dict(listen_part("prefix.", folder))
    return prefix


def load_marks(recipe: Recipe, folder: Path) -> ReflectionMarks:
    """The trained tokens around reflections."""
    from harken.model.reflection_marks import ReflectionMarks

    marks = ReflectionMarks(recipe.core.vocabulary, recipe.core.width)
    marks.load_state_dict({name: value.float() for name, value in read_tensors(folder / MARKS).items()})
    return marks


def new_bridge(recipe: Recipe, core: Core, pieces: Sequence[int]) -> CtcBridge | ConvBridge:
    """An untrained bridge of the recipe's kind and sizes, at the scale of the core's own embeddings.

    Args: pieces: the tokens that a CTC bridge spells with.
    """
    import torch

    from harken.model.conv_bridge import ConvBridge, ConvBridgeSizes
    from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes

    config, width = recipe.listen.bridge, recipe.listen.encoder_width
    if isinstance(config, CtcBridgeConfig):
        sizes = CtcBridgeSizes(
            width, config.width, config.layers, config.heads, config.kernel, config.dropout
        )
        return CtcBridge(sizes, core.embed(torch.tensor(list(pieces))).detach().float())  # table (P, D)
    return ConvBridge(
        ConvBridgeSizes(width, core.width, config.layers, config.heads, config.kv_heads, config.kernel),
        core.embedding_rms(),
    )


def new_prefix(recipe: Recipe, core: Core, affect_width: int) -> AffectPrefix:
    """An untrained affect prefix."""
    from harken.model.listen import AffectPrefix

    return AffectPrefix(affect_width, recipe.listen.affect_vectors, core.width, core.embedding_rms())


def known_pieces(recipe: Recipe, folder: Path, tokenizer: Any) -> Pieces | None:
    """What the bridge spells with; None where it is of a kind that does not."""
    return load_pieces(folder, tokenizer) if isinstance(recipe.listen.bridge, CtcBridgeConfig) else None


def load_pieces(folder: Path, tokenizer: Any) -> Pieces:
    from harken.model.pieces import Pieces

    return Pieces(tokenizer, json.loads(_part(folder, PIECES).read_text()))


def save_listen(folder: Path, bridge: nn.Module | None = None, prefix: AffectPrefix | None = None) -> None:
    """Write the trained tensors of Listen as float16; what is not given stays as it was there."""
    tensors = read_tensors(folder / LISTEN) if (folder / LISTEN).exists() else {}
    for name, part in (("bridge.", bridge), ("prefix.", prefix)):
        if part is not None:
            tensors = {key: value for key, value in tensors.items() if not key.startswith(name)}
            tensors |= {name + key: value for key, value in part.state_dict().items()}
    save_tensors(folder / LISTEN, tensors)


def check_recipe(stored: Recipe, wanted: Recipe, folder: Path) -> None:
    """Refuse parts that were trained by a recipe with other sizes or weights; texts and limits may differ."""
    files = {"units": UNITS, "speak": SPEAK}  # what was not trained yet fits
    parts = ["listen", "core", *(part for part, name in files.items() if (folder / name).exists())]
    have, want = ({part: r.model_dump()[part] or {} for part in parts} for r in (stored, wanted))
    different = [
        f"{part}.{key}: {have[part][key]!r} there, {want[part].get(key)!r} here"
        for part in have
        for key in have[part]
        if have[part][key] != want[part].get(key)
    ]
    if different:
        raise RecipeError(
            f"{folder} was trained by another recipe: {'; '.join(different)}",
            "load it without naming a recipe",
        )


def _part(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise RecipeError(f"{folder} lacks {name}", "the folder is incomplete: train or copy that part")
    return folder / name


def listen_part(name: str, folder: Path) -> dict[str, Tensor]:
    """The trained tensors of Listen whose names begin so, without it."""
    tensors = read_tensors(_part(folder, LISTEN))
    found = {key.removeprefix(name): value.float() for key, value in tensors.items() if key.startswith(name)}
    if not found:
        part = name.rstrip(".")
        raise RecipeError(f"{folder / LISTEN} holds no {part}", "train it: harken train words, then align")
    return found
