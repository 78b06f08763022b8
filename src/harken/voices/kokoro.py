"""Kokoro-82M (Apache-2.0 weights, int8 ONNX), the external voice of replies and of rendered training speech.

It is a base voice behind `voices.base.Voice`: pace and prosody follow a `Style`, but it does not hear the
dialogue. Needs the extra `kokoro`. The weights' folder holds `kokoro-quantized.onnx` and `voices/<name>.bin`.
Voices blend: `af_bella+am_adam` speaks with the mean of both style vectors and the accent of the first.

Shapes: P = symbols of a line, N = samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.errors import InputError, MissingExtra, WeightsError
from harken.voices import casts, phonemes
from harken.voices.base import NEUTRAL, Samples, Style, TimedWord, level
from harken.voices.onnx_graph import giving
from harken.voices.symbols import PAD_ID, SYMBOL_IDS
from harken.weights.store import ensure

WEIGHTS = "kokoro-82m"
SAMPLE_RATE_HZ = 24_000

_STYLE_SIZE = 256
_PROSODY = slice(
    128, 256
)  # the half of a style vector that carries pitch, energy and timing; the rest is timbre
_DURATIONS = "/encoder/Clip_output_0"
"""Where the network holds how many frames each symbol lasts."""
_SOUND, _TIMED, _ONLY_TIMES = "sound", "sound and times", "times"  # what a session gives
_FRAME = 600  # samples
_PAUSE_FRAMES = 6  # of silence after a sentence, and before the next: 0.15 s each
_ACCENTS = {"a": "en-us", "b": "en-gb", "z": "zh"}  # by the first letter of a voice's name


class KokoroVoice:
    """One voice of Kokoro-82M. Voices of one folder share the network; it uses `threads` cores."""

    def __init__(self, folder: Path, name: str = "af_heart", threads: int = 2) -> None:
        """Args: name: a voice in `folder`, or a blend of several of one language.

        Raises InputError for a voice that is not in `folder`, DataError for a blend of two languages,
        WeightsError, and MissingExtra.
        """
        styles = [_styles(folder, part) for part in casts.parts(name)]
        casts.language(name)
        self._styles = np.stack(styles).mean(axis=0)  # row = style for a line of so many symbols
        self._model, self._threads = folder / "kokoro-quantized.onnx", threads
        self._session = _session(self._model, threads)
        self._accent = _ACCENTS[name[0]]
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE_HZ

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """Float32 chunks (N,) at 24 kHz, one a sentence; none where nothing in `text` can be spoken."""
        for line in phonemes.lines(text, self._accent):
            yield level(self._say(line, style), style.gain)

    def speak_timed(self, text: str, style: Style = NEUTRAL) -> tuple[Samples, list[TimedWord]]:
        """All of an English text, spoken from its words one by one, and when each is said.

        Silence at either end, and between sentences, is cut down to what speech needs. Samples are (N,), none
        where nothing can be spoken. A word too long to be spoken at once is several, of the same place.
        """
        sounds: list[Samples] = []
        said: list[TimedWord] = []
        begun = 0
        for line in _timed_lines(phonemes.words(text, self._accent)):
            spelled = " ".join(word.symbols for word in line)
            wave, frames = self._say_timed(spelled, style)
            keep = 1 if not sounds else _PAUSE_FRAMES
            cut = max(0, int(frames[0]) - keep)
            ends = (np.cumsum(frames) - cut) * _FRAME + begun  # samples
            stop = min(int(ends[-1]), int(ends[-2]) + _PAUSE_FRAMES * _FRAME) - begun
            sounds.append(level(wave[cut * _FRAME :][:stop], style.gain))
            ends[-1] = stop + begun
            at = 1
            for word in line:
                last = at + len(word.symbols)  # the space or the silence that follows
                times = tuple(round(float(end) / SAMPLE_RATE_HZ, 4) for end in ends[at : last + 1])
                said.append(TimedWord(word.start, word.end, f"{word.symbols} ", times))
                at = last + 1
            begun += sounds[-1].size
        return np.concatenate([np.zeros(0, np.float32), *sounds]), said

    def timings(self, text: str, style: Style = NEUTRAL) -> list[tuple[float, list[TimedWord]]]:
        """When `speak` would say each word of an English text, without saying it: of each of its chunks the
        length in seconds, and its words, whose times count from its start.

        Symbols are those of the words one by one, as in `speak_timed`; in those that sound otherwise among
        others, or run into the next ("of the"), the time is dealt out evenly. No chunks where words cannot be
        told apart, in numbers say.
        """
        words = phonemes.words(text, self._accent)
        lines = phonemes.lines(text, self._accent)
        parts = phonemes.in_order([part for line in lines for part in line.split(" ")], words)
        if parts is None:
            return []
        session, found, at = _session(self._model, self._threads, _ONLY_TIMES), [], 0
        for line in lines:
            (frames,) = session.run([_DURATIONS], self._feed(line, style))
            ends_s = np.cumsum(frames.reshape(-1)) * _FRAME / SAMPLE_RATE_HZ  # (P + 2,)
            stop = at + len(line.split(" "))
            found.append((float(ends_s[-1]), _timed_words(parts[at:stop], line.split(" "), ends_s)))
            at = stop
        return found

    def _say(self, line: str, style: Style) -> Samples:
        (wave,) = self._session.run(["waveform"], self._feed(line, style))
        samples: Samples = wave.reshape(-1)
        return samples

    def _say_timed(self, line: str, style: Style) -> tuple[Samples, NDArray[np.float32]]:
        """The sound, and frames of each symbol, silence at the ends included: (P + 2,)."""
        session = _session(self._model, self._threads, _TIMED)
        wave, frames = session.run(["waveform", _DURATIONS], self._feed(line, style))
        return wave.reshape(-1), frames.reshape(-1)

    def _feed(self, line: str, style: Style) -> dict[str, Any]:
        ids = np.array(
            [[PAD_ID, *(SYMBOL_IDS[symbol] for symbol in line), PAD_ID]], dtype=np.int64
        )  # (1, P+2)
        manner = self._styles[len(line)][None].copy()  # (1, 256)
        manner[:, _PROSODY] *= style.prosody_scale
        return {"input_ids": ids, "style": manner, "speed": np.array([style.speed], dtype=np.float32)}


def _timed_lines(words: list[phonemes.SpokenWord]) -> Iterator[list[phonemes.SpokenWord]]:
    """Words a sentence, none with more symbols than are spoken at once."""
    line: list[phonemes.SpokenWord] = []
    fitting = (word._replace(symbols=part) for word in words for part in phonemes.fit(word.symbols))
    for word in fitting:
        if line and sum(len(w.symbols) + 1 for w in line) + len(word.symbols) > phonemes.LONGEST_LINE:
            yield line
            line = []
        line.append(word)
        if word.symbols[-1] in ".!?…" and len(line) > 1:
            yield line
            line = []
    if line:
        yield line


def _timed_words(
    parts: list[list[phonemes.SpokenWord]], spoken: list[str], ends_s: NDArray[np.float64]
) -> list[TimedWord]:
    """Words of a line with the times of their own symbols.

    Args: spoken: the line's parts as it is spoken; parts: the words of each; ends_s: of the line's symbols.
    """
    said, at = [], 1  # after the silence at the start
    for words, symbols in zip(parts, spoken, strict=True):
        heard = ends_s[at - 1 : at + len(symbols)]  # from where the part begins
        own = " ".join(word.symbols for word in words)
        evenly = np.interp(np.linspace(0, len(symbols), len(own) + 1)[1:], range(len(heard)), heard)
        at += len(symbols) + 1
        times, begun = [*evenly, ends_s[at - 1]], 0  # the last one is of the space after the part
        for word in words:
            end = begun + len(word.symbols) + 1
            times_of_word = tuple(round(float(t), 4) for t in times[begun:end])
            said.append(TimedWord(word.start, word.end, f"{word.symbols} ", times_of_word))
            begun = end
    return said


def load(name: str = "af_heart", threads: int = 2) -> KokoroVoice:
    """The voice, its weights fetched first where they are not there yet."""
    return KokoroVoice(ensure(WEIGHTS), name, threads)


def _styles(folder: Path, name: str) -> Samples:
    """A voice's style vectors, (lengths of a line, 256)."""
    file = folder / "voices" / f"{name}.bin"
    if name[:1] not in _ACCENTS or not file.is_file():
        known = sorted(f.stem for f in (folder / "voices").glob("*.bin") if f.stem[0] in _ACCENTS)
        raise InputError(
            f"Kokoro has no voice {name!r}", f"voices: {', '.join(known) or f'none in {folder}'}"
        )
    styles = np.fromfile(file, dtype=np.float32)
    if styles.size % _STYLE_SIZE or styles.size // _STYLE_SIZE <= phonemes.LONGEST_LINE:
        raise WeightsError(f"{file} is damaged ({styles.nbytes} bytes)", f"harken weights pull {WEIGHTS}")
    return styles.reshape(-1, _STYLE_SIZE)


@lru_cache(maxsize=3)
def _session(model: Path, threads: int, gives: str = _SOUND) -> Any:
    """The network. With times, the file is read into memory."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("the Kokoro voice", "kokoro") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(
            str(model) if gives == _SOUND else giving(model.read_bytes(), _DURATIONS, gives == _ONLY_TIMES),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # onnxruntime's own exceptions share no base of their own
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{model} cannot be loaded: {reason}", f"harken weights pull {WEIGHTS}") from None
