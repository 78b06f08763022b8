"""The step reflect in Chinese: characters for words, sentences without spaces, rules of its own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reflected import reflected, replied

from harken.data.rows import Row
from harken.data.steps import replies
from harken.data.steps.reflect import Reflect, ends
from harken.data.steps.reflect_filters import (
    BLAMES,
    BORROWS,
    COPIES,
    ELSEWHERE,
    LEAKS,
    SPEAKS,
    fault,
    reply_fault,
)
from harken.data.steps.reflect_prompts import REFLECT, shown
from harken.data.steps.weak_replies import KINDS, weak_reply
from harken.testing import Answer

SAID = "星期二我们把老狗豆豆送走了。"
REPLY = "豆豆陪了你们这么多年，这一天一定特别难熬。它最喜欢在哪儿趴着？"
NEED, ALONG, MEND = "说说豆豆", "听见了不舍；问问从前", "老狗豆豆"


def write(prompt: str, seed: int) -> Answer:
    opened = prompt.rsplit("\n", 1)[1]
    return NEED if opened.endswith("需要") else MEND if opened.endswith("提到") else ALONG


def chinese(said: str = SAID, reply: str = REPLY, emotion: str = "sad", **fields: Any) -> Row:
    return replied(said, reply, emotion, lang="zh", **fields)


def test_reflections_stand_after_every_so_many_characters() -> None:
    (_, made), dropped, llm = reflected([chinese()], write, weak_share=0.0)
    assert dropped == [] and made.target == REPLY and made.teacher is not None
    assert made.teacher.prompt_sha256 == REFLECT["zh"].sha256
    need, along = "悲伤，需要说说豆豆。", "悲伤，需要说说豆豆。目前温暖，听见了不舍；问问从前。"
    assert [(REPLY[: r.at], r.text) for r in made.reflections] == [
        ("", need),
        ("豆豆陪了你们这么多年，这一", along),
        ("豆豆陪了你们这么多年，这一天一定特别难熬。它最喜欢在", along),
    ]
    first = next(asked for asked in llm.asked if asked.endswith("悲伤，需要"))
    assert f"对方：{SAID}\n朋友，说到：…" in first
    assert "They" not in "".join(llm.asked) and "So far" not in "".join(llm.asked)


def test_a_weak_beginning_is_mended_in_chinese() -> None:
    rows = [chinese(f"{SAID}{number}", group=str(number)) for number in range(40)]
    made, dropped, _ = reflected(rows, write, weak_share=1.0)
    mended = [row for row in made if row.given]
    assert dropped == [] and len(mended) == 40
    for row in mended:
        target, weak = row.target or "", row.rejected or ""
        assert target.startswith(weak) and row.given == len(weak) and target.endswith(REPLY)
        assert not re.search(r"[A-Za-z\s]", target)
        _, thought, *along = row.reflections
        assert thought.at == row.given and thought.text.endswith("；该提到老狗豆豆。")
        assert [target[: r.at].endswith(("这一", "喜欢在")) for r in along] == [True, True]


def test_what_is_off_the_point_is_a_chinese_sentence_said_to_another() -> None:
    reply = "春天的风最合适了！飞得高吗？"
    kites = [chinese("我在放风筝。", reply, "happy", group=f"k{n}", id=f"k{n}") for n in range(20)]
    english = replied("Tea.", "Green tea in the morning, lovely!")
    rows = [chinese(id=f"r{number}", group="one") for number in range(60)]
    weak = [weak_reply(row, [*rows, *kites, english], "maker") for row in rows]
    assert {one.kind for one in weak} == set(KINDS)
    assert {one.text for one in weak if one.kind == "off the point"} == {"春天的风最合适了！"}
    assert all(replies.in_language(one.text + one.turn, "zh") for one in weak)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("to be heard", replies.OTHER_LANGUAGE),
        ("有人陪着说一说豆豆从前的那些小事", replies.TOO_LONG),
        ("你再说说", SPEAKS),
        ("陪了你们这么多年", SPEAKS),
        ("这一天一定特别", COPIES),
        ("特别难熬", COPIES),
        ("明天的考试", BORROWS),
        ("陪伴，有点冷淡", BLAMES),
    ],
)
def test_what_is_no_reflection_drops_the_row(written: str, reason: str) -> None:
    made, dropped, _ = reflected([chinese()], lambda prompt, seed: written)
    assert [row.task for row in made] == ["source"]
    assert [drop.reason for drop in dropped] == [reason]


def test_what_a_weak_beginning_should_have_named_was_said() -> None:
    def astray(prompt: str, seed: int) -> Answer:
        return "风筝" if prompt.endswith("提到") else write(prompt, seed)

    made, dropped, _ = reflected([chinese()], astray, weak_share=1.0)
    assert len(made) == 1 and [drop.reason for drop in dropped] == [ELSEWHERE]


@pytest.mark.parametrize("part", [m.content for m in REFLECT["zh"].messages(True) if m.role == "assistant"])
def test_what_the_teacher_is_shown_would_be_kept(part: str) -> None:
    need, along = part.rstrip("。").split("。")
    for written in (need.partition("需要")[2], re.split("温暖，|该提到", along)[1]):
        assert fault(written, "zh", "", shown("zh"), "", 2 * Reflect().max_words) is None


def test_replies_that_give_reflections_away_are_named() -> None:
    assert reply_fault("目前冷淡；你说说看。") == reply_fault("我的回复是这样的。") == LEAKS
    assert reply_fault("目前先歇一歇，好吗？") is None


@given(st.text("一二三，。？ab ", max_size=60), st.integers(1, 9))
def test_places_lie_behind_punctuation_and_never_at_the_end(reply: str, every_words: int) -> None:
    counted = len(re.findall(r"[一二三]|[ab]+", reply))
    places = ends(reply, every_words, "zh")
    assert len(places) in (counted // (2 * every_words), counted // (2 * every_words) - 1)
    for number, place in enumerate(places, 1):
        assert len(re.findall(r"[一二三]|[ab]+", reply[:place])) == number * 2 * every_words
        assert reply[place] not in "，。？" and reply[place:].strip()
