"""`harken evaluate empathy-scorer`: train the scorer of empathy, and say how far it can be trusted.

OUT/empathy_scorer.safetensors    the heads, with the recipe whose core they are for
OUT/readings/                     what the core made of the replies; a run that is stopped goes on from it
OUT/graded.jsonl                  the held-out replies with grades and scores: what people may rate
OUT/verdicts.jsonl                what the judge said of those that it was asked about
OUT/empathy-scorer.{jsonl,md}     the report
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harken.data.files import write_text
from harken.errors import InputError
from harken.evaluation.clips import drawn
from harken.evaluation.empathy.figures import RUBRIC, Ratings, with_mean
from harken.evaluation.empathy.run import read_people
from harken.evaluation.empathy_scorer.baselines import BagOfWords, length_numbers
from harken.evaluation.empathy_scorer.figures import MEAN, Table, agreement_rows, grades, rows_of, table
from harken.evaluation.empathy_scorer.graded import GradedReply, graded, packaged_scenes
from harken.evaluation.empathy_scorer.readings import Reader, Readings
from harken.evaluation.empathy_scorer.rules import DIMENSIONS, Scene
from harken.evaluation.empathy_scorer.scorer import open_reader, save_scorer
from harken.evaluation.empathy_scorer.views import Fitted, Replies, View, fitted
from harken.evaluation.judges.judging import Judging, judge
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import save_verdicts, verdict_rows
from harken.evaluation.judges.select import open_judge
from harken.evaluation.judges.trial import starter_dialogues
from harken.evaluation.planted import plant
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row
from harken.llm.base import LLM
from harken.recipes import Recipe

BENCHMARK = "empathy-scorer"
READINGS, GRADED = "readings", "graded.jsonl"
SCORER = "scorer"
SPOILT, SPOILT_HELD_OUT = 3, 9
"""Spoilt replies to each dialogue of training, and to each that is held out, beside the good one."""
AT_ONCE = 128
"""Replies whose readings are kept in one file."""
JUDGED = 60
"""Held-out replies that a judge is asked about, where nobody says how many."""
GRADES_ARE = "implied by the rule that spoilt the reply; no person has checked them"


@dataclass(frozen=True)
class ScorerTraining:
    """What is trained, and what it is compared with."""

    judge: str | None = None
    """As `open_judge` takes it; None compares with none."""
    judge_model: str | None = None
    judge_key_env: str | None = None
    judged: int = JUDGED
    """Held-out replies that the judge is asked about."""
    ratings: Path | None = None
    """People's ratings of replies in `GRADED`, by their ids."""
    limit: int | None = None
    """So many dialogues at most to train on, to hold out, and to plant in."""


def evaluate(training: ScorerTraining, recipe: Recipe, out: Path, seed: int = 0) -> Report:
    """Open what `training` names, train and compare.

    Raises: as `open_judge`, `read_people` and `open_reader`; InputError where `out` cannot be written.
    """
    people = read_people(training.ratings) if training.ratings else None
    llm = None
    if training.judge is not None:
        llm = open_judge(training.judge, training.judge_model, training.judge_key_env)
    replies = replies_of(packaged_scenes(seed), training.limit, seed)
    return train_scorer(open_reader(recipe), recipe, replies, out, llm, training.judged, people, seed)


def replies_of(scenes: Sequence[Scene], limit: int | None = None, seed: int = 0) -> Replies:
    """Replies to train on, held out, and planted in the starter dialogues.

    Raises: InputError for a limit below 2, which leaves none to borrow a reply from.
    """
    if limit is not None and limit < 2:
        raise InputError(f"{limit} dialogues are too few to train a scorer on", "name 2 or more")
    train, held_out = (
        drawn([scene for scene in scenes if scene.split == split], limit, seed) for split in ("train", "dev")
    )
    return Replies(
        graded(train, SPOILT, seed),
        graded(held_out, SPOILT_HELD_OUT, seed),
        plant(starter_dialogues("en", limit), "en"),
    )


def train_scorer(
    reader: Reader,
    recipe: Recipe,
    replies: Replies,
    out: Path,
    llm: LLM | None = None,
    judged: int = JUDGED,
    people: Ratings | None = None,
    seed: int = 0,
) -> Report:
    """Fit the heads and the baselines, write what the run leaves, and report.

    Args:
        reader: of the recipe's core. llm: judges held-out replies, `judged` of them.
        people: their ratings of held-out replies.

    Raises: InputError where `out` cannot be written.
    """
    views = _views(reader, replies, out)
    every = [fitted(view, replies, seed) for view in views]
    scorer = every[0]
    path = save_scorer(out, scorer.heads, recipe)
    tables = {of.name: table(replies.held_out, of.scores.held_out) for of in every}
    _write_graded(out / GRADED, replies.held_out, tables[SCORER])
    rows = [each for of in every for each in rows_of(of, replies, seed)]
    judging = None
    if llm is not None:
        judging = judge(llm, rubric(RUBRIC), [r.item for r in drawn(list(replies.held_out), judged, seed)])
        save_verdicts(out, verdict_rows(judging))
    rows += _others(tables, replies.held_out, judging, people, seed)
    return Report(BENCHMARK, _setting(replies, every, judging, path), tuple(rows))


def _views(reader: Reader, replies: Replies, out: Path) -> list[View]:
    """The scorer's first."""
    train, held_out = ([reply.reply for reply in part] for part in (replies.train, replies.held_out))
    planted = [each.item.fields["reply"] for each in replies.planted]
    pairs = [(reply.scene.conversation, reply.reply) for reply in (*replies.train, *replies.held_out)]
    pairs += [(each.item.fields["conversation"], each.item.fields["reply"]) for each in replies.planted]
    read = _kept_readings(reader, pairs, out / READINGS).astype(float)
    first, second = len(train), len(train) + len(held_out)
    bag = BagOfWords.of(train)
    return [
        View(SCORER, read[:first], read[first:second], read[second:]),
        View("reply length", *map(length_numbers, (train, held_out, planted))),
        View("bag of words", *map(bag.numbers, (train, held_out, planted))),
    ]


def _kept(path: Path) -> Readings | None:
    """What was read before; None where it is not there, or torn."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return np.asarray(load_file(path)[READINGS])
    except (OSError, SafetensorError):
        return None


def _kept_readings(reader: Reader, pairs: Sequence[tuple[str, str]], folder: Path) -> Readings:
    """(N, F). What was read of the same replies by the same core is taken from the folder."""
    from safetensors.numpy import save_file

    found = []
    for start in steps(range(0, len(pairs), AT_ONCE), "reading replies"):
        part = pairs[start : start + AT_ONCE]
        asked = hashlib.sha256(json.dumps([reader.fingerprint, *part]).encode()).hexdigest()
        path = folder / f"{asked[:16]}.safetensors"
        if (kept := _kept(path)) is not None:
            found.append(kept)
            continue
        found.append(reader.read_texts(part))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({READINGS: found[-1]}, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}", "name another folder") from None
    return np.concatenate(found)


def _others(
    tables: dict[str, Table],
    held_out: Sequence[GradedReply],
    judging: Judging | None,
    people: Ratings | None,
    seed: int,
) -> list[Row]:
    """Agreement with a judge and with people, and theirs with the grades and each other."""
    by_judge: Table = {}
    if judging is not None:
        by_judge = {name: judging.means(name) for name in DIMENSIONS} | {MEAN: judging.means()}
    by_people: Table = with_mean(people, DIMENSIONS) if people else {}
    rows: list[Row] = []
    for whose, theirs in (("the judge", by_judge), ("people", by_people)):
        for who, ours in tables.items():
            rows += agreement_rows(who, ours, whose, theirs, held_out, seed=seed)
        if theirs:
            rows += agreement_rows("grades", grades(held_out), whose, theirs, held_out, seed=seed)
    if by_judge and by_people:
        rows += agreement_rows("the judge", by_judge, "people", by_people, held_out, seed=seed)
    return rows


def _write_graded(path: Path, replies: Sequence[GradedReply], scores: Table) -> None:
    lines = [
        {
            "id": reply.id,
            "conversation": reply.scene.conversation,
            "reply": reply.reply,
            "rule": reply.rule,
            "grades": dict(zip(DIMENSIONS, reply.grades, strict=True)),
            "scores": {name: round(scores[name][reply.id], 3) for name in DIMENSIONS},
        }
        for reply in replies
    ]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _setting(
    replies: Replies, every: Sequence[Fitted], judging: Judging | None, path: Path
) -> dict[str, object]:
    def counted(part: Sequence[GradedReply]) -> str:
        return f"{len(part)} replies to {len({reply.scene.id for reply in part})} dialogues"

    return {
        "trained on": counted(replies.train),
        "held out": counted(replies.held_out),
        "replies by rule, trained on": dict(Counter(reply.rule for reply in replies.train)),
        "grades": GRADES_ARE,
        "left out": "by heads that were fitted without the kind of bad reply which is scored",
        "penalty": {of.name: of.penalty for of in every},
        "numbers of a reply": every[0].heads.weight.shape[1],
        "judge": judging.judge if judging else "none",
        "unscored by the judge": (judging.faults or "none") if judging else "none",
        "scorer": str(path),
        "bytes": path.stat().st_size,
        "to use it": f"--judge scorer:{path.parent}",
    }
