"""emotion2vec+ through FunASR (extra `emotion2vec`): a larger labeler, for machines with a hub or a copy.

It knows nine labels; "other" and "<unk>" are abstentions. Some releases of FunASR left only five of the nine
unmasked and gave the rest no probability at all: such a one is refused, by its first readings, rather than
believed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from harken.affect.labels import EMOTIONS, to_emotion
from harken.audio.io import SAMPLE_RATE_HZ, Recording
from harken.data.labelers.base import Reading, check_frozen, check_pin, rounded, sha256_of
from harken.errors import HarkenError, MissingExtra, WeightsError
from harken.recipes import Frozen

LABELS = ("angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "<unk>")
MASKED = ("disgusted", "fearful", "surprised")
"""What faulty releases give no probability."""


class Emotion2vec(Frozen):
    """emotion2vec+ (FunASR Model License 1.1)."""

    kind: Literal["emotion2vec"] = "emotion2vec"
    model: str = "iic/emotion2vec_plus_large"
    """A name at ModelScope, or a folder."""
    revision: str | None = None
    """What the weights' hash begins with; others are refused."""


class Emotion2vecLabeler:
    """emotion2vec+, loaded by FunASR."""

    def __init__(self, config: Emotion2vec) -> None:
        try:
            from funasr import AutoModel
        except ImportError:
            raise MissingExtra("labelling with emotion2vec", "emotion2vec") from None
        if Path(config.model).is_dir():
            check_frozen(Path(config.model))
        try:
            self._model: Any = AutoModel(
                model=config.model, disable_update=True, disable_pbar=True, log_level="ERROR"
            )
        except Exception as error:  # of FunASR, ModelScope or the network: they share no base
            raise WeightsError(
                f"{config.model} cannot be loaded: {str(error).splitlines()[0] if str(error) else error!r}",
                "give the folder of a copy as the labeler's model",
            ) from None
        self.name = Path(config.model).name
        self.revision = sha256_of(*_weights(config.model, self._model))[:12]
        check_pin(self.name, self.revision, config.revision)
        self._checked = False

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        """Raises WeightsError where labels are masked."""
        return [self._read(recording) for recording in recordings]

    def _read(self, recording: Recording) -> Reading | HarkenError:
        try:
            (given,) = self._model.generate(
                recording.samples, fs=SAMPLE_RATE_HZ, granularity="utterance", extract_embedding=False
            )
        except Exception as error:  # whatever a foreign model raises about one recording
            return HarkenError(f"{recording.name}: {self.name} cannot read it: {error!r}")
        scores = {
            str(name).rpartition("/")[2]: float(p)
            for name, p in zip(given["labels"], given["scores"], strict=True)
        }
        self._check(scores)
        heard = dict.fromkeys(EMOTIONS, 0.0)
        for name, score in scores.items():
            heard[to_emotion(name)] += score  # "<unk>" is unknown, and so other
        return Reading(rounded(heard))

    def _check(self, scores: dict[str, float]) -> None:
        """Nine labels, and mass on those that faulty releases mask: none at all is no judgement."""
        if self._checked:
            return
        masked = [name for name in MASKED if not scores.get(name, 0.0) > 0.0]
        if set(scores) != set(LABELS) or masked or not math.isclose(sum(scores.values()), 1.0, abs_tol=0.01):
            found = ", ".join(f"{name} {score:.3g}" for name, score in scores.items())
            raise WeightsError(
                f"{self.name} does not give its nine labels unmasked: {found}",
                "install a newer FunASR (pip install -U funasr), or fetch the model again",
            )
        self._checked = True


def _weights(name: str, model: Any) -> list[Path]:
    """The files of weights in the folder that FunASR loaded the model from."""
    folder = Path(str(getattr(model, "model_path", None) or name))
    files = sorted(path for ending in ("*.pt", "*.safetensors") for path in folder.glob(ending))
    if not files:
        raise WeightsError(f"{folder} holds no weights of {name}", "give the model's folder")
    return files
