"""Replies of a model under training, as a user would hear them: its parts are kept, loaded and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harken.data.speech import Clip
from harken.dialogue.events import AudioChunk, Done
from harken.training.callbacks import SampleReply


def sample_replies(
    keep: Callable[[Path], None], folder: Path, clips: Sequence[Clip]
) -> Callable[[], list[tuple[str, SampleReply]]]:
    """Replies for the callback `Samples`. Args: keep: writes the parts as they are now into a folder."""

    def replies() -> list[tuple[str, SampleReply]]:
        from harken.api import load

        keep(folder)
        harken = load(trained=folder)
        found = []
        for clip in clips:
            events = list(harken.reply((clip.samples(), 16000), think="off"))
            chunks = [event for event in events if isinstance(event, AudioChunk)]
            (done,) = (event for event in events if isinstance(event, Done))
            sound = np.concatenate([chunk.samples for chunk in chunks]) if chunks else None
            found.append((clip.text, (done.reply, sound, chunks[0].sample_rate if chunks else 0)))
        return found

    return replies
