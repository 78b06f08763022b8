"""Who is asked, and who judges, as the options of `harken evaluate` name them: for every benchmark that asks
a system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import InputError
from harken.evaluation.judges.trial import DIALOGUES
from harken.evaluation.systems.select import CASCADE

if TYPE_CHECKING:
    from harken.evaluation.humdial.dialogues import Reading
    from harken.evaluation.judges.hearing import HearingJudge
    from harken.evaluation.judges.judging import Judge
    from harken.evaluation.paralinguistic.items import Metadata
    from harken.evaluation.report import Report
    from harken.evaluation.systems.base import System
    from harken.llm.base import LLM
    from harken.recipes import Recipe

HEARD = "questions"
"""The folder under OUT of recordings that were written out of a data set."""


@dataclass(frozen=True)
class Asking:
    """Who is asked, and who judges: see `open_system` and `open_judge`."""

    system: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    voice: str | None = None
    reflect: bool = False
    judge: str | None = None
    """None leaves texts unscored."""
    judge_model: str | None = None
    judge_key_env: str | None = None
    ears: str | None = None
    """Of humdial and dialogues, the server that judges how replies sound; None leaves that to people."""
    ears_model: str | None = None
    ears_key_env: str | None = None
    columns: Path | None = None
    """Of televal, what its files call their columns and sets."""
    metadata: Metadata = "none"
    """Of paralinguistic, what the system is told of the voice."""
    ratings: Path | None = None
    """People's ratings (`harken.evaluation.ratings`): of humdial of task 3's sound, by dialogue id."""
    reading: Reading = "second"
    """Of humdial."""
    only: tuple[str, ...] = ()
    """Of dialogues, the languages and tasks that are asked about, as reports call them; none names all."""
    ask: bool = False
    """Of humdial, put tasks 1 and 2 into words beside the last turn, for data whose last turn does not."""
    trial: int = DIALOGUES
    """Dialogues of each language in which replies are planted to try the judge first; 0 shows it, and the one
    that hears, untried."""
    command: str | None = None
    """As it was typed, for the page."""

    @property
    def predicted(self) -> bool:
        """Is the system a folder of predictions, which needs no recordings?"""
        return self.system not in (None, CASCADE) and Path(str(self.system)).is_dir()

    def check(self, out: Path, data: Path) -> None:
        """Raises InputError where what is written would be read as data, or written over predictions."""
        if self.system not in (None, CASCADE) and Path(str(self.system)).resolve() == out.resolve():
            raise InputError(
                f"{out} holds the predictions that are scored", "name another folder after --out"
            )

        if out.resolve().is_relative_to(data.resolve()):
            raise InputError(f"{out} lies in the data, {data}", "name a folder beside it after --out")

    def open_system(self, recipe: Recipe, checkpoint: Path | None) -> System:
        """The system under test; raises what `harken.evaluation.systems.select.open_system` raises."""
        from harken.evaluation.systems.select import open_system

        return open_system(
            self.system,
            recipe=recipe,
            checkpoint=checkpoint,
            model=self.model,
            api_key_env=self.api_key_env,
            voice=self.voice,
            reflect=self.reflect,
        )

    def open_judge(self) -> LLM | None:
        """The judge; None where texts stay unscored."""
        from harken.evaluation.judges.select import open_judge

        if self.judge is None:
            return None
        return open_judge(self.judge, self.judge_model, self.judge_key_env)

    def open_judge_or_scorer(self) -> Judge | None:
        """As `open_judge`, or the trained scorer of empathy."""
        from harken.evaluation.judges.select import open_judge_or_scorer

        if self.judge is None:
            return None
        return open_judge_or_scorer(self.judge, self.judge_model, self.judge_key_env)

    def open_hearing_judge(self) -> HearingJudge | None:
        """The judge that hears; None where there is none."""
        from harken.evaluation.judges.select import open_hearing_judge

        if self.ears is None:
            return None
        return open_hearing_judge(self.ears, self.ears_model, self.ears_key_env)

    def described(self, report: Report) -> Report:
        """The report without the recipe that the command names, where that was not asked: a setting of the
        report's own stands over it."""
        if self.system is None:
            return report
        if self.system == CASCADE:
            return report.with_setting(checkpoint="none")
        return report.with_setting(recipe="none", checkpoint="none")
