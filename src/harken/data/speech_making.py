"""Making speech for rows: who speaks, how loudly, and whether a recogniser can read it back.

`Speech` is the part of a step's config that says which voices there are; what it opens, `SpeechMaker`, turns
a text into a checked recording in the workspace. A recording is named by its voice and a hash of all that
shapes it, so that the same words in the same voice and style are made once, whichever rows want them. Which
turn is spoken by whom is left to the steps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field

from harken.data.read_back import Recogniser, character_error_rate, recogniser
from harken.data.rows import content_id
from harken.data.workspace import WORK, Workspace
from harken.errors import DataError, HarkenError
from harken.processor import cores
from harken.recipes import Frozen
from harken.voices import casts
from harken.voices.base import Samples, Style, Voice, level

T = TypeVar("T")
R = TypeVar("R")

LOUD_FRAME_S = 0.05
LOUD_RANGE_DB = 30.0
"""Loudness is that of the frames this close to the loudest: pauses do not count."""


class Kokoro(Frozen):
    """Kokoro-82M's voices by their casts, and blends of them."""

    kind: Literal["kokoro"] = "kokoro"
    reply_voices: dict[str, str] = casts.REPLY_VOICES
    """The assistant's voice in each language."""

    def cast(self, split: str, lang: str, gender: str | None = None) -> list[str]:
        """Who may speak users' turns of a split, the assistant's voices left out. Raises DataError."""
        voices = [v for v in casts.cast(split, lang) if v not in self.reply_voices.values()]
        return [v for v in voices if gender in (None, self.gender(v))] or voices

    def many(self, split: str, lang: str, count: int) -> list[str]:
        """Up to `count` voices of a split, interpolated where there are fewer. Raises DataError."""
        return casts.blends(split, lang, count)

    def gender(self, voice: str) -> str | None:
        return {"f": "female", "m": "male"}.get(voice[1:2]) if casts.BLEND not in voice else None

    def open(self, voice: str) -> Voice:
        from harken.voices import kokoro

        return kokoro.load(voice, threads=1)

    def check(self) -> None:
        """Raises MissingExtra or WeightsError where nothing could be spoken."""
        for lang, voice in self.reply_voices.items():
            if lang == "en":  # what Chinese lacks drops Chinese rows only
                next(self.open(voice).speak("Hello."))


class CosyVoice2(Frozen):
    """CosyVoice2 from a checkout or a server, in the voices of prompt recordings.

    `prompts` holds them as SPLIT/LANG/NAME.wav, a split being train or dev, or reply for the assistant's own.
    A name that begins with f- or m- tells the speaker's gender.
    """

    kind: Literal["cosyvoice2"] = "cosyvoice2"
    at: str
    """The folder of a checkout of CosyVoice, or the address of its FastAPI server."""
    model: str = "pretrained_models/CosyVoice2-0.5B"
    """The model's folder, from the checkout; a server has its own."""
    prompts: Path

    def cast(self, split: str, lang: str, gender: str | None = None) -> list[str]:
        """Who may speak users' turns of a split. Raises DataError where there are no prompts for it."""
        folder = self.prompts / split / lang
        voices = sorted(f"{split}/{lang}/{path.stem}" for path in folder.glob("*.wav"))
        if not voices:
            raise DataError(f"{folder} holds no prompt recordings", "put NAME.wav files of 3 to 30 s there")
        return [v for v in voices if gender in (None, self.gender(v))] or voices

    def many(self, split: str, lang: str, count: int) -> list[str]:
        """Up to `count` voices of a split. Raises DataError as `cast` does."""
        return self.cast(split, lang)[:count]

    @property
    def reply_voices(self) -> dict[str, str]:
        """The assistant's voice in each language: the first that there is."""
        found = sorted((self.prompts / "reply").glob("*/*.wav"), reverse=True)
        return {path.parent.name: f"reply/{path.parent.name}/{path.stem}" for path in found}

    def gender(self, voice: str) -> str | None:
        return {"f-": "female", "m-": "male"}.get(Path(voice).name[:2])

    def open(self, voice: str) -> Voice:
        from harken.voices import cosyvoice2

        return cosyvoice2.load(self.at, self.model, self.prompts / f"{voice}.wav", voice)

    def check(self) -> None:
        """Raises DataError where there are no prompts, and what opening a voice raises."""
        if not self.reply_voices:
            raise DataError(
                f"{self.prompts / 'reply'} holds no prompt recordings", "put LANG/NAME.wav of 3 to 30 s there"
            )
        self.open(next(iter(self.reply_voices.values())))


Voices = Annotated[Kokoro | CosyVoice2, Field(discriminator="kind")]


class Speech(Frozen):
    """How speech is made, and what of it is good enough."""

    voices: Voices = Kokoro()
    level_dbfs: float = Field(default=-23.0, ge=-60, le=-10)
    """Loudness that every clip is brought to, RMS over the loud parts, before its style makes it softer or
    louder."""
    read_back: str | None = "whisper-base"
    """Weights of the Whisper model that reads every clip back; None believes the voice."""
    max_error: float = Field(default=0.25, ge=0)
    """Character error rate over which a clip is not used."""

    def open(self) -> SpeechMaker:
        """What speaks. Raises MissingExtra, WeightsError or DataError where it could not speak at all."""
        self.voices.check()
        if self.read_back is None:
            return SpeechMaker(self, self.voices.open)
        reader = recogniser(self.read_back)
        return SpeechMaker(self, self.voices.open, reader, reader.careful)


class Unspoken(Exception):
    """Raised for words that give no usable speech: why, in a short phrase, and details."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Said:
    """A recording that was made: its reference in the workspace, and its length."""

    audio: str
    seconds: float


class SpeechMaker:
    """Makes speech in the voices that `open_voice` opens, each opened once."""

    def __init__(
        self,
        speech: Speech,
        open_voice: Callable[[str], Voice],
        recognise: Recogniser | None = None,
        recognise_carefully: Recogniser | None = None,
    ) -> None:
        """Args: recognise_carefully: a second, slower reading before a clip is given up."""
        self.speech = speech
        self._voice = lru_cache(maxsize=64)(open_voice)
        self._readings = [read for read in (recognise, recognise_carefully) if read is not None]
        self._folder: Path | None = None
        self._made: dict[str, Future[Said]] = {}  # by name, of the shard in hand
        self._lock, self._opening = Lock(), Lock()

    def say(self, text: str, lang: str, voice: str, style: Style, workspace: Workspace) -> Said:
        """A recording of the text; several threads may ask. Raises Unspoken where none can be used."""
        shaping = (
            text,
            lang,
            voice,
            asdict(style),
            self.speech.level_dbfs,
            self.speech.voices.model_dump(mode="json"),
        )
        name = f"{voice.replace('/', '-')}-{content_id(*shaping)}"
        with self._lock:
            if workspace.folder != self._folder:
                self._folder, self._made = workspace.folder, {}
            made, mine = self._made.get(name), Future[Said]()
            if made is None:
                self._made[name] = mine
        if made is None:
            try:
                mine.set_result(self._make(name, text, lang, voice, style, workspace))
            except BaseException as fault:
                mine.set_exception(fault)
        return (made or mine).result()

    def _make(self, name: str, text: str, lang: str, voice: str, style: Style, workspace: Workspace) -> Said:
        reference = f"{WORK}{name}.ogg"
        try:
            if not workspace.has(name):  # an interrupted build may have left it there
                with self._opening:
                    speaking = self._voice(voice)
                chunks = list(speaking.speak(text, style))
                if not chunks:
                    raise Unspoken("nothing to speak", text)
                level_dbfs = self.speech.level_dbfs + 20 * math.log10(style.gain)
                samples = at_level(np.concatenate(chunks), speaking.sample_rate, level_dbfs)
                reference = workspace.save(name, samples, speaking.sample_rate)
            recording = workspace.recording(reference)
        except HarkenError as error:
            raise Unspoken("cannot be spoken", f"{error.message} (voice {voice}): {text}") from None
        self._check(recording.samples, text, lang)
        return Said(reference, round(recording.seconds, 3))

    def _check(self, samples: Samples, text: str, lang: str) -> None:
        """Raises Unspoken where every reading is too far from the text."""
        heard, error = "", math.inf
        for read in self._readings:
            heard = read(samples, lang)
            error = character_error_rate(text, heard, lang)
            if error <= self.speech.max_error:
                return
        if self._readings:
            raise Unspoken("cannot be read back", f"error {error:.2f}: {text!r} was heard as {heard!r}")


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` on every item, in order; as many at once as this process has cores."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    at_once = int(granted) if granted.isdecimal() and int(granted) else cores()
    with ThreadPoolExecutor(at_once, thread_name_prefix="harken-speech") as pool:
        yield from pool.map(work, items)


def at_level(samples: Samples, sample_rate: int, level_dbfs: float) -> Samples:
    """(N,) samples brought to a loudness; where a peak would pass ±1, as near as there is room."""
    loudness = loudness_dbfs(samples, sample_rate)
    return level(samples, 10 ** ((level_dbfs - loudness) / 20)) if loudness > -math.inf else samples


def loudness_dbfs(samples: Samples, sample_rate: int) -> float:
    """RMS over the loud parts, in dB of full scale; -inf for silence."""
    size = max(1, int(LOUD_FRAME_S * sample_rate))
    frames = (
        samples[: samples.size // size * size].reshape(-1, size) if samples.size >= size else samples[None]
    )
    power = np.square(frames, dtype=np.float64).mean(axis=1)  # (frames,)
    loud = power[power >= power.max(initial=0.0) * 10 ** (-LOUD_RANGE_DB / 10)]
    mean = float(loud.mean()) if loud.size else 0.0
    return 10 * math.log10(mean) if mean > 0 else -math.inf
