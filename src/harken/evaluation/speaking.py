"""Replies in the model's own voice, many at once: what it answers to heard turns, or a text that is given.

A reply is written turn by turn, greedily, as `harken reply` does; sound is made in batches. How the sound is
judged is left to the evaluations.

Shapes: T tokens, D core width, V width of the readout's vector, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harken.dialogue.conversation import Conversation, Prefix
from harken.dialogue.decoding import Opening, TextStream, Writing, read
from harken.dialogue.render import UserTurn
from harken.dialogue.sampling import Sampler, Sampling
from harken.dialogue.unit_sampling import UnitSampler, UnitSampling
from harken.dialogue.utterance import Utterance, say_all
from harken.evaluation.progress import steps
from harken.model.own_voice import OwnVoice
from harken.model.spoken_lm import HeardTurn, SpokenLM
from harken.model.spoken_text import SpokenText
from harken.voices.phonemes import words
from harken.voices.symbols import SYMBOL_IDS

BATCH = 16


@dataclass(frozen=True)
class WrittenReply:
    """A reply, and what Speak reads of it."""

    text: str
    token_ends: list[int]
    """How many characters of the text there are after each token."""
    embedded: Tensor  # (T, D)
    shared: Tensor  # (T, D)
    affect: Tensor  # (V,) what was heard


@dataclass(frozen=True)
class Sound:
    """A reply's sound."""

    samples: NDArray[np.float32]  # (N,)
    sample_rate: int
    ended: bool
    """By itself."""

    @property
    def seconds(self) -> float:
        return self.samples.size / self.sample_rate


class Replies:
    """What a model answers, ready to be spoken."""

    def __init__(self, model: SpokenLM) -> None:
        self.model = model
        self._prefix = Prefix.read(model)

    def written(self, heard: HeardTurn) -> WrittenReply:
        """What it writes by itself."""
        model, opening = self.model, self._asked(heard)
        stream, ids, shared, ends = TextStream(model.tokenizer), list[int](), list[Tensor](), list[int]()

        def on_read(token: int, thought: Tensor) -> None:
            ids.append(token)
            shared.append(thought)
            ends.append(len(stream.text))

        most = model.recipe.max_reply_tokens
        for _ in Writing(model, opening, Sampler(Sampling()), stream, most, True, on_read):
            pass
        return WrittenReply(stream.text, ends, model.embed(ids), torch.stack(shared), heard.affect)

    def given(self, heard: HeardTurn, text: str) -> WrittenReply:
        """A text in place of what it would write."""
        model = self.model
        ids = model.tokenizer.encode(text, add_special_tokens=False)
        shared = read(model, ids, self._asked(heard).state).shared
        ends = [len(model.tokenizer.decode(ids[: n + 1]).rstrip()) for n in range(len(ids))]
        return WrittenReply(text, ends, model.embed(ids), shared, heard.affect)

    def _asked(self, heard: HeardTurn) -> Opening:
        opening, _ = Conversation(self.model, self._prefix).ask(UserTurn(heard.embeddings))
        return opening


def spoken(
    voice: OwnVoice, replies: Sequence[WrittenReply], manners: Sequence[Tensor] | None = None
) -> list[Sound]:
    """Speak replies, each in a manner as `OwnVoice` gives it; None: that which answers what was heard."""
    manners = manners or [voice.manner(reply.affect) for reply in replies]
    sounds: list[Sound] = []
    for begin in steps(range(0, len(replies), BATCH), "speaking"):
        part = replies[begin : begin + BATCH]
        utterances = [_utterance(voice, reply) for reply in part]
        waves = say_all(voice, utterances, torch.cat(list(manners[begin : begin + BATCH])))
        sounds += [
            Sound(wave.numpy(), voice.decoder.sample_rate, not utterance.cut)
            for wave, utterance in zip(waves, utterances, strict=True)
        ]
    return sounds


def _utterance(voice: OwnVoice, reply: WrittenReply) -> Utterance:
    text = SpokenText(words, SYMBOL_IDS)
    text.write(reply.text, reply.token_ends, final=True)
    utterance = Utterance(voice.speak, text, UnitSampler(UnitSampling(), voice.speak.sizes.levels))
    utterance.read(reply.embedded, reply.shared)
    return utterance
