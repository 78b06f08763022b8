"""How well affect is read off people's speech that the readout has not heard, beside a linear probe.

The probe is what the readout has to beat: mean and standard deviation over all frames of the encoder's layers
2 to 5, scaled, into a logistic regression. In every protocol both train on the same clips, in the same run,
and are judged on the same others; the difference comes with a paired bootstrap interval, over clips and over
speakers. Synthesised voices take no part: their emotion is acted by rule. Training what ships is left to
`harken.training.readout`.

Protocols (R = RAVDESS, N = nEMO's train speakers): unseen speakers (4 folds of R's actors), the same with N
added to each fold's training, the other sentence (all actors), the other sentence by unseen speakers, and the
other corpus.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harken.affect.labels import READOUT_CLASSES
from harken.errors import DataError, MissingExtra
from harken.evaluation.statistics import (
    Interval,
    expected_calibration_error,
    paired_bootstrap,
    recall_ratios,
)
from harken.training.readout import calibrate, fit_readout, read_clips, readout_config
from harken.training.readout_clips import PooledClips, pooled_clips

log = logging.getLogger(__name__)

PROBE_LAYERS = (2, 3, 4, 5)
FOLDS = 4
SHARED = ("anger", "fear", "happy", "neutral", "sad", "surprise")
"""The labels that RAVDESS and nEMO both have."""

_CALM, _NEUTRAL = READOUT_CLASSES.index("calm"), READOUT_CLASSES.index("neutral")

Logits = NDArray[np.float64]
System = Callable[[PooledClips, PooledClips, int], Logits]
"""(train, test, seed) -> (N, C) logits of the test clips."""


@dataclass(frozen=True)
class Split:
    """Train on these, test on those."""

    train: PooledClips
    test: PooledClips


@dataclass(frozen=True)
class Protocol:
    """A question put to both systems: one or more splits, judged together."""

    name: str
    trained_on: str
    tested_on: str
    splits: tuple[Split, ...]
    labels: tuple[str, ...] = READOUT_CLASSES


@dataclass(frozen=True)
class Row:
    """One line of the table. Recall is unweighted; differences are readout minus probe."""

    protocol: str
    trained_on: str
    tested_on: str
    classes: int
    clips: int
    speakers: int
    recall: float
    probe_recall: float
    difference: Interval  # 95 %, clips resampled
    difference_by_speaker: Interval | None  # 95 %, speakers resampled; None for fewer than eight
    calibration_error: float
    probe_calibration_error: float


@dataclass(frozen=True)
class AffectReport:
    """The table, and what made it."""

    seed: int
    table: tuple[Row, ...]

    def rows(self) -> list[dict[str, object]]:
        """JSON-safe, one object a line of the table; intervals are [value, low, high]."""
        return [
            {
                name: list(dataclasses.astuple(value)) if isinstance(value, Interval) else value
                for name, value in vars(row).items()
            }
            for row in self.table
        ]


def evaluate_affect(
    data: Path,
    whisper: Path,
    seed: int = 0,
    *,
    cache: Path,
) -> AffectReport:
    """Put every protocol to the readout and to the probe.

    Args:
        data: a folder of emotional speech with RAVDESS and nEMO (see `harken.training.readout_clips`).
        whisper: a Whisper model in transformers' layout.
        seed: trains the readout, and draws bootstrap samples.
        cache: a folder for the clips' pooled states.
    """
    config = readout_config(whisper)
    clips = pooled_clips(data, whisper, config.layers, cache)

    def readout(train: PooledClips, test: PooledClips, seed: int) -> Logits:
        logits, _ = read_clips(fit_readout(train, config, seed=seed), test)
        return np.asarray(logits, dtype=float)

    probe = probe_of([config.layers.index(layer) for layer in PROBE_LAYERS])
    table: list[Row] = []
    for protocol in protocols(clips):
        judged = compare(protocol, readout, probe, seed)
        table += judged
        for row in judged:
            log.info(
                "%s, %d classes: %.3f, probe %.3f", row.protocol, row.classes, row.recall, row.probe_recall
            )
    return AffectReport(seed, tuple(table))


def protocols(clips: PooledClips) -> Iterator[Protocol]:
    """The protocols, over all clips there are."""
    ravdess, nemo = (clips.where(clips.corpus == corpus) for corpus in ("ravdess", "nemo"))
    if not len(ravdess) or not len(nemo):
        raise DataError("the evaluation needs RAVDESS and nEMO", "name a folder that holds both")
    nemo_train = nemo.where(nemo.split == "train")
    folds = speaker_folds(ravdess)
    splits = tuple(Split(ravdess.where(~fold), ravdess.where(fold)) for fold in folds)
    added = tuple(Split(split.train.joined(nemo_train), split.test) for split in splits)
    first = ravdess.sentence == np.unique(ravdess.sentence)[0]
    yield Protocol("unseen speakers", "R", "R", splits)
    yield Protocol("unseen speakers", "R + N", "R", added)
    yield Protocol(
        "other sentence", "R", "R",
        tuple(Split(ravdess.where(~said), ravdess.where(said)) for said in (first, ~first)),
    )  # fmt: skip
    yield Protocol(
        "other sentence, unseen speakers", "R", "R",
        tuple(
            Split(ravdess.where(~fold & ~said), ravdess.where(fold & said))
            for fold in folds for said in (first, ~first)
        ),
    )  # fmt: skip
    shared = [READOUT_CLASSES.index(label) for label in SHARED]
    ravdess, nemo = (part.where(np.isin(part.emotion, shared)) for part in (ravdess, nemo))
    nemo_train, nemo_dev = nemo.where(nemo.split == "train"), nemo.where(nemo.split == "dev")
    yield Protocol("other corpus", "R", "N dev", (Split(ravdess, nemo_dev),), SHARED)
    yield Protocol("other corpus", "N", "R", (Split(nemo_train, ravdess),), SHARED)


def speaker_folds(clips: PooledClips, count: int = FOLDS) -> list[NDArray[np.bool_]]:
    """Masks of `count` groups of neighbouring speakers; each clip is in one."""
    speakers = np.unique(clips.speaker)
    if len(speakers) < count:
        raise DataError(f"{count} folds need as many speakers, there are {len(speakers)}", "add clips")
    return [np.isin(clips.speaker, part) for part in np.array_split(speakers, count)]


def compare(protocol: Protocol, readout: System, probe: System, seed: int = 0) -> list[Row]:
    """Both systems on every split, judged together; where calm is a label, once more with it as neutral."""
    emotion = np.concatenate([split.test.emotion for split in protocol.splits])
    speaker = np.concatenate([split.test.speaker for split in protocol.splits])
    ours, theirs = (
        _calibrated([system(split.train, split.test, seed) for split in protocol.splits], protocol)
        for system in (readout, probe)
    )
    rows = [_row(protocol, seed, emotion, speaker, ours, theirs)]
    if "calm" in protocol.labels:
        as_neutral = np.where(emotion == _CALM, _NEUTRAL, emotion)
        folded = (calm_as_neutral(ours), calm_as_neutral(theirs))
        rows.append(_row(protocol, seed, as_neutral, speaker, *folded))
    return rows


def calm_as_neutral(probabilities: Logits) -> Logits:
    """(N, C) with calm's probability moved to neutral."""
    folded = probabilities.copy()
    folded[:, _NEUTRAL] += folded[:, _CALM]
    folded[:, _CALM] = 0
    return folded


def probe_of(positions: list[int]) -> System:
    """The probe on the pooled layers at these positions."""

    def probe(train: PooledClips, test: PooledClips, seed: int) -> Logits:
        try:
            from sklearn.linear_model import LogisticRegression
            from sklearn.preprocessing import StandardScaler
        except ImportError:
            raise MissingExtra("the affect probe", "eval") from None
        scaler = StandardScaler()
        model = LogisticRegression(C=0.005, max_iter=500)
        model.fit(scaler.fit_transform(train.pooled[:, 0, positions].reshape(len(train), -1)), train.emotion)
        logits = np.full((len(test), len(READOUT_CLASSES)), -np.inf)
        tested = scaler.transform(test.pooled[:, 0, positions].reshape(len(test), -1))
        logits[:, model.classes_] = model.predict_log_proba(tested)
        return logits

    return probe


def _calibrated(parts: list[Logits], protocol: Protocol) -> Logits:
    """Probabilities over the protocol's labels; temperatures fitted on other splits.

    A split's temperature comes from the test clips of the others; with one split it stays 1.
    """
    hidden = [name not in protocol.labels for name in READOUT_CLASSES]
    parts = [np.where(hidden, -np.inf, part) for part in parts]
    probabilities = []
    for number, part in enumerate(parts):
        others = [other for other in range(len(parts)) if other != number]
        temperature = 1.0
        if others:
            logits = torch.from_numpy(np.concatenate([parts[other] for other in others]))
            truth = torch.from_numpy(
                np.concatenate([protocol.splits[other].test.emotion for other in others])
            )
            temperature = calibrate(logits, truth)
        probabilities.append(torch.from_numpy(part / temperature).softmax(-1).numpy())
    return np.concatenate(probabilities)


def _row(
    protocol: Protocol,
    seed: int,
    emotion: NDArray[np.int64],
    speaker: NDArray[np.str_],
    ours: Logits,
    theirs: Logits,
) -> Row:
    mine, other = (recall_ratios(emotion, p.argmax(-1)) for p in (ours, theirs))
    speakers = len(np.unique(speaker))
    return Row(
        protocol=protocol.name,
        trained_on=protocol.trained_on,
        tested_on=protocol.tested_on,
        classes=len(np.unique(emotion)),
        clips=len(emotion),
        speakers=speakers,
        recall=mine.value(),
        probe_recall=other.value(),
        difference=paired_bootstrap(mine, other, seed=seed),
        difference_by_speaker=paired_bootstrap(mine, other, speaker, seed=seed) if speakers >= 8 else None,
        calibration_error=expected_calibration_error(ours, emotion),
        probe_calibration_error=expected_calibration_error(theirs, emotion),
    )
