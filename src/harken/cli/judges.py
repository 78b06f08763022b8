"""`harken evaluate judge`: how far a judge can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harken.cli.command import DONE, Command, WrongUse, check_counts


@dataclass(frozen=True, kw_only=True)
class EvaluateJudge(Command):
    """Try a judge on planted replies of known order, in English and Chinese; its answers are kept, so that it
    is asked once."""

    judge: str
    """The URL of an OpenAI-compatible server, or local (a model in this process)."""
    judge_model: str | None = None
    """Its name at the server, or in `harken weights list`."""
    judge_key_env: str | None = None
    """The environment variable with the key of its server."""
    rubric: str = "humdial-task3-text"
    """What it is asked: a rubric of Harken's, or your own file (.toml) with places for conversation and
    reply."""
    limit: int | None = None
    """Plant replies in so many dialogues of each language, two or more, instead of 12."""
    scores: Path | None = None
    """Scores that it gave elsewhere: a CSV file with id, score, label or rating, and optionally system."""
    out: Path | None = None
    """A folder for the figures, as JSON lines and as Markdown, and for the verdicts."""
    seed: int = 0
    """Draws bootstrap samples."""
    json: bool = False
    """Print the figures as JSON lines and nothing else on standard output."""

    def run(self) -> int:
        from harken import evaluation
        from harken.evaluation.judges.run import Tried
        from harken.evaluation.judges.trial import DIALOGUES

        check_counts({"--limit": self.limit})
        if self.limit == 1:
            raise WrongUse("--limit 1 leaves no other dialogue to borrow a reply from", "--limit 2, or more")
        tried = Tried(
            self.judge,
            self.judge_model,
            self.judge_key_env,
            rubric=self.rubric,
            dialogues=self.limit or DIALOGUES,
            scores=self.scores,
        )
        evaluation.run_judge(tried, out=self.out, seed=self.seed, json=self.json)
        return DONE
