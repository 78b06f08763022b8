"""Speech sets in small files of their real layouts, on disk and streamed.

Emilia: hub amphion/Emilia-Dataset@bcaad00d13e7, DE/DE-B000000.tar. WenetSpeech4TTS and GigaSpeech: lhotse
1.33, lhotse/recipes/{wenetspeech4tts,gigaspeech}.py; hub speechcolab/gigaspeech, gigaspeech.py. LibriHeavy:
k2-fsa/libriheavy@2564dfca6879, README.md.
"""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

from harken.data.rows import Row
from harken.data.sources import hub, open_source
from harken.data.sources.base import Unread, Unusable
from harken.data.sources.gigaspeech import written
from harken.data.workspace import Workspace
from harken.errors import DataError

RATE_HZ = 16_000
TONE = np.sin(np.arange(RATE_HZ) / 10) / 2


def sound(form: str = "WAV", samples: Any = TONE) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, RATE_HZ, format=form)
    return out.getvalue()


def tar(files: dict[str, bytes], mode: Any = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def split_up(found: list[Row | Unread]) -> tuple[list[Row], list[str]]:
    """The rows, and the reasons of what gave none."""
    rows = [row for row in found if isinstance(row, Row)]
    return rows, [row.reason for row in found if isinstance(row, Unread)]


def heard(row: Row) -> int:
    """Samples that the build will hear of a row."""
    return Workspace(Path("/nowhere")).recording(row.last_user.audio or "").samples.size


@pytest.fixture
def hub_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the hub: a file system in memory."""
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(hub, "filesystem", lambda: system)
    yield system
    system.rm("/datasets", recursive=True)


def emilia(key: str, text: str, language: str = "en", **changes: Any) -> bytes:
    speaker = key.rpartition("_")[0]
    row = {
        "id": key,
        "wav": f"x/mp3/{key}.mp3",
        "text": text,
        "duration": 1.0,
        "speaker": speaker,
        "language": language,
        "dnsmos": 3.37,
    } | changes
    return json.dumps(row).encode()


EMILIA = {
    "EN_B00000_S00001_W000000.mp3": sound("MP3"),
    "EN_B00000_S00001_W000000.json": emilia("EN_B00000_S00001_W000000", " And so we went."),
    "EN_B00000_S00001_W000001.json": emilia("EN_B00000_S00001_W000001", " 然后呢"),
    "EN_B00000_S00001_W000001.mp3": b"corrupt, which is not found out here",
    "EN_B00000_S00002_W000000.json": b'{"id": "EN_B0',
    "EN_B00000_S00002_W000000.mp3": b"",
    "EN_B00000_S00002_W000001.json": emilia("EN_B00000_S00002_W000001", "Yes."),
    "EN_B00000_S00003_W000000.mp3": b"",
}
EMILIA_FAULTS = ["other language", "broken JSON", "no such file", "no transcript"]


def test_emilia_names_clips_where_they_lie(tmp_path: Path) -> None:
    put(tmp_path / "Emilia/EN/EN-B000000.tar", tar(EMILIA))
    put(tmp_path / "Emilia/DE/DE-B000000.tar", b"not read at all")
    rows, reasons = split_up(list(open_source("emilia", tmp_path)))
    assert reasons == EMILIA_FAULTS
    (row,) = rows
    assert row.last_user.text == "And so we went." and row.group == "emilia-EN_B00000_S00001"
    assert row.last_user.audio == f"{tmp_path}/Emilia/EN/EN-B000000.tar::EN_B00000_S00001_W000000.mp3"
    assert abs(heard(row) - RATE_HZ) < 2500 and row.licence == "CC-BY-NC-4.0"


def test_emilia_is_streamed_and_its_other_half_has_its_own_licence(tmp_path: Path, hub_files: Any) -> None:
    hub_files.pipe("/datasets/amphion/Emilia-Dataset/Emilia-YODAS/EN/EN-B000000.tar", tar(EMILIA))
    chinese = {"ZH_B0_S0_W0.json": emilia("ZH_B0_S0_W0", "然后呢", "zh"), "ZH_B0_S0_W0.mp3": sound("MP3")}
    hub_files.pipe("/datasets/amphion/Emilia-Dataset/Emilia/ZH/ZH-B000000.tar", tar(chinese))
    place = "hub://amphion/Emilia-Dataset"
    rows, reasons = split_up(list(open_source("emilia", place, keep=tmp_path)))
    assert reasons == EMILIA_FAULTS
    assert [(row.lang, row.licence) for row in rows] == [("en", "CC-BY-4.0"), ("zh", "CC-BY-NC-4.0")]
    assert len(list(tmp_path.iterdir())) == 2 and all(abs(heard(row) - RATE_HZ) < 2500 for row in rows)
    only, _ = split_up(list(open_source("emilia", place, keep=tmp_path, options={"lang": "zh"})))
    assert only == rows[1:]


def test_only_what_is_taken_is_streamed(tmp_path: Path, hub_files: Any) -> None:
    clips = {
        f"EN_B0_S0_W{n}.{form}": emilia(f"EN_B0_S0_W{n}", "Yes.")
        for n in range(9)
        for form in ("json", "mp3")
    }
    hub_files.pipe("/datasets/me/emilia/EN/EN-B000000.tar", tar(clips))
    hub_files.pipe("/datasets/me/emilia/EN/EN-B000001.tar", b"never opened")
    rows = open_source("emilia", "hub://me/emilia", keep=tmp_path)
    assert all(isinstance(next(rows), Row) for _ in range(2)) and len(list(tmp_path.iterdir())) == 2


def test_streamed_audio_needs_somewhere_to_be_kept(hub_files: Any) -> None:
    hub_files.pipe("/datasets/me/emilia/EN/EN-B000000.tar", tar(EMILIA))
    with pytest.raises(DataError, match="on the hub"):
        list(open_source("emilia", "hub://me/emilia"))


KEYS = [f"X0000015306_83500032_S0011{n}-S00112" for n in range(5)]
FOLDER = "WenetSpeech4TTS_Premium_9"
WENET = {
    f"{FOLDER}/wavs/{KEYS[0]}.wav": sound(),
    f"{FOLDER}/wavs/{KEYS[1]}.wav": b"",
    f"{FOLDER}/wavs/{KEYS[2]}.wav": b"",
    f"{FOLDER}/wavs/{KEYS[3]}.wav": b"",
    f"{FOLDER}/txts/{KEYS[0]}.txt": f"{KEYS[0]}\t那就走吧。\n[0.1,0.4]\n".encode(),
    f"{FOLDER}/txts/{KEYS[1]}.txt": f"{KEYS[1]}\tlet us go\n[]\n".encode(),
    f"{FOLDER}/txts/{KEYS[2]}.txt": "没有名字\n".encode(),
    f"{FOLDER}/txts/{KEYS[4]}.txt": f"{KEYS[4]}\t没有声音\n[]\n".encode(),
}


def test_wenetspeech4tts_unpacked(tmp_path: Path) -> None:
    for name, data in WENET.items():
        put(tmp_path / "Premium" / name, data)
    rows, reasons = split_up(list(open_source("wenetspeech4tts", tmp_path, options={"part": "Premium"})))
    assert [row.last_user.text for row in rows] == ["那就走吧。"] and heard(rows[0]) == RATE_HZ
    assert rows[0].group == "wenetspeech4tts-X0000015306_83500032"
    assert reasons == ["other language", "not of the source's form", "no such file"]
    with pytest.raises(DataError, match="holds no"):
        open_source("wenetspeech4tts", tmp_path, options={"part": "Basic"})


@pytest.mark.parametrize("on_hub", [False, True])
def test_wenetspeech4tts_archives(tmp_path: Path, hub_files: Any, on_hub: bool) -> None:
    data, kept = tar(WENET, "w:gz"), tmp_path / "kept"
    put(tmp_path / "set/Premium" / f"{FOLDER}.tar.gz", data)
    hub_files.pipe(f"/datasets/Wenetspeech4TTS/WenetSpeech4TTS/Premium/{FOLDER}.tar.gz", data)
    place = "hub://Wenetspeech4TTS/WenetSpeech4TTS" if on_hub else str(tmp_path / "set")
    rows, reasons = split_up(list(open_source("wenetspeech4tts", place, keep=kept)))
    assert [row.last_user.text for row in rows] == ["那就走吧。"] and heard(rows[0]) == RATE_HZ
    assert reasons == ["other language", "not of the source's form", "no such file", "no transcript"]
    assert [str(path) for path in kept.iterdir()] == [rows[0].last_user.audio], "only rows' audio stays"


def cut(
    key: str, start: float, seconds: float, path: str, supervisions: list[dict[str, Any]]
) -> dict[str, Any]:
    recording = {
        "id": key,
        "sources": [{"type": "file", "channels": [0], "source": path}],
        "sampling_rate": RATE_HZ,
        "num_samples": 3 * RATE_HZ,
        "duration": 3.0,
        "channel_ids": [0],
    }
    return {
        "id": f"{key}-0",
        "start": start,
        "duration": seconds,
        "channel": 0,
        "type": "MonoCut",
        "supervisions": supervisions,
        "recording": recording,
    }


def supervision(key: str, start: float, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "recording_id": "r",
        "start": start,
        "duration": seconds,
        "channel": 0,
        "language": "English",
        **more,
    }


def test_gigaspeech_cuts_have_a_row_an_utterance(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "POD1.opus", np.tile(TONE, 3), RATE_HZ, format="OGG", subtype="OPUS")
    told = [
        ("S1", 0.0, 1.0, "AS I SAID <COMMA> I'M IN <PERIOD>"),
        ("S2", 1.0, 0.5, "<MUSIC>"),
        ("S3", 1.5, 0.5, ""),
    ]
    talk = [supervision(key, start, s, speaker="N/A", text=text) for key, start, s, text in told]
    lines = [json.dumps(cut("POD1", 0.0, 3.0, str(tmp_path / "POD1.opus"), talk)), "{"]
    put(tmp_path / "gigaspeech_cuts_XS.jsonl.gz", gzip.compress("\n".join(lines).encode()))
    put(tmp_path / "gigaspeech_cuts_TEST.jsonl.gz", b"never opened")
    rows, reasons = split_up(list(open_source("gigaspeech", tmp_path, keep=tmp_path / "kept")))
    assert reasons == ["no speech", "empty text", "broken JSON"]
    (row,) = rows
    assert row.last_user.text == "As I said, I'm in." and row.group == "gigaspeech-POD1"
    assert heard(row) == RATE_HZ and row.last_user.seconds == 1.0


def test_gigaspeech_on_the_hub_is_tables_and_archives(tmp_path: Path, hub_files: Any) -> None:
    root = "/datasets/speechcolab/gigaspeech/data"
    table = "sid,speaker,begin_time,end_time,title,url,path,sub_chunk_id,text_tn,aid,category\n"
    table += (
        "POD1_S1,N/A,1.5,2.5,A talk,,audio/podcast/POD1.opus,0,WELL <COMMA> YES <QUESTIONMARK>,POD1,News\n"
    )
    for part in ("xs", "dev", "test"):
        clips = {f"{part}_chunks_0000/POD1_S1.wav": sound(), f"{part}_chunks_0000/POD1_S2.wav": b""}
        hub_files.pipe(f"{root}/metadata/{part}_metadata/{part}_chunks_0000_metadata.csv", table.encode())
        hub_files.pipe(f"{root}/audio/{part}_files/{part}_chunks_0000.tar.gz", tar(clips, "w:gz"))
    place, xs = "hub://speechcolab/gigaspeech", {"part": "XS"}
    rows, reasons = split_up(list(open_source("gigaspeech", place, keep=tmp_path, options=xs)))
    assert [(row.last_user.text, row.split, heard(row)) for row in rows] == [("Well, yes?", "train", RATE_HZ)]
    assert reasons == ["no transcript"]
    rows, _ = split_up(list(open_source("gigaspeech", place, keep=tmp_path)))
    assert [row.split for row in rows] == ["dev"], "a clip that is in two parts is read once, and test never"


def test_gigaspeech_texts_become_ordinary_writing() -> None:
    assert (
        written("I THINK <COMMA> SO DO I <PERIOD> IT'S ON <EXCLAMATIONPOINT>") == "I think, so do I. It's on!"
    )
    assert written("<COMMA> WELL") == "Well"
    with pytest.raises(Unusable, match="no speech"):
        written("<NOISE>")


def heavy(key: str, start: float, seconds: float, text: str, book: str = "01_baum") -> dict[str, Any]:
    path = f"download/librilight/small/100/{book}.flac"
    told = supervision(
        key, 0, seconds, speaker="100", custom={"texts": [text, text.upper()], "begin_byte": 1}
    )
    return cut(f"small/100/{book}", start, seconds, path, [told])


def test_libriheavy_maps_its_audio_and_takes_the_books_text(tmp_path: Path) -> None:
    put(tmp_path / "light/small/100/01_baum.flac", sound("FLAC", np.tile(TONE, 3)))
    rows = [
        heavy("a_0", 1.0, 0.5, '"But why," she asked.'),
        heavy("a_1", 0, 1, "Gone.", "02_baum"),
        heavy("a_2", 5, 1, "Late."),
    ]
    data = gzip.compress("\n".join(json.dumps(row) for row in rows).encode())
    for part in ("dev", "test_clean"):
        put(tmp_path / f"libriheavy_cuts_{part}.jsonl.gz", data)
    options = {"audio": str(tmp_path / "light")}
    found, reasons = split_up(list(open_source("libriheavy", tmp_path, keep=tmp_path / "k", options=options)))
    assert reasons == ["no such file", "cannot be decoded"]
    (row,) = found
    assert row.last_user.text == '"But why," she asked.' and heard(row) == RATE_HZ // 2
    assert (row.split, row.group, row.last_user.speaker.id) == ("dev", "libriheavy-100", "100")


def test_libriheavy_streams_its_cuts(tmp_path: Path, hub_files: Any) -> None:
    put(tmp_path / "small/100/01_baum.flac", sound("FLAC", np.tile(TONE, 3)))
    for folder in ("", "v0.1/"):
        name = f"/datasets/pkufool/libriheavy/{folder}libriheavy_cuts_small.jsonl.gz"
        hub_files.pipe(name, gzip.compress(json.dumps(heavy("a_0", 0, 3.0, "All of it.")).encode()))
    options = {"audio": str(tmp_path), "part": "small"}
    (row,) = open_source("libriheavy", "hub://pkufool/libriheavy", options=options)
    assert isinstance(row, Row) and row.last_user.audio == str(tmp_path / "small/100/01_baum.flac")
