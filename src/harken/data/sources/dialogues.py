"""Annotated text dialogues: RECCON, ESConv, StyleTalk, SMILE, XDailyDialog, and three for research alone.

Each is one file `NAME.jsonl.gz` of dialogues with `id, split, group, lang` and turns; a group joins dialogues
that nearly repeat each other across the sets, so it is taken as it is. Licences differ, and some sets may
never be in weights that are shipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from harken.data.rows import Affect, Cause, Row, Speaker, Turn
from harken.data.sources.base import (
    AGES,
    GENDERS,
    Place,
    Source,
    Unread,
    Unusable,
    affect_of,
    items_to_rows,
    said,
)
from harken.data.sources.conversations import Line, dialogue_rows
from harken.data.sources.hub import list_files
from harken.data.sources.json_items import json_items
from harken.errors import DataError

BACKGROUND = "b"
"""RECCON's mark for a cause that nobody says."""

Make = Callable[[Place, dict[str, Any]], list[Row]]


def read_turns(place: Place, row: dict[str, Any], user: str | None = None) -> list[Row]:
    """The rows of a dialogue with `turns[{turn, speaker, text, emotion?, cause_turns?, cause_spans?}]`."""
    lang = place.options.get("lang", row["lang"])
    lines = lines_of(row, lang)
    return list(
        dialogue_rows(place.source, row["id"], lines, lang, group=row["group"], split=row["split"], user=user)
    )


def lines_of(row: dict[str, Any], lang: str) -> list[Line]:
    """The lines of a dialogue of `read_turns`' form, in `lang`. Raises Unusable for an unknown emotion."""
    text = "text" if lang == row["lang"] else f"text_{lang}"
    return [
        Line(t["turn"], t["speaker"], t[text], _affect(t), tuple(_causes(row["turns"], t)), _who(t))
        for t in row["turns"]
    ]


def read_esconv(place: Place, row: dict[str, Any]) -> list[Row]:
    """The seeker is the user."""
    return read_turns(place, row, user="seeker")


def read_smile(place: Place, row: dict[str, Any]) -> list[Row]:
    """The client is the user."""
    return read_turns(place, row, user="client")


def read_styletalk(place: Place, row: dict[str, Any]) -> list[Row]:
    """`context` is `A : … B : …`; `text` answers it and is answered by `reply`."""
    before = re.split(r"(?:^|\s)([AB]) : ", row["context"])[1:]
    lines = [
        Line(n, who, text) for n, (who, text) in enumerate(zip(before[::2], before[1::2], strict=True), 1)
    ]
    speaker = "A" if lines and lines[-1].speaker == "B" else "B"
    affect = () if row["style"]["emotion"] in ("friendly", "unfriendly") else _affect(row["style"])
    n = len(lines) + 1
    lines += [Line(n, speaker, row["text"], affect), Line(n + 1, "reply", row["reply"])]
    rows = dialogue_rows(
        place.source, row["id"], lines, row["lang"], group=row["group"], split=row["split"], user=speaker
    )
    return list(rows)[-1:]


def read_ecpe(place: Place, row: dict[str, Any]) -> list[Row]:
    """A passage of news as one turn, with the emotion and causes of its annotated pairs of clauses."""
    clauses = {clause["clause"]: clause for clause in row["clauses"]}
    text = said("，".join(clause["text"] for clause in row["clauses"]), row["lang"])
    felt = {a for emotion, _ in row["pairs"] for a in _affect(clauses[emotion])}
    causes = dict.fromkeys(clauses[cause]["text"] for _, cause in row["pairs"])
    turn = Turn(
        "user", text, affect=tuple(felt) if len(felt) == 1 else (), cause=tuple(Cause(0, c) for c in causes)
    )
    return [place.source.row(row["id"], [turn], row["lang"], group=row["group"], split=row["split"])]


def _affect(annotated: dict[str, Any]) -> tuple[Affect, ...]:
    """The emotion of a turn; none where two are annotated at once (`anger&sadness`)."""
    labels = set((annotated.get("emotion") or "").split("&"))
    return affect_of(labels.pop(), "human") if len(labels) == 1 else ()


def _causes(turns: list[dict[str, Any]], turn: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The causes of a turn's emotion: annotated spans where there are, else the whole turns annotated."""
    said_by_number = {
        other["turn"]: other["text"].strip() for other in turns if other["turn"] <= turn["turn"]
    }
    numbers = [n for n in turn.get("cause_turns", ()) if n in said_by_number]
    if "cause_spans" not in turn:
        yield from ((n, said_by_number[n]) for n in numbers)
        return
    for span in turn["cause_spans"]:
        if span != BACKGROUND:
            yield from ((n, span) for n in numbers if span in said_by_number[n])


def _who(turn: dict[str, Any]) -> Speaker:
    age, gender = turn.get("age") or "", turn.get("gender") or ""
    return Speaker(gender=GENDERS.get(gender), age=AGES.get(age))


def _reader(name: str, make: Make) -> Callable[[Place], Iterator[Row | Unread]]:
    def rows(place: Place, data: dict[str, Any]) -> list[Row]:
        if data["split"] not in ("train", "dev"):
            raise Unusable("label outside the set", f"split {data['split']!r}")
        return make(place, data)

    def read(place: Place) -> Iterator[Row | Unread]:
        if place.options.get("lang", "zh") not in ("en", "zh"):
            raise DataError(f"source {name!r} is not read in {place.options['lang']!r}", "languages: en, zh")
        files = list_files(place.path, f"{name}.jsonl", f"{name}.jsonl.gz")
        return (
            row for file in files for row in items_to_rows(json_items(file), lambda data: rows(place, data))
        )

    return read


def _source(
    name: str, about: str, licence: str, lang: str, url: str, make: Make, shippable: bool = True
) -> Source:
    both = name == "xdailydialog"
    return Source(
        name=name,
        about=about,
        licence=licence,
        shippable=shippable,
        langs=("zh", "en") if both else (lang,),
        form_of=f"{name}.jsonl.gz of 2026-11: dialogues with id, split, group, lang, made of {url}",
        url=url,
        read=_reader(name, make),
        options={"lang": "en: the parallel English instead of the Chinese"} if both else {},
    )


_NC_SA, _DAILY = "CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0 (DailyDialog)"
_RESEARCH = "research only"
SOURCES = (
    _source("reccon", "everyday dialogues with emotions and their causes", _DAILY, "en",
            "https://github.com/declare-lab/RECCON", read_turns),
    _source("esconv", "supportive dialogues", "CC-BY-NC-4.0", "en",
            "https://github.com/thu-coai/Emotional-Support-Conversation", read_esconv),
    _source("styletalk", "turns said in a style, answered in one", "MIT", "en",
            "https://github.com/DanielLin94144/StyleTalk", read_styletalk),
    _source("smile", "counselling dialogues", "CC0-1.0", "zh",
            "https://github.com/qiuhuachuan/smile", read_smile),
    _source("xdailydialog", "everyday dialogues with emotions, Chinese with parallel English", _NC_SA, "zh",
            "https://github.com/liuzeming01/XDailyDialog", read_turns),
    _source("ecf", "scenes of a television series with emotions and their causes", _RESEARCH, "en",
            "https://github.com/NUSTM/MECPE", read_turns, shippable=False),
    _source("cped", "television scenes with emotions", "Apache-2.0 (repository); text of television", "zh",
            "https://github.com/scutcyr/CPED", read_turns, shippable=False),
    _source("ecpe", "passages of news with emotions and their causes", _RESEARCH, "zh",
            "https://github.com/NUSTM/ECPE", read_ecpe, shippable=False),
)  # fmt: skip
LICENCES = {source.name: source.licence for source in SOURCES}
