"""What answers in free words are read as: emotions in order, a choice, the words of a cause."""

from __future__ import annotations

import pytest

from harken.affect.labels import EMOTIONS
from harken.evaluation.dialogue_sets.reading import cause_overlap, chosen, emotions_named

TRAJECTORIES = ("sad, sad, happy", "neutral, anger, sad", "happy, sad, sad")
EMOTION = ("anger", "happy", "neutral", "sad")
CAUSES = ("the train was late", "a dog barked", "it rained", "she left")
ZH = ("狗叫了", "下雨了", "商店关门了", "我的火车晚点了")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Calm at first, then angry, and in the end sad.", ("neutral", "anger", "sad")),
        ("Turn 1: happy. Turn 2: Happy.", ("happy", "happy")),
        ("起初平静，然后生气，最后难过", ("neutral", "anger", "sad")),
        ("一开始惊喜 then worried", ("surprise", "fear")),
        ("unhappy, not gladly; matter-of-fact", ("sad", "neutral")),
        ("upset", ()),  # angry or sad
        ("sadden, happyish", ()),
        ("", ()),
        ('You were sad when you said "I was so happy then", then "calm".', ("sad", "neutral")),
        ("先是“难过”，因为你说“我那时候真的很开心”，然后平静", ("sad", "neutral")),
        ('"Happy, then sad.', ("happy", "sad")),
    ],
)
def test_emotion_words_become_labels_in_their_order(text: str, labels: tuple[str, ...]) -> None:
    assert emotions_named(text) == labels


def test_every_label_but_other_names_itself() -> None:
    assert emotions_named(", ".join(EMOTIONS)) == tuple(label for label in EMOTIONS if label != "other")


@pytest.mark.parametrize(
    ("text", "candidates", "place"),
    [
        ("B", CAUSES, 1),
        ("b", CAUSES, 1),
        (" (C) ", CAUSES, 2),
        ("D.", CAUSES, 3),
        ("B) it rained", CAUSES, 1),  # the letter counts
        ("A\nBecause of the train.", CAUSES, 0),
        ("The answer is C", CAUSES, 2),
        ("I choose: D, since she left.", CAUSES, 3),
        ("答案是B。", ZH, 1),
        ("我选 D", ZH, 3),
        ("C、因为关门", ZH, 2),
        ("Because a dog barked!", CAUSES, 1),
        ("因为我的火车晚点了。", ZH, 3),
        ("A friend said it rained", CAUSES, 2),
        ("It rained and she left.", CAUSES, None),  # two of them
        ("E", CAUSES, None),  # not in the list
        ("Hard to say.", CAUSES, None),
        ("", CAUSES, None),
        ("The speaker is angry.", EMOTION, 0),
        ("neither happy nor sad", EMOTION, None),
        ("难过", EMOTION, 3),
        ("glad, then sad, still sad", TRAJECTORIES, 2),
        ("Neutral, anger, sad.", TRAJECTORIES, 1),
        ("glad", TRAJECTORIES, None),
    ],
)
def test_a_choice_is_read_from_its_letter_or_its_words(
    text: str, candidates: tuple[str, ...], place: int | None
) -> None:
    right = None if place is None else candidates[place]
    assert chosen(text, candidates, emotions=candidates in (EMOTION, TRAJECTORIES)) == right


def test_causes_overlap_by_words_and_in_chinese_by_characters() -> None:
    assert cause_overlap("The train was late.", ("she left", "train was late")) == 1.0
    assert cause_overlap("火车晚点了。", ("我的火车晚点了",)) == pytest.approx(2 * 5 / (5 + 7))
    assert cause_overlap("", ("she left",)) == 0.0
