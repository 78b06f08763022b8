"""Whatever a user hands over becomes 16 kHz mono, or one line: its name, what is wrong, the way out."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.audio import io as audio_io
from harken.audio.io import SAMPLE_RATE_HZ, from_array, read, write
from harken.errors import InputError


def tone(seconds: float, rate: int = 16_000, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 300 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encoded(
    samples: np.ndarray, rate: int = 16_000, container: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def assert_refused(match: str, source: object, name: str | None = None) -> None:
    """One line that names the input and says what is wrong, and one that gives the way out."""
    with pytest.raises(InputError, match=match) as refused:
        read(source, name)  # type: ignore[arg-type]
    assert (name or str(source)) in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


@settings(max_examples=40, deadline=None)
@given(
    rate=st.integers(4_000, 192_000),
    channels=st.integers(1, 6),
    seconds=st.floats(0.12, 3.0),
    kind=st.sampled_from(["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "PCM_U8"]),
    seed=st.integers(0, 100),
)
def test_any_rate_and_channels_keep_their_length(
    rate: int, channels: int, seconds: float, kind: str, seed: int
) -> None:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((int(seconds * rate), channels))
    recording = read(encoded(noise, rate, "WAV", kind))
    assert recording.samples.ndim == 1 and recording.samples.dtype == np.float32
    assert np.isfinite(recording.samples).all() and np.abs(recording.samples).max() <= 1.0
    assert recording.seconds == pytest.approx(len(noise) / rate, rel=0.01)
    assert recording.source_sample_rate == rate


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_resampling_keeps_the_sound(rate: int) -> None:
    recording = from_array(tone(1.0, rate), rate)
    middle = slice(2_000, 14_000)
    np.testing.assert_allclose(recording.samples[middle], tone(1.0)[middle], atol=2e-3)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "ULAW"),
        ("FLAC", None),
        ("OGG", "OPUS"),
        ("OGG", "VORBIS"),
        ("MP3", None),
        ("AIFF", None),
        ("AU", None),
    ],
)
def test_formats(container: str, subtype: str | None, tmp_path: Path) -> None:
    path = tmp_path / "recording.raw"  # the content decides, not the name
    path.write_bytes(encoded(tone(2.0, 24_000), 24_000, container, subtype))
    recording = read(path)
    assert recording.seconds == pytest.approx(2.0, rel=0.01)
    assert 0.15 < np.sqrt(np.mean(recording.samples**2)) < 0.3


def test_channels_are_averaged_in_either_layout() -> None:
    stereo = np.stack([tone(1.0), np.zeros(16_000, np.float32)], axis=1)
    np.testing.assert_allclose(from_array(stereo, 16_000).samples, tone(1.0) / 2, atol=1e-6)
    np.testing.assert_allclose(from_array(stereo.T, 16_000).samples, tone(1.0) / 2, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float64])
def test_arrays_of_any_type(dtype: type) -> None:
    wave = tone(1.0)
    if dtype == np.uint8:
        samples = (wave * 128 + 128).astype(np.uint8)
    elif np.issubdtype(dtype, np.integer):
        samples = (wave * np.iinfo(dtype).max).astype(dtype)
    else:
        samples = wave.astype(dtype)
    np.testing.assert_allclose(from_array(samples, 16_000).samples, wave, atol=0.01)


def test_open_files_and_names(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, tone(1.0), 16_000)
    with path.open("rb") as file:
        assert read(file).name == str(path)
    assert read(str(path)).name == str(path)
    assert read(path.read_bytes(), name="upload").name == "upload"


def test_too_loud_is_scaled_not_clipped() -> None:
    recording = from_array(tone(1.0, level=4.0), 16_000)
    np.testing.assert_allclose(recording.samples, tone(1.0, level=1.0), atol=1e-3)


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused("no such file", tmp_path / "none.wav")
    assert_refused("is a directory", tmp_path)
    assert_refused("cannot be read", "x" * 5000)
    with pytest.raises(InputError, match=r"bad\\x00name: cannot be read: embedded null byte"):
        read("bad\0name")
    with pytest.raises(InputError, match=r"two\\nlines\\udcff.wav: no such file"):
        read(os.fsdecode(b"two\nlines\xff.wav"))
    os.mkfifo(tmp_path / "pipe")
    assert_refused("not a regular file", tmp_path / "pipe")
    assert_refused("not a regular file", Path("/dev/null"))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert_refused("permission denied", tmp_path / "locked.wav")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "0 bytes"),
        (encoded(np.zeros(0, np.float32)), "0 samples"),
        (b"This is a letter, not a recording.\n" * 50, "not audio"),
        (b"RIFF\x00\x00\x00\x00WAVE", "not audio"),
        (encoded(np.zeros(16_000, np.float32)), "silent"),
        (encoded(tone(1.0, level=5e-4)), "silent"),
        (encoded(np.full(16_000, 0.5, np.float32)), "silent"),
        (encoded(np.full(16_000, -0.5, np.float32)), "silent"),
        (encoded(tone(0.05)), "too short"),
        (encoded(np.full(16_000, np.nan, np.float32), subtype="FLOAT"), "every sample"),
        (encoded(np.stack([tone(1.0), -tone(1.0)], axis=1)), "cancel"),
    ],
)
def test_content_that_cannot_be_heard(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(content)
    assert_refused(match, path)
    assert_refused(match, content, name="upload")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_some_broken_samples_are_counted_and_placed(broken: float) -> None:
    wave = tone(5.0)
    wave[40_000:40_003] = broken
    assert_refused(
        r"3 samples are NaN or infinite, the first at 2\.500 s", encoded(wave, subtype="FLOAT"), "mine"
    )


def test_array_errors() -> None:
    with pytest.raises(InputError, match="infinite"):
        from_array(np.full(16_000, 1e300), 16_000)
    with pytest.raises(InputError, match="0 samples"):
        from_array([], 16_000)
    with pytest.raises(InputError, match="not audio"):
        from_array(np.zeros((2, 3, 4)), 16_000)
    with pytest.raises(InputError, match="not audio"):
        from_array(np.array(["a"]), 16_000)
    with pytest.raises(InputError, match="sample rate of 16 Hz"):
        from_array(tone(1.0), 16)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "CAF"])
def test_cut_short_is_said(container: str) -> None:
    whole = encoded(tone(10.0), container=container)
    assert_refused("cut short|cannot be decoded|not audio", whole[: len(whole) // 2], name="half")


@settings(max_examples=60, deadline=None)
@given(
    container=st.sampled_from(
        [("WAV", None), ("FLAC", None), ("OGG", "OPUS"), ("OGG", "VORBIS"), ("AIFF", None)]
    ),
    share=st.floats(0, 1),
    flip=st.integers(0, 20_000),
)
def test_damage_is_never_a_stack_trace(container: tuple[str, str | None], share: float, flip: int) -> None:
    content = bytearray(encoded(tone(1.0), 16_000, *container))
    content[flip % len(content)] ^= 0xFF
    try:
        recording = read(bytes(content[: int(share * len(content))]), name="hurt")
    except InputError as error:
        assert error.message.startswith("hurt: ") and error.hint
    else:
        assert recording.samples.size >= 0.09 * SAMPLE_RATE_HZ and np.isfinite(recording.samples).all()


def test_stream_of_unknown_size_is_whole() -> None:
    content = bytearray(encoded(tone(2.0)))
    size = content.find(b"data") + 4
    content[size : size + 4] = content[4:8] = b"\xff" * 4
    assert read(bytes(content)).seconds == 2.0


def test_longer_than_the_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_io, "LONGEST_S", 1.0)
    assert_refused("longer than", encoded(tone(3.0)), name="long")


@pytest.mark.parametrize(("encoding", "container"), [("wav", "WAV"), ("opus", "OGG")])
def test_what_is_written_reads_back(encoding: str, container: str, tmp_path: Path) -> None:
    path = tmp_path / "out.any"
    write(path, tone(1.0, 24_000), 24_000, encoding=encoding)
    assert soundfile.info(path).format == container
    assert read(path).seconds == pytest.approx(1.0, abs=0.01)
    assert os.listdir(tmp_path) == ["out.any"]


def test_writing_scales_rather_than_clips(tmp_path: Path) -> None:
    write(tmp_path / "loud.wav", tone(1.0, level=3.0), 16_000)
    np.testing.assert_allclose(read(tmp_path / "loud.wav").samples, tone(1.0, level=1.0), atol=1e-3)


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.wav"
    write(path, tone(1.0), 16_000)
    before = path.read_bytes()

    def full(part: Path, content: bytes) -> int:
        part.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write(path, tone(2.0), 16_000)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["out.wav"]


def test_writing_where_nothing_can_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        write(tmp_path / "none" / "out.wav", tone(1.0), 16_000)
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path, tone(1.0), 16_000)
