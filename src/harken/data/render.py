"""Dialogues as text to spoken turns: the hours of speech that teach a model to listen and to speak.

Reads annotated dialogues (JSONL, gzipped or not), acts each turn in a voice of its split's cast and in a
style that follows the annotated emotion (or, as a reply, in the assistant's voice and in any of its styles,
with the time of every symbol), and writes `<id>.ogg` (Ogg Opus, 24 kHz) beside `manifest.jsonl`.
Voice and pace depend on the turn's id alone, so a run can be stopped at any moment and continued; a row is
written only after its file stands. Reading the result back is left to `harken.data.speech`, the voices
themselves to `harken.voices`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

import numpy as np

from harken.audio.io import write
from harken.data.child import end_with_parent
from harken.errors import DataError, HarkenError
from harken.voices import casts, kokoro
from harken.voices.base import Samples, Style, TimedVoice, TimedWord, Voice
from harken.voices.styles import REPLY_STYLES, user_style

PACE = (0.93, 1.10)
"""Speakers differ: each turn's speed is multiplied by a number from this range."""
WORDS = (2, 30)
"""Shorter turns hold too little to learn from, longer ones do not fit a window."""
RESEARCH_ONLY = ("cped", "ecf", "ecpe")
"""Sources whose licences keep them out of weights that are shipped."""

_REPORT_EVERY_S = 15.0

OpenVoice = Callable[[str], Voice]
_KOKORO: OpenVoice = partial(kokoro.load, threads=1)
_to_stderr = partial(print, file=sys.stderr, flush=True)
_voice: OpenVoice  # in a worker: opens each voice once


@dataclass(frozen=True)
class Turn:
    """A turn to be spoken."""

    id: str
    source: str
    split: str
    group: str
    lang: str
    text: str
    emotion: str | None
    before: str | None = None
    """What was said just before, in the same language."""


@dataclass(frozen=True, kw_only=True)
class Line(Turn):
    """A turn with who speaks it and how: a manifest's row, but for `seconds`."""

    voice: str
    speed: float
    prosody: float
    gain: float
    style: str | None = None
    """A reply's, of `REPLY_STYLES`; None for a user's turn."""

    @property
    def role(self) -> str:
        return "user" if self.style is None else "reply"


@dataclass(frozen=True)
class Rendered:
    """What a run of `render` did."""

    turns: int  # rendered by this run
    seconds: float  # of this split in the folder, earlier runs included
    unspeakable: int  # turns in which there is nothing to speak
    interrupted: bool


def render(
    sources: Mapping[str, Path],
    out: Path,
    split: str = "train",
    hours: float = 1.0,
    workers: int = 1,
    seed: int = 0,
    voices: Sequence[str] | None = None,
    open_voice: OpenVoice = _KOKORO,
    report: Callable[[str], None] = _to_stderr,
    replies: bool = False,
) -> Rendered:
    """Renders turns of `split` from `sources` (name -> JSONL file) until `out` holds `hours` of speech.

    Continues what an earlier run left. `voices` narrows the split's cast; `workers` processes render at low
    priority, each on one core. With `replies`, English turns alone are spoken, as replies. An interrupt
    (Ctrl-C) stops cleanly after the turns in hand. Raises DataError for sources or voices that may not be
    used and for rows that cannot be read, InputError where `out` cannot be written.
    """
    _check(split, voices)
    make_folder(out)
    standing = rows_standing(out)
    progress = _Progress(sum(r["seconds"] for r in standing.values() if r["split"] == split), hours, report)
    turns = () if progress.reached else turns_of(sources, split, seed, replies)
    todo = _cast((turn for turn in turns if turn.id not in standing), seed, voices, replies)
    unspeakable, interrupted = 0, False
    with (
        open_manifest(out) as manifest,
        ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (open_voice,)) as pool,
    ):
        try:
            for row in _rows(pool, todo, out, 2 * workers):
                if row is None:
                    unspeakable += 1
                    continue
                manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
                manifest.flush()
                progress.add(row["seconds"])
                if progress.reached:
                    break
        except KeyboardInterrupt:
            interrupted = True
        except BrokenProcessPool:
            hint = "run it again, with fewer workers if memory is short: it continues"
            raise DataError("a rendering process was killed", hint) from None
        finally:
            pool.shutdown(cancel_futures=True)
    progress.tell()
    return Rendered(progress.turns, progress.seconds, unspeakable, interrupted)


def _check(split: str, voices: Sequence[str] | None) -> None:
    if split not in ("train", "dev"):
        raise DataError(
            f"split {split!r} is not rendered", "render train or dev: judging has recordings of its own"
        )
    for voice in voices or ():
        casts.check_cast(split, voice)


def turns_of(sources: Mapping[str, Path], split: str, seed: int = 0, replies: bool = False) -> list[Turn]:
    """The turns of a split that are worth rendering, each text once, in an order that mixes the sources; with
    `replies`, none that its row gives to the user.
    """
    by_text: dict[str, Turn] = {}
    for source, path in sources.items():
        if source in RESEARCH_ONLY:
            raise DataError(
                f"source {source!r} is for research only: nothing is rendered of it", "leave it out"
            )
        for turn in read_turns(source, path, replies):
            words = len(turn.text.split()) if turn.lang == "en" else len(turn.text) // 2
            if turn.split == split and WORDS[0] <= words <= WORDS[1]:
                by_text.setdefault(turn.text, turn)
    return sorted(by_text.values(), key=lambda turn: (_dice_seed(turn.id, seed), turn.id))


def read_turns(source: str, path: Path, replies: bool = False) -> Iterator[Turn]:
    """Every turn in a file of dialogues; with `replies`, but for those whose `speaker` is the user.

    A row has `id, lang` and either `turns[{text, turn?, text_en?, emotion?}]`, where parallel English is
    preferred, or `text` and `reply`; perhaps `split` (else train) and `group` (else its id).
    Raises DataError naming file and row.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as rows:
            for number, row in enumerate(rows, 1):
                yield from _row_turns(source, row, f"{path} row {number}", replies)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}", "name a JSONL file, gzipped or not") from None


def _row_turns(source: str, text: str, where: str, replies: bool) -> list[Turn]:
    try:
        row = json.loads(text)
        turns = row.get("turns") or [{"turn": 1, "text": row["text"]}, {"turn": 2, "text": row["reply"]}]
        return [
            Turn(
                id=_file_stem(f"{row['id']}-t{turn.get('turn', number)}"),
                source=source,
                split=row.get("split", "train"),
                group=row.get("group", row["id"]),
                lang="en" if "text_en" in turn else row["lang"],
                text=turn["text_en"] if "text_en" in turn else turn["text"],
                emotion=turn.get("emotion"),
                before=turns[number - 2].get("text_en" if "text_en" in turn else "text")
                if number > 1
                else None,
            )
            for number, turn in enumerate(turns, 1)
            if not (replies and turn.get("speaker") == "user")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        fields = "a row has id, lang and turns, or text and reply"
        raise DataError(f"{where}: {reason}", fields) from None


def _cast(turns: Iterable[Turn], seed: int, voices: Sequence[str] | None, replies: bool) -> Iterator[Line]:
    for turn in turns:
        if not replies:
            yield cast_line(turn, seed, voices)
        elif turn.lang == "en":
            yield cast_reply(turn, seed)


def cast_line(turn: Turn, seed: int = 0, voices: Sequence[str] | None = None) -> Line:
    """Picks a turn's voice and pace by a hash of its id. Raises DataError for a voice not of its split."""
    cast = [v for v in casts.cast(turn.split, turn.lang) if voices is None or v in voices]
    if not cast:
        raise DataError(
            f"none of the voices named speaks {turn.lang!r}, as turn {turn.id!r} does", "name one that does"
        )
    dice = random.Random(_dice_seed(turn.id, seed))
    voice = dice.choice(cast)
    casts.check_cast(turn.split, voice)
    style = user_style(turn.emotion)
    speed = style.speed * dice.uniform(*PACE)
    return Line(**asdict(turn), voice=voice, speed=speed, prosody=style.prosody_scale, gain=style.gain)


def cast_reply(turn: Turn, seed: int = 0) -> Line:
    """The assistant's own voice, in a style dealt out by a hash of the turn's id: whatever the words say, so
    that how a reply sounds is learned from the style it is given."""
    name = random.Random(_dice_seed(turn.id, seed)).choice(sorted(REPLY_STYLES))
    style = REPLY_STYLES[name]
    return Line(
        **asdict(turn),
        voice=casts.REPLY_VOICES[turn.lang],
        speed=style.speed,
        prosody=style.prosody_scale,
        gain=style.gain,
        style=name,
    )


def _dice_seed(turn_id: str, seed: int) -> int:
    return zlib.crc32(turn_id.encode(), seed)


def _file_stem(turn_id: str) -> str:
    if "/" in turn_id or turn_id.startswith("."):
        raise ValueError(f"id {turn_id!r} cannot name a file")
    return turn_id


def make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made: {error.strerror}", "name another folder") from None


def rows_standing(out: Path) -> dict[str, dict[str, Any]]:
    """Manifest rows by id of the turns that stand in `out`, whichever run rendered them."""
    rows: dict[str, dict[str, Any]] = {}
    for manifest in sorted(out.glob("manifest*.jsonl")):
        whole_lines = manifest.read_bytes().splitlines(keepends=True)
        if whole_lines and not whole_lines[-1].endswith(b"\n"):
            whole_lines.pop()  # cut off in writing, or being written
        for number, text in enumerate(whole_lines, 1):
            try:
                row = json.loads(text)
                if (out / f"{row['id']}.ogg").is_file() and row["split"] and row["seconds"] > 0:
                    rows[row["id"]] = row
            except (ValueError, KeyError, TypeError) as error:
                hint = "remove the row: it is rendered again"
                raise DataError(f"{manifest} row {number}: {error!r}", hint) from None
    return rows


def open_manifest(out: Path) -> IO[str]:
    """The manifest to append to, without a last row that was cut off in writing."""
    path = out / "manifest.jsonl"
    try:
        path.touch()
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", "name another folder") from None


def _rows(
    pool: ProcessPoolExecutor, todo: Iterator[Line], out: Path, ahead: int
) -> Iterator[dict[str, Any] | None]:
    """Manifest rows in the order in which turns are finished, never more than `ahead` turns in hand."""
    pending: set[Future[dict[str, Any] | None]] = set()
    while True:
        pending |= {pool.submit(_render_line, line, out) for line in islice(todo, ahead - len(pending))}
        if not pending:
            return
        finished, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            yield future.result()


def _start_worker(open_voice: OpenVoice) -> None:
    """In each worker: leave the cores to whoever else needs them, and interrupts to the parent."""
    global _voice
    end_with_parent()
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _voice = lru_cache(maxsize=None)(open_voice)


def _render_line(line: Line, out: Path) -> dict[str, Any] | None:
    """In a worker: speaks a line into its file and gives its row, or None where nothing can be spoken."""
    try:
        voice, style = _voice(line.voice), Style(line.speed, line.prosody, line.gain)
        samples, timed = _spoken(voice, line, style)
        if not samples.size:
            return None
        write(out / f"{line.id}.ogg", samples, voice.sample_rate, encoding="opus")
    except HarkenError as error:
        raise HarkenError(error.message, error.hint) from None  # its subclasses do not all survive pickling
    row = asdict(line) | {"role": line.role, "seconds": round(samples.size / voice.sample_rate, 3)}
    return row | ({"words": [asdict(word) for word in timed]} if timed else {})


def _spoken(voice: Voice, line: Line, style: Style) -> tuple[Samples, list[TimedWord]]:
    """The sound of a line, (N,); of a reply also when its words are said."""
    if line.role == "user":
        return np.concatenate([np.zeros(0, np.float32), *voice.speak(line.text, style)]), []
    if not isinstance(voice, TimedVoice):
        raise DataError(f"voice {line.voice!r} does not tell when it says what", "render replies by Kokoro")
    return voice.speak_timed(line.text, style)


class _Progress:
    """Speech rendered so far against the goal; tells of it now and then."""

    def __init__(self, seconds: float, goal_hours: float, report: Callable[[str], None]) -> None:
        self.seconds, self.turns = seconds, 0
        self._goal_s, self._report = goal_hours * 3600, report
        self._began_with_s, self._began = seconds, time.monotonic()
        self._told = self._began

    @property
    def reached(self) -> bool:
        return self.seconds >= self._goal_s

    def add(self, seconds: float) -> None:
        self.seconds += seconds
        self.turns += 1
        if time.monotonic() - self._told >= _REPORT_EVERY_S:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        pace = (self.seconds - self._began_with_s) / max(self._told - self._began, 1e-9)  # s of speech per s
        left_min = max(self._goal_s - self.seconds, 0.0) / pace / 60 if pace else 0.0
        self._report(
            f"{self.seconds / 3600:.2f} of {self._goal_s / 3600:.2f} h of speech, {self.turns} turns now, "
            f"{pace:.1f} times real time, {left_min:.0f} min left"
        )
