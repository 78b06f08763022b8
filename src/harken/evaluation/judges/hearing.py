"""A judge that hears: verdicts on how spoken replies sound, each beside the user's turn that it answers.

Recordings go to it as they are heard here, 16 kHz mono WAV. One that cannot be heard leaves its reply
unscored, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.audio.io import encode, read
from harken.errors import InputError
from harken.evaluation.judges.judging import SAMPLING, Item, Judgement, Judging, filled, judge_prompts
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.judges.verdicts import Fault
from harken.llm.base import LLM, Sampling
from harken.llm.hearing import Sounds

NO_SOUND = "the reply has no sound"
UNHEARD = "a recording cannot be heard"
USER, REPLY = "What the user said last:", "The spoken reply to it:"


@dataclass(frozen=True)
class HearingJudge:
    """A model that hears, and what its prompts take recordings from."""

    llm: LLM
    sounds: Sounds

    @property
    def name(self) -> str:
        """As reports show it."""
        return f"{self.llm.name}@{self.llm.revision}"


@dataclass(frozen=True)
class Heard:
    """What is judged by ear: the texts for the rubric's fields, and two recordings."""

    item: Item
    user: Path
    """The turn that is answered."""
    reply: Path | bytes | None
    """A file, or the bytes of a WAV file; None where the reply was not spoken."""


def judge_by_ear(
    hearing: HearingJudge, rubric: Rubric, heard: Sequence[Heard], sampling: Sampling = SAMPLING
) -> Judging:
    """Verdicts on every reply, in the order given, as `harken.evaluation.judges.judging.judge` gives them.

    Raises: InputError for two items of one id or one that lacks a field, HarkenError where the judge cannot
        start or does not hear at all.
    """
    asked = filled(rubric, [each.item for each in heard])
    prompts: dict[str, str] = {}
    deaf: dict[str, Judgement] = {}
    for each in heard:
        name, wavs = each.item.id, _wavs(each)
        if isinstance(wavs, Fault):
            deaf[name] = Judgement(name, 0, wavs, 0, sampling.seed)
        else:
            user, reply = wavs
            prompts[name] = hearing.sounds.prompt([USER, user, REPLY, reply, asked[name]])
    try:
        done = judge_prompts(hearing.llm, rubric, prompts, sampling)
    finally:
        hearing.sounds.forget()
    found = deaf | {judgement.id: judgement for judgement in done.judgements}
    in_order = tuple(found[each.item.id] for each in heard)
    return Judging(done.judge, done.rubric, done.sampling, in_order, done.usage)


def wav(path: Path) -> bytes:
    """A recording as the judge hears it. Raises: InputError where it cannot be heard."""
    recording = read(path)
    return encode(recording.samples, recording.sample_rate)


def _wavs(heard: Heard) -> tuple[bytes, bytes] | Fault:
    if heard.reply is None:
        return Fault(NO_SOUND)
    try:
        return wav(heard.user), heard.reply if isinstance(heard.reply, bytes) else wav(heard.reply)
    except InputError as error:
        return Fault(UNHEARD, error.message)
