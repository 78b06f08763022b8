"""Whether the core answers speech as it answers the same words in writing.

The written-side reply is the reference. *Retrieval*: the reply to the recording should find, among the
written-side replies to all turns, its own. *Divergence*: at each token of the written-side reply, KL from
the distribution that the written turn gives to the one that the heard turn gives. Beside both: the same
core reading Whisper's transcript, and, for the divergence, the audio of another turn.

Shapes: N turns, T tokens of a reply, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harken.data.speech import Clip
from harken.dialogue.render import UserTurn
from harken.errors import DataError, MissingExtra
from harken.evaluation.cascade import Transcribe
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.words import normalise
from harken.evaluation.writing import Writer, Written

MOST_TURNS = 200
METHOD = (
    "similarity of replies: mean of two TF-IDF cosines (word 1-2-grams; character 2-4-grams within words), "
    "fitted on the written-side replies; ties share the credit; of turns with the same words, or whose "
    "written-side replies coincide, one stays; greedy; KL over the full vocabulary, mean over tokens, in "
    "nats; 95 % by bootstrap over turns"
)
HEARD, READ, OTHER = "speech", "Whisper's transcript", "speech of another turn"


@dataclass(frozen=True)
class Asked:
    """One dev turn and the core's reply to its words in writing."""

    clip: Clip
    prompt: Tensor  # (T, D)
    reply: Written


def evaluate_alignment(
    writer: Writer, transcribe: Transcribe, clips: Sequence[Clip], most: int = MOST_TURNS, seed: int = 0
) -> Report:
    """Retrieval and divergence on up to `most` turns drawn by `seed`.

    Args:
        writer: holds the model.
        transcribe: Whisper's own decoder.
        clips: English dev turns.

    Raises: DataError where fewer than two turns are left.
    """
    asked = distinct_turns(writer, clips, most, seed)
    if len(asked) < 2:
        raise DataError(
            f"{len(asked)} turns are too few to tell replies apart", "name a folder with more dev turns"
        )
    recordings = [turn.clip.samples() for turn in asked]
    heard = [writer.prompt([UserTurn(turn.embeddings)]) for turn in writer.hear(recordings)]
    read = [writer.prompt([UserTurn(text)]) for text in transcribe(recordings)]
    limit, own = writer.model.recipe.max_reply_tokens, [turn.reply.text for turn in asked]
    data, n = "dev turns", len(asked)
    rows: list[Row] = [figure(data, "chance", "top-1", 1 / n, n)]
    for system, prompts in ((HEARD, heard), (READ, read)):
        ranks = Ranks.of(similarity([w.text for w in writer.write(prompts, limit)], own))
        for measure, values in (("top-1", ranks.top_1()), ("mean reciprocal rank", ranks.reciprocal())):
            rows.append(figure(data, system, measure, bootstrap(per_item(values), seed=seed), n))
    for system, prompts in ((HEARD, heard), (READ, read), (OTHER, [*heard[1:], heard[0]])):
        sums = divergence(writer, asked, prompts)
        lengths = [len(turn.reply.ids) for turn in asked]
        rows.append(figure(data, system, "KL a token", bootstrap(per_item(sums, lengths), seed=seed), n))
    return Report("alignment", {"data": _counts(asked, clips), "method": METHOD}, tuple(rows))


def distinct_turns(writer: Writer, clips: Sequence[Clip], most: int, seed: int) -> list[Asked]:
    """Up to `most` turns whose words differ, and whose written-side replies differ too."""
    order = np.random.default_rng(seed).permutation(len(clips))
    by_words = {normalise(clips[place].text): clips[place] for place in reversed(order)}
    waiting, kept = list(by_words.values()), dict[str, Asked]()
    while waiting and len(kept) < most:
        now, waiting = waiting[: most - len(kept)], waiting[most - len(kept) :]
        prompts = [writer.prompt([UserTurn(clip.text)]) for clip in now]
        replies = writer.write(prompts, writer.model.recipe.max_reply_tokens)
        for asked in map(Asked, now, prompts, replies):
            kept.setdefault(normalise(asked.reply.text), asked)
    return list(kept.values())


def similarity(queries: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
    """How alike texts are, 0 to 1: (queries, replies). See METHOD."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise MissingExtra("comparing replies", "eval") from None
    total = np.zeros((len(queries), len(replies)))
    for vectorizer in (
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)),
    ):
        fitted = vectorizer.fit_transform(replies)
        total += (vectorizer.transform(queries) @ fitted.T).toarray() / 2
    return total


@dataclass(frozen=True)
class Ranks:
    """Where each query's own reply stands among all."""

    better: NDArray[np.int64]  # (N,) replies that are more alike
    equal: NDArray[np.int64]  # (N,) replies that are just as alike, its own included

    @classmethod
    def of(cls, alike: NDArray[np.float64]) -> Ranks:
        """Args: alike: (N, N), query by reply; a query's own reply has its number."""
        alike = np.round(alike, 9)  # equal texts may differ in the last bit
        own = np.diag(alike)[:, None]
        return cls((alike > own).sum(1), (alike == own).sum(1))

    def top_1(self) -> NDArray[np.float64]:
        """(N,) the chance that the own reply comes first, ties broken at random."""
        return np.where(self.better == 0, 1 / self.equal, 0.0)

    def reciprocal(self) -> NDArray[np.float64]:
        """(N,) one over the rank; among ties, the middle one."""
        return np.asarray(1 / (1 + self.better + (self.equal - 1) / 2))


def divergence(
    writer: Writer, asked: Sequence[Asked], prompts: Sequence[Tensor], batch: int = 8
) -> list[float]:
    """KL(written side || other side) summed over the tokens of each written-side reply, in nats.

    Args: prompts: the other side, one (T_i, D) a turn.
    """
    sums = [0.0] * len(asked)
    order = sorted(
        range(len(asked)), key=lambda place: len(asked[place].prompt) + len(asked[place].reply.ids)
    )
    for start in steps(range(0, len(order), batch), "divergence"):
        places = order[start : start + batch]
        replies = [asked[place].reply.ids for place in places]
        written = writer.log_probs([asked[place].prompt for place in places], replies)
        other = writer.log_probs([prompts[place] for place in places], replies)
        for place, p, q in zip(places, written, other, strict=True):
            sums[place] = kl(p, q)
    return sums


def kl(p: Tensor, q: Tensor) -> float:
    """KL(p || q) summed over positions; both are log-probabilities (T, V)."""
    return float(torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True))


def _counts(asked: Sequence[Asked], clips: Sequence[Clip]) -> dict[str, int]:
    tokens = sum(len(turn.reply.ids) for turn in asked)
    return {"dev clips": len(clips), "turns compared": len(asked), "tokens of replies": tokens}
