"""Stage 2 as `harken train` runs it: the unit codec, then Speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import track

from harken.checkpoint import UPDATE, load_text_side
from harken.data.speech import clips
from harken.errors import DataError, RecipeError
from harken.model.core import Core, fold_low_rank
from harken.model.encoder import load_encoder
from harken.tensors import read_tensors
from harken.training.codec import CodecConfig, CodecTask, quiet_unit, train_codec
from harken.training.codec_clips import CodecClips
from harken.training.saving import digest
from harken.training.speak import Said, SpeakConfig, SpeakTask, steps_of, think_of, train_speak
from harken.training.speech_units import SpokenReply, read_replies, write_replies
from harken.training.stage_modules import codec_module
from harken.training.stage_parts import Run, felt_vectors, precision, spoken
from harken.training.thoughts import kept_thoughts
from harken.unit_checkpoint import (
    UNITS,
    codec_voices,
    load_unit_encoder,
    new_speak,
    save_codec,
    save_speak,
    unit_config,
)
from harken.weights.store import ensure

if TYPE_CHECKING:
    from harken.model.speak import Speak


def train_codec_stage(run: Run) -> None:
    """Speech as units, and back."""
    config = run.scaled(CodecConfig())
    analysed = run.world.made(lambda: codec_clips(run))
    pitch = analysed.mean_log_pitch()
    torch.manual_seed(config.schedule.seed)
    student = codec_module(run.recipe, len(pitch))
    task = CodecTask(student, analysed, pitch, config)
    train_codec(task, run.out / "codec", precision(), run.world)
    if run.world.first:
        save_codec(run.trained, student.tokenizer, student.decoder, pitch, quiet_unit(task))


def codec_clips(run: Run) -> CodecClips:
    """All spoken dialogues in the data folder, analysed; made where they are not there yet."""
    layers = unit_config(run.recipe).encoder_layers
    name = "-".join(map(str, ("clips", *layers)))
    analysed = CodecClips(run.out / "codec" / name, layers, run.recipe.listen.encoder_width)
    found = spoken(run.data, run.recipe.languages)
    if missing := analysed.missing(found):
        added = analysed.add(missing, load_encoder(ensure(run.recipe.listen.encoder), run.recipe.listen))
        for _ in track(added, "analysing speech", total=len(missing)):
            pass
    analysed.keep(found)
    return analysed


def train_speak_stage(run: Run) -> None:
    """Replies said in units; and which style answers which voice."""
    from harken.training.reply_style import train_reply_style

    config = run.scaled(SpeakConfig())
    replies, units_hz = run.world.made(lambda: replies_in_units(run))
    known = codec_voices(run.trained)  # dev's users have voices that nobody learns to speak in
    parts = {
        "train": [r for r in replies if r.split == "train"],
        "dev": [r for r in replies if r.split == "dev" and r.voice in known],
    }
    if not parts["dev"]:
        raise DataError(
            "no reply of split dev is in a voice of the codec", "render some: harken data render --replies"
        )
    tokenizer, core = load_text_side(run.recipe)
    fold_low_rank(core, read_tensors(run.trained / UPDATE))
    style = train_reply_style(felt_vectors(run), config.schedule.seed)
    torch.manual_seed(config.schedule.seed)
    speak = new_speak(run.recipe, core, len(known))
    task = run.world.made(
        lambda: {
            split: _task(run, split, part, core, tokenizer, speak, config) for split, part in parts.items()
        }
    )
    if run.hours is not None:
        learned = some(task["train"].said, run.hours * units_hz * 3600, config.schedule.seed)
        task["train"] = task["train"].of(learned)
    train_speak(task["train"], task["dev"], run.out / "speak", speak_origin(run), precision(), run.world)
    if run.world.first:
        save_speak(run.trained, speak, style)


def speak_origin(run: Run) -> str:
    """Names what Speak is learned on: the core, its system prompt and the codec."""
    files = [(run.trained / name).read_bytes() for name in (UPDATE, UNITS)]
    return digest([run.recipe.system, *files])


def replies_in_units(run: Run) -> tuple[list[SpokenReply], float]:
    """The rendered replies of the data folder, as units of the trained codec; kept in `OUT/speak`.

    Returns: the replies, and units a second.
    """
    path = run.out / "speak" / "replies.jsonl"
    if not (run.trained / UNITS).exists():
        raise RecipeError(f"{run.trained} holds no unit codec yet", "train it first: harken train codec")
    encoder = load_unit_encoder(run.recipe, run.trained)
    folder = run.data / "replies"
    if folder.is_dir():
        rendered = clips(folder)
        for _ in track(write_replies(path, rendered, encoder), "writing units", total=len(rendered)):
            pass
    replies = read_replies(path, encoder.codec_sha256)
    if not any(reply.split == "train" for reply in replies):
        raise DataError(f"{run.data} holds no rendered replies", "render some: harken data render --replies")
    return replies, encoder.units_hz


def some(said: Sequence[Said], most_units: float, seed: int) -> list[int]:
    """Numbers of replies, drawn by `seed`, of so many units together; all where they have no more."""
    order = np.random.default_rng(seed).permutation(len(said))
    units = np.cumsum([said[number].units.numel() for number in order])
    return sorted(order[: int(np.searchsorted(units, most_units)) + 1].tolist())


def _task(
    run: Run,
    split: str,
    replies: list[SpokenReply],
    core: Core,
    tokenizer: Any,
    speak: Speak,
    config: SpeakConfig,
) -> SpeakTask:
    said = said_of(replies, tokenizer, speak, codec_voices(run.trained))
    kept = run.out / "speak" / f"think-{split}-{thinks(run, replies)}.f16"
    core.to(precision())
    hidden = kept_thoughts(
        kept,
        [len(one.ids) for one in said],
        core.width,
        lambda n: think_of(core, tokenizer, run.recipe.system, replies[n].before, said[n].ids.tolist()),
    )
    core.float()
    shorter = config if split == "train" else replace(config, steps_a_batch=1000)
    return SpeakTask(speak, core.embed, said, hidden, shorter)


def thinks(run: Run, replies: Sequence[SpokenReply]) -> str:
    """Names what is thought of replies: another core or prompt thinks otherwise, and of others."""
    read = [(reply.id, reply.before, reply.text) for reply in replies]
    return digest([(run.trained / UPDATE).read_bytes(), run.recipe.system, read])


def said_of(
    replies: Sequence[SpokenReply], tokenizer: Any, speak: Speak, voices: Sequence[str]
) -> list[Said]:
    """Replies as Speak's steps. Args: voices: of the codec."""
    from harken.model.own_voice import STYLES
    from harken.voices.symbols import SYMBOL_IDS

    ids = [tokenizer.encode(reply.text, add_special_tokens=False) for reply in replies]
    return [
        steps_of(reply, tokens, token_ends(tokenizer, tokens), speak, SYMBOL_IDS, STYLES, voices)
        for reply, tokens in zip(replies, ids, strict=True)
    ]


def token_ends(tokenizer: Any, ids: list[int]) -> list[int]:
    """How many characters there are after each token of a text, white space at its end left out."""
    return [len(tokenizer.decode(ids[: n + 1]).rstrip()) for n in range(len(ids))]
