"""`harken evaluate empathy-scorer`: train the small scorer of empathy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harken.cli.command import DONE, Command, WrongUse, check_counts, check_unused, named_recipe


@dataclass(frozen=True, kw_only=True)
class TrainEmpathyScorer(Command):
    """Train a small scorer of empathy on replies that were spoilt by rule, and report how far it agrees with
    their grades, with replies of known order, with a judge and with people."""

    out: Path
    """A folder for the scorer, the figures and what the core read; a second run in it does not read again."""
    recipe: str = "mini"
    """Whose core reads the replies, as it was pretrained."""
    judge: str = "none"
    """A judge to compare it with: the URL of an OpenAI-compatible server, local (a model in this process), or
    none."""
    judge_model: str | None = None
    """Its name at the server, or in `harken weights list`."""
    judge_key_env: str | None = None
    """The environment variable with the key of its server."""
    judged: int | None = None
    """Ask the judge about so many held-out replies, instead of 60."""
    ratings: Path | None = None
    """People's ratings of replies in OUT/graded.jsonl: a CSV file with id, dimension, rating, rater."""
    limit: int | None = None
    """So many dialogues at most to train on and to hold out, two or more."""
    seed: int = 0
    """Draws the rules that spoil each reply, what is borrowed, folds, and bootstrap samples."""
    json: bool = False
    """Print the figures as JSON lines and nothing else on standard output."""

    def run(self) -> int:
        from harken import evaluation
        from harken.evaluation.empathy_scorer.run import JUDGED, ScorerTraining

        check_counts({"--limit": self.limit, "--judged": self.judged})
        if self.limit == 1:
            raise WrongUse("--limit 1 leaves no other dialogue to borrow a reply from", "--limit 2, or more")
        if self.judge == "none":
            of_judge: dict[str, object] = {
                "--judge-model": self.judge_model,
                "--judge-key-env": self.judge_key_env,
                "--judged": self.judged,
            }
            check_unused("evaluate empathy-scorer without --judge", of_judge)
        training = ScorerTraining(
            None if self.judge == "none" else self.judge,
            self.judge_model,
            self.judge_key_env,
            self.judged or JUDGED,
            self.ratings,
            self.limit,
        )
        recipe = named_recipe(self.recipe)
        evaluation.run_empathy_scorer(training, recipe=recipe, out=self.out, seed=self.seed, json=self.json)
        return DONE
