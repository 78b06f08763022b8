"""Build recipes: one frozen description of a data set, from its sources to its last step, a function each.

A recipe's digest is everything in it that shapes rows: where sources lie, how many workers there are and how
a server is reached are not part of it. Recipes are also read from YAML and JSON files. What a recipe makes
is `harken.data.build`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError, field_validator

from harken.data.rows import SCHEMA_VERSION, content_id
from harken.data.steps import step_config
from harken.data.steps.base import StepConfig
from harken.errors import MissingExtra, RecipeError
from harken.llm.select import LLMConfig
from harken.recipes import Frozen

Dump = dict[str, Any]

NOT_SHAPING = {
    "": ("name", "about", "notes"),
    "sources": ("path", "optional"),
    "llms": ("url", "api_key_env", "concurrency", "tries", "timeout_s", "slots", "threads"),
    "steps": ("workers", "gpus"),
}
"""Fields of a recipe, and of each entry of its lists, that its rows do not depend on."""


class SourceConfig(Frozen):
    """A source of rows, and how much of it."""

    name: str
    """One of `harken.data.sources.SOURCES`."""
    path: str | None = None
    """Its folder, file or `hub://owner/name`; `--source NAME=PATH` says so too, and goes before."""
    optional: bool = False
    """Do without it where nobody says where it is."""
    limit: int | None = Field(default=None, ge=1)
    """So many rows of it at most; None takes all."""
    share: float = Field(default=1.0, gt=0, le=1)
    """The share of its rows that is taken, chosen by their ids."""
    langs: tuple[str, ...] = ()
    """Only rows in these languages; none named takes all."""
    options: dict[str, str] = Field(default_factory=dict)
    """What else the source may be asked for; see the source."""


class BuildRecipe(Frozen):
    """A data set, from its sources to its last step."""

    name: str
    about: str = ""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing the numbers in it."""
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    shippable_only: bool = True
    """Leave out what may not be in weights that are shipped."""
    dev_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the groups whose rows are for development, where a source has no split of its own."""
    rows_per_shard: int = Field(default=500, ge=1)
    """Source rows a shard; a step sees one shard at a time."""
    llms: dict[str, LLMConfig] = Field(default_factory=dict)
    steps: tuple[SerializeAsAny[StepConfig], ...]
    """In this order, all on the same shard."""
    seed: int = 0

    @field_validator("sources")
    @classmethod
    def _named_once(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError("a source is named twice")
        return sources

    @property
    def digest(self) -> str:
        """Equal for recipes that make equal rows of equal sources."""
        return content_id(SCHEMA_VERSION, shaping(self.dump()))

    def dump(self) -> Dump:
        """The recipe as plain JSON values."""
        plain: Dump = json.loads(self.model_dump_json())
        return plain


def shaping(dump: Mapping[str, Any]) -> Dump:
    """What shapes rows, of a recipe as `dump` gives it."""

    def of(kind: str, fields: Mapping[str, Any]) -> Dump:
        return {name: value for name, value in fields.items() if name not in NOT_SHAPING[kind]}

    return of("", dump) | {
        "sources": [of("sources", source) for source in dump["sources"]],
        "llms": {name: of("llms", llm) for name, llm in dump["llms"].items()},
        "steps": [of("steps", step) for step in dump["steps"]],
    }


def difference(old: Any, new: Any, at: str = "") -> list[str]:
    """Where two plain values differ, a line each: `steps[1].lang: "en" -> "zh"`."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(f"{at}.{key}".lstrip("."), old.get(key), new.get(key)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{at}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        shown = [json.dumps(value, ensure_ascii=False)[:120] for value in (old, new)]
        return [] if old == new else [f"{at}: {shown[0]} -> {shown[1]}"]
    return [line for key, a, b in pairs for line in difference(a, b, key)]


def parse(fields: Any, where: str) -> BuildRecipe:
    """A recipe of plain values. Raises RecipeError, one line that names `where` and the field."""
    if not isinstance(fields, dict):
        raise RecipeError(
            f"{where}: a recipe is an object with the fields {', '.join(BuildRecipe.model_fields)}"
        )
    steps = fields.get("steps", [])
    if not isinstance(steps, list | tuple):
        raise RecipeError(f"{where}: steps: is no list")
    try:
        read = tuple(_step(step, f"{where}: steps[{i}]") for i, step in enumerate(steps))
        return BuildRecipe.model_validate({**fields, "steps": read})
    except ValidationError as error:
        raise RecipeError(f"{where}: {_first(error)}") from None


def _step(fields: Any, where: str) -> StepConfig:
    if isinstance(fields, str):
        fields = {"step": fields}
    if not isinstance(fields, dict) or not isinstance(fields.get("step"), str):
        raise RecipeError(f"{where}: each step is an object with the field `step`, its name")
    try:
        config = step_config(fields["step"])
        return config.model_validate(fields)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error.message}", error.hint) from None
    except ValidationError as error:
        raise RecipeError(f"{where} ({fields['step']}): {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first fault: where, and what is wrong."""
    fault = error.errors()[0]
    place = ""
    for part in fault["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = "there is no such field" if fault["type"] == "extra_forbidden" else fault["msg"]
    return f"{place.lstrip('.')}: {message}".removeprefix(": ")


def read_recipe(path: Path) -> BuildRecipe:
    """The recipe in a YAML or JSON file. Raises RecipeError naming file and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}", "name a YAML or JSON file") from None
    if path.suffix == ".json":
        try:
            return parse(json.loads(text), str(path))
        except ValueError as error:
            if isinstance(error, RecipeError):
                raise
            raise RecipeError(f"{path}: is not JSON: {error}") from None
    try:
        import yaml
    except ImportError:
        raise MissingExtra("reading a recipe in YAML", "data") from None
    try:
        return parse(yaml.safe_load(text), str(path))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None


def build_recipe(name: str) -> BuildRecipe:
    """The recipe of a name, or in the file of that name. Raises RecipeError."""
    if name in BUILD_RECIPES:
        return BUILD_RECIPES[name]()
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        return read_recipe(Path(name))
    raise RecipeError(
        f"there is no build recipe {name!r}", f"choose one of: {', '.join(BUILD_RECIPES)}, or a .yaml file"
    )


def starter() -> BuildRecipe:
    """Self-contained: Harken's own dialogues, the embedded 0.5B teacher, Kokoro's voices."""
    from harken.data.steps import (
        attribute,
        contrast,
        instruct,
        multi_turn,
        paralinguistic,
        respond,
        speak,
        tasks,
    )

    return BuildRecipe(
        name="starter",
        about="200 short dialogues in English and Chinese, spoken by Kokoro; builds without a hub",
        sources=(SourceConfig(name="starter", options={"turns": "last"}),),
        rows_per_shard=100,
        llms={"teacher": LLMConfig()},
        steps=(
            respond.Respond(keep_human=True),
            attribute.Attribute(),
            multi_turn.MultiTurn(),
            tasks.Tasks(share=0.5),
            instruct.Instruct(per_task=40),
            paralinguistic.Paralinguistic(llm_questions=2, clip_share=0.1, llm_share=0.3),
            contrast.Contrast(share=0.2),
            speak.Speak(reply_tasks=("empathy", "contrast")),
        ),
    )


MINI_TEXTS = ("reccon", "esconv", "styletalk", "smile", "xdailydialog", "ecf", "cped", "ecpe")
MINI_SPEECH = ("speech", "ravdess", "akishino")


def mini() -> BuildRecipe:
    """What `mini` is trained on: research dialogues, spoken by Kokoro, and people's emotional speech."""
    from harken.data.steps import contrast, label, respond, speak, tasks

    own = {"respond": respond.Respond(), "tasks": tasks.Tasks()}
    first, *others = (own.get(step.step) or step for step in starter().steps[:-2])
    return BuildRecipe(
        name="mini",
        about="Harken's listening dialogues, and annotated dialogues and emotional speech named by --source",
        notes=(
            "ecf, cped, ecpe and akishino may never be in shipped weights: they are left out by default.",
        ),
        sources=(
            SourceConfig(name="listening"),
            *(SourceConfig(name=name, optional=True) for name in (*MINI_TEXTS, *MINI_SPEECH)),
        ),
        llms={"teacher": LLMConfig()},
        steps=(first, label.Label(agreement=True), *others, contrast.Contrast(), speak.Speak()),
    )


def reflect() -> BuildRecipe:
    """Self-contained: replies of Harken's listening dialogues, with the embedded teacher's thoughts."""
    from harken.data.steps.reflect import Reflect

    return BuildRecipe(
        name="reflect",
        about="Harken's listening dialogues with thoughts on each reply as it goes; builds without a hub",
        notes=("Weak replies, and how they are mended, are made by rule; what is reflected is a teacher's.",),
        sources=(SourceConfig(name="listening"),),
        llms={"teacher": LLMConfig()},
        steps=(Reflect(),),
    )


def paper() -> BuildRecipe:
    """Section 2.2 of the IEAT paper at its full size, on a cluster with the engine ray."""
    from harken.data.labelers.emotion2vec import Emotion2vec
    from harken.data.speech_making import CosyVoice2, Speech
    from harken.data.steps import attribute, instruct, label, multi_turn, respond, speak, tasks, units

    speech = Speech(voices=CosyVoice2(at="http://localhost:50000", prompts=Path("prompts")))
    return BuildRecipe(
        name="paper",
        about="the IEAT paper's mix: six public sets, Qwen3-8B, emotion2vec+, CosyVoice2; a cluster",
        notes=PAPER_NOTES,
        sources=(
            SourceConfig(name="emilia", path="hub://amphion/Emilia-Dataset", langs=("en", "zh")),
            SourceConfig(name="wenetspeech4tts", path="hub://Wenetspeech4TTS/WenetSpeech4TTS"),
            SourceConfig(name="gigaspeech", path="hub://speechcolab/gigaspeech"),
            SourceConfig(name="belle", path="hub://BelleGroup/train_3.5M_CN", limit=100_000),
            SourceConfig(name="ultrachat", path="hub://HuggingFaceH4/ultrachat_200k", limit=100_000),
            SourceConfig(name="libriheavy"),
        ),
        shippable_only=False,
        dev_share=0.01,
        rows_per_shard=1000,
        llms={
            "teacher": LLMConfig(
                kind="server", template="qwen3", url="http://localhost:8000/v1", model="Qwen/Qwen3-8B",
                concurrency=256,
            )
        },
        steps=(
            speak.Speak(speech=speech, tasks=("source",), workers=16),
            respond.Respond(workers=8),
            label.Label(labeler=Emotion2vec(), workers=8, gpus=0.25),
            attribute.Attribute(max_tokens=1024, workers=8),
            multi_turn.MultiTurn(share=0.4, turns=(2, 3, 4)),
            tasks.Tasks(workers=8),
            instruct.Instruct(per_task=500, voices=50, speech=speech),
            speak.Speak(speech=speech, workers=16),
            units.Units(codec=units.CosyVoice2Units(at="CosyVoice")),
        ),
    )  # fmt: skip


PAPER_NOTES = (
    "Published: the sets; Qwen3-8B for targets and instructions; emotion labels of all audio of stage 1-1; "
    "40 % of the empathy rows made 2, 3 and 4 turns; 500 instructions a task for two tasks; 50 speakers.",
    "Not published: rows or hours of any set, how many BELLE and UltraChat queries (100,000 each here), rows "
    "a task, shares of 2, 3 and 4 turns, prompts, sampling, dev share, where the instruction stands.",
    "Text queries are spoken first, in no style, so that they are labelled and attributed as recordings are.",
    "By their papers WenetSpeech4TTS has 12,800 h, GigaSpeech 10,000 h and LibriHeavy 50,000 h.",
    "The paper cites the text method Emo2Vec; labels of audio are taken from emotion2vec+ here.",
    "Its 50 speakers are drawn from WenetSpeech4TTS: put their prompt recordings into the folder prompts.",
    "LibriHeavy, with Emilia, is for stage 2; its audio is Libri-Light: name it by --source libriheavy=DIR.",
    "Not in it: paralinguistic and contrast rows, which the paper does not have.",
)

BUILD_RECIPES: dict[str, Callable[[], BuildRecipe]] = {
    "starter": starter,
    "mini": mini,
    "reflect": reflect,
    "paper": paper,
}
