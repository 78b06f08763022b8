"""The guard: what speaks of danger, what only sounds like it, and what is said in a reply's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harken.dialogue.events import Attribution
from harken.dialogue.guard import Care, Exchange
from harken.errors import InputError

CARE = Care()
DANGER = (
    "I want to kill myself.",
    "i just want to die",
    "Sometimes I think about hurting myself.",
    "i keep cutting my self",
    "I don't want to live anymore",
    "I don’t want to live.",
    "There's no reason to live.",
    "everyone would be better off without me",
    "I wish I was dead",
    "I've been thinking about suicide for weeks.",
    "She's suicidal and I do not know what to do.",
    "My friend says he wants to kill himself.",
    "I took a whole bottle of sleeping pills.",
    "I'm going to jump off the bridge",
    "I've been thinking of ending my life.",
    "my boyfriend keeps hitting me",
    "He has threatened to kill me.",
    "He pulled a knife on me",
    "I am not safe at home.",
    "I was raped last night.",
    "I'm thinking about killing him.",
    "I think my dad is having a heart attack",
    "我不想活了",
    "我真的好想死",
    "我想自杀",
    "最近总有自杀的念头",
    "活着没有意思",
    "我又忍不住割腕了",
    "我想从楼上跳下去",
    "我吃了一整瓶安眠药",
    "我老公经常打我",
    "他拿着刀指着我",
    "他威胁要杀了我",
    "我想自殺",
)
NO_DANGER = (
    "This homework is killing me.",
    "I laughed so hard I nearly died.",
    "I'm dying to see that film.",
    "I could die for that pizza.",
    "I was so embarrassed I wanted to die.",
    "My mom is going to kill me if I am late.",
    "I cut myself shaving this morning.",
    "I hurt myself at the gym.",
    "I don't want to live here anymore.",
    "I don't want to die, I have so much left to do.",
    "There is no reason to live in this city.",
    "We watched Suicide Squad last night.",
    "I'm taking my life in a new direction.",
    "They took my life savings.",
    "I overdosed on coffee again.",
    "My brother beat me at chess.",
    "She hit me up yesterday, and he kicked me out of the band.",
    "I'm in danger of missing the train.",
    "I'm planning to shoot my sister's wedding.",
    "The writers are thinking of killing him off.",
    "I take all my pills on time.",
    "We went to jump off a bridge with a bungee cord.",
    "He committed himself to the project.",
    "That exam was murder, and I nailed it.",
    "I lost my job and I feel awful.",
    "我笑死了",
    "作业快把我烦死了",
    "想死你了",
    "尴尬得我想死",
    "累得想死",
    "这家店跳楼价大甩卖",
    "我们看了自杀小队",
    "我不想死，我还有很多事要做",
    "我不想活在别人的眼光里",
    "他打我电话我没接",
    "我妈要杀了我，哈哈",
    "这盆花我养不活了",
    "我不会伤害自己",
    "今天考试真是要命",
)
HARM = (
    "You should just kill yourself.",
    "Why don't you hurt yourself?",
    "Nobody would miss you.",
    "Suicide is the best way out.",
    "You could end it all.",
    "你不如去死",
    "没有人会在乎你",
)
NO_HARM = (
    "Please do not hurt yourself.",
    "You should never hurt yourself.",
    "Did you hurt yourself when you fell?",
    "Careful, you could hurt yourself.",
    "Suicide is not the answer, and many people would miss you.",
    "I would care about you.",
    "你要好好照顾自己",
    "请不要伤害自己",
)


def asked(said: str | None = None, reply: str = "", cause: str | None = None) -> str | None:
    return CARE(Exchange(said, None, Attribution("sad", cause) if cause else None, reply))


@pytest.mark.parametrize("said", DANGER)
def test_a_turn_that_speaks_of_danger_is_answered_by_people_who_can_help(said: str) -> None:
    told = asked(said)
    chinese = any("一" <= c <= "鿿" for c in said)
    assert told is not None and "findahelpline.com" in told
    assert ("急救" if chinese else "emergency number") in told


@pytest.mark.parametrize("said", NO_DANGER)
def test_figures_of_speech_are_left_to_the_model(said: str) -> None:
    assert asked(said) is None


@pytest.mark.parametrize("reply", HARM)
def test_a_reply_that_would_do_harm_is_not_said(reply: str) -> None:
    told = asked("I feel low.", f"I hear you. {reply}")
    assert told is not None and told != asked(DANGER[0]) and told != asked("我不想活了")


@pytest.mark.parametrize("reply", NO_HARM)
def test_a_reply_that_warns_or_asks_is_said(reply: str) -> None:
    assert asked("I feel low.", reply) is None


def test_no_number_is_made_up() -> None:
    for told in (asked("I want to die"), asked("我想自杀"), asked(reply=HARM[0]), asked(reply=HARM[-1])):
        assert told is not None and not any(c.isdigit() for c in told)


def test_the_stated_cause_is_seen_where_the_words_were_not_caught() -> None:
    assert asked("i wan to kil my shelf", cause="I want to kill myself") == asked("I want to kill myself")
    assert asked(None) is None and asked(None, cause="my dog") is None


def test_a_file_of_ones_own_replaces_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "care.toml"
    path.write_text('[en]\nreply = "Call the ward."\n[zh]\ndanger = []\n', encoding="utf-8")
    care = Care(path)
    assert care(Exchange("I want to die.", None, None, "")) == "Call the ward."
    assert care(Exchange("I cut myself shaving.", None, None, "")) is None
    assert care(Exchange("我想自杀", None, None, "")) is None
    assert care(Exchange("x", None, None, "Nobody would miss you.")) == asked(reply="Nobody would miss you.")


def test_a_language_of_ones_own_is_watched_too(tmp_path: Path) -> None:
    path = tmp_path / "care.toml"
    path.write_text(
        '[de]\nreply = "Ruf jemanden an."\ninstead = "Halt."\nsayings = []\nharm = []\n'
        'danger = ["\\\\bich will sterben\\\\b"]\n',
        encoding="utf-8",
    )
    care = Care(path)
    assert care(Exchange("Ich will sterben.", None, None, "")) == "Ruf jemanden an."
    assert care(Exchange("I want to die.", None, None, "")) == asked("I want to die.")


def test_each_pattern_of_a_file_of_ones_own_stands_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "care.toml"
    path.write_text(
        "[en]\n"
        r"danger = ['(the) moor', '(?i)bleak house', '(?P<x>fog)\b', '(?P<x>mud)\b', '\b(\w+) \1 \1\b']"
        "\n"
        r"sayings = ['(as) mud', '(?i)such (a) fog', '\b(mud) \1\b']"
        "\n"
        r"harm = ['(go) away', '\b(\w+) \1 \1\b']",
        encoding="utf-8",
    )
    care = Care(path)
    watched = ("on the moor", "at BLEAK HOUSE", "Fog", "mud", "so cold cold cold")
    assert all(care(Exchange(said, None, None, "")) for said in watched)
    left = ("clear as mud", "Such a fog", "mud mud", "so cold cold")
    assert not any(care(Exchange(said, None, None, "")) for said in left)
    assert care(Exchange("x", None, None, "no No no"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[en", "is not TOML"),
        ('en = "x"', "en is no language's table"),
        ("[en]\nreply = 3", "en.reply is not understood"),
        ('[en]\nreply = " "', "en.reply is not understood"),
        ('[en]\nwords = ["x"]', "en.words is not understood"),
        ('[en]\ndanger = ["("]', "is no pattern"),
        ('[en]\nharm = ["x{99999999999}"]', "is no pattern"),
        ('[de]\nreply = "x"', "de has no instead"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "care.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"care\.toml") as raised:
        Care(path)
    assert told in raised.value.message and raised.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Care(tmp_path / "gone.toml")
