"""Speech in either layout is one stream of clips; what is wrong with a manifest is said by file and row."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from harken.data.speech import clips
from harken.errors import DataError

PACK = {
    "id": "p1", "lang": "en", "split": "train", "group": "g1", "source": "s", "tar": "a.tar",
    "user_text": "I won!", "user_seconds": 0.5, "user_voice": "v1", "user_emotion": "happy",
    "reply_text": "Well done.", "reply_seconds": 0.25, "reply_voice": "v2",
}  # fmt: skip
RENDER = {
    "id": "r1", "lang": "zh", "split": "dev", "group": "g2", "source": "s", "text": "你好", "seconds": 0.5,
    "voice": "v3", "emotion": "sad",
}  # fmt: skip


def tone(hz, seconds, rate=16000):
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def pack(tmp_path):
    """pack(*rows): a folder with a tar of a tone for each user's turn and each reply."""

    def write(*rows):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for name, hz, seconds in (("user", 200, 0.5), ("reply", 800, 0.25)):
                file = io.BytesIO()
                soundfile.write(file, tone(hz, seconds), 16000, format="OGG")
                member = tarfile.TarInfo(f"p1-{name}.ogg")
                member.size = file.tell()
                file.seek(0)
                tar.addfile(member, file)
        with gzip.open(tmp_path / "manifest.jsonl.gz", "wt") as manifest:
            manifest.writelines(json.dumps(row) + "\n" for row in rows)
        return tmp_path

    return write


def pitch(samples):
    """The loudest frequency, in Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))


def test_a_pack_gives_a_users_turn_and_a_reply_from_its_tar(pack):
    user, reply = clips(pack(PACK))
    assert (user.id, user.text, user.role, user.voice, user.emotion) == (
        "p1-user", "I won!", "user", "v1", "happy",
    )  # fmt: skip
    assert (reply.id, reply.text, reply.role, reply.voice, reply.emotion) == (
        "p1-reply", "Well done.", "reply", "v2", None,
    )  # fmt: skip
    assert {(c.lang, c.split, c.group, c.source) for c in (user, reply)} == {("en", "train", "g1", "s")}
    assert len(user.samples()) == 8000 and pitch(user.samples()) == pytest.approx(200, abs=5)
    assert len(reply.samples()) == 4000 and pitch(reply.samples()) == pytest.approx(800, abs=5)


def test_a_turn_without_a_recorded_reply_stands_alone(pack):
    silent = {key: value for key, value in PACK.items() if not key.startswith("reply")}
    assert [clip.role for clip in clips(pack(silent, PACK | {"reply_seconds": None}))] == ["user", "user"]


def test_a_render_gives_its_files_in_the_order_of_their_names(tmp_path):
    for name, hz in (("r1", 300), ("r2", 600), ("r3", 900)):
        soundfile.write(tmp_path / f"{name}.ogg", tone(hz, 0.5), 16000)
    rows = [json.dumps(RENDER | {"id": name}) + "\n" for name in ("r3", "r1", "r2")]
    (tmp_path / "manifest-0.jsonl").write_text(rows[0])
    (tmp_path / "manifest-1.jsonl").write_text(rows[1] + rows[2])
    found = clips(tmp_path)
    assert [clip.id for clip in found] == ["r1", "r2", "r3"]
    assert [pitch(clip.samples()) for clip in found] == pytest.approx([300, 600, 900], abs=5)
    assert (found[0].text, found[0].emotion, found[0].role) == ("你好", "sad", "user")


def test_a_folder_that_is_neither_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no manifest\.jsonl\.gz and no manifest"):
        clips(tmp_path)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"id": "x"', r"manifest-0\.jsonl row 2: is not JSON"),
        ("5", r"manifest-0\.jsonl row 2: is not a JSON object"),
        (
            json.dumps({k: v for k, v in RENDER.items() if k not in ("text", "voice")}),
            "row 2 lacks text, voice",
        ),
    ],
)
def test_a_bad_row_of_a_render_is_named(tmp_path, second, message):
    (tmp_path / "manifest-0.jsonl").write_text(json.dumps(RENDER) + "\n" + second + "\n")
    with pytest.raises(DataError, match=message):
        clips(tmp_path)


def test_a_manifest_that_was_cut_short_is_named(pack):
    manifest = pack(*[PACK] * 50) / "manifest.jsonl.gz"
    manifest.write_bytes(manifest.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"manifest\.jsonl\.gz: cannot be read"):
        clips(manifest.parent)


def test_audio_that_is_not_there_is_named(pack, tmp_path):
    user, reply = clips(pack(PACK, PACK | {"id": "p2"}))[1:3]
    tar = reply.file.read_bytes()
    with pytest.raises(DataError, match=r"a\.tar has no member 'p2-user\.ogg'"):
        reply.samples()
    for name, content in (("cut", tar[:700]), ("none", b"no tar"), ("missing", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        for clip in (replace(user, file=tmp_path / name), replace(user, file=tmp_path / "x", member=None)):
            with pytest.raises(DataError, match="cannot be read"):
                clip.file_bytes()


def test_a_bad_row_of_a_pack_is_named(pack):
    with pytest.raises(DataError, match=r"manifest\.jsonl\.gz row 1 lacks tar"):
        clips(pack({key: value for key, value in PACK.items() if key != "tar"}))
