"""How many can be spoken to at once, on a machine whose speed is known."""

from __future__ import annotations

import pytest

from harken.api import Harken
from harken.serving.capacity import pace, sessions_at
from harken.testing import FakeVoice, ScriptedLM, heard_turn

SAID = "That was a long day, and I am sorry for that."
"""45 letters, which are three seconds of the fake voice."""


def harken(chunk_s: float) -> Harken:
    model = ScriptedLM(lambda _: SAID, lambda samples: heard_turn(width=1))
    return Harken(model, FakeVoice(chunk_s=chunk_s))


class Clock:
    """Goes on by so much for each chunk of sound that is made."""

    def __init__(self, a_chunk_s: float) -> None:
        self.a_chunk_s, self.now_s = a_chunk_s, 0.0

    def __call__(self) -> float:
        self.now_s += self.a_chunk_s
        return self.now_s


@pytest.mark.parametrize(
    ("a_chunk_s", "factor", "many"),
    [(0.09, 0.18, 4), (0.19, 0.38, 2), (0.45, 0.9, 1), (0.8, 1.6, 1), (0.0, 0.0, 32)],
)
def test_as_many_are_spoken_to_as_hear_no_pauses(a_chunk_s: float, factor: float, many: int) -> None:
    found = pace(harken(chunk_s=0.5), Clock(a_chunk_s))
    assert found == pytest.approx(factor) and sessions_at(found) == many


def test_a_reply_in_one_piece_is_timed_whole() -> None:
    assert pace(harken(chunk_s=60.0), Clock(3.0)) == pytest.approx(1.0)


def test_where_nothing_is_spoken_there_is_room() -> None:
    model = ScriptedLM(lambda _: SAID, lambda samples: heard_turn(width=1))
    assert pace(Harken(model, None)) is None and sessions_at(None) == 32
