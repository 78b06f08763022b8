"""How far a labeler can be believed: on dev people's speech, against what was acted or annotated.

Accuracy and unweighted average recall over the labels of each corpus, Cohen's kappa as the agreement with the
annotation beyond chance, how often it abstains at a stated confidence and how accurate the rest is, and the
speaker's gender. RAVDESS's calm counts as neutral. Synthesised voices take no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harken.affect.labels import to_emotion
from harken.audio.io import SAMPLE_RATE_HZ, Recording
from harken.data.labelers.base import Labeler, Reading
from harken.data.speech import Clip
from harken.errors import DataError
from harken.evaluation.clips import drawn
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.statistics import Interval, recall_ratios
from harken.training.readout_clips import read_manifest

MIN_CONFIDENCE = 0.5
"""What the label step asks for by default."""


@dataclass(frozen=True)
class LabelledClip:
    """One dev speaker's clip and what is known of it."""

    clip: Clip
    emotion: str
    gender: str


def people(
    folders: Sequence[Path],
    limit: int | None = None,
    seed: int = 0,
    languages: tuple[str, ...] | None = None,
) -> dict[str, list[LabelledClip]]:
    """Corpus -> its dev clips, `limit` at most of each, drawn by `seed`.

    Args:
        folders: emotional speech, `manifest.jsonl.gz` beside a tar for each corpus.
        languages: only clips in these; None takes all.

    Raises: DataError where a folder is none, or has no dev speakers.
    """
    sets: dict[str, list[LabelledClip]] = {}
    for folder in folders:
        for row in read_manifest(folder):
            if row["split"] == "dev" and (languages is None or row.get("lang", "en") in languages):
                sets.setdefault(row["corpus"], []).append(
                    LabelledClip(_clip(folder, row), to_emotion(row["emotion"]), row["gender"])
                )
    if not sets:
        raise DataError(
            f"no dev speakers in {', '.join(map(str, folders))}", "name a folder of emotional speech"
        )
    return {corpus: drawn(clips, limit, seed) for corpus, clips in sets.items()}


def evaluate_labelers(
    labelers: Sequence[Labeler],
    sets: Mapping[str, Sequence[LabelledClip]],
    seed: int = 0,
    min_confidence: float = MIN_CONFIDENCE,
) -> Report:
    """Every labeler's figures on every corpus."""
    rows = [
        row
        for labeler in labelers
        for corpus, clips in sets.items()
        for row in labeler_figures(labeler, corpus, clips, seed, min_confidence)
    ]
    speakers = {
        corpus: f"{len(clips)} clips, {len({c.clip.voice for c in clips})} dev speakers"
        for corpus, clips in sets.items()
    }
    setting = {
        "data": speakers,
        "min confidence": min_confidence,
        "method": "calm counts as neutral; 95 % by bootstrap over clips",
    }
    return Report("labelers", setting, tuple(rows))


def labeler_figures(
    labeler: Labeler,
    corpus: str,
    clips: Sequence[LabelledClip],
    seed: int = 0,
    min_confidence: float = MIN_CONFIDENCE,
) -> list[Row]:
    """One corpus's figures; a clip that the labeler cannot read counts as an abstention, and so as wrong.

    A figure over the clips that it is sure of, or tells a gender of, is left out where there are none.
    """
    system = f"{labeler.name}@{labeler.revision}"
    readings = [_reading(labeler, clip) for clip in steps(clips, corpus)]
    truth = np.array([clip.emotion for clip in clips])
    heard = np.array([reading.label if reading else "other" for reading in readings])
    sure = np.array([reading is not None and reading.confidence >= min_confidence for reading in readings])
    right = (heard == truth).astype(float)
    measures: dict[str, Interval | float] = {
        "accuracy": bootstrap(per_item(right), seed=seed),
        "unweighted average recall": bootstrap(recall_ratios(truth, heard), seed=seed),
        "agreement (kappa)": kappa(truth, heard),
        "abstains": float(1 - sure.mean()),
    }
    rows = [figure(corpus, system, measure, value, len(clips)) for measure, value in measures.items()]
    if sure.any():
        value = bootstrap(per_item(right * sure, sure.astype(float)), seed=seed)
        rows.append(figure(corpus, system, "accuracy where it does not abstain", value, int(sure.sum())))
    hits = [
        float(reading.gender == clip.gender)
        for clip, reading in zip(clips, readings, strict=True)
        if reading and reading.gender
    ]
    if hits:
        value = bootstrap(per_item(hits), seed=seed)
        rows.append(figure(corpus, system, "gender accuracy", value, len(hits)))
    return rows


def kappa(truth: Sequence[str] | np.ndarray, heard: Sequence[str] | np.ndarray) -> float:
    """Cohen's kappa of two lists of labels: 1 where they agree, 0 where no more than chance would have it."""
    a, b = np.asarray(truth), np.asarray(heard)
    agreed = float((a == b).mean())
    chance = sum(float((a == label).mean() * (b == label).mean()) for label in np.unique(a))
    return (agreed - chance) / (1 - chance) if chance < 1 else 1.0


def _reading(labeler: Labeler, labelled: LabelledClip) -> Reading | None:
    clip = labelled.clip
    (reading,) = labeler.label([Recording(clip.samples(), SAMPLE_RATE_HZ, clip.id)])
    return reading if isinstance(reading, Reading) else None


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    return Clip(
        row["path"], row["text"], row.get("lang", "en"), "dev", "user", float(row.get("seconds", 0.0)),
        row["speaker"], row["emotion"], row["speaker"], row["corpus"], folder / f"{row['corpus']}.tar",
        row["path"],
    )  # fmt: skip
