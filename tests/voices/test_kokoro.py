"""Kokoro on its real weights, and what it says of weights that are not right."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.errors import DataError, InputError, WeightsError
from harken.voices.base import Style
from harken.voices.kokoro import WEIGHTS, KokoroVoice, _timed_lines
from harken.voices.onnx_graph import giving
from harken.voices.phonemes import LONGEST_LINE, SpokenWord
from harken.voices.styles import user_style
from harken.weights.store import ensure

TEXT = "I finally got the job I wanted."


@pytest.fixture(scope="module")
def folder() -> Path:
    """The weights, fetched where they are not there yet."""
    for needed in ("onnxruntime", "phonemizer", "espeakng_loader"):
        pytest.importorskip(needed, reason="the extra kokoro is not installed")
    return ensure(WEIGHTS)


def said(voice: KokoroVoice, emotion: str | None, text: str = TEXT) -> np.ndarray:
    return np.concatenate(list(voice.speak(text, user_style(emotion))))


def pitch_range_hz(samples: np.ndarray) -> float:
    """Spread (10th to 90th percentile) of the pitch of loud 40 ms frames, by autocorrelation."""
    frames = samples[: samples.size // 960 * 960].reshape(-1, 960)
    loud = frames[np.square(frames).mean(axis=1) > 0.1 * np.square(frames).mean(axis=1).max()]
    spectrum = np.fft.rfft(loud, 2048)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, 60:400]  # 60 to 400 Hz at 24 kHz
    low, high = np.percentile(24_000 / (60 + correlation.argmax(axis=1)), [10, 90])
    return float(high - low)


@pytest.mark.weights
def test_sad_is_slower_quieter_and_flatter_than_happy(folder: Path) -> None:
    voice = KokoroVoice(folder, "af_bella")
    sad, happy = said(voice, "sad"), said(voice, "happy")
    assert sad.dtype == np.float32 and np.isfinite(sad).all() and np.abs(happy).max() <= 1.0
    assert 1.0 < happy.size / voice.sample_rate < sad.size / voice.sample_rate < 6.0
    assert np.sqrt(np.square(sad).mean()) < 0.8 * np.sqrt(np.square(happy).mean())
    assert pitch_range_hz(sad) < pitch_range_hz(happy)


@pytest.mark.weights
def test_speaks_sentence_by_sentence(folder: Path) -> None:
    chunks = list(
        KokoroVoice(folder, "am_michael").speak("This is the first. 😀 And this is the second one!")
    )
    assert len(chunks) == 2 and all(chunk.ndim == 1 and chunk.size > 12_000 for chunk in chunks)


@pytest.mark.weights
def test_a_blend_lies_between_its_parts(folder: Path) -> None:
    bella, adam, both = (KokoroVoice(folder, name) for name in ("af_bella", "am_adam", "af_bella+am_adam"))
    np.testing.assert_allclose(both._styles, (bella._styles + adam._styles) / 2, atol=1e-6)
    assert both.name == "af_bella+am_adam" and 1.0 < said(both, None).size / both.sample_rate < 6.0
    with pytest.raises(DataError, match="two languages"):
        KokoroVoice(folder, "af_bella+zf_xiaobei")
    with pytest.raises(InputError, match="no voice 'af_nobody'"):
        KokoroVoice(folder, "af_bella+af_nobody")


@pytest.mark.weights
def test_speaks_chinese(folder: Path) -> None:
    pytest.importorskip("misaki.zh", reason="the extra kokoro is not installed")
    voice = KokoroVoice(folder, "zf_xiaobei")
    assert 1.0 < said(voice, "sad", "我今天真的很难过。").size / voice.sample_rate < 6.0


@pytest.mark.weights
def test_a_timed_text_tells_when_each_word_is_said(folder: Path) -> None:
    """Each half of the sound, cut where the times say, holds its words: read by another than Whisper."""
    import soxr

    from harken.evaluation.moonshine import Moonshine

    text = "I lost my keys this morning. Where did you put the blue umbrella?"
    voice = KokoroVoice(folder)
    samples, said = voice.speak_timed(text)
    assert [text[word.start : word.end] for word in said] == text.split()
    ends = [end for word in said for end in word.ends_s]
    assert ends == sorted(ends) and ends[-1] == pytest.approx(samples.size / voice.sample_rate, abs=0.001)
    assert all(len(word.symbols) == len(word.ends_s) and word.symbols[-1] == " " for word in said)
    cut = int(said[5].ends_s[-1] * voice.sample_rate)
    first, second = (soxr.resample(part, voice.sample_rate, 16_000) for part in np.split(samples, [cut]))
    assert "keys this morning" in Moonshine()(first).lower()
    assert "umbrella" in Moonshine()(second).lower() and "morning" not in Moonshine()(second).lower()


@given(
    st.lists(
        st.from_regex(r"\A[ab]+( [ab]+)*[.,]?\Z").flatmap(lambda w: st.sampled_from([w, w * 300])), max_size=4
    )
)
def test_words_however_long_go_in_lines_that_can_be_spoken(spelled: list[str]) -> None:
    lines = list(_timed_lines([SpokenWord(n, n + 1, symbols) for n, symbols in enumerate(spelled)]))
    assert all(0 < len(" ".join(word.symbols for word in line)) <= LONGEST_LINE for line in lines)
    said = ["".join(w.symbols for line in lines for w in line if w.start == n) for n in range(len(spelled))]
    assert [word.replace(" ", "") for word in said] == [word.replace(" ", "") for word in spelled]


@pytest.mark.weights
def test_a_timed_text_obeys_its_style_and_what_cannot_be_spoken_has_no_words(folder: Path) -> None:
    voice = KokoroVoice(folder)
    slow, fast = (voice.speak_timed(TEXT, Style(speed))[0].size for speed in (0.8, 1.2))
    assert slow > 1.2 * fast
    samples, said = voice.speak_timed("... 😀")
    assert samples.size == 0 and said == []


@pytest.mark.weights
def test_times_without_sound_are_those_of_the_sound(folder: Path) -> None:
    """The length of every chunk that `speak` makes, and where its words are: read by another than Whisper."""
    import soxr

    from harken.evaluation.moonshine import Moonshine

    text = "I got out of the house this morning. Where did you put the blue umbrella?"
    voice, style = KokoroVoice(folder), Style(0.9, 1.2)
    sounds, chunks = list(voice.speak(text, style)), voice.timings(text, style)
    assert [round(length * voice.sample_rate) for length, _ in chunks] == [sound.size for sound in sounds]
    said = [word for _, words in chunks for word in words]
    assert [text[word.start : word.end] for word in said] == text.split()
    assert all(len(word.symbols) == len(word.ends_s) and word.symbols[-1] == " " for word in said)
    assert all(ends == sorted(ends) for ends in ([e for w in words for e in w.ends_s] for _, words in chunks))
    cut = int(chunks[0][1][4].ends_s[-1] * voice.sample_rate)  # behind "the"
    before, after = (soxr.resample(part, voice.sample_rate, 16_000) for part in np.split(sounds[0], [cut]))
    assert "house" in Moonshine()(after).lower() and "house" not in Moonshine()(before).lower()
    model = (folder / "kokoro-quantized.onnx").read_bytes()
    without_sound = giving(model, "/encoder/Clip_output_0", alone=True)
    sound, length = (b"/decoder/generator/resblocks.0/Add_1", b"/predictor/duration_proj/linear_layer/Add")
    assert sound in model and sound not in without_sound  # what only the sound needs is not computed
    assert length in model and length in without_sound
    assert voice.timings("It was in 1996, I think.") == []  # more words are said than are written


@pytest.mark.weights
@pytest.mark.parametrize("text", ["", "😀", "... !?", "你好"])
def test_what_cannot_be_spoken_gives_no_sound(folder: Path, text: str) -> None:
    assert list(KokoroVoice(folder).speak(text)) == []


@pytest.mark.weights
@pytest.mark.parametrize("name", ["af_nobody", "ff_siwis", "", "../af_heart"])
def test_voices_that_are_not_there_are_named_with_those_that_are(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="no voice") as error:
        KokoroVoice(folder, name)
    assert "af_heart" in error.value.hint


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra kokoro is not installed")
    (tmp_path / "voices").mkdir()
    styles = tmp_path / "voices" / "af_heart.bin"
    styles.write_bytes(bytes(1000))
    with pytest.raises(WeightsError, match=r"af_heart.bin is damaged \(1000 bytes\)"):
        KokoroVoice(tmp_path)
    styles.write_bytes(bytes(510 * 1024))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        KokoroVoice(tmp_path)
    (tmp_path / "kokoro-quantized.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="cannot be loaded") as error:
        KokoroVoice(tmp_path)
    assert "harken weights pull" in error.value.hint
