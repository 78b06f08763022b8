"""Texts compared as they sound, and a real voice read back by a real recogniser."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harken.data.read_back import character_error_rate, comparable, recogniser


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("I'm OK, Mr. Wu!", "Im okay mister Wu"),
        ("It costs $3.50 - 20% off.", "It costs three point five zero dollars, twenty percent off"),
        ("On the 21st, 12th and 3rd at 10", "on the twenty first twelfth and third at ten"),
        ("1,204,017 people", "one million two hundred four thousand seventeen people"),
        (
            "call 0800 1234567890",
            "call zero eight zero zero one two three four five six seven eight nine zero",
        ),
        ("My 50th, 20th", "my fiftieth twentieth"),
        ("everyday", "every day"),
    ],
)
def test_english_as_it_sounds(text: str, same: str) -> None:
    assert character_error_rate(text, same) == 0 == character_error_rate(same, text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("他在家里等你，3天了！", "她在家裡等妳三天了"),
        ("涨了20%。", "漲了百分之二十"),
        ("我在Google上班", "我在google上班。"),
    ],
)
def test_chinese_as_it_sounds(text: str, same: str) -> None:
    pytest.importorskip("pypinyin", reason="the extra kokoro is not installed")
    assert character_error_rate(text, same, "zh") == 0


def test_rate_counts_edits_over_the_reference() -> None:
    assert character_error_rate("abcd", "abed") == 0.25
    assert character_error_rate("no", "no no no no") == 3.0
    assert character_error_rate("…!", "") == 0 and character_error_rate("…", "thank you") == 1
    assert character_error_rate("hello", "") == 1


def test_chinese_rate_counts_syllables() -> None:
    pytest.importorskip("pypinyin", reason="the extra kokoro is not installed")
    assert character_error_rate("我很难过", "我很好过", "zh") == 0.25


@given(st.text(max_size=60), st.sampled_from(["en", "zh"]))
@example("\u0f20 \uff11\uff12", "zh")  # digits of other scripts
def test_any_text_equals_itself(text: str, lang: str) -> None:
    if lang == "zh":
        pytest.importorskip("pypinyin", reason="the extra kokoro is not installed")
    assert character_error_rate(text, text, lang) == 0
    assert comparable(comparable(text, lang), lang) == comparable(text, lang)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("voice", "lang", "text"),
    [
        ("af_bella", "en", "I finally got the job I wanted, after 3 years."),
        ("zf_xiaobei", "zh", "我今天真的很难过，因为我的小狗不见了。"),
    ],
)
def test_a_real_voice_is_read_back(voice: str, lang: str, text: str) -> None:
    for needed in ("onnxruntime", "phonemizer", "misaki.zh"):
        pytest.importorskip(needed, reason="the extra kokoro is not installed")
    import soxr

    from harken.voices import kokoro

    said = np.concatenate(list(kokoro.load(voice, threads=1).speak(text)))
    samples = soxr.resample(said, kokoro.SAMPLE_RATE_HZ, 16_000)
    reader = recogniser()
    assert character_error_rate(text, reader(samples, lang), lang) < 0.2
    assert character_error_rate(text, reader.careful(samples, lang), lang) < 0.2
    assert character_error_rate("Nobody came to the party.", reader(samples, lang), "en") > 0.5
