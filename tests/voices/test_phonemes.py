"""Text to lines of symbols: whatever is written, what comes out can be spoken."""

import builtins
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.errors import InputError, MissingExtra
from harken.voices import phonemes as module
from harken.voices.phonemes import LONGEST_LINE, SpokenWord, in_order, lines, phonemes, sentences, words
from harken.voices.symbols import SYMBOL_IDS


@pytest.fixture
def english() -> None:
    pytest.importorskip("phonemizer", reason="the extra kokoro is not installed")
    pytest.importorskip("espeakng_loader", reason="the extra kokoro is not installed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ", []),
        ("I am here. You are not there!", ["I am here. You are not there!"]),
        ("I have waited. You never came!", ["I have waited.", "You never came!"]),
        ("Oh. I did not know that. Tell me more.", ["Oh. I did not know that.", "Tell me more."]),
        ("Mary, this is Mr. Wu. He is a friend.", ["Mary, this is Mr. Wu.", "He is a friend."]),
        ("It costs 3.50 in all. Fine?", ["It costs 3.50 in all.", "Fine?"]),
        ('She said "go away." Then she left.', ['She said "go away."', "Then she left."]),
        ("The first line\nand the second", ["The first line", "and the second"]),
        ("我今天很难过。你呢？我不知道。", ["我今天很难过。", "你呢？我不知道。"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text())
def test_sentences_lose_nothing_but_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_symbols_are_one_to_one() -> None:
    assert len(SYMBOL_IDS) == 114 == len(set(SYMBOL_IDS.values()))
    assert (
        SYMBOL_IDS[" "] == 16 and SYMBOL_IDS["ə"] == 83 and SYMBOL_IDS["ˈ"] == 156 and SYMBOL_IDS["ᵻ"] == 177
    )


@pytest.mark.usefixtures("english")
class TestEnglish:
    def test_words_one_by_one(self) -> None:
        found = words("I have a dog, -- Mr. Wu!")
        assert [word.symbols for word in found] == ["aɪ", "hæv", "ɐ", "dˈɑːɡ,", "mˈɪstɚ", "wˈuː!"]
        assert [(word.start, word.end) for word in found][-1] == (21, 24)

    @settings(max_examples=40, deadline=None)
    @given(st.text("abc ,.-—'1", max_size=25), st.integers(0, 25))
    def test_a_word_is_spoken_the_same_whatever_comes_after(self, text: str, cut: int) -> None:
        whole = words(text)
        cut = max((i for i in range(min(cut, len(text)) + 1) if i == 0 or text[i - 1] == " "), default=0)
        assert [w for w in whole if w.end <= cut] == words(text[:cut])

    def test_words(self) -> None:
        assert phonemes("Hello, Mr. Wu!", "en-us") == "həlˈoʊ, mˈɪstɚ wˈuː!"
        assert phonemes("dance", "en-gb") != phonemes("dance", "en-us")

    @pytest.mark.parametrize(
        "text", ["", "   ", "...", "?!", "😀🎉", "👍🏽❤️", "你好", "\x00", "¯\\_(ツ)_/¯", "привет"]
    )
    def test_nothing_to_speak(self, text: str) -> None:
        assert lines(text, "en-us") == []

    def test_digits_are_read_and_emoji_are_not(self) -> None:
        assert phonemes("42", "en-us") == phonemes("forty two", "en-us") == phonemes("42 😀", "en-us")

    @pytest.mark.parametrize(
        "text", ["word and another, " * 200, "supercalifragilistic " * 90, "a" * 3000, "ok " * 900]
    )
    def test_long_text_is_split_whole(self, text: str) -> None:
        made = lines(text, "en-us")
        assert len(made) > 1 and all(0 < len(line) <= LONGEST_LINE for line in made)
        assert "".join(made).replace(" ", "") == phonemes(text, "en-us").replace(" ", "")

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=200))
    def test_any_text_gives_lines_that_can_be_spoken(self, text: str) -> None:
        for line in lines(text, "en-us"):
            assert 0 < len(line) <= LONGEST_LINE and set(line) <= set(SYMBOL_IDS)


@pytest.fixture
def chinese() -> None:
    pytest.importorskip("misaki.zh", reason="the extra kokoro is not installed")


@pytest.mark.usefixtures("chinese", "english")
class TestChinese:
    def test_words(self) -> None:
        assert lines("我今天很难过。", "zh") == ["wo↓ ʨi→ntʰjɛ→n xə↓n na↗nkwo↘."]

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("3月8号", "三月八号"),
            ("1,000元", "一千元"),
            ("13800138000", "一三八零零一三八零零零"),
            ("我难过😢", "我难过"),
            ("兙我", "我"),  # a character without a syllable
        ],
    )
    def test_reads_out_what_people_would(self, text: str, same: str) -> None:
        assert phonemes(text, "zh").replace(" ", "") == phonemes(same, "zh").replace(" ", "")

    def test_latin_words_are_spoken_as_english(self) -> None:
        line = phonemes("我在Google上班", "zh")
        assert f" {phonemes('Google', 'en-us')} " in line and line.startswith("wo↓")
        assert phonemes("OK", "zh") == phonemes("OK", "en-us")

    @pytest.mark.parametrize("text", ["", "……", "😀", "привет", "兙"])
    def test_nothing_to_speak(self, text: str) -> None:
        assert lines(text, "zh") == []

    @settings(max_examples=100, deadline=None)
    @given(st.text(st.sampled_from("我难过一下儿兙3０٣.,%/-:。，？ aZé'😀") | st.characters(), max_size=60))
    def test_any_text_gives_lines_that_can_be_spoken(self, text: str) -> None:
        for line in lines(text, "zh"):
            assert 0 < len(line) <= LONGEST_LINE and set(line) <= set(SYMBOL_IDS)


def test_unknown_accent() -> None:
    with pytest.raises(InputError, match="accent 'fr'"):
        phonemes("Bonjour", "fr")


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] in ("phonemizer", "espeakng_loader"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    def no_module(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setattr(module, "import_module", no_module)
    module._espeak.cache_clear()
    module._misaki.cache_clear()
    yield
    module._espeak.cache_clear()
    module._misaki.cache_clear()


@pytest.mark.usefixtures("without_extra")
def test_missing_extra_is_named() -> None:
    with pytest.raises(MissingExtra) as english:
        phonemes("Hello", "en-us")
    assert english.value.hint == "pip install 'harken[kokoro]'"
    with pytest.raises(MissingExtra) as chinese:
        phonemes("你好", "zh")
    assert chinese.value.hint == "pip install 'harken[kokoro]'"


def test_parts_of_a_line_are_told_to_words_apart() -> None:
    def apart(*symbols: str) -> list[SpokenWord]:
        return [SpokenWord(n, n + 1, word) for n, word in enumerate(symbols)]

    words = apart("aʊt", "ʌv", "ðə", "hˈaʊs")
    made = in_order(["ˌaʊɾəv", "ðə", "hˈaʊs"], words)
    assert made is not None and [len(part) for part in made] == [2, 1, 1]
    assert [word for part in made for word in part] == words
    assert in_order(["aʊt", "ʌv", "ðə", "hˈaʊs"], words) == [[word] for word in words]
    assert in_order(["ðə", "nˈaɪntiːn", "hˈʌndɹɪd"], apart("ðə")) is None
    assert in_order(["kˈæt"], apart("hˈaʊs")) is None and in_order([], []) is None
