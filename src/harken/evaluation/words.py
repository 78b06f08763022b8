"""Which words survive hearing: word error rate of the heard transcript and of the core asked to repeat what
it heard.

Text is made comparable by `normalise`: lower case, no punctuation, numbers as they are written, the same
for every system; a Chinese character counts as a word. Whisper's own decoder stands beside, on the same
recordings. The recordings are `harken.evaluation.clips`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harken.errors import MissingExtra

if TYPE_CHECKING:
    from harken.data.speech import Clip
    from harken.evaluation.cascade import Transcribe
    from harken.evaluation.report import Report
    from harken.evaluation.statistics import Ratios
    from harken.evaluation.writing import Writer

REPEAT_TOKENS = 96
"""Longest repetition: three times an average clip."""


def normalise(text: str) -> str:
    """Lower case, apostrophes kept, other punctuation and bracketed tags dropped, Chinese characters apart,
    single spaces.
    """
    text = re.sub(r"\[[^\]]*\]", " ", text.lower().replace("’", "'"))
    return " ".join(re.sub(r"([㐀-鿿])", r" \1 ", re.sub(r"[^a-z0-9' 㐀-鿿]+", " ", text)).split())


def word_error_rate(references: Sequence[str], heard: Sequence[str]) -> float:
    """Substituted, inserted and missed words as a share of the reference's words, over all pairs together."""
    counts = _word_errors(references, heard)
    words = sum(reference for _, reference in counts)
    return sum(errors for errors, _ in counts) / words if words else 0.0


def word_errors(references: Sequence[str], heard: Sequence[str]) -> Ratios:
    """Word error rate as a figure over clips: errors above the line, the reference's words below."""
    from harken.evaluation.report import per_item

    counts = _word_errors(references, heard)
    return per_item([errors for errors, _ in counts], [words for _, words in counts])


def evaluate_words(
    writer: Writer, transcribe: Transcribe, sets: Mapping[str, list[Clip]], seed: int = 0
) -> Report:
    """Word error rate of transcript, repetition and Whisper's decoder on every set of clips.

    Args:
        writer: holds the model.
        transcribe: Whisper's own decoder.
        sets: name -> clips, as `harken.evaluation.clips` gives them.
    """
    from harken.dialogue.render import REPEAT, UserTurn
    from harken.evaluation.report import Report, bootstrap, figure

    rows = []
    for name, clips in sets.items():
        recordings = [clip.samples() for clip in clips]
        heard = writer.hear(recordings)
        asked = [writer.prompt([UserTurn(turn.embeddings, REPEAT)]) for turn in heard]
        systems: dict[str, list[str]] = {
            "repeat": [written.text for written in writer.write(asked, REPEAT_TOKENS)],
            "Whisper's decoder": transcribe(recordings),
        }
        transcripts = [turn.transcript for turn in heard if turn.transcript is not None]
        if len(transcripts) == len(heard):  # not every bridge spells what it hears
            systems = {"transcript": transcripts, **systems}
        for system, texts in systems.items():
            errors = word_errors([clip.text for clip in clips], texts)
            rows.append(figure(name, system, "word error rate", bootstrap(errors, seed=seed), len(clips)))
    counts = {
        name: f"{len(clips)} clips, {sum(c.seconds for c in clips):.0f} s" for name, clips in sets.items()
    }
    method = "lower case, no punctuation, numbers as written; 95 % by bootstrap over clips; all greedy"
    return Report("words", {"data": counts, "method": method}, tuple(rows))


def _word_errors(references: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """(errors, reference's words) a pair; pairs without reference words are left out."""
    try:
        import jiwer
    except ImportError:
        raise MissingExtra("word error rate", "eval") from None
    pairs = [(r, normalise(h)) for r, h in zip(map(normalise, references), heard, strict=True) if r]
    counted = [jiwer.process_words(reference, text) for reference, text in pairs]
    return [
        (c.substitutions + c.deletions + c.insertions, c.hits + c.substitutions + c.deletions)
        for c in counted
    ]
