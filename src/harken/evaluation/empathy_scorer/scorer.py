"""The trained scorer as a judge: what `--judge scorer` opens.

It scores the dimensions of the rubric `empathy-eval` and describes nothing. What the rubric says of a reply
in another language than the user's is a rule here, a 1 on every dimension; a conversation in a language that
the core does not speak stays unscored, as does a reply without words.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from harken.dialogue.render import UserTurn
from harken.errors import RecipeError
from harken.evaluation.empathy_scorer.heads import Heads, read_heads, save_heads
from harken.evaluation.empathy_scorer.readings import Reader, turns_of
from harken.evaluation.empathy_scorer.rules import DIMENSIONS
from harken.evaluation.judges.judging import Item, Judgement, Judging
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.judges.verdicts import Fault, Verdict
from harken.evaluation.language import written_in
from harken.llm.base import Sampling
from harken.llm.cache import Usage
from harken.recipes import Recipe

FILE = "empathy_scorer.safetensors"
WORDLESS = "a reply without words"
LANGUAGE = "a language that the scorer does not read"
_RECIPE = "recipe"
_NOT_SAMPLED = Sampling(max_tokens=0, temperature=0.0)


class EmpathyScorer:
    """Heads on what one core reads."""

    name = "empathy-scorer"

    def __init__(self, heads: Heads, reader: Reader, languages: Sequence[str], revision: str) -> None:
        """Args: languages: that the core speaks. revision: what tells two scorers apart.

        Raises: RecipeError where the heads are for other numbers than the reader gives.
        """
        if heads.weight.shape != (len(DIMENSIONS), reader.numbers):
            raise RecipeError(
                f"the scorer's heads are {heads.weight.shape}, its core gives {reader.numbers} numbers",
                "train it again: harken evaluate empathy-scorer",
            )
        self.heads, self.reader, self.languages, self.revision = heads, reader, languages, revision

    def judged(self, rubric: Rubric, items: Sequence[Item]) -> Judging:
        """Verdicts on every item. Raises RecipeError for a rubric of other dimensions."""
        names = tuple(dimension.name for dimension in rubric.dimensions)
        if names != DIMENSIONS:
            raise RecipeError(
                f"the scorer scores {', '.join(DIMENSIONS)}, and rubric {rubric.name} {', '.join(names)}",
                "use it with the rubric empathy-eval",
            )
        start_s = time.monotonic()
        outcomes = {item.id: self._by_rule(item) for item in items}
        read = [item for item in items if outcomes[item.id] is None]
        if read:
            numbers = self.reader.read_texts([(i.fields["conversation"], i.fields["reply"]) for i in read])
            for item, scores in zip(read, self.heads(numbers), strict=True):
                outcomes[item.id] = _verdict(scores.tolist())
        judgements = tuple(
            Judgement(id, 0, outcome, tries=1, seed=0)
            for id, outcome in outcomes.items()
            if outcome is not None
        )
        usage = Usage(prompts=len(items), seconds=time.monotonic() - start_s)
        return Judging(f"{self.name}@{self.revision}", rubric.label, _NOT_SAMPLED, judgements, usage)

    def _by_rule(self, item: Item) -> Verdict | Fault | None:
        """None where the core has to read it."""
        conversation, reply = item.fields["conversation"], item.fields["reply"]
        of_user, of_reply = written_in(_said(conversation)), written_in(reply)
        if of_reply is None:
            return Fault(WORDLESS, reply)
        if of_user is not None and of_user not in self.languages:
            return Fault(LANGUAGE, of_user)
        return _verdict([1.0] * len(DIMENSIONS)) if of_user not in (None, of_reply) else None


def open_reader(recipe: Recipe) -> Reader:
    """What reads with the recipe's core, as it was pretrained. Raises WeightsError where it cannot be had."""
    from harken.checkpoint import load_text_side

    tokenizer, core = load_text_side(recipe)
    return Reader(core.requires_grad_(False).eval(), tokenizer, recipe.system)


def open_scorer(folder: Path) -> EmpathyScorer:
    """The scorer in a folder, with its own recipe's core.

    Raises: RecipeError where there is none, or another file of that name; WeightsError as `open_reader`.
    """
    path = folder / FILE
    if not path.exists():
        raise RecipeError(
            f"{folder} holds no {FILE}",
            "train one (harken evaluate empathy-scorer --out RUN), and name it: --judge scorer:RUN",
        )
    from safetensors import SafetensorError

    try:
        heads, about = read_heads(path)
        recipe = Recipe.model_validate_json(about[_RECIPE])
    except (OSError, KeyError, SafetensorError, ValueError) as error:
        raise RecipeError(f"{path} is no trained scorer: {error}", "train it again") from None
    revision = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return EmpathyScorer(heads, open_reader(recipe), recipe.languages, revision)


def save_scorer(folder: Path, heads: Heads, recipe: Recipe) -> Path:
    """Write the heads, with the recipe whose core they are for; gives the file."""
    save_heads(folder / FILE, heads, {_RECIPE: recipe.model_dump_json()})
    return folder / FILE


def _said(conversation: str) -> str:
    """What the user said in it."""
    users = (turn for turn in turns_of(conversation) if isinstance(turn, UserTurn))
    return "\n".join(turn.content for turn in users if isinstance(turn.content, str))


def _verdict(scores: Sequence[float]) -> Verdict:
    by_name = {name: round(score, 3) for name, score in zip(DIMENSIONS, scores, strict=True)}
    return Verdict(by_name, {}, "", in_prose=False)
