"""How emotions sound and which voices may be heard where."""

import pytest

from harken.errors import DataError
from harken.voices.base import NEUTRAL, Style
from harken.voices.casts import (
    CASTS,
    DEV_VOICES,
    JUDGING_VOICES,
    REPLY_VOICES,
    TRAINING_VOICES,
    blends,
    cast,
    check_cast,
    language,
)
from harken.voices.styles import REPLY_STYLES, reply_style, user_style


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        ("sad", "gentle"),
        ("fear", "gentle"),
        ("anger", "calm"),
        ("disgust", "calm"),
        ("happy", "bright"),
        ("surprise", "bright"),
        ("neutral", "warm"),
        ("calm", "warm"),
        (None, "warm"),
        ("bemused", "warm"),
    ],
)
def test_replies_answer_what_was_heard(heard: str | None, name: str) -> None:
    assert reply_style(heard) == (name, REPLY_STYLES[name])


def test_sad_is_slower_flatter_and_quieter_than_happy() -> None:
    sad, happy = user_style("sad"), user_style("happy")
    assert sad.speed < happy.speed and sad.prosody_scale < happy.prosody_scale and sad.gain < happy.gain
    assert user_style(None) == user_style("neutral") == NEUTRAL


@pytest.mark.parametrize("wrong", [{"speed": 0.0}, {"gain": -1.0}, {"prosody_scale": -0.1}])
def test_impossible_styles_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="speed and gain"):
        Style(**wrong)


def test_casts_share_no_voice() -> None:
    voices = [*TRAINING_VOICES, *DEV_VOICES, *JUDGING_VOICES]
    assert len(voices) == len(set(voices)) == 36
    for lang, voice in REPLY_VOICES.items():
        assert voice in TRAINING_VOICES and language(voice) == lang


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_split_hears_its_own_cast_only(split: str) -> None:
    for name, voices in CASTS.items():
        for voice in voices:
            if name == split:
                check_cast(split, voice)
            else:
                with pytest.raises(DataError, match=f"{voice}.*kept for {name}"):
                    check_cast(split, voice)
    assert set(cast(split, "en")) | set(cast(split, "zh")) == set(CASTS[split])


def test_a_blend_is_as_good_as_its_worst_part() -> None:
    check_cast("train", "af_bella+am_adam")
    assert language("af_bella+bm_george") == "en"
    with pytest.raises(DataError, match=r"'af_nova' may not be heard.*kept for dev"):
        check_cast("train", "af_bella+af_nova")
    with pytest.raises(DataError, match="in no cast"):
        check_cast("train", "af_bella+")
    with pytest.raises(DataError, match="blends two languages"):
        language("af_bella+zf_xiaobei")


@pytest.mark.parametrize(
    ("split", "lang", "most"), [("train", "en", 50), ("train", "zh", 34), ("dev", "en", 34)]
)
def test_fifty_voices_where_the_cast_gives_as_many(split: str, lang: str, most: int) -> None:
    voices = blends(split, lang)
    assert len(set(voices)) == len(voices) == most and voices[: len(cast(split, lang))] == cast(split, lang)
    for voice in voices:
        check_cast(split, voice)
        assert language(voice) == lang
    assert blends(split, lang) == voices and blends(split, lang, 5) == voices[:5]
    if most == 50:
        assert blends(split, lang, seed=1) != voices


def test_unknown_voices_splits_and_languages() -> None:
    for call, match in [
        (lambda: check_cast("train", "af_nobody"), "in no cast"),
        (lambda: check_cast("valid", "af_heart"), "split 'valid'"),
        (lambda: cast("valid", "en"), "split 'valid'"),
        (lambda: cast("train", "fr"), "speaks 'fr'"),
        (lambda: language("ff_siwis"), "neither English nor Chinese"),
    ]:
        with pytest.raises(DataError, match=match):
            call()
