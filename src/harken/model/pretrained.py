"""Pretrained models in transformers' layout, held against what a recipe says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harken.errors import RecipeError


def read_config(folder: Path) -> Any:
    """A folder's transformers config. Raises RecipeError where it holds no model that transformers knows."""
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise RecipeError(f"{folder} holds no model in transformers' layout: no config.json", _OTHERS)
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"{folder} holds no model that transformers knows: {_line(error)}", _OTHERS
        ) from None


def load_tokenizer(folder: Path) -> Any:
    """A folder's tokenizer. Raises RecipeError where it holds none."""
    from transformers import AutoTokenizer

    read_config(folder)
    if not any((folder / name).is_file() for name in _TOKENIZER):  # transformers makes an empty one up
        raise RecipeError(f"{folder} holds no tokenizer: no {' or '.join(_TOKENIZER)}", _OTHERS)
    return AutoTokenizer.from_pretrained(folder)


def check_sizes(part: str, folder: Path, there: Mapping[str, object], config: BaseModel) -> None:
    """Refuse a model of other sizes than the recipe's. Args: there: the model's, in the recipe's terms.

    Raises: RecipeError with the difference.
    """
    different = [
        f"{part}.{name}: {size!r} there, {getattr(config, name)!r} here"
        for name, size in there.items()
        if size != getattr(config, name)
    ]
    if different:
        what = "core" if part == "core" else "speech encoder"
        raise RecipeError(
            f"{folder} holds another {what} than the recipe's: {'; '.join(different)}",
            "correct the recipe, or name weights of its sizes",
        )


_TOKENIZER = ("tokenizer.json", "vocab.json", "tokenizer.model")
_OTHERS = "name others in the recipe: harken weights list, or a repository of the model hub"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
