"""What a judge that hears makes of a run's replies: tried on them first, then asked about all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harken.evaluation.judges.hearing import Heard, HearingJudge, judge_by_ear
from harken.evaluation.judges.hearing_trial import try_ears
from harken.evaluation.judges.judging import Judging
from harken.evaluation.judges.rubrics import Rubric, rubric
from harken.evaluation.judges.saved import Row, verdict_rows
from harken.evaluation.language import Language
from harken.evaluation.planted import Trust
from harken.evaluation.progress import steps
from harken.llm.cache import Usage

RUBRIC = "humdial-task3-voice"
BY_EAR = "judge that hears"
TRUST_BY_EAR = f"trust in the {BY_EAR}"
WITHHELD_BY_EAR = f"withheld, see {TRUST_BY_EAR}"
TOO_FEW = "not tried: fewer than two replies can be heard"


@dataclass(frozen=True)
class ByEar:
    """Its verdicts, and whether they are shown."""

    judge: str
    asked: Rubric
    trust: Trust | None
    """None where it was not tried."""
    untried: str
    """Why it was not tried, where it was not."""
    judgings: Mapping[Language, Judging]

    @property
    def withheld(self) -> bool:
        return self.trust is not None and not self.trust.shown

    def setting(self) -> dict[str, object]:
        """What a report says of it."""
        faults, usage = Counter[str](), Usage()
        for judging in self.judgings.values():
            faults.update(judging.faults)
            usage += judging.usage
        return {
            BY_EAR: self.judge,
            TRUST_BY_EAR: self.trust.why if self.trust else self.untried,
            f"rubric of the {BY_EAR}": self.asked.label,
            f"replies unscored by the {BY_EAR}": dict(faults) or "none",
            f"seconds of the {BY_EAR}": usage.seconds,
        }

    def rows(self, task: object) -> list[Row]:
        """Everything that it said of the replies, a row each."""
        return [
            row
            for language, judging in self.judgings.items()
            for row in verdict_rows(judging, task=task, lang=language)
        ]


def listen(
    hearing: HearingJudge, heard: Mapping[Language, Sequence[Heard]], trial: bool, seed: int = 0
) -> ByEar:
    """Try the judge, unless that is not wanted, and have it judge the replies of each language.

    Args: seed: of the trial's intervals.
    Raises: as `judge_by_ear`.
    """
    asked, every = rubric(RUBRIC), [each for of_language in heard.values() for each in of_language]
    trust = try_ears(hearing, asked, every, seed) if trial else None
    judgings = {
        language: judge_by_ear(hearing, asked, of_language)
        for language, of_language in steps(list(heard.items()), "listening")
    }
    return ByEar(hearing.name, asked, trust, TOO_FEW if trial else "not tried", judgings)
