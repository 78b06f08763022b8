"""Rows of a built data set (`harken data build`) as conversations to learn affect from.

What is learned of a row is in writing; what the user says is heard: each recording is encoded once
(`harken.training.states`), and a turn that nobody has spoken yet stays in writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.data.rows import Instruction, Row, Task, Turn
from harken.data.shards import read_rows
from harken.data.speech import Clip
from harken.data.steps.paralinguistic_clip import metadata
from harken.data.workspace import IN_TAR
from harken.dialogue.render import AssistantTurn, UserTurn, parse_trace, trace
from harken.errors import DataError
from harken.training.samples import Sample
from harken.training.states import CachedClip

STAGE = "1-2"
TOLD_IN_ORDER: tuple[Task, ...] = ("trajectory", "reasoning")
"""Tasks that are about the whole conversation, whose traces are taken as the teacher wrote them."""


@dataclass(frozen=True)
class Spoken:
    """What the user says."""

    text: str
    emotion: str | None = None
    clip: CachedClip | None = None
    """Its encoder states; None where nobody has spoken it."""


@dataclass(frozen=True)
class Talk:
    """A conversation that ends with a user's turn, and what is to be answered."""

    id: str
    task: Task
    split: str
    turns: tuple[Spoken | AssistantTurn, ...]
    asked: Spoken | None
    """What the user asks of the conversation, beside it."""
    metadata: str
    """How the user's turns sound, in words; empty where nobody knows."""
    trace: str | None
    """What to think of it."""
    target: str
    source: str = ""

    @property
    def emotion(self) -> str | None:
        """Of the last turn."""
        last = self.turns[-1]
        assert isinstance(last, Spoken), "a talk ends with the user"
        return last.emotion


def rows_folder(data: Path) -> Path:
    """The data set in a data folder: its `rows`, or the folder itself."""
    return data / "rows" if (data / "rows").is_dir() else data


def affect_rows(folder: Path, languages: Sequence[str]) -> list[Row]:
    """The rows of stage 1-2 in some languages; of a question with metadata only its plain twin.

    Raises: DataError where `folder` is no data set, is of another schema, or has no such row of split train.
    """
    rows = [
        row
        for row in read_rows(folder)
        if row.stage == STAGE and row.lang in languages and row.target and not _has_metadata(row)
    ]
    if not any(row.split == "train" for row in rows):
        raise DataError(
            f"{folder} holds no row of stage {STAGE} and split train in {', '.join(languages)}",
            "build one with the step attribute: harken data build starter",
        )
    return rows


def row_clips(rows: Sequence[Row], folder: Path) -> list[Clip]:
    """What the rows' users say, turns and instructions, each recording once.

    Raises: DataError where a tar is not there.
    """
    found: dict[str, Clip] = {}
    for row in rows:
        spoken = [*(turn for turn in row.turns if turn.role == "user"), row.instruction]
        for said in spoken:
            if said is not None and said.audio is not None:
                clip = _clip(row, said, said.audio, folder)
                found.setdefault(clip.id, clip)
    for tar in sorted({clip.file for clip in found.values()}):
        if not tar.is_file():
            raise DataError(f"{tar} is missing", "copy the whole data set, or build it again")
    return list(found.values())


def talks(rows: Sequence[Row], clips: Mapping[str, CachedClip]) -> list[Talk]:
    """The rows as conversations. Args: clips: by the name of the recording in its tar."""

    def spoken(said: Turn | Instruction) -> Spoken:
        emotion = said.emotion if isinstance(said, Turn) else None
        return Spoken(said.text, emotion, clips[_name(said.audio)] if said.audio else None)

    def talk(row: Row) -> Talk:
        last = max(i for i, turn in enumerate(row.turns) if turn.role == "user")
        turns = row.turns[: last + 1]  # what comes after is the target, spoken
        return Talk(
            row.id,
            row.task,
            row.split,
            tuple(spoken(turn) if turn.role == "user" else AssistantTurn(turn.text) for turn in turns),
            spoken(row.instruction) if row.instruction else None,
            metadata(turns, row.lang),
            _thought(row),
            row.target or "",
            row.source,
        )

    return [talk(row) for row in rows]


def told_traces(talks: Sequence[Talk]) -> dict[str, Sample]:
    """What the rows tell of turns that were spoken, as traces, by the turns' words."""
    found = {}
    for talk in talks:
        last = talk.turns[-1]
        assert isinstance(last, Spoken), "a talk ends with the user"
        if talk.task == "empathy" and talk.split == "train" and talk.trace and last.clip is not None:
            history = tuple(
                UserTurn(turn.text) if isinstance(turn, Spoken) else turn for turn in talk.turns[:-1]
            )
            cause = parse_trace(talk.trace)[1]
            found[last.text] = Sample(
                talk.id, "trace", talk.split, history, last.text, talk.emotion, talk.trace,
                (cause,) if cause else (),
            )  # fmt: skip
    return found


def _thought(row: Row) -> str | None:
    """In Harken's own form: the emotion, and the words that the attribution rests on."""
    if row.task in TOLD_IN_ORDER:
        return row.trace
    said = row.last_user
    cause = min((cause.span for cause in said.cause), key=len, default=None)
    return trace(said.emotion, cause) if said.emotion else None


def _has_metadata(row: Row) -> bool:
    return row.qa is not None and row.instruction is not None and row.instruction.text != row.qa.text


def _clip(row: Row, said: Turn | Instruction, audio: str, folder: Path) -> Clip:
    tar, _, member = audio.partition(IN_TAR)
    if isinstance(said, Turn):
        role, voice, emotion = "user", said.speaker.id, said.emotion
    else:
        role, voice, emotion = "instruction", said.voice, None
    return Clip(
        member, said.text, row.lang, row.split, role, said.seconds or 0.0, voice or "", emotion, row.group,
        row.source, folder / tar, member,
    )  # fmt: skip


def _name(audio: str) -> str:
    return audio.partition(IN_TAR)[2]
