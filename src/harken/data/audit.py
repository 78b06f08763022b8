"""What is in a built data set: one pass over its rows and its dropped rows, and figures of all that is there.

Counts, hours, emotions by who says so, voices, models and prompts, reasons for dropping; and what must never
be: a group or a voice in two splits, an id twice, a row without a licence. The figures are kept as
`audit.json` (`harken.data.audit_figures` says what they are), with pictures and a page
(`harken.data.audit_page`).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.audit_figures import (
    BY,
    LONGEST_S,
    SPOKEN,
    Audit,
    Licence,
    Maker,
    Reflections,
    Traces,
    Violation,
)
from harken.data.rows import Row, Turn, content_id
from harken.errors import DataError, MissingExtra
from harken.voices.casts import CASTS, parts

if TYPE_CHECKING:
    from harken.data.shards import DroppedRow

_NAMED = 5  # names that a violation gives


def audit(folder: Path, out: Path | None = None) -> Audit:
    """Figures of the data set in `folder`, kept with pictures and a page in `out` (`FOLDER/audit`).

    Reads each row once; ids, groups and hashes stay in memory (some 300 bytes a row), rows do not. Raises
    DataError where the folder is no data set or `out` cannot be written, MissingExtra without `harken[data]`.
    """
    try:
        from harken.data.audit_page import Examples, write_page
        from harken.data.shards import read_dropped, read_rows
    except ModuleNotFoundError:
        raise MissingExtra("an audit", "data") from None
    counting, examples = Counting(), Examples()
    for row in read_rows(folder):
        counting.add(row)
        examples.add(row)
    found = counting.finish(folder.name or str(folder), read_dropped(folder))
    out = out or folder / "audit"
    try:
        out.mkdir(parents=True, exist_ok=True)
        whole = json.dumps(asdict(found), ensure_ascii=False, indent=1)
        (out / "audit.json").write_text(whole, encoding="utf-8")
        write_page(found, examples.chosen(), folder, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}", "name another folder") from None
    return found


@dataclass
class Counting:
    """What one pass over rows keeps."""

    rows: int = 0
    duplicates: int = 0
    without_model: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in BY})
    turns: Counter[int] = field(default_factory=Counter)
    emotions: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, dict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    distinct_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    heard: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    durations: Counter[int] = field(default_factory=Counter)
    splits_of_group: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits_of_voice: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    licences: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    makers: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    labelers: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    traces: int = 0
    reflecting: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _twice: list[str] = field(default_factory=list)
    _unlicensed: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows += 1
        for name in BY:
            self.counts[name][str(getattr(row, name))] += 1
        self.turns[len(row.turns)] += 1
        self.splits_of_group[row.group].add(row.split)
        self.licences[row.source, row.licence, row.shippable] += 1
        if not row.licence.strip():
            self._unlicensed.append(row.id)
        if not self._new("id", row.id):
            self._twice.append(row.id)
        self.duplicates += not self._new("said", _said(row))
        if row.teacher is not None:
            t = row.teacher
            self.makers[t.name, t.revision, t.prompt_sha256, t.sampling] += 1
        elif row.target is not None:
            self.without_model += 1
        if row.codec_sha256 is not None:
            self.codecs[row.codec_sha256] += 1
        self._add_trace(row)
        self._add_reflections(row)
        self._add_sound(row)

    def finish(self, folder: str, dropped: Iterable[DroppedRow]) -> Audit:
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        for one in dropped:
            reasons[one.step][one.reason] += 1
        felt = Counter({label: of.total() for label, of in self.emotions.items()})
        voices = Counter(split for splits in self.splits_of_voice.values() for split in splits)
        return Audit(
            folder=folder,
            rows=self.rows,
            groups=len(self.splits_of_group),
            counts={name: _most_first(counter) for name, counter in self.counts.items()},
            turns={str(number): n for number, n in sorted(self.turns.items())},
            emotions={label: _most_first(self.emotions[label]) for label in _most_first(felt)},
            agreement={
                origin: {label: _most_first(of) for label, of in sorted(labels.items())}
                for origin, labels in sorted(self.heard.items())
            },
            hours={source: _hours(of) for source, of in sorted(self.seconds.items())},
            distinct_hours=_hours(self.distinct_s),
            durations_s=tuple(self.durations[second] for second in range(LONGEST_S + 1)),
            voices=dict(sorted(voices.items())),
            licences=tuple(Licence(*key, rows=n) for key, n in self.licences.most_common()),
            makers=tuple(Maker(*key, rows=n) for key, n in self.makers.most_common()),
            without_model=self.without_model,
            labelers=_most_first(self.labelers),
            codecs=_most_first(self.codecs),
            dropped={step: _most_first(of) for step, of in sorted(reasons.items())},
            duplicates=self.duplicates,
            traces=Traces(self.traces, len(self._seen["trace"]), len(self._seen["reasoning"])),
            reflections=Reflections(**self.reflecting, distinct=len(self._seen["reflection"])),
            violations=tuple(self._violations()),
        )

    def _add_trace(self, row: Row) -> None:
        if row.trace is None:
            return
        self.traces += 1
        self._new("trace", row.trace)
        self._new("reasoning", row.trace.removeprefix(row.injection or ""))

    def _add_reflections(self, row: Row) -> None:
        if not row.reflections:
            return
        counts = {"rows": 1, "mending": int(row.given > 0), "reflections": len(row.reflections)}
        self.reflecting.update(counts)
        for reflection in row.reflections:
            self._new("reflection", reflection.text)

    def _add_sound(self, row: Row) -> None:
        for turn in row.turns:
            if turn.role == "user":
                self._add_user(turn, row.split)
            self._heard(row.source, "user" if turn.role == "user" else "reply", turn.audio, turn.seconds)
        if row.instruction is not None:
            self._heard(row.source, "instruction", row.instruction.audio, row.instruction.seconds)
            if row.instruction.voice:
                self.splits_of_voice[row.instruction.voice].add(row.split)

    def _add_user(self, turn: Turn, split: str) -> None:
        for affect in turn.affect:
            self.emotions[affect.label][affect.source] += 1
            if affect.model:
                self.labelers[affect.model] += 1
        self._compare(turn)
        if turn.speaker.id:
            self.splits_of_voice[turn.speaker.id].add(split)
        if turn.seconds is not None:
            self.durations[min(int(turn.seconds), LONGEST_S)] += 1

    def _compare(self, turn: Turn) -> None:
        """What a model heard in a recording that people or a rule labelled; each recording once."""
        whole = {affect.source: affect.label for affect in reversed(turn.affect) if affect.t0 is None}
        heard = whole.pop("model", None)
        if heard is not None and whole and self._new("compared", f"{turn.audio} {turn.text}"):
            for origin, label in whole.items():
                self.heard[origin][label][heard] += 1

    def _heard(self, source: str, kind: str, audio: str | None, seconds: float | None) -> None:
        if audio is None or seconds is None:
            return
        self.seconds[source][kind] += seconds
        if self._new("audio", audio):
            self.distinct_s[kind] += seconds

    def _new(self, kind: str, what: str) -> bool:
        """Is this the first of its kind? Kept as hashes, as texts are long."""
        name = content_id(what)
        if name in self._seen[kind]:
            return False
        self._seen[kind].add(name)
        return True

    def _violations(self) -> Iterator[Violation]:
        found = {
            "groups in two splits": _in_two(self.splits_of_group),
            "voices in two splits": _in_two(self.splits_of_voice),
            "voices heard outside their split": [
                f"{voice} ({split})"
                for voice, splits in self.splits_of_voice.items()
                for split in splits
                if _kept_from(voice, split)
            ],
            "ids that occur twice": self._twice,
            "rows without a licence": self._unlicensed,
        }
        for kind, names in found.items():
            if names:
                yield Violation(kind, len(names), tuple(sorted(names)[:_NAMED]))


def _said(row: Row) -> str:
    """All that makes two rows the same to a model."""
    turns = [(t.role, t.text, t.emotion, t.speaker.id) for t in row.turns]
    instruction = (row.instruction.text, row.instruction.voice) if row.instruction else None
    return content_id(row.task, turns, instruction, row.target)


def _most_first(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _hours(seconds: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(seconds[kind] / 3600, 4) for kind in SPOKEN if kind in seconds}


def _in_two(splits_of: Mapping[str, set[str]]) -> list[str]:
    return [name for name, splits in splits_of.items() if len(splits) > 1]


def _kept_from(voice: str, split: str) -> bool:
    """Is a voice, or one that it is blended from, cast for another split alone?"""
    return any(
        part in voices and part not in CASTS.get(split, ())
        for part in parts(voice)
        for voices in CASTS.values()
    )
