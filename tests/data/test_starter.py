"""The starter dialogues keep to their form: balanced, unlike one another, and fit to be read aloud."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest
from rapidfuzz import fuzz

from harken.affect.labels import EMOTIONS

FOLDER = files("harken.data") / "starter"
LANGUAGES = ("en", "zh")
FELT = ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise")
EN_TEXT = re.compile(r"[A-Za-z',.?! -]+")
ZH_TEXT = re.compile(r"[\u4e00-\u9fff，。？！、]+")


def dialogues(lang: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{lang}.jsonl").read_text(encoding="utf-8").splitlines()]


def users(dialogue: dict[str, Any]) -> list[dict[str, str]]:
    return [turn for turn in dialogue["turns"] if turn["speaker"] == "user"]


def user_turns(lang: str) -> list[dict[str, str]]:
    return [turn for dialogue in dialogues(lang) for turn in users(dialogue)]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_hundred_dialogues_have_the_stated_fields(lang: str) -> None:
    rows = dialogues(lang)
    assert [row["id"] for row in rows] == [f"starter-{lang}-{i:03d}" for i in range(1, 101)]
    for row in rows:
        assert list(row) == ["id", "lang", "topic", "turns"], row["id"]
        assert row["lang"] == lang and row["topic"], row["id"]
        speakers = [turn["speaker"] for turn in row["turns"]]
        assert speakers == ["user", "assistant"] * (len(speakers) // 2), row["id"]
        for turn in row["turns"]:
            fields = {"speaker", "text"}
            if turn["speaker"] == "user":
                assert turn["emotion"] in FELT and turn["emotion"] in EMOTIONS, row["id"]
                fields |= {"emotion"} if turn["emotion"] == "neutral" else {"emotion", "cause"}
            assert set(turn) == fields, row["id"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_causes_are_words_the_user_has_said_by_then(lang: str) -> None:
    for row in dialogues(lang):
        said: list[str] = []
        for turn in users(row):
            said.append(turn["text"])
            cause = turn.get("cause", turn["text"])
            assert cause.strip() and any(cause in text for text in said), (row["id"], turn)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_lengths_emotions_and_topics_are_spread(lang: str) -> None:
    rows = dialogues(lang)
    assert Counter(len(users(row)) for row in rows) == {1: 40, 2: 35, 3: 25}
    everywhere = Counter(turn["emotion"] for turn in user_turns(lang))
    first, last = (Counter(users(row)[end]["emotion"] for row in rows) for end in (0, -1))
    for emotion in FELT:
        assert 24 <= everywhere[emotion] <= 29, everywhere
        assert first[emotion] >= 10 and last[emotion] >= 10, (first, last)
    several = [users(row) for row in rows if len(users(row)) > 1]
    moved = [turns for turns in several if turns[0]["emotion"] != turns[-1]["emotion"]]
    assert len(moved) >= 0.9 * len(several)
    topics = Counter(row["topic"] for row in rows)
    assert len(topics) >= 20 and max(topics.values()) <= 8, topics


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("speaker", ("user", "assistant"))
def test_no_two_turns_are_nearly_the_same(lang: str, speaker: str) -> None:
    texts = [t["text"] for row in dialogues(lang) for t in row["turns"] if t["speaker"] == speaker]
    assert [(a, b) for a, b in combinations(texts, 2) if fuzz.ratio(a, b) >= 85] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_turn_can_be_read_aloud_as_it_stands(lang: str) -> None:
    """No digits, abbreviations or markup; plain ASCII in English, full-width punctuation in Chinese."""
    for row in dialogues(lang):
        for turn in row["turns"]:
            text = turn["text"]
            assert (EN_TEXT if lang == "en" else ZH_TEXT).fullmatch(text), (row["id"], text)
            assert text.endswith(tuple(".?!" if lang == "en" else "。？！")), (row["id"], text)
            assert not re.search(r"\b[A-Z]{2,}\b|\b(Mr|Mrs|Ms|Dr|St|etc|vs)\b", text), (row["id"], text)


def test_turns_are_short() -> None:
    for turn in user_turns("en"):
        assert 4 <= len(turn["text"].split()) <= 22, turn["text"]
    for turn in user_turns("zh"):
        characters = re.findall(r"[\u4e00-\u9fff]", turn["text"])
        assert len(characters) >= 6 and len(turn["text"]) <= 40, turn["text"]
    for lang, longest in (("en", 24), ("zh", 40)):
        for row in dialogues(lang):
            for turn in row["turns"][1::2]:
                text = turn["text"]
                assert len(re.findall(r"[.?!。？！]", text)) <= 2, (row["id"], text)
                assert len(text.split() if lang == "en" else text) <= longest, (row["id"], text)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_readme_names_dialogues_in_which_the_voice_decides(lang: str) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{lang}((?: \d{{3}})+)[,.]$", readme, re.MULTILINE)
    feelings = {row["id"]: {turn["emotion"] for turn in users(row)} for row in dialogues(lang)}
    named = [f"starter-{lang}-{number}" for number in line.split()]
    assert len(set(named)) == len(named) >= 15
    assert all(feelings[name] - {"neutral"} for name in named)
