"""Answers the recordings in this folder in the model's own voice, and writes the table of README.md.

    python docs/samples/make.py [folder of trained parts]

Every NAME.question.ogg gets a NAME.reply.ogg beside it. What stands in README.md above the table stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soxr

import harken
from harken.audio.io import write
from harken.dialogue.events import AudioChunk, Done, Heard

FOLDER = Path(__file__).parent
OPUS_HZ = 24_000
TABLE = "| recording | heard | reply | sound |"


def main(trained: Path | None = None) -> None:
    """Answer all, and say what was answered."""
    model = harken.load("mini", trained)
    rows = [TABLE, "| --- | --- | --- | --- |"]
    for question in sorted(FOLDER.glob("*.question.ogg")):
        events = list(model.reply(question, think="off"))
        (heard,) = [event for event in events if isinstance(event, Heard)]
        (done,) = [event for event in events if isinstance(event, Done)]
        chunks = [event for event in events if isinstance(event, AudioChunk)]
        name = question.name.removesuffix(".question.ogg")
        answer = question.with_name(f"{name}.reply.ogg")
        wave = soxr.resample(np.concatenate([c.samples for c in chunks]), chunks[0].sample_rate, OPUS_HZ)
        write(answer, wave, OPUS_HZ, encoding="opus")
        likely = sorted(heard.scores.items(), key=lambda item: -item[1])[:2]
        feels = ", ".join(f"{emotion} {score:.2f}" for emotion, score in likely)
        said = f"[{chunks[-1].end_ms / 1000:.1f} s]({answer.name})"
        rows.append(f"| [{name}]({question.name}) | {feels}: “{heard.transcript}” | {done.reply} | {said} |")
    page = FOLDER / "README.md"
    above = page.read_text().split(TABLE)[0] if page.exists() else ""
    page.write_text(above + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
