"""How well a system does, each benchmark by one command: `harken evaluate NAME --data DIR...`.

Every evaluation gives a `harken.evaluation.report.Report`; this file finds data and model for it. Times
and memory are `harken.bench`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import DataError, InputError, RecipeError

if TYPE_CHECKING:
    from harken.data.dialogues import Dialogue
    from harken.data.speech import Clip
    from harken.evaluation.asking.options import Asking
    from harken.evaluation.empathy_scorer.run import ScorerTraining
    from harken.evaluation.judges.run import Tried
    from harken.evaluation.report import Report
    from harken.recipes import Recipe

BENCHMARKS = (
    "affect",
    "labelers",
    "words",
    "alignment",
    "attribution",
    "following",
    "codec",
    "speech",
    "style",
    "manner",
    "humdial",
    "dialogues",
    "televal",
    "paralinguistic",
    "empathy",
)
ASKED = ("humdial", "dialogues", "televal", "paralinguistic", "empathy")
"""Those that ask a system under test, which may be another than Harken."""
JUDGED = ("humdial", "dialogues", "paralinguistic", "empathy")
"""Those whose answers a judge may score."""
SCORED = ("dialogues", "empathy")
"""Those whose replies the trained scorer of empathy may score."""
TRIED = ("humdial", "dialogues")
"""Those that try the judge first."""
RECCON = "reccon.jsonl.gz"


def run(
    benchmark: str,
    *,
    recipe: Recipe,
    data: Sequence[Path],
    checkpoint: Path | None = None,
    out: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    json: bool = False,
    asking: Asking | None = None,
) -> Report:
    """Measure, print the figures (with `json` as JSON lines) and write them under `out`.

    Args:
        benchmark: one of BENCHMARKS.
        data: folders. affect, labelers, following, style: emotional speech; words: packs, renders, people
            reading; alignment, codec, speech: packs and renders; attribution: packs and renders, and one
            folder that holds RECCON; humdial: one folder of the challenge's dialogues and their recordings;
            dialogues: one set that `harken evaluate build-dialogues` made; televal, paralinguistic, empathy:
            one folder or file.
        checkpoint: a folder of trained parts; None takes those that ship with Harken. affect trains its own.
        out: for the figures; those of `ASKED` need it, and keep there what was said.
        limit: at most so many clips or questions (of each set), turns, or dialogues or items (of each task
            and language).
        asking: of those in `ASKED`, who is asked and who judges; None asks `recipe`, unjudged.

    Raises: InputError for a benchmark that there is not, DataError for data that do not fit it.
    """
    if benchmark not in BENCHMARKS:
        raise InputError(f"there is no benchmark {benchmark!r}", f"choose one of: {', '.join(BENCHMARKS)}")
    for folder in data:
        if not folder.is_dir() and not (benchmark in ASKED and folder.is_file()):
            raise DataError(f"{folder} is no folder", "name the folders of evaluation data after --data")
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    measure = partial(_asked, out, asking) if benchmark in ASKED else _measure(benchmark)
    report = measure(benchmark, recipe, list(data), checkpoint, limit, seed)
    of_model = {"recipe": recipe.name, "checkpoint": str(checkpoint or "shipped")}
    return _shown(report, of_model, out, seed, json)


def run_judge(tried: Tried, *, out: Path | None = None, seed: int = 0, json: bool = False) -> Report:
    """Try a judge; the figures are printed and written as `run` does.

    Raises: as `harken.evaluation.judges.run.evaluate`.
    """
    from harken.evaluation.judges.run import evaluate

    return _shown(evaluate(tried, out, seed), {}, out, seed, json)


def run_empathy_scorer(
    training: ScorerTraining, *, recipe: Recipe, out: Path, seed: int = 0, json: bool = False
) -> Report:
    """Train the scorer of empathy into `out`; the figures are printed and written as `run` does.

    Raises: as `harken.evaluation.empathy_scorer.run.evaluate`.
    """
    from harken.evaluation.empathy_scorer.run import evaluate
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    return _shown(evaluate(training, recipe, out, seed), {"recipe": recipe.name}, out, seed, json)


def _shown(report: Report, about: Mapping[str, str], out: Path | None, seed: int, json: bool) -> Report:
    """The report with where it was made, printed and written."""
    from harken import __version__
    from harken.evaluation.report import hardware

    report = report.with_setting(harken=__version__, **about, seed=seed, hardware=hardware())
    print(report.json_lines()) if json else report.print()
    if out is not None:
        report.save(out)
    return report


def _measure(benchmark: str) -> Callable[..., Report]:
    measures = {"affect": _affect, "labelers": _labelers, "codec": _codec}
    measures |= dict.fromkeys(("speech", "style", "manner"), _own_voice)
    return measures.get(benchmark, _with_model)


def _asked(
    out: Path | None,
    asking: Asking | None,
    benchmark: str,
    recipe: Recipe,
    data: list[Path],
    checkpoint: Path | None,
    limit: int | None,
    seed: int,
) -> Report:
    """The benchmarks that ask a system under test."""
    from harken.evaluation.asking.options import Asking
    from harken.evaluation.dialogue_sets.run import evaluate as dialogues
    from harken.evaluation.empathy.run import evaluate as empathy
    from harken.evaluation.humdial.run import evaluate as humdial
    from harken.evaluation.paralinguistic.run import evaluate as paralinguistic
    from harken.evaluation.televal.run import evaluate as televal

    if len(data) != 1 or out is None:
        raise InputError(
            f"{benchmark} takes one place of data, and one for what it writes", "--data DIR --out DIR"
        )
    evaluate = {
        "humdial": humdial,
        "dialogues": dialogues,
        "televal": televal,
        "paralinguistic": paralinguistic,
        "empathy": empathy,
    }[benchmark]
    return evaluate(
        data[0], asking or Asking(), recipe=recipe, checkpoint=checkpoint, out=out, limit=limit, seed=seed
    )


def _affect(
    benchmark: str, recipe: Recipe, data: list[Path], checkpoint: Path | None, limit: int | None, seed: int
) -> Report:
    """The readout, trained anew in every protocol: neither checkpoint nor limit plays a part."""
    from harken.evaluation.affect import evaluate_affect
    from harken.evaluation.report import Report
    from harken.weights.store import ensure, home

    made = evaluate_affect(data[0], ensure(recipe.listen.encoder), seed, cache=home() / "affect")
    method = "readout trained anew on each protocol's clips, beside a linear probe on the same"
    return Report(benchmark, {"checkpoint": "none", "method": method}, tuple(made.rows()))


def _labelers(
    benchmark: str, recipe: Recipe, data: list[Path], checkpoint: Path | None, limit: int | None, seed: int
) -> Report:
    """Labels dev people's speech by the recipe's readout and, where FunASR is installed, by emotion2vec+."""
    from importlib.util import find_spec

    from harken.checkpoint import shipped
    from harken.data.labelers import open_labeler
    from harken.data.labelers.emotion2vec import Emotion2vec
    from harken.data.labelers.readout import Readout
    from harken.evaluation.labelers import evaluate_labelers, people

    labelers = [open_labeler(Readout(trained=checkpoint or shipped(recipe.name)))]
    if find_spec("funasr"):
        labelers.append(open_labeler(Emotion2vec()))
    return evaluate_labelers(labelers, people(data, limit, seed), seed)


def _codec(
    benchmark: str, recipe: Recipe, data: list[Path], checkpoint: Path | None, limit: int | None, seed: int
) -> Report:
    """Dev replies and dev users' turns, of which no voice is the codec's, through units and back."""
    from harken.checkpoint import shipped
    from harken.data.speech import clips
    from harken.evaluation.clips import drawn
    from harken.evaluation.codec import evaluate_codec
    from harken.unit_checkpoint import load_unit_decoder, load_unit_encoder

    dev = [clip for place in data for clip in clips(place) if clip.split == "dev"]
    if not dev:
        raise DataError(f"no dev clips in {', '.join(map(str, data))}", "name a speech pack or a render")
    folder = checkpoint or shipped(recipe.name)
    encoder, decoder = load_unit_encoder(recipe, folder), load_unit_decoder(recipe, folder)
    sets = {
        f"{lang} {role}": drawn([c for c in dev if c.lang == lang and c.role == role], limit, seed)
        for lang in ("en", "zh")
        for role in ("reply", "user")
    }
    return evaluate_codec(encoder, decoder, {k: v for k, v in sets.items() if v}, recipe.speaker, seed)


def _own_voice(
    benchmark: str, recipe: Recipe, data: list[Path], checkpoint: Path | None, limit: int | None, seed: int
) -> Report:
    """What the model says in its own voice: its replies to dev users' turns, or one text to dev people."""
    from harken.api import Harken
    from harken.checkpoint import load_model, shipped
    from harken.evaluation import manner, speech, style
    from harken.evaluation.clips import drawn, evaluation_clips
    from harken.evaluation.labelers import people
    from harken.model.own_voice import OwnVoice
    from harken.unit_checkpoint import load_unit_decoder, load_unit_encoder

    harken = Harken(load_model(recipe, checkpoint))
    voice = harken.voice("recipe")
    if not isinstance(voice, OwnVoice):
        raise RecipeError(
            f"{checkpoint or recipe.name} has no voice of its own", "train it: harken train codec, then speak"
        )
    if benchmark == "style":
        clips = [clip for found in people(data, languages=recipe.languages).values() for clip in found]
        return style.evaluate_style(harken.model, voice, drawn(style.sad_and_happy(clips), limit, seed), seed)
    if benchmark == "manner":
        limit = limit or manner.MOST_TURNS
        folder = checkpoint or shipped(recipe.name)
        codec = load_unit_encoder(recipe, folder), load_unit_decoder(recipe, folder)
        hear = partial(manner.said_again, *codec, recipe.speaker)
        felt = _felt(data, recipe.languages, limit, seed)
        return manner.evaluate_manner(harken.model, voice, hear, *felt, seed)
    turns = [clip for chosen in evaluation_clips(data).values() for clip in chosen]
    external = harken.voice("kokoro")
    assert external is not None and not isinstance(external, OwnVoice)
    chosen = drawn(turns, limit or speech.MOST_TURNS, seed)
    return speech.evaluate_speech(harken.model, voice, external, chosen, seed)


def _felt(
    data: list[Path], languages: tuple[str, ...], limit: int, seed: int
) -> tuple[list[Clip], dict[str, list[Clip]]]:
    """Replies whose style is known; turns of a known emotion, of dev users and of dev people by corpus."""
    from harken.data.speech import clips
    from harken.evaluation.clips import drawn, of_people
    from harken.evaluation.labelers import people

    persons = [folder for folder in data if of_people(folder)]
    spoken = [clip for folder in data if folder not in persons for clip in clips(folder)]
    users = [c for c in spoken if (c.split, c.role, c.lang) == ("dev", "user", "en") and c.emotion]
    turns = {"dev users": drawn(users, limit, seed)} if users else {}
    if persons:
        found = people(persons, limit, seed, languages)
        turns |= {corpus: [labelled.clip for labelled in each] for corpus, each in found.items()}
    if not turns:
        raise DataError(
            f"no dev turn of a known emotion in {', '.join(map(str, data))}", "name emotional speech as well"
        )
    return [clip for clip in spoken if clip.style], turns


def _with_model(
    benchmark: str, recipe: Recipe, data: list[Path], checkpoint: Path | None, limit: int | None, seed: int
) -> Report:
    from harken.checkpoint import load_model
    from harken.evaluation import alignment, attribution, following, words
    from harken.evaluation.cascade import WhisperDecoder
    from harken.evaluation.clips import dev_turns, drawn, evaluation_clips
    from harken.evaluation.labelers import people
    from harken.evaluation.writing import Writer
    from harken.weights.store import ensure

    if benchmark == "following":
        spoken_here = people(data, limit, seed, recipe.languages)
        return following.evaluate_following(Writer(load_model(recipe, checkpoint)), spoken_here, seed)
    if benchmark == "attribution":
        annotated, spoken = _reccon(data)
        clips = [clip for folder in spoken for clip in dev_turns(folder)]
        felt, neutral = (
            find(annotated, clips) for find in (attribution.spoken_turns, attribution.neutral_turns)
        )
        writer = Writer(load_model(recipe, checkpoint))
        return attribution.evaluate_attribution(
            writer, drawn(felt, limit, seed), drawn(neutral, limit, seed), seed
        )
    sets = evaluation_clips(data, limit if benchmark == "words" else None, seed)
    writer = Writer(load_model(recipe, checkpoint))
    whisper = WhisperDecoder(ensure(recipe.listen.encoder))
    if benchmark == "words":
        return words.evaluate_words(writer, whisper, sets, seed)
    together = [clip for chosen in sets.values() for clip in chosen]
    return alignment.evaluate_alignment(writer, whisper, together, limit or alignment.MOST_TURNS, seed)


def _reccon(data: list[Path]) -> tuple[list[Dialogue], list[Path]]:
    """RECCON's dialogues, and the other folders."""
    from harken.data.dialogues import read_dialogues

    holding = [folder for folder in data if (folder / RECCON).exists()]
    if not holding or len(holding) == len(data):
        found = "no folder" if not holding else "no folder of speech"
        raise DataError(
            f"{found} in {', '.join(map(str, data))}",
            f"name a folder that holds {RECCON}, and packs or renders",
        )
    return read_dialogues(holding[0] / RECCON), [folder for folder in data if folder not in holding]
