"""The recordings of a set: users' turns in the voices kept for judging, and people's takes, as Ogg Opus.

A recording is named by its turn and by a hash of all that shapes it, so that one that stands is kept and one
that would sound otherwise is made. A speaker has one voice and one pace in all turns; the style follows the
annotated emotion.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from harken.audio.io import write
from harken.data.render import PACE, make_folder
from harken.data.rows import content_id
from harken.data.speech import Clip
from harken.voices import casts
from harken.voices.base import Style, Voice
from harken.voices.styles import user_style

FOLDER = "audio"
OpenVoice = Callable[[str], Voice]


@dataclass(frozen=True)
class Speaker:
    """A synthetic voice and how fast it speaks, as a factor on the style's speed."""

    voice: str
    pace: float


def cast_speaker(key: str, lang: str, gender: str | None, seed: int) -> Speaker:
    """Who speaks all turns of `key`: one of the voices kept for judging, of the gender where it is known.

    Raises: DataError where no such voice speaks the language.
    """
    voices = casts.cast("test", lang)
    fitting = [voice for voice in voices if gender is not None and voice[1] == gender[0]] or voices
    dice = random.Random(content_id("speaker", key, seed))
    return Speaker(dice.choice(fitting), round(dice.uniform(*PACE), 3))


class Recordings:
    """Makes what is not there yet, under `out`/audio.

    Args: open_voice: the voice of a name; each is opened once.
    """

    def __init__(self, out: Path, open_voice: OpenVoice) -> None:
        make_folder(out / FOLDER)
        self._out = out
        self._voice = lru_cache(maxsize=None)(open_voice)
        self.made = 0
        """Recordings that did not stand already."""

    def spoken(self, turn: str, text: str, emotion: str, speaker: Speaker) -> str | None:
        """The file of a turn spoken in the emotion's style, relative to `out`; None where nothing can be
        spoken. Raises: HarkenError of the voice, InputError where it cannot be written."""
        rule = user_style(emotion)
        style = Style(rule.speed * speaker.pace, rule.prosody_scale, rule.gain)
        name = _name(turn, text, speaker.voice, style.speed, style.prosody_scale, style.gain)
        if not (self._out / name).is_file():
            voice = self._voice(speaker.voice)
            samples = np.concatenate([np.zeros(0, np.float32), *voice.speak(text, style)])
            if not samples.size:
                return None
            write(self._out / name, samples, voice.sample_rate, encoding="opus")
            self.made += 1
        return name

    def copied(self, turn: str, clip: Clip) -> str:
        """The file of a person's take, relative to `out`. Raises: DataError where it cannot be had."""
        name = _name(turn, clip.source, clip.id)
        if not (self._out / name).is_file():
            part = self._out / f"{name}.part"
            part.write_bytes(clip.file_bytes())
            part.replace(self._out / name)
            self.made += 1
        return name


def _name(turn: str, *shaped_by: object) -> str:
    return f"{FOLDER}/{turn}-{content_id(*shaped_by)[:8]}.ogg"
