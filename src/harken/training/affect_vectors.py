"""What the trained readout makes of people who acted an emotion: the vectors that stand before the words.

A sample about a synthesised turn takes a person's vector of the annotated emotion, since a voice that acts by
rule teaches nothing about how people sound.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from harken.affect.labels import READOUT_CLASSES, to_emotion
from harken.model.affect_readout import load_readout
from harken.training.readout_clips import pooled_clips, read_manifest
from harken.training.saving import digest


@torch.no_grad()
def people_vectors(people: Path, whisper: Path, readout: Path, cache: Path) -> dict[str, Tensor]:
    """Emotion -> (M, V) vectors of the train speakers' clips.

    Args:
        people: a folder of people's emotional speech (see `readout_clips`).
        readout: the trained readout's file.
        cache: where pooled encoder states are kept.
    """
    trained = load_readout(readout)
    clips = pooled_clips(people, whisper, trained.config.layers, cache)
    clips = clips.where(clips.split == "train")
    vectors = trained.read(torch.from_numpy(clips.pooled).flatten(2)).vector  # (N, V)
    emotions = [to_emotion(READOUT_CLASSES[i]) for i in clips.emotion]
    return {
        emotion: vectors[torch.tensor([e == emotion for e in emotions])] for emotion in sorted(set(emotions))
    }


def people_digest(people: Path, readout: Path) -> str:
    """Names the vectors by what they are made of: numbers have another last bit on another processor."""
    clips = [(row["path"], row["split"], row["emotion"]) for row in read_manifest(people)]
    return digest([readout.read_bytes(), clips])
