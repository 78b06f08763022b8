"""Dialogues, queries, packs and the starter, in small files of their real layouts.

BELLE: hub BelleGroup/train_3.5M_CN@e3277973eb38. UltraChat: hub HuggingFaceH4/ultrachat_200k@8049631 and
stingning/ultrachat@f220fe7. Dialogue sets, speech packs and people's speech: layouts of the project's own, of
2026-11.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harken.affect.labels import EMOTIONS
from harken.data.rows import Cause, Row
from harken.data.sources import SOURCES, open_source
from harken.data.sources.base import Unread, Unusable
from harken.data.sources.queries import check_speakable
from harken.errors import DataError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def put(path: Path, *rows: dict[str, Any] | str) -> Path:
    """JSON lines, gzipped if the name says so; a text is a line as it is."""
    text = "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path.parent


def read(name: str, path: Path, **options: str) -> tuple[list[Row], list[str]]:
    """The rows, and the reasons of what gave none."""
    found = list(open_source(name, path, options=options))
    reasons = [row.reason for row in found if isinstance(row, Unread)]
    return [row for row in found if isinstance(row, Row)], reasons


def asked(*texts: str) -> dict[str, Any]:
    turns = [
        {"from": who, "value": text} for who, text in zip(("human", "assistant") * 9, texts, strict=False)
    ]
    return {"id": f"id{hash(texts)}", "conversations": turns}


def test_belle_gives_first_queries_that_could_be_spoken(tmp_path: Path) -> None:
    put(
        tmp_path / "train_3.5M_CN.json",
        asked("怎么才能睡得好一点？", "早点睡。", "还有呢？"),
        asked("你好"),
        asked("字" * 61),
        asked("Write a poem about spring"),
        asked("给定一个列表：\n1. 苹果\n2. 梨"),
        asked("请打开 https://a.cn 看看里面有什么"),
        {"id": "x", "conversations": [{"from": "assistant", "value": "你好呀朋友"}]},
        {"id": "y"},
        '{"id": "z", ',
    )
    rows, reasons = read("belle", tmp_path)
    assert [row.last_user.text for row in rows] == ["怎么才能睡得好一点？"]
    assert (rows[0].lang, rows[0].licence, rows[0].shippable) == ("zh", SOURCES["belle"].licence, False)
    assert reasons == [
        *("too short", "too long", "other language", "not spoken-like", "not spoken-like"),
        *("not of the source's form", "lacks a field", "broken JSON"),
    ]


@pytest.mark.parametrize(
    ("text", "lang", "kind"),
    [
        ("What does print() do in a loop?", "en", "code"),
        ("Say what `x` means in this case", "en", "code"),
        ("Tell me about www.example.org today please", "en", "address"),
        ("Which is better | a | b | today", "en", "table"),
        ("Solve x = 3 for me please", "en", "formula"),
        ("Complete the sentence: I am ____ today", "en", "blank to fill"),
        ("- tell me about the moon", "en", "list or heading"),
        ("把这句话补全：今天【】很好", "zh", "blank to fill"),
    ],
)
def test_what_nobody_would_say_aloud_is_not_a_query(text: str, lang: str, kind: str) -> None:
    with pytest.raises(Unusable) as caught:
        check_speakable(text, lang)
    assert (caught.value.reason, caught.value.detail) == ("not spoken-like", kind)


@pytest.mark.parametrize("text", ["What's the best way to sleep, then?", "I'm 35 and my back hurts. Why?"])
def test_ordinary_questions_are_queries(text: str) -> None:
    check_speakable(text, "en")


def test_ultrachat_in_json_lines(tmp_path: Path) -> None:
    rows = [{"id": "0", "data": ["How do birds find home?", "By the sun."]}, {"id": "1", "data": []}]
    found, reasons = read("ultrachat", put(tmp_path / "train_0.jsonl", *rows))
    assert [row.last_user.text for row in found] == ["How do birds find home?"] and found[0].target is None
    assert reasons == ["not of the source's form"]


def test_ultrachat_in_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra data")
    pq = pytest.importorskip("pyarrow.parquet")
    for split, text in (("train_sft", "How do birds find home?"), ("test_sft", "Why is the sea salty?")):
        messages = [[{"content": text, "role": "user"}], [{"content": "x", "role": "user"}]]
        table = pa.table({"prompt": [text, ""], "prompt_id": [split, "b"], "messages": messages})
        pq.write_table(table, tmp_path / f"{split}-00000-of-00001-abc.parquet")
    (tmp_path / "train_sft-00001-of-00001-abc.parquet").write_bytes(b"PAR1 broken")
    found, reasons = read("ultrachat", tmp_path)
    assert [(row.last_user.text, row.split) for row in found] == [
        ("Why is the sea salty?", "dev"),
        ("How do birds find home?", "train"),
    ]
    assert reasons == ["empty text", "empty text", "file is broken"]
    pq.write_table(pa.table({"question": ["Why?"]}), tmp_path / "train_sft-00001-of-00001-abc.parquet")
    with pytest.raises(DataError, match="has no column 'prompt'"):
        read("ultrachat", tmp_path)


def said(n: int, speaker: str, text: str, **more: Any) -> dict[str, Any]:
    return {"turn": n, "speaker": speaker, "text": text, **more}


def dialogue(*turns: dict[str, Any], lang: str = "en", **more: Any) -> dict[str, Any]:
    return {"id": "set-1", "split": "train", "lang": lang, "group": "g-7", "turns": list(turns), **more}


def test_reccon_has_a_row_an_answered_turn_with_its_emotion_and_causes(tmp_path: Path) -> None:
    told = [
        said(
            1,
            "A",
            "There is a party on Saturday!",
            emotion="happy",
            cause_turns=[1],
            cause_spans=["party on"],
        ),
        said(2, "B", "Really? Fun!", emotion="surprise", cause_turns=[1, "b"], cause_spans=["a party", "b"]),
        said(3, "A", "Come along.", emotion="neutral", cause_turns=[], cause_spans=[]),
        said(4, "A", "Do!", emotion="happy", cause_turns=[2], cause_spans=["party", "Fun!"]),
        said(5, "B", "I will.", emotion="neutral", cause_turns=[], cause_spans=[]),
    ]
    (first, second, third), reasons = read("reccon", put(tmp_path / "reccon.jsonl.gz", dialogue(*told)))
    assert not reasons and {row.group for row in (first, second, third)} == {"g-7"}
    assert first.target == "Really? Fun!" and first.last_user.cause == (Cause(0, "party on"),)
    assert [turn.role for turn in second.turns] == ["assistant", "user"]
    assert second.last_user.emotion == "surprise" and second.last_user.cause == (Cause(0, "a party"),)
    assert second.last_user.affect[0].source == "human" and second.target == "Come along. Do!"
    assert [turn.text for turn in third.turns][-1] == "Come along. Do!" and third.target == "I will."
    assert third.last_user.emotion is None, "parts of one turn that are labelled differently have no label"
    assert third.last_user.cause == (Cause(1, "Fun!"),), (
        "words that are not in the annotated turn are no cause"
    )


def test_history_is_four_turns_and_what_lies_before_is_no_cause(tmp_path: Path) -> None:
    told = [said(n, "AB"[n % 2], f"Turn {n}.", emotion="sad", cause_turns=[1, n]) for n in range(1, 9)]
    rows, _ = read("ecf", put(tmp_path / "ecf.jsonl", dialogue(*told)))
    assert [len(row.turns) for row in rows] == [1, 2, 3, 4, 5, 5, 5]
    assert rows[4].last_user.cause == (Cause(0, "Turn 1."), Cause(4, "Turn 5."))
    assert rows[5].last_user.cause == (Cause(4, "Turn 6."),)
    assert not rows[0].shippable


def test_esconv_and_smile_know_who_is_the_user(tmp_path: Path) -> None:
    told = [
        said(3, "supporter", "Hello."),
        said(4, "seeker", "Hi."),
        said(5, "seeker", "I am sad."),
        said(6, "supporter", "Why?"),
    ]
    (row,), _ = read("esconv", put(tmp_path / "esconv.jsonl.gz", dialogue(*told, emotion="anxiety")))
    assert (row.last_user.text, row.target, row.last_user.affect) == ("Hi. I am sad.", "Why?", ())
    told = [said(1, "client", "我很累"), said(2, "counselor", "怎么了"), said(3, "client", "没睡好")]
    (row,), _ = read("smile", put(tmp_path / "smile.jsonl.gz", dialogue(*told, lang="zh")))
    assert (row.last_user.text, row.target, row.lang) == ("我很累", "怎么了", "zh")


def test_styletalk_takes_its_context_apart(tmp_path: Path) -> None:
    row = {
        "id": "s-1",
        "split": "dev",
        "lang": "en",
        "group": "g-1",
        "context": "A : I read it. B : And? A : Loved it!",
        "text": "I'll try it.",
        "style": {"emotion": "cheerful", "speed": "fast", "volume": "normal"},
        "reply": "Do!",
        "reply_style": {"emotion": "friendly", "speed": "fast", "volume": "loud"},
    }
    unnamed = row | {"id": "s-2", "style": {"emotion": "unfriendly"}}
    (first, second), _ = read("styletalk", put(tmp_path / "styletalk.jsonl.gz", row, unnamed))
    assert [(turn.role, turn.text) for turn in first.turns] == [
        ("assistant", "I read it."),
        ("user", "And?"),
        ("assistant", "Loved it!"),
        ("user", "I'll try it."),
    ]
    assert (first.target, first.split, first.last_user.emotion) == ("Do!", "dev", "happy")
    assert second.last_user.affect == ()


def test_xdailydialog_is_chinese_or_english(tmp_path: Path) -> None:
    told = [
        said(1, "A", "我很紧张。", text_en="I am nervous.", emotion="fear"),
        said(2, "B", "别怕。", text_en="Be calm.", emotion="neutral"),
    ]
    folder = put(tmp_path / "xdailydialog.jsonl.gz", dialogue(*told, lang="zh"))
    (chinese,), _ = read("xdailydialog", folder)
    (english,), _ = read("xdailydialog", folder, lang="en")
    assert (chinese.lang, chinese.target) == ("zh", "别怕。") and (english.lang, english.target) == (
        "en",
        "Be calm.",
    )
    assert chinese.id != english.id and chinese.group == english.group == "g-7"


def test_cped_and_ecpe(tmp_path: Path) -> None:
    about = {"gender": "female", "age": "middle-aged"}
    told = [
        said(1, "A", "怎么了", emotion="other", **about),
        said(2, "B", "撞车了", emotion="fear", gender="unknown", age="unknown"),
    ]
    (row,), _ = read("cped", put(tmp_path / "cped.jsonl.gz", dialogue(*told, lang="zh")))
    assert (row.last_user.speaker.gender, row.last_user.speaker.age, row.last_user.affect) == (
        "female",
        "adult",
        (),
    )
    clauses = [
        {"clause": n, "emotion": e, "keyword": None, "text": t}
        for n, e, t in ((1, None, "建议被采纳"), (2, "happiness", "他激动地说"))
    ]
    passage = {
        "id": "ecpe-1",
        "split": "train",
        "lang": "zh",
        "group": "g",
        "pairs": [[2, 1]],
        "clauses": clauses,
    }
    (row,), _ = read("ecpe", put(tmp_path / "ecpe.jsonl.gz", passage))
    assert (row.last_user.text, row.last_user.emotion) == ("建议被采纳，他激动地说", "happy")
    assert row.last_user.cause == (Cause(0, "建议被采纳"),) and row.target is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split": "test"}, "label outside the set"),
        ({"turns": [said(1, "A", "Hi.", emotion="hangry"), said(2, "B", "Oh.")]}, "label outside the set"),
        ({"turns": [said(1, "A", "你好"), said(2, "B", "Oh.")]}, "other language"),
        ({"turns": [said(1, "A", "Hi."), said(2, "B", " ")]}, "empty text"),
        ({"turns": [{"turn": 1, "text": "Hi."}]}, "lacks a field"),
        ({"turns": "Hi."}, "not of the source's form"),
    ],
)
def test_a_dialogue_that_cannot_be_used_costs_itself(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    good = dialogue(said(1, "A", "Hi."), said(2, "B", "Oh."))
    rows, reasons = read("reccon", put(tmp_path / "reccon.jsonl", good | changes, good))
    assert reasons == [reason] and [row.target for row in rows] == ["Oh."]


def test_a_speech_pack_names_its_sound_and_says_that_it_is_acted(tmp_path: Path) -> None:
    row = {
        "id": "d1",
        "tar": "speech-00.tar",
        "group": "g-reccon-1",
        "dialogue": None,
        "split": "dev",
        "source": "esconv",
        "lang": "en",
        "user_text": "It was lost. All of it.",
        "user_emotion": "sad",
        "cause": ["All of it", "before"],
        "reply_text": "Oh no.",
        "user_voice": "bf_lily",
        "reply_voice": "af_heart",
        "user_seconds": 2.1,
    }
    (tmp_path / "speech-00.tar").write_bytes(b"not opened")
    alone = row | {"id": "d2", "dialogue": "styletalk-1", "reply_text": None, "user_emotion": None}
    gone = row | {"id": "d3", "tar": "speech-01.tar"}
    (first, second), reasons = read("speech", put(tmp_path / "manifest.jsonl.gz", row, alone, gone))
    turn = first.last_user
    assert turn.audio == f"{tmp_path}/speech-00.tar::d1-user.ogg" and turn.seconds == 2.1
    assert (turn.affect[0].label, turn.affect[0].source) == ("sad", "rule") and turn.cause == (
        Cause(0, "All of it"),
    )
    assert (turn.speaker.id, turn.speaker.gender) == ("bf_lily", "female")
    assert (first.target, first.licence, first.split) == ("Oh no.", "CC-BY-NC-4.0", "dev")
    assert (second.target, second.licence, second.last_user.affect) == (None, "MIT", ())
    assert reasons == ["no such file"]


def test_peoples_speech_has_their_emotion_and_gender(tmp_path: Path) -> None:
    told = [
        {
            "path": "ravdess/1.ogg",
            "seconds": 3.2,
            "corpus": "ravdess",
            "split": "train",
            "lang": "en",
            "emotion": "calm",
            "intensity": "normal",
            "speaker": "ravdess-09",
            "gender": "male",
            "text": "Kids are talking by the door.",
        },
        {
            "path": "akishino/1.ogg",
            "seconds": 2.4,
            "corpus": "akishino",
            "split": "dev",
            "lang": "zh",
            "valence": "negative",
            "gender": "female",
        },
    ]
    folder = put(tmp_path / "manifest.jsonl.gz", *told)
    with pytest.raises(DataError, match=r"ravdess\.tar: no such file"):
        open_source("ravdess", folder)
    for corpus in ("ravdess", "akishino"):
        (tmp_path / f"{corpus}.tar").write_bytes(b"not opened")
    (actor,), _ = read("ravdess", folder)
    assert (actor.last_user.emotion, actor.last_user.affect[0].source) == ("neutral", "human")
    assert (actor.group, actor.last_user.speaker.gender) == ("ravdess-09", "male")
    assert actor.last_user.audio == f"{tmp_path}/ravdess.tar::ravdess/1.ogg"
    (other,), _ = read("akishino", folder)
    assert (other.last_user.text, other.last_user.affect, other.shippable) == ("", (), False)


def test_the_starter_is_whole() -> None:
    found = list(open_source("starter"))
    assert all(isinstance(row, Row) for row in found), [row for row in found if isinstance(row, Unread)][:3]
    rows = [row for row in found if isinstance(row, Row)]
    assert {row.lang for row in rows} == {"en", "zh"} and len({row.group for row in rows}) >= 190
    assert {row.last_user.emotion for row in rows} == set(EMOTIONS) - {"other"}
    for row in rows:
        feels = row.last_user.emotion != "neutral"
        assert bool(row.last_user.cause) == feels or len(row.turns) == 5, row
        assert all(cause.span in row.turns[cause.turn].text for cause in row.last_user.cause)


def test_the_first_of_the_starter_are_of_both_languages() -> None:
    first = [row.lang for row in open_source("starter") if isinstance(row, Row)][:12]
    assert min(first.count(lang) for lang in ("en", "zh")) >= 4


def starter(*turns: tuple[str, ...]) -> dict[str, Any]:
    keys = ("speaker", "text", "emotion", "cause")
    return {
        "id": "s-1",
        "lang": "en",
        "topic": "work",
        "turns": [dict(zip(keys, turn, strict=False)) for turn in turns],
    }


def test_a_starter_dialogue_has_a_row_for_each_turn_of_the_user(tmp_path: Path) -> None:
    told = starter(
        ("user", "I got it.", "happy", "got it"),
        ("assistant", "Well done."),
        ("user", "Yes!", "happy", "got it"),
    )
    (first, last), _ = read("starter", put(tmp_path / "x.jsonl", told))
    assert (first.target, last.target) == ("Well done.", None)
    assert last.last_user.cause == (Cause(0, "got it"),) and first.group == "s-1"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (starter(("user", "Hi.", "hangry", "Hi")), "label outside the set"),
        (starter(("user", "Hi.", "happy")), "lacks a field"),
        (starter(("user", "Hi.", "happy", "Ho")), "cause is not in the dialogue"),
        (starter(("assistant", "Ho."), ("user", "Hi.", "happy", "Ho")), "cause is not in the dialogue"),
        (starter(("user", "Hi.", "neutral"), ("user", "Ho.", "neutral")), "not of the source's form"),
        (starter(("robot", "Hi.")), "label outside the set"),
    ],
)
def test_a_starter_dialogue_of_another_form_is_unread(
    tmp_path: Path, told: dict[str, Any], reason: str
) -> None:
    assert read("starter", put(tmp_path / "x.jsonl", told)) == ([], [reason])


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data beside the repository")
@pytest.mark.parametrize("name", ["reccon", "styletalk", "ecpe", "speech", "ravdess"])
def test_the_real_files_are_read_whole(name: str) -> None:
    folder = {"speech": "speech", "ravdess": "affect"}.get(name, "dialogue")
    rows, reasons = read(name, SHARED / folder)
    assert len(rows) > 900 and len(reasons) <= len(rows) // 100
    assert all(row.split in ("train", "dev") and row.group and row.licence for row in rows)
    for row in rows:
        assert all(cause.span in row.turns[cause.turn].text for turn in row.turns for cause in turn.cause)
