"""Whether the cause that the model names for a heard feeling is the one that people marked.

The turn is heard, the turns before it are text, and the model opens its think block. What it names is
compared with the annotated spans of RECCON, beside the same core reading the true words, and beside two
trivial answers: the whole turn, and the turn before. How often a turn that people marked as neutral is called
so stands beside, since who finds a feeling in all that is said misses no cause. Recordings are synthesised,
so how they sound follows the annotated emotion by rule: emotion figures say what a trace states, not how well
people's feelings are heard (that is `harken.evaluation.affect`'s).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harken.data.dialogues import Dialogue, Utterance
from harken.data.speech import Clip
from harken.dialogue.render import THINK_CLOSE, THINK_OPEN, Turn, UserTurn, parse_trace
from harken.errors import DataError
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.statistics import Ratios, paired_bootstrap, recall_ratios
from harken.evaluation.writing import Writer
from harken.training.samples import history

HEARD, READ = "speech", "true words"
METHOD = (
    "cause against the annotated spans, the best of them: F1 of words as in SQuAD (no case, punctuation, "
    "articles), exact = the same words, within = part of a span; a trace that names none scores 0; "
    "95 % by bootstrap over dialogues; greedy"
)

Named = tuple[str | None, str | None]
"""The emotion and the cause that a trace states."""


@dataclass(frozen=True)
class SpokenTurn:
    """An annotated turn and a recording of it."""

    dialogue: Dialogue
    turn: Utterance
    clip: Clip

    @property
    def past(self) -> tuple[Turn, ...]:
        """The turns before it, as the core was trained to see them."""
        return history(self.dialogue, self.turn)

    @property
    def previous(self) -> str | None:
        before = self.dialogue.before(self.turn.number)
        return before[-1].text if before else None


def spoken_turns(dialogues: Iterable[Dialogue], clips: Iterable[Clip]) -> list[SpokenTurn]:
    """Dev turns with annotated causes and a recording: a clip of the same group with the same words.

    Raises: DataError where there is none.
    """
    found = [said for said in _recorded(dialogues, clips) if said.turn.causes]
    if not found:
        raise DataError(
            "no dev turn with an annotated cause is spoken in these recordings", "render dev turns of reccon"
        )
    return found


def neutral_turns(dialogues: Iterable[Dialogue], clips: Iterable[Clip]) -> list[SpokenTurn]:
    """Dev turns that are marked as neutral, and a recording of them."""
    return [said for said in _recorded(dialogues, clips) if said.turn.emotion == "neutral"]


def _recorded(dialogues: Iterable[Dialogue], clips: Iterable[Clip]) -> Iterator[SpokenTurn]:
    recorded = {(clip.group, clip.text): clip for clip in clips}
    for dialogue in dialogues:
        for turn in dialogue.turns:
            if dialogue.split == "dev" and (dialogue.group, turn.text) in recorded:
                yield SpokenTurn(dialogue, turn, recorded[dialogue.group, turn.text])


def evaluate_attribution(
    writer: Writer, turns: Sequence[SpokenTurn], neutral: Sequence[SpokenTurn] = (), seed: int = 0
) -> Report:
    """Overlap of the named causes with the annotated ones, and the named emotions.

    Args: neutral: turns that are marked as such.
    """
    named: dict[str, Sequence[Named]] = {
        **stated(writer, turns),
        "baseline: the whole turn": [(None, turn.turn.text) for turn in turns],
        "baseline: the turn before": [(None, turn.previous) for turn in turns],
    }
    scores = {system: score(turns, answers) for system, answers in named.items()}
    groups, n = [turn.dialogue.id for turn in turns], len(turns)
    rows: list[Row] = []
    for system, measures in scores.items():
        for measure, ratios in measures.items():
            if system in (HEARD, READ) or measure.startswith("cause"):
                rows.append(figure("reccon dev", system, measure, bootstrap(ratios, groups, seed), n))
    for measure, ours in scores[HEARD].items():
        difference = paired_bootstrap(ours, scores[READ][measure], groups, seed=seed)
        rows.append(figure("reccon dev", f"{HEARD} - {READ}", measure, difference, n))
    commonest, times = Counter(turn.turn.emotion for turn in turns).most_common(1)[0]
    rows.append(figure("reccon dev", f"baseline: always {commonest}", "emotion accuracy", times / n, n))
    rows += called_neutral(writer, neutral, seed) if neutral else []
    counts = {
        "turns": n,
        "neutral turns": len(neutral),
        "dialogues": len(set(groups)),
        "emotions": dict(Counter(str(t.turn.emotion) for t in turns)),
    }
    return Report("attribution", {"data": counts, "method": METHOD}, tuple(rows))


def called_neutral(writer: Writer, turns: Sequence[SpokenTurn], seed: int = 0) -> list[Row]:
    """How often turns that are marked as neutral are called so."""
    groups = [turn.dialogue.id for turn in turns]
    return [
        figure(
            "reccon dev, neutral turns", system, "emotion accuracy",
            bootstrap(per_item([emotion == "neutral" for emotion, _ in answers]), groups, seed), len(turns),
        )
        for system, answers in stated(writer, turns).items()
    ]  # fmt: skip


def stated(writer: Writer, turns: Sequence[SpokenTurn]) -> dict[str, list[Named]]:
    """What the model states of turns that it hears, and of their true words."""
    heard = [said.embeddings for said in writer.hear([turn.clip.samples() for turn in turns])]
    return {
        HEARD: think(writer, [(turn.past, UserTurn(said)) for turn, said in zip(turns, heard, strict=True)]),
        READ: think(writer, [(turn.past, UserTurn(turn.turn.text)) for turn in turns]),
    }


def think(writer: Writer, asked: Sequence[tuple[tuple[Turn, ...], UserTurn]]) -> list[Named]:
    """What the model states in the think block that it opens, for each (past turns, last turn)."""
    prompts = [writer.prompt([*past, last], THINK_OPEN) for past, last in asked]
    traces = writer.write(prompts, writer.model.recipe.max_trace_tokens, THINK_CLOSE.strip())
    return [parse_trace(trace.text) for trace in traces]


def score(turns: Sequence[SpokenTurn], answers: Sequence[Named]) -> dict[str, Ratios]:
    """Every measure over turns, as `Ratios`."""

    def mean_of(measure: Callable[[str, str], float]) -> Ratios:
        pairs = zip(turns, answers, strict=True)
        return per_item(
            [max(measure(cause or "", span) for span in turn.turn.causes) for turn, (_, cause) in pairs]
        )

    truth = np.array([turn.turn.emotion or "neutral" for turn in turns])
    stated = np.array([emotion or "none" for emotion, _ in answers])
    return {
        "cause F1": mean_of(token_f1),
        "cause exact": mean_of(exact),
        "cause within": mean_of(within),
        "cause named": per_item([cause is not None for _, cause in answers]),
        "emotion accuracy": per_item(truth == stated),
        "emotion UAR": recall_ratios(truth, stated),
    }


def token_f1(named: str, span: str) -> float:
    """Harmonic mean of precision and recall of words, as SQuAD counts them; 0 where either has no words."""
    ours, theirs = words(named), words(span)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def exact(named: str, span: str) -> float:
    """1 where both are the same words."""
    return float(bool(words(named)) and words(named) == words(span))


def within(named: str, span: str) -> float:
    """1 where the named words are a run of the span's words."""
    ours, theirs = words(named), words(span)
    runs = (theirs[start : start + len(ours)] for start in range(len(theirs) - len(ours) + 1))
    return float(bool(ours) and ours in runs)


def words(text: str) -> list[str]:
    """Lower case, without punctuation and articles."""
    text = text.lower().replace("’", "'").translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()
