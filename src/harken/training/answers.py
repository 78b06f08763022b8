"""The core's own answers to text: the targets of self-distillation, with its distribution at each token.

Answers are greedy, so they are the same every time. They are kept as JSON lines and finding one that is there
costs nothing, so a run that was interrupted goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harken.dialogue.render import UserTurn, render
from harken.model.core import Core, CoreState
from harken.training.states import complete_rows

TOP = 16
"""How many of the teacher's next-token probabilities are kept at each position."""


@dataclass(frozen=True)
class Answer:
    """One answer: its tokens, and at each the teacher's most probable ones with their log-probabilities."""

    prompt: str
    tokens: list[int]
    top: list[list[int]]  # (T, TOP)
    log_probs: list[list[float]]  # (T, TOP)


@torch.no_grad()
def greedy(core: Core, prompts: list[Tensor], stop: int, most: int) -> list[Answer]:
    """Answer a batch of prompts, each (T_i, D) embeddings; `prompt` of the answers is left empty."""
    longest = max(len(p) for p in prompts)
    inputs = torch.zeros(len(prompts), longest, core.width, dtype=prompts[0].dtype)
    valid = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for i, prompt in enumerate(prompts):  # padded in front, so that all rows end together
        inputs[i, longest - len(prompt) :] = prompt
        valid[i, longest - len(prompt) :] = True
    state, finished = CoreState.empty(), torch.zeros(len(prompts), dtype=torch.bool)
    tokens, top, probs = [], [], []
    for _ in range(most):
        output = core(inputs, state, valid)
        state = output.state
        log_probs = core.logits(output.hidden[:, -1]).float().log_softmax(-1)  # (B, V)
        best = log_probs.topk(TOP)
        chosen = best.indices[:, 0]
        tokens.append(chosen)
        top.append(best.indices)
        probs.append(best.values)
        finished |= chosen == stop
        if bool(finished.all()):
            break
        inputs, valid = core.embed(chosen)[:, None], torch.ones(len(prompts), 1, dtype=torch.bool)
    return [
        _cut(row, torch.stack(tokens), torch.stack(top), torch.stack(probs), stop)
        for row in range(len(prompts))
    ]


def _cut(row: int, tokens: Tensor, top: Tensor, probs: Tensor, stop: int) -> Answer:
    """One row of (T, B), (T, B, TOP), (T, B, TOP), up to and with the stop token."""
    ids = tokens[:, row].tolist()
    end = ids.index(stop) + 1 if stop in ids else len(ids)
    rounded = [[round(p, 3) for p in position] for position in probs[:end, row].tolist()]
    return Answer("", ids[:end], top[:end, row].tolist(), rounded)


def answers(
    core: Core,
    tokenizer: Any,
    texts: Sequence[str],
    system: str,
    most: int,
    file: Path,
    opening: Callable[[str], str] = lambda text: "",
    voice: Callable[[str], Tensor | None] = lambda text: None,
    batch: int = 64,
) -> Iterator[Answer]:
    """The core's answers to texts, in no particular order; those in `file` are read, the rest is added.

    Args: opening: how the answer to a text begins; the core goes on from there (in the IEAT step, from the
        opening of a think block with an injected emotion).
        voice: the vectors (K, D) that stand before the words, where somebody is heard to say them.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    have = {row["prompt"]: Answer(**row) for row in complete_rows(file)}
    yield from (have[text] for text in dict.fromkeys(texts) if text in have)
    missing = sorted({text for text in texts if text not in have}, key=len)
    with file.open("a") as out:
        for start in range(0, len(missing), batch):
            asked = missing[start : start + batch]
            prompts = [_prompt(core, tokenizer, text, system, opening(text), voice(text)) for text in asked]
            for text, answer in zip(asked, greedy(core, prompts, tokenizer.eos_token_id, most), strict=True):
                answer = Answer(text, answer.tokens, answer.top, answer.log_probs)
                out.write(json.dumps(asdict(answer)) + "\n")
                yield answer
            out.flush()


def _prompt(core: Core, tokenizer: Any, text: str, system: str, opening: str, voice: Tensor | None) -> Tensor:
    def embed(ids: list[int]) -> Tensor:
        embedded: Tensor = core.embed(torch.tensor(ids, dtype=torch.long))
        return embedded

    def encode(words: str) -> list[int]:
        ids: list[int] = tokenizer.encode(words, add_special_tokens=False)
        return ids

    said = text if voice is None else torch.cat([voice.to(core.embed.weight), embed(encode(text))])
    segments = [*render([UserTurn(said)], tokenizer, system), encode(opening)]
    return torch.cat([part if isinstance(part, Tensor) else embed(part) for part in segments])
