"""Whether thoughts follow voices: planted voices, planted thoughts, counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harken.affect.labels import EMOTIONS
from harken.evaluation import following
from harken.evaluation.following import evaluate_following

ACTED = ("anger", "anger", "sad", "happy")
READ = ("anger", "sad", "sad", "happy")
THOUGHT = ("anger", "sad", "anger", None)


def clip(emotion):
    return SimpleNamespace(clip=SimpleNamespace(samples=lambda: emotion), emotion=emotion)


@pytest.fixture
def report(monkeypatch):
    heard = [
        SimpleNamespace(embeddings=i, emotion={e: float(e == label) for e in EMOTIONS})
        for i, label in enumerate(READ)
    ]
    writer = SimpleNamespace(hear=lambda recordings: heard)

    def think(writer, asked):
        assert [(past, turn.content) for past, turn in asked] == [((), i) for i in range(4)]
        return [(emotion, None) for emotion in THOUGHT]

    monkeypatch.setattr(following, "think", think)
    return evaluate_following(writer, {"people": [clip(emotion) for emotion in ACTED]})


def value(report, system, measure):
    (found,) = [r["value"] for r in report.rows if (r["system"], r["measure"]) == (system, measure)]
    return found[0] if isinstance(found, list) else found


def test_what_is_thought_is_held_against_what_was_acted_and_heard(report):
    assert value(report, "trace", "accuracy") == 1 / 4
    assert value(report, "trace", "UAR") == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert value(report, "readout", "accuracy") == 3 / 4
    assert value(report, "trace", "says what the readout heard") == 2 / 4
    assert value(report, "baseline: always anger", "accuracy") == 2 / 4


def test_agreement_by_chance_counts_for_nothing(report):
    chance = (1 * 2 + 2 * 1) / 16  # anger once and twice, sad twice and once
    assert value(report, "trace", "the same, kappa") == pytest.approx((2 / 4 - chance) / (1 - chance))
