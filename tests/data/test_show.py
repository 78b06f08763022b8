"""`harken data show`: what a person sees of a row, and what a program gets."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")

from harken.data.rows import (
    Affect,
    Cause,
    Instruction,
    Question,
    Reflection,
    Row,
    Speaker,
    Teacher,
    Turn,
    Vad,
    to_json,
)
from harken.data.shards import rows_path, write_rows
from harken.data.show import show
from harken.errors import DataError, InputError

FULL = Row(
    id="a1b2c3",
    group="reccon-7",
    split="train",
    task="empathy",
    stage="1-2",
    lang="en",
    source="reccon",
    licence="CC BY-NC-SA 4.0",
    shippable=False,
    turns=(
        Turn(
            "user",
            "I lost my job. [bold]Really.[/bold]",
            audio="audio-00000.tar::a.ogg",
            seconds=3.456,
            units=(1, 2, 3),
            speaker=Speaker(gender="female", age="adult"),
            affect=(
                Affect("sad", "model", 0.81, vad=Vad(-0.5, -0.25, 0.0), model="readout-1"),
                Affect("anger", "human", t0=1.0, t1=2.5),
            ),
            cause=(Cause(0, "lost my job"),),
        ),
        Turn("assistant", "那一定很难过。", style="gentle"),
    ),
    parents=("p1", "p2"),
    instruction=Instruction("Answer kindly.", voice="af_sky", audio="audio-00000.tar::i.ogg", seconds=1.5),
    injection="They sound sad,",
    trace="They sound sad, because the job is gone.",
    target="那一定很难过。",
    qa=Question("How does she feel?", "E", "simple", ("lost my job",)),
    teacher=Teacher("qwen", "rev-9", "f" * 64, '{"temperature":0.7}', 5),
)
PLAIN = Row(
    "b2",
    "g",
    "dev",
    "respond",
    "1-1",
    "en",
    "mine",
    "CC0",
    True,
    (Turn("user", "What is rain?"),),
    target="Water.",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(rows_path(tmp_path, 0), [FULL])
    write_rows(rows_path(tmp_path, 1), [PLAIN, *(plain(f"c{i}") for i in range(5))])
    return tmp_path


def plain(name: str) -> Row:
    return Row(name, "g", "train", "respond", "1-1", "en", "mine", "CC0", True, (Turn("user", name * 2),))


def printed(folder: Path, **options: object) -> str:
    out = io.StringIO()
    show(folder, out, **options)  # type: ignore[arg-type]
    return out.getvalue()


def test_a_row_is_shown_whole(folder: Path) -> None:
    text = printed(folder, row="a1b2c3")
    for part in (
        "a1b2c3 · empathy · stage 1-2 · en · train · group reccon-7",
        "Answer kindly. · voice af_sky · 1.50 s",
        "[bold]Really.[/bold]",
        "female · adult · 3.46 s · audio-00000.tar::a.ogg · 3 units",
        "sad · 0.81 · valence -0.50, arousal -0.25, dominance +0.00 · by model · readout-1",
        "anger · 1.00–2.50 s · by human",
        "“lost my job” (turn 1)",
        "那一定很难过。",
        "gentle",
        "How does she feel? · simple",
        "They sound sad, because the job is gone.",
        "reccon · CC BY-NC-SA 4.0 · never in shipped weights",
        'qwen rev-9 · prompt ffffffffffff · seed 5 · {"temperature":0.7}',
        "p1, p2",
    ):
        assert part in text
    assert "\x1b" not in text, "no colours where there is no terminal"
    for absent in ("trace", "teacher", "parents", "never in shipped", "instruction"):
        assert absent not in printed(folder, row="b2")


def test_rows_are_chosen_by_id_number_task_and_limit(folder: Path) -> None:
    def ids(**options: object) -> list[str]:
        return [json.loads(line)["id"] for line in printed(folder, as_json=True, **options).splitlines()]

    assert ids() == ["a1b2c3", "b2", "c0"]
    assert ids(limit=50) == ["a1b2c3", "b2", *(f"c{i}" for i in range(5))]
    assert ids(task="respond", limit=2) == ["b2", "c0"]
    assert ids(row="a1") == ["a1b2c3"]
    assert ids(row="c", limit=9) == [f"c{i}" for i in range(5)]
    assert ids(number=2) == ["b2"] and ids(number=2, task="respond") == ["c0"]


def test_json_is_the_row(folder: Path) -> None:
    first, second = printed(folder, as_json=True, limit=2).splitlines()
    assert json.loads(first) == json.loads(json.dumps(to_json(FULL)))
    assert json.loads(second)["target"] == "Water." and "那" in first


def test_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", [plain("\x1b[31mred\x07")])
    text = printed(tmp_path / "rows.parquet")
    assert "\x1b" not in text and "\x07" not in text and "red" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"row": "zz"}, "no row with id zz"),
        ({"task": "contrast"}, "no row with task contrast"),
        ({"number": 8}, "no row with number 8"),
        ({"number": 0}, "no row 0"),
    ],
)
def test_a_row_that_is_not_there_is_an_error(folder: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        printed(folder, **options)
    assert error.value.hint


def test_a_folder_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        printed(tmp_path)


def test_joined_rows_alone(tmp_path: Path) -> None:
    alone = replace(FULL, id="d4", parents=("p1",))
    write_rows(rows_path(tmp_path, 0), [alone, FULL])
    out = io.StringIO()
    assert show(tmp_path, out, as_json=True, joined=True) == 1
    assert json.loads(out.getvalue())["id"] == FULL.id
    write_rows(rows_path(tmp_path, 0), [alone])
    with pytest.raises(InputError, match="parents several"):
        show(tmp_path, out, joined=True)


def test_what_is_thought_of_a_reply_stands_where_it_is_thought(tmp_path: Path) -> None:
    thoughts = (Reflection(0, "Needs company."), Reflection(6, "So far cold; name the dog."))
    mended = replace(
        plain("d"),
        target="Right. Poor Rex.",
        given=6,
        reflections=thoughts,
        rejected="Right.",
        task="reflect",
    )
    write_rows(rows_path(tmp_path, 0), [mended])
    text = printed(tmp_path)
    assert "[Needs company.] Right. [So far cold; name the dog.]  Poor Rex." in text
    assert "rejected     Right." in text
    read = json.loads(printed(tmp_path, as_json=True))
    assert read["reflections"][1] == {"at": 6, "text": "So far cold; name the dog."} and read["given"] == 6
