"""Words of a pack that Kokoro spoke, timed anew: with a voice that says how long it would take."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harken.data.speech import clips
from harken.data.timing import Chunks, placed, time_pack
from harken.errors import DataError
from harken.voices.base import NEUTRAL, Style, TimedWord
from harken.voices.styles import REPLY_STYLES

WORD_S = 0.5


class Counts:
    """Half a second a word, and 0.2 s of silence after a sentence; slower as its style asks."""

    def timings(self, text: str, style: Style = NEUTRAL) -> Chunks:
        chunks, at = [], 0
        for sentence in text.split(". "):
            words = []
            for number, word in enumerate(sentence.split()):
                end_s = (number + 1) * WORD_S / style.speed
                words.append(TimedWord(at, at + len(word), "x ", (end_s - 0.1, end_s)))
                at += len(word) + 1
            at += 1
            chunks.append((len(words) * WORD_S / style.speed + 0.2, words))
        return chunks


def ogg(seconds: float) -> bytes:
    file = io.BytesIO()
    hum = (0.2 * np.sin(np.arange(int(24_000 * seconds)) / 20)).astype(np.float32)
    soundfile.write(file, hum, 24_000, format="OGG", subtype="OPUS")
    return file.getvalue()


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Three rows: one of two sentences and a slow reply, one in Chinese, one whose user takes too long."""
    rows: list[dict[str, Any]] = [
        {"id": "a", "user_text": "One two. Three", "user_seconds": 1.6, "reply_text": "Four five",
         "reply_seconds": 2.2, "reply_style": "half"},
        {"id": "b", "lang": "zh", "user_text": "你好", "user_seconds": 1.0},
        {"id": "c", "user_text": "One two", "user_seconds": 3.0},
    ]  # fmt: skip
    common = {
        "lang": "en", "split": "train", "group": "g", "source": "made", "tar": "speech.tar",
        "user_voice": "am_adam", "user_emotion": "sad", "reply_voice": "af_heart", "reply_style": "warm",
        "user_style": {"speed": 1.0, "prosody_scale": 1.0, "gain": 1.0},
    }  # fmt: skip
    folder = tmp_path / "pack"
    folder.mkdir()
    with tarfile.open(folder / "speech.tar", "w") as tar:
        for row in rows:
            for role in ("user", "reply"):
                data = ogg(row.get(f"{role}_seconds", 0.1))
                member = tarfile.TarInfo(f"{row['id']}-{role}.ogg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    with gzip.open(folder / "manifest.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(common | row, ensure_ascii=False) + "\n" for row in rows)
    return folder


@pytest.fixture(autouse=True)
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """A style of half the speed."""
    monkeypatch.setitem(REPLY_STYLES, "half", Style(0.5))


def run(pack: Path, out: Path, opened: list[str]) -> tuple[int, int]:
    return time_pack(pack, out, lambda name: opened.append(name) or Counts(), show=False)  # type: ignore[func-returns-value]


def test_a_pack_becomes_clips_with_timed_words(pack: Path, tmp_path: Path) -> None:
    out, opened = tmp_path / "out", list[str]()
    assert run(pack, out, opened) == (2, 1) and sorted(opened) == ["af_heart", "am_adam"]
    reply, user = clips(out)
    assert (user.id, user.role, user.style, user.emotion) == ("a-user", "user", None, "sad")
    assert [user.text[w.start : w.end] for w in user.words] == ["One", "two", "Three"]
    # 1.9 s would have been made and 1.6 are there: 0.3 s of silence between the sentences are gone
    assert [w.ends_s[-1] for w in user.words] == [0.5, 1.0, pytest.approx(1.4)]
    assert (reply.style, reply.before, reply.voice) == ("half", "One two. Three", "af_heart")
    assert [w.ends_s[-1] for w in reply.words] == [1.0, 2.0]
    assert reply.samples(24_000).size == pytest.approx(2.2 * 24_000, abs=1)


def test_what_stands_is_not_timed_again(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pack, out, [])
    whole = (out / "manifest.jsonl").read_text()
    (out / "manifest.jsonl").write_text(whole[:-20])  # cut off in writing
    assert run(pack, out, []) == (1, 1)
    assert sorted((out / "manifest.jsonl").read_text().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize(
    ("lengths", "seconds", "fits"),
    [([2.0], 2.1, True), ([2.0], 2.2, False), ([1.0, 1.0], 1.3, True), ([1.0, 1.0], 1.1, False),
     ([1.0, 1.0], 2.2, False), ([1.0, 1.0, 1.0], 2.0, True), ([], 1.0, False)],
)  # fmt: skip
def test_a_clip_of_another_length_is_not_what_was_said(
    lengths: list[float], seconds: float, fits: bool
) -> None:
    word = TimedWord(0, 1, "x ", (0.1, 0.2))
    assert bool(placed([(length, [word]) for length in lengths], seconds)) == fits


def test_a_folder_that_cannot_be_written_is_said(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises(DataError, match="cannot be made"):
        run(pack, out, [])
    out.unlink()
    (out / "a-user.ogg").mkdir(parents=True)  # where a clip is to go
    with pytest.raises(DataError, match="cannot be written") as error:
        run(pack, out, [])
    assert "it goes on" in error.value.hint


def test_a_pack_without_styles_is_said(pack: Path, tmp_path: Path) -> None:
    with gzip.open(pack / "manifest.jsonl.gz", "wt") as file:
        file.write('{"id": "a"}\n')
    with pytest.raises(DataError, match="user_style"):
        run(pack, tmp_path / "out", [])
