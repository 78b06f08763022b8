"""Retrieval of replies and divergence of distributions, with planted answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harken.data.speech import Clip
from harken.dialogue.render import UserTurn
from harken.errors import DataError
from harken.evaluation.alignment import Ranks, distinct_turns, evaluate_alignment, kl, similarity
from harken.evaluation.writing import Writer
from harken.testing import tiny_model

REPLIES = [
    "I am sorry about your dog.",
    "Congratulations on the job!",
    "What a lovely trip that was.",
    "Please wait.",
]


class Planted(Clip):
    """A clip whose samples carry its place in `text`'s digits."""

    def samples(self) -> NDArray[np.float32]:
        return np.full(8000, float(self.text.split()[-1]), dtype=np.float32)


def clip(number: int, text: str | None = None) -> Clip:
    return Planted(
        f"c{number}", text or f"This is what I say, number {number}", "en", "dev", "user", 0.5, "v", None,
        f"g{number}", "s", Path("none"), None,
    )  # fmt: skip


def test_each_reply_is_most_like_itself() -> None:
    alike = similarity(REPLIES, REPLIES)
    assert np.allclose(np.diag(alike), 1)
    ranks = Ranks.of(alike)
    assert ranks.top_1().tolist() == [1, 1, 1, 1] and ranks.reciprocal().tolist() == [1, 1, 1, 1]


def test_a_paraphrase_finds_its_reply_and_a_stranger_shares_the_credit() -> None:
    queries = ["So sorry for the dog", "a trip that was lovely", "Congratulations on your new job", "Ωμέγα"]
    ranks = Ranks.of(similarity(queries, REPLIES))
    assert ranks.top_1().tolist() == [1, 0, 0, 0.25]  # the second and third are each other's
    assert ranks.reciprocal()[3] == pytest.approx(1 / 2.5)
    assert (ranks.reciprocal()[1:3] < 1).all()


def test_ranks_of_known_similarities() -> None:
    ranks = Ranks.of(np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.5], [0.4, 0.1, 0.4]]))
    assert ranks.top_1().tolist() == [1, 0, 0.5]
    assert ranks.reciprocal() == pytest.approx([1, 1 / 3, 1 / 1.5])


def test_kl_of_known_distributions() -> None:
    p, q = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log(), torch.tensor([[0.25, 0.75], [0.25, 0.75]]).log()
    assert kl(p, q) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), abs=1e-6)
    assert kl(q, q) == 0


def test_turns_with_equal_words_or_equal_replies_are_compared_once() -> None:
    writer = Writer(tiny_model(seed=1))
    clips = [clip(0), clip(1), clip(2, "this is what I say number 1"), clip(3)]
    kept = distinct_turns(writer, clips, most=10, seed=0)
    assert len(kept) == 3 and len({turn.reply.text for turn in kept}) == 3
    assert len(distinct_turns(writer, clips, most=2, seed=0)) == 2


def test_who_hears_the_very_words_is_aligned_and_who_hears_others_is_not() -> None:
    """The made-up ear gives the words' own embeddings, so the heard side equals the written side."""
    clips = [clip(number) for number in range(4)]
    model = tiny_model(seed=1)

    def hear(samples: NDArray[np.float32]):  # type: ignore[no-untyped-def]
        from harken.testing import heard_turn

        said = clips[int(samples[0])].text
        turn = heard_turn(said)
        turn.embeddings = model.embed(model.tokenizer.encode(said, add_special_tokens=False))
        return turn

    model.heard = hear  # type: ignore[assignment]
    wrong = "Something else altogether."
    report = evaluate_alignment(Writer(model), lambda recordings: [wrong] * len(recordings), clips)
    figures = {(row["system"], row["measure"]): row["value"] for row in report.rows}
    n = report.setting["data"]["turns compared"]  # type: ignore[index]
    assert n == 4
    assert figures["chance", "top-1"] == 1 / n
    assert figures["speech", "top-1"] == figures["speech", "mean reciprocal rank"] == [1, 1, 1]
    assert figures["Whisper's transcript", "top-1"][0] < 1  # type: ignore[index]
    spoken, other = figures["speech", "KL a token"], figures["speech of another turn", "KL a token"]
    assert abs(spoken[0]) < 1e-4 < other[0]  # type: ignore[index]


def test_one_turn_is_too_few() -> None:
    writer = Writer(tiny_model())
    assert writer.prompt([UserTurn("x")]).shape[0] > 3
    with pytest.raises(DataError, match="too few"):
        evaluate_alignment(writer, lambda recordings: [""] * len(recordings), [clip(0)])
