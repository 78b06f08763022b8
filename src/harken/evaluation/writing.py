"""Many answers of one model at once: what `harken reply` would write greedily, in batches, and how probable a
text is.

Every prompt goes on from the recipe's system prompt, which is read once. Rows are sorted by length and
padded in front. Scoring what is written is left to the evaluations.

Shapes: B rows, T positions, D core width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harken.dialogue.conversation import Prefix, embed_segments
from harken.dialogue.decoding import TextStream, stop_ids
from harken.dialogue.render import THINK_OPEN, Turn, render
from harken.dialogue.sampling import Sampler, Sampling
from harken.evaluation.progress import steps
from harken.model.core import CoreState
from harken.model.spoken_lm import HeardTurn, SpokenLM


@dataclass(frozen=True)
class Written:
    """One answer."""

    text: str
    ids: list[int]
    """Its tokens, with the one that ended it, if it ended by itself."""


class Writer:
    """Writes answers of one model."""

    def __init__(self, model: SpokenLM, batch: int = 16) -> None:
        self.model = model
        self.batch = batch
        self._prefix = Prefix.read(model).state
        self._stops = stop_ids(model.tokenizer)

    def hear(self, recordings: Sequence[NDArray[np.float32]]) -> list[HeardTurn]:
        """Listen to recordings, each (N,) at 16 kHz."""
        return [self.model.hear(samples) for samples in steps(recordings, "listening")]

    def prompt(self, turns: Sequence[Turn], opening: str = "") -> Tensor:
        """What follows the system prompt, up to where the answer begins, as embeddings (T, D).

        Args: opening: how the answer begins, for example a think block.
        """
        segments = render(turns, self.model.tokenizer, "")[1:]
        if opening:
            segments.append(self.model.tokenizer.encode(opening, add_special_tokens=False))
        return embed_segments(self.model, segments)

    def write(self, prompts: Sequence[Tensor], most: int, stop: str | None = None) -> list[Written]:
        """Answer prompts (T_i, D), each with `most` tokens at most, or up to the text `stop`."""
        answers: dict[int, Written] = {}
        for rows in steps(self._batches([len(prompt) for prompt in prompts]), "writing"):
            answers.update(zip(rows, self._write([prompts[row] for row in rows], most, stop), strict=True))
        return [answers[row] for row in range(len(prompts))]

    @torch.no_grad()
    def log_probs(self, prompts: Sequence[Tensor], answers: Sequence[Sequence[int]]) -> list[Tensor]:
        """What the model expects at each token of given answers, in one batch: (answer's length, V) a row."""
        rows = [
            torch.cat([prompt, self.model.embed(list(answer[:-1]))]) if len(answer) > 1 else prompt
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        hidden, _ = self._read(rows)
        ends = [hidden[row, -len(answer) :] for row, answer in enumerate(answers)]
        return [self.model.core.logits(end).float().log_softmax(-1) for end in ends]

    @torch.no_grad()
    def _write(self, prompts: list[Tensor], most: int, stop: str | None) -> list[Written]:
        tokenizer, sampler = self.model.tokenizer, Sampler(Sampling())
        never_first = self._stops | {tokenizer.encode(THINK_OPEN, add_special_tokens=False)[0]}
        streams = [TextStream(tokenizer, stop) for _ in prompts]
        ended: dict[int, list[int]] = {}
        going = list(range(len(prompts)))
        hidden, state = self._read(prompts)
        for step in range(most):
            logits = self.model.core.logits(hidden[:, -1])  # (rows going, V)
            stayed = []
            for place, row in enumerate(going):
                token = sampler.choose(logits[place], streams[row].ids, never_first if step == 0 else ())
                if token in self._stops:
                    ended[row] = [*streams[row].ids, token]
                    continue
                streams[row].push(token)
                if not streams[row].stopped:
                    stayed.append(place)
            if not stayed or step + 1 == most:
                break
            if len(stayed) < len(going):
                state = state.rows(torch.tensor(stayed))
                going = [going[place] for place in stayed]
            output = self.model.core(
                self.model.embed([streams[row].ids[-1] for row in going])[:, None], state
            )
            hidden, state = output.hidden, output.state
        for stream in streams:
            stream.end()
        return [Written(stream.text, ended.get(row, stream.ids)) for row, stream in enumerate(streams)]

    def _read(self, rows: list[Tensor]) -> tuple[Tensor, CoreState]:
        """Read rows (T_i, D) after the system prompt: hidden (B, T, D), padded in front, and the state."""
        longest = max(map(len, rows))
        inputs = torch.zeros(len(rows), longest, rows[0].shape[1])
        valid = torch.zeros(len(rows), longest, dtype=torch.bool)
        for place, row in enumerate(rows):
            inputs[place, longest - len(row) :] = row
            valid[place, longest - len(row) :] = True
        output = self.model.core(inputs, self._prefix.rows(torch.zeros(len(rows), dtype=torch.long)), valid)
        return output.hidden, output.state

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
        return [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
