"""Building a set of spoken dialogues to judge on: scenes and contrast groups, spoken, and asked about.

    OUT/dialogues-{en,zh}.jsonl   scenes, in HumDial's format
    OUT/contrast-{en,zh}.jsonl    one turn each, the same words in several emotions
    OUT/items.jsonl               what is asked, with gold answers and candidates
    OUT/audio/*.ogg               what is heard
    OUT/set.json                  where all comes from; written last

The set is whole where set.json stands. A run that was stopped goes on when it is run again.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harken.data.files import write_text
from harken.data.sources import SOURCES
from harken.errors import DataError
from harken.evaluation.clips import drawn
from harken.evaluation.dialogue_sets.contrast import ContrastGroup, contrast_groups
from harken.evaluation.dialogue_sets.items import Item, contrast_item, scene_items
from harken.evaluation.dialogue_sets.recordings import OpenVoice, Recordings, Speaker, cast_speaker
from harken.evaluation.dialogue_sets.scenes import Scene, Scenes, read_scenes
from harken.evaluation.dialogue_sets.trained_on import read_manifests
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.language import LANGUAGES
from harken.evaluation.progress import steps
from harken.voices import kokoro
from harken.weights.unpack import sha256_of

FORMAT = 1
"""Of the files; changes where their meaning does."""
ITEMS, SET = "items.jsonl", "set.json"
UNCHECKED = "no training manifest was given: nothing was checked against what training used"

_to_stderr = partial(print, file=sys.stderr, flush=True)


Spoken = tuple[Scene, Dialogue]
Take = tuple[ContrastGroup, Dialogue]


@dataclass(frozen=True)
class Counts:
    """What a set holds."""

    dialogues: Counter[str]
    """By language."""
    contrast: Counter[str]
    """Recordings of the contrast set by language."""
    items: Counter[str]
    """By task."""
    unspeakable: int
    """Dialogues and contrast groups left out: a turn of theirs holds nothing to speak."""


@dataclass(frozen=True)
class Built:
    """What stands after a build."""

    counts: Counts
    made: int
    """Recordings that this run made; the others stood."""


def build_dialogues(
    sources: Mapping[str, Path | None],
    out: Path,
    *,
    manifests: Sequence[Path] = (),
    people: Sequence[Path] = (),
    any_split: Collection[str] = (),
    limit: int | None = None,
    seed: int = 0,
    open_voice: OpenVoice = kokoro.load,
    report: Callable[[str], None] = _to_stderr,
) -> Built:
    """Build the set of `sources` (name -> file; None for the package's own) in the folder `out`.

    Args:
        manifests: of training data; a dialogue group or voice that is in one is refused.
        people: folders of emotional speech, for the contrast set.
        any_split: sources of which dialogues of every split are spoken; then manifests are needed.
        limit: so many dialogues of each source, and so many groups of the contrast set, at most.
        seed: draws dialogues, voices, paces and candidates.
        report: is told what a user should know.

    Raises: DataError for what cannot be used or is refused, HarkenError of the voice.
    """
    _check_splits(any_split, manifests)
    found = _read(sources, any_split, report)
    usable = [read.usable() for read in found.values()]
    scenes = [scene for of_source in usable for scene in drawn(of_source, limit, seed)]
    groups = contrast_groups(people, [scene for of_source in usable for scene in of_source], limit, seed)
    cast = {part.id: cast_speaker(part.id, part.lang, part.gender, seed) for part in _parts(scenes, groups)}
    _refuse(scenes, groups, cast, manifests, report)
    recordings = Recordings(out, open_voice)
    (out / SET).unlink(missing_ok=True)
    spoken, takes = _speak(scenes, groups, cast, recordings)
    items = [*_scene_items(found, spoken, seed, report), *_contrast_items(takes, seed)]
    counts = _counts(spoken, takes, items, asked_for=len(scenes) + len(groups))
    about = _about(found, spoken, takes, cast) | {
        "seed": seed,
        "training manifests": {path.name: sha256_of(path) for path in manifests},
        "counts": vars(counts),
    }
    _write(out, spoken, takes, items, about)
    return Built(counts, recordings.made)


def _speak(
    scenes: Sequence[Scene],
    groups: Sequence[ContrastGroup],
    cast: Mapping[str, Speaker],
    recordings: Recordings,
) -> tuple[list[Spoken], list[Take]]:
    """Those of which every turn can be spoken."""
    spoken = [
        (scene, dialogue)
        for scene in steps(scenes, "dialogues")
        for dialogue in _spoken_scene(scene, cast[scene.id], recordings)
    ]
    takes = [
        (group, dialogue)
        for group in steps(groups, "contrast")
        for dialogue in _spoken_group(group, cast[group.id], recordings)
    ]
    return spoken, takes


def _check_splits(any_split: Collection[str], manifests: Sequence[Path]) -> None:
    """Raises DataError where all of a source is wanted, and nothing says what training used."""
    if any_split and not manifests:
        named = ", ".join(any_split)
        raise DataError(
            f"nothing says that training left {named} out", "name the training manifests after --manifest"
        )


def _read(
    sources: Mapping[str, Path | None], any_split: Collection[str], report: Callable[[str], None]
) -> dict[str, Scenes]:
    found = {name: read_scenes(name, place, name in any_split) for name, place in sources.items()}
    for name, read in found.items():
        for reason, count in read.unusable.items():
            report(f"source {name}: {count} dialogues left out: {reason}")
    return found


def _counts(spoken: Sequence[Spoken], takes: Sequence[Take], items: Sequence[Item], asked_for: int) -> Counts:
    return Counts(
        Counter(scene.lang for scene, _ in spoken),
        Counter(group.lang for group, _ in takes),
        Counter(item.task for item in items),
        asked_for - len(spoken) - len({group.id for group, _ in takes}),
    )


def _write(
    out: Path,
    spoken: Sequence[Spoken],
    takes: Sequence[Take],
    items: Sequence[Item],
    about: Mapping[str, Any],
) -> None:
    for lang in LANGUAGES:
        of_lang = [dialogue for scene, dialogue in spoken if scene.lang == lang]
        write_dialogues(out / f"dialogues-{lang}.jsonl", of_lang)
        of_lang = [dialogue for group, dialogue in takes if group.lang == lang]
        write_dialogues(out / f"contrast-{lang}.jsonl", of_lang)
    rows = (json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items)
    write_text(out / ITEMS, "".join(rows))
    write_text(out / SET, json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def _refuse(
    scenes: Sequence[Scene],
    groups: Sequence[ContrastGroup],
    cast: Mapping[str, Speaker],
    manifests: Sequence[Path],
    report: Callable[[str], None],
) -> None:
    """Raises DataError for what training used; says so where that is not known."""
    if not manifests:
        report(UNCHECKED)
    trained_on = read_manifests(manifests)
    parts = _parts(scenes, groups)
    for source in dict.fromkeys(part.source for part in parts):
        of_source = [part.group for part in parts if part.source == source]
        trained_on.refuse(f"source {source}", of_source, [])
    trained_on.refuse("the set", [], _voices(scenes, groups, cast))


def _parts(scenes: Sequence[Scene], groups: Sequence[ContrastGroup]) -> list[Scene | ContrastGroup]:
    return [*scenes, *groups]


def _voices(
    scenes: Sequence[Scene], groups: Sequence[ContrastGroup], cast: Mapping[str, Speaker]
) -> list[str]:
    """Who is heard, people and synthetic voices."""
    return [cast[scene.id].voice for scene in scenes] + [
        group.person or cast[group.id].voice for group in groups
    ]


def _spoken_scene(scene: Scene, speaker: Speaker, recordings: Recordings) -> list[Dialogue]:
    """The scene with its recordings; nothing where a turn cannot be spoken."""
    turns = []
    for number, turn in enumerate(scene.turns, 1):
        file = recordings.spoken(f"{scene.id}_{number}", turn.text, turn.emotion, speaker)
        if file is None:
            return []
        turns.append(Turn(number, turn.text, turn.emotion, file, turn.reply))
    return [Dialogue(scene.id, tuple(turns))]


def _spoken_group(group: ContrastGroup, speaker: Speaker, recordings: Recordings) -> list[Dialogue]:
    """A dialogue of one turn for each emotion; nothing where the words cannot be spoken."""
    dialogues = []
    for emotion, clip in group.takes.items():
        name = group.dialogue_id(emotion)
        spoken = recordings.spoken(f"{name}_1", group.text, emotion, speaker) if clip is None else None
        file = recordings.copied(f"{name}_1", clip) if clip is not None else spoken
        if file is None:
            return []
        dialogues.append(Dialogue(name, (Turn(1, group.text, emotion, file),)))
    return dialogues


def _scene_items(
    found: Mapping[str, Scenes], spoken: Sequence[Spoken], seed: int, report: Callable[[str], None]
) -> list[Item]:
    """Candidates come from the source: from all its dialogues' emotions, and its dev dialogues' causes."""
    items = []
    for name, read in found.items():
        dev, trajectories = read.usable(), [scene.emotions for scene in read.scenes]
        of_source: list[Item] = []
        for scene in [scene for scene, _ in spoken if scene.source == name]:
            others = [other for other in dev if other.lang == scene.lang and other.id != scene.id]
            causes = [cause.text for other in others for turn in other.turns for cause in turn.causes]
            of_source += scene_items(scene, trajectories, causes, seed)
        if of_source and not any(item.task == "reasoning" for item in of_source):
            annotated = any(turn.causes for scene in dev for turn in scene.turns)
            why = (
                "too few dialogues to draw other causes from"
                if annotated
                else "its dialogues have no causes annotated"
            )
            report(f"source {name}: no reasoning items: {why}")
        items += of_source
    return items


def _contrast_items(takes: Sequence[Take], seed: int) -> list[Item]:
    return [
        contrast_item(dialogue.dialogue_id, group.lang, group.id, str(turn.emotion), list(group.takes), seed)
        for group, dialogue in takes
        for turn in dialogue.turns
    ]


def _about(
    found: Mapping[str, Scenes], spoken: Sequence[Spoken], takes: Sequence[Take], cast: Mapping[str, Speaker]
) -> dict[str, Any]:
    """Where the set comes from."""
    from harken import __version__

    scenes = Counter(scene.source for scene, _ in spoken)
    contrasts = Counter(group.source for group, _ in takes)
    sources = {
        name: {
            "licence": SOURCES[name].licence,
            "url": SOURCES[name].url,
            "files": {path.name: sha256_of(path) for path in found[name].files} if name in found else {},
            "dialogues": scenes[name],
            "split": "any" if name in found and found[name].any_split else "dev",
            "contrast recordings": contrasts[name],
        }
        for name in dict.fromkeys([*found, *contrasts])
    }
    voices = _voices([scene for scene, _ in spoken], [group for group, _ in takes], cast)
    acted = "acted by rule, but for people's recordings in the contrast set"
    return {
        "format": FORMAT,
        "harken": __version__,
        "sources": sources,
        "voices": sorted(set(voices)),
        "emotions": acted,
    }
