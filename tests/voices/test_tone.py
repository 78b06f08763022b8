"""The voice without weights keeps the same promises as a real one."""

import numpy as np

from harken.testing import ToneVoice
from harken.voices.base import Style, Voice, level


def test_obeys_text_and_style() -> None:
    voice: Voice = ToneVoice()
    (plain,) = voice.speak("One two three four five.")
    (slow,) = voice.speak("One two three four five.", Style(speed=0.5, gain=0.5))
    assert plain.dtype == np.float32 and slow.size == 2 * plain.size
    assert np.abs(slow).max() < 0.6 * np.abs(plain).max()
    assert len(list(voice.speak("This is the first one. This is the second one."))) == 2
    assert list(voice.speak("... 😀")) == []


def test_level_never_passes_full_scale() -> None:
    wave = np.array([0.5, -0.8], np.float32)
    np.testing.assert_allclose(level(wave, 0.5), [0.25, -0.4])
    np.testing.assert_allclose(level(wave, 5.0), [0.625, -1.0])
    assert level(np.zeros(3, np.float32), 2.0).tolist() == [0, 0, 0]
