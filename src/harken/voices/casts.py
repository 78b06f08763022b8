"""Which synthetic voices may be heard in training, which in development and which only in judging.

A model that has heard a voice in training looks better on that voice than on people it will meet: the casts
share no voice, and whatever renders speech asks `check_cast` first. Names are Kokoro-82M's: a = American, b =
British, z = Mandarin; f = female, m = male. `af_bella+am_adam` is a blend, half of each.
"""

from __future__ import annotations

import random
from itertools import combinations

from harken.errors import DataError

DEV_VOICES = ("af_nova", "am_puck", "bf_lily", "bm_lewis", "zf_xiaoni", "zm_yunxi")
JUDGING_VOICES = ("af_sky", "am_echo", "bf_emma", "bm_fable", "zf_xiaoyi", "zm_yunyang")
TRAINING_VOICES = (
    *(
        "af_alloy",
        "af_aoede",
        "af_bella",
        "af_heart",
        "af_jessica",
        "af_kore",
        "af_nicole",
        "af_river",
        "af_sarah",
    ),
    *("am_adam", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_santa"),
    *("bf_alice", "bf_isabella", "bm_daniel", "bm_george"),
    *("zf_xiaobei", "zf_xiaoxiao", "zm_yunjian", "zm_yunxia"),
)
REPLY_VOICES = {"en": "af_heart", "zh": "zf_xiaoxiao"}
"""The assistant's own voice in each language."""

CASTS = {"train": TRAINING_VOICES, "dev": DEV_VOICES, "test": JUDGING_VOICES}
_LANGUAGES = {"a": "en", "b": "en", "z": "zh"}


BLEND = "+"
_SHARES = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1))  # of the two voices in a blend


def parts(voice: str) -> list[str]:
    """The voices in a blend, each as often as it counts; of any other voice, itself."""
    return voice.split(BLEND)


def language(voice: str) -> str:
    """`en` or `zh`. Raises DataError for a voice of neither, and for a blend of both."""
    spoken = {_LANGUAGES.get(part[:1]) for part in parts(voice)}
    if None in spoken or len(spoken) > 1:
        wrong = "speaks neither English nor Chinese" if None in spoken else "blends two languages"
        raise DataError(f"voice {voice!r} {wrong}", f"take one of {', '.join(TRAINING_VOICES)}")
    return str(spoken.pop())


def cast(split: str, lang: str) -> list[str]:
    """The voices that may speak in a split, sorted. Raises DataError where there are none."""
    if split not in CASTS:
        raise DataError(f"no voices are cast for split {split!r}", f"splits: {', '.join(CASTS)}")
    voices = sorted(voice for voice in CASTS[split] if language(voice) == lang)
    if not voices:
        raise DataError(f"no voice of split {split!r} speaks {lang!r}", "languages: en, zh")
    return voices


def check_cast(split: str, voice: str) -> None:
    """Raises DataError unless `voice`, and each part of a blend, may be heard in `split`."""
    if split not in CASTS:
        raise DataError(f"no voices are cast for split {split!r}", f"splits: {', '.join(CASTS)}")
    for part in parts(voice):
        if part in CASTS[split]:
            continue
        role = next((f"kept for {name}" for name, voices in CASTS.items() if part in voices), "in no cast")
        raise DataError(
            f"voice {part!r} may not be heard in split {split!r}: it is {role}",
            f"one of {', '.join(CASTS[split])}",
        )


def blends(split: str, lang: str, count: int = 50, seed: int = 0) -> list[str]:
    """Up to `count` distinct voices of a split: its cast, then blends of pairs from it, drawn by `seed`.

    Even blends come before uneven ones. A cast of n voices gives at most n + 5 n (n - 1) / 2.
    Raises DataError as `cast` does.
    """
    voices, dice = cast(split, lang), random.Random(seed)
    chosen = list(voices)
    for first_share, second_share in _SHARES:
        pairs = list(combinations(voices, 2))
        dice.shuffle(pairs)
        chosen += (BLEND.join([a] * first_share + [b] * second_share) for a, b in pairs)
    return chosen[:count]
