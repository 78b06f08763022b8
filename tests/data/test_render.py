"""The renderer: what it writes, that it can be stopped and continued, and whom it refuses."""

import gzip
import json
import signal
import subprocess
import sys
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.audio.io import read
from harken.data import render as module
from harken.data.render import Turn, cast_line, read_turns, render, turns_of
from harken.data.speech import clips
from harken.errors import DataError, HarkenError
from harken.testing import FakeVoice, ToneVoice
from harken.voices.casts import DEV_VOICES, JUDGING_VOICES, TRAINING_VOICES
from harken.voices.kokoro import KokoroVoice
from harken.voices.styles import REPLY_STYLES

SCRIPT = Path(__file__).with_name("waiting_render.py")
EMOTIONS = ["happy", "sad", None]


def rows_of(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    """Six dialogues of two turns, the last for development."""
    path = tmp_path / "d.jsonl.gz"
    rows = [
        {
            "id": f"d{i}",
            "split": "dev" if i == 5 else "train",
            "group": f"g{i}",
            "lang": "en",
            "turns": [
                {"turn": 1, "text": f"This is turn one of {i}.", "emotion": EMOTIONS[i % 3]},
                {"turn": 2, "text": f"And this is the answer {i}."},
            ],
        }
        for i in range(6)
    ]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def tones(sources: dict[str, Path], out: Path, **options: Any) -> module.Rendered:
    return render(sources, out, open_voice=ToneVoice, report=lambda line: None, **options)


def test_renders_files_rows_and_splits(dialogues: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tones({"mine": dialogues}, out, workers=2)
    rows = rows_of(out)
    assert done.turns == len(rows) == 10 and not done.interrupted
    assert done.seconds == pytest.approx(sum(row["seconds"] for row in rows))
    fields = "id source split group lang text emotion before voice speed prosody gain style role seconds"
    assert list(rows[0]) == fields.split()
    assert {(row["role"], row["style"]) for row in rows} == {("user", None)}
    before = {row["id"]: row["before"] for row in rows}
    assert before["d0-t1"] is None and before["d0-t2"] == "This is turn one of 0."
    assert {(row["split"], row["source"]) for row in rows} == {("train", "mine")}
    assert {row["voice"] for row in rows} <= set(TRAINING_VOICES)
    for row in rows:
        assert read(out / f"{row['id']}.ogg").seconds == pytest.approx(row["seconds"], abs=0.02)
        assert row["group"] == "g" + row["id"][1]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [f"{r['id']}.ogg" for r in rows] + ["manifest.jsonl"]
    )

    tones({"mine": dialogues}, out, split="dev")
    added = rows_of(out)[10:]
    assert len(added) == 2 and {row["voice"] for row in added} <= set(DEV_VOICES)


def test_replies_are_spoken_in_one_voice_and_every_style_with_their_words_timed(
    dialogues: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tones({"mine": dialogues}, out, replies=True)
    rows = rows_of(out)
    assert len(rows) == 10 and {(row["role"], row["voice"]) for row in rows} == {("reply", "af_heart")}
    assert len({row["style"] for row in rows}) > 1 and {row["style"] for row in rows} <= set(REPLY_STYLES)
    found = clips(out)
    for clip in found:
        assert clip.role == "reply" and clip.style in REPLY_STYLES
        assert [clip.text[word.start : word.end] for word in clip.words] == clip.text.split()
        assert clip.words[-1].ends_s[-1] == pytest.approx(clip.seconds, abs=0.01)
        ends = [end for word in clip.words for end in word.ends_s]
        assert ends == sorted(ends)


def test_what_the_user_says_is_no_reply(dialogues: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in gzip.decompress(dialogues.read_bytes()).splitlines()]
    for row in rows:
        row["turns"][0]["speaker"], row["turns"][1]["speaker"] = "user", "assistant"
    told = tmp_path / "told.jsonl"
    told.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tones({"mine": told}, tmp_path / "out", replies=True)
    found = rows_of(tmp_path / "out")
    assert len(found) == 5 and all(row["text"].startswith("And this is the answer") for row in found)
    assert all(row["before"].startswith("This is turn one") for row in found)
    tones({"mine": told}, tmp_path / "all")
    assert len(rows_of(tmp_path / "all")) == 10


def test_a_voice_that_does_not_tell_its_times_speaks_no_replies(dialogues: Path, tmp_path: Path) -> None:
    with pytest.raises(HarkenError, match="does not tell when it says what"):
        render({"mine": dialogues}, tmp_path / "out", open_voice=FakeVoice, replies=True)


def test_stops_at_the_hours_and_continues_to_the_same_end(dialogues: Path, tmp_path: Path) -> None:
    part, whole = tmp_path / "part", tmp_path / "whole"
    first = tones({"mine": dialogues}, part, hours=4 / 3600)
    assert 0 < first.turns < 10 and first.seconds >= 4
    assert tones({"mine": dialogues}, part, hours=4 / 3600).turns == 0
    second = tones({"mine": dialogues}, part)
    tones({"mine": dialogues}, whole)
    assert first.turns + second.turns == 10
    assert sorted(rows_of(part), key=itemgetter("id")) == sorted(rows_of(whole), key=itemgetter("id"))


def test_recovers_from_being_killed_anywhere(dialogues: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tones({"mine": dialogues}, out)
    manifest = out / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    lost = json.loads(lines[0])["id"]
    (out / f"{lost}.ogg").unlink()  # a row without its file
    manifest.write_text("".join(lines[:8]) + lines[8][:20])  # a torn row and files without a row
    assert tones({"mine": dialogues}, out).turns == 3
    assert {row["id"] for row in rows_of(out)} == {json.loads(line)["id"] for line in lines}


def test_other_runs_manifests_count(dialogues: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tones({"mine": dialogues}, out)
    (out / "manifest.jsonl").rename(out / "manifest-0.jsonl")
    assert tones({"mine": dialogues}, out).turns == 0


def test_interrupt_leaves_a_whole_manifest(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rows = module._rows

    def interrupted(*arguments: Any) -> Any:
        for number, row in enumerate(rows(*arguments)):
            if number == 3:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(module, "_rows", interrupted)
    done = tones({"mine": dialogues}, out)
    assert done.interrupted and done.turns == len(rows_of(out)) == 3
    monkeypatch.undo()
    assert tones({"mine": dialogues}, out).turns == 7


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_render_that_is_killed(
    dialogues: Path, tmp_path: Path, by: signal.Signals
) -> None:
    command = [sys.executable, str(SCRIPT), str(dialogues), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            assert [process.stdout.readline() for _ in range(2)] == [b"speaking\n"] * 2
            process.send_signal(by)
            process.communicate(timeout=60)  # to the end of what the workers, too, have open
        finally:
            process.kill()


def test_progress_is_told(dialogues: Path, tmp_path: Path) -> None:
    told: list[str] = []
    render({"mine": dialogues}, tmp_path / "out", hours=0.001, open_voice=ToneVoice, report=told.append)
    assert "of 0.00 h of speech" in told[-1] and "min left" in told[-1]


def test_unspeakable_turns_are_counted_not_written(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(
        json.dumps({"id": "a", "split": "train", "group": "g", "lang": "en", "text": "… …", "reply": "?! !"})
    )
    done = tones({"mine": path}, tmp_path / "out")
    assert (done.turns, done.unspeakable) == (0, 2) and rows_of(tmp_path / "out") == []


def test_refusals(dialogues: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for voice in JUDGING_VOICES + DEV_VOICES:
        with pytest.raises(DataError, match=voice):
            tones({"mine": dialogues}, out, voices=[voice])
    with pytest.raises(DataError, match="research only"):
        tones({"ecf": dialogues}, out)
    with pytest.raises(DataError, match="'test' is not rendered"):
        tones({"mine": dialogues}, out, split="test")
    with pytest.raises(DataError, match="none of the voices"):
        tones({"mine": dialogues}, out, voices=["zf_xiaobei"])
    with pytest.raises(DataError, match="cannot be made"):
        tones({"mine": dialogues}, dialogues)
    assert not list(out.glob("*.ogg"))


def test_a_workers_error_reaches_the_user(dialogues: Path, tmp_path: Path) -> None:
    with pytest.raises(HarkenError, match="Kokoro has no voice") as error:
        render({"mine": dialogues}, tmp_path / "out", open_voice=partial(KokoroVoice, tmp_path))
    assert "none in" in error.value.hint


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("{not json", "row 2: JSONDecodeError"),
        ('{"id": "x", "split": "train", "group": "g", "lang": "en"}', "row 2: KeyError: 'text'"),
        ('["a list"]', "row 2: AttributeError"),
        (
            '{"id": "../x", "split": "train", "group": "g", "lang": "en", "text": "a", "reply": "b"}',
            "cannot name a file",
        ),
    ],
)
def test_bad_rows_are_named(row: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    good = {"id": "a", "split": "train", "group": "g", "lang": "en", "text": "a b", "reply": "c d"}
    path.write_text(json.dumps(good) + "\n" + row + "\n")
    with pytest.raises(DataError, match=match) as error:
        list(read_turns("mine", path))
    assert "d.jsonl" in error.value.message and error.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl.gz"
    packed = gzip.compress(b'{"id": 1}' * 1000)
    torn.write_bytes(packed[:30])
    bent = tmp_path / "bent.jsonl.gz"
    bent.write_bytes(packed[:10] + b"\xff" + packed[11:])
    for path in (tmp_path / "none.jsonl", torn, bent):
        with pytest.raises(DataError, match=path.name):
            list(read_turns("mine", path))


def test_layouts(tmp_path: Path) -> None:
    common = {"split": "train", "group": "g"}
    styletalk = {"id": "s", "lang": "en", "text": "Hello there.", "reply": "Oh, hello."} | common
    parallel = {"turn": 3, "text": "你好。", "text_en": "Good day.", "emotion": "happy"}
    xdaily = {"id": "x", "lang": "zh", "turns": [parallel]} | common
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(styletalk) + "\n" + json.dumps(xdaily) + "\n")
    assert list(read_turns("n", path)) == [
        Turn("s-t1", "n", "train", "g", "en", "Hello there.", None),
        Turn("s-t2", "n", "train", "g", "en", "Oh, hello.", None, "Hello there."),
        Turn("x-t3", "n", "train", "g", "en", "Good day.", "happy"),
    ]


def test_real_dialogues_can_be_read(shared_data: Path) -> None:
    folder = shared_data / "dialogue"
    names = ("reccon", "esconv", "styletalk", "xdailydialog")
    turns = turns_of({name: folder / f"{name}.jsonl.gz" for name in names}, "train")
    assert len(turns) > 10_000 and {turn.source for turn in turns[:200]} == set(names)
    assert len({turn.text for turn in turns}) == len(turns) == len({turn.id for turn in turns})
    assert {turn.lang for turn in turns} == {"en"}


@given(key=st.text(min_size=1), seed=st.integers(0, 2**31), split=st.sampled_from(["train", "dev"]))
def test_casting_depends_on_the_id_alone_and_keeps_the_splits(key: str, seed: int, split: str) -> None:
    turn = Turn(key, "mine", split, "g", "en", "Some words.", "sad")
    line = cast_line(turn, seed)
    assert line == cast_line(turn, seed)
    assert line.voice in (TRAINING_VOICES if split == "train" else DEV_VOICES) and line.voice[0] in "ab"
    assert 0.82 * 0.93 <= line.speed <= 0.82 * 1.10
