"""What a teacher wrote as questions and answers, read however untidy it is, and what is wrong with each.

Reading never fails: what cannot be read is no draft. A draft is kept unless a filter finds a fault in it; the
faults are the reasons in the dropped rows. Asking the teacher anything is left to the step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz

from harken.data.steps.paralinguistic_clip import Clip
from harken.data.steps.paralinguistic_words import (
    emotions_named,
    genders_named,
    tone_contradicts,
    tone_fits,
)
from harken.data.steps.replies import OTHER_LANGUAGE, in_language
from harken.llm.base import whole_characters

UNREADABLE = "no readable question"
TYPES = ("C", "CE", "CG", "E", "G")
LENGTHS = {"en": (8, 300), "zh": (4, 120)}
"""Characters of a question, fewest and most; an answer may be twice as long and as short as it likes."""
SAME = 88.0
"""Texts that are at least this similar, of 100, say the same."""

_FIELDS = {
    "question": ("question", "q", "问题"),
    "answer": ("answer", "a", "答案", "回答"),
    "type": ("type", "category", "类型"),
    "level": ("level", "difficulty", "难度"),
    "evidence": ("evidence", "spans", "证据", "依据"),
}
_TYPE_WORDS = (
    ("E", "emotion", "情绪", "情感"),
    ("G", "gender", "性别"),
    ("C", "content", "context", "内容"),
)


@dataclass(frozen=True)
class Draft:
    """A question with its answer, not yet judged. `type` is "" where the teacher named none of the five."""

    question: str
    answer: str
    type: str
    level: str
    evidence: tuple[str, ...] = ()


def read_drafts(text: str) -> list[Draft]:
    """The drafts in a teacher's text: JSON lines, an array, or objects spread over lines.

    Code fences, numbering, trailing commas, curly quotes and an object that was cut off are passed over.
    """
    text = text.replace("“", '"').replace("”", '"') if '"' not in text else text
    drafts, rest = [], []
    for line in text.splitlines():
        start, end = line.find("{"), line.rfind("}")
        found = list(_drafts_in(_loads(line[start : end + 1]))) if 0 <= start < end else []
        drafts += found
        if not found:
            rest.append(line)
    for span in _objects("\n".join(rest)):
        drafts += _drafts_in(_loads(span))
    return drafts


def fault(draft: Draft, clip: Clip, kept: Sequence[Draft]) -> tuple[str, str] | None:
    """The reason to drop a draft, and details; None where there is none. `kept` are the clip's so far."""
    shortest, longest = LENGTHS[clip.lang]
    if not draft.answer or not shortest <= len(draft.question) <= longest or len(draft.answer) > 2 * longest:
        return "too short or too long", f"{len(draft.question)} and {len(draft.answer)} characters"
    for text in (draft.question, draft.answer):
        if not in_language(text, clip.lang):
            return OTHER_LANGUAGE, text
    if leaked := _leak(draft, clip):
        return "the question names its answer", leaked
    if misfit := _misfit(draft, clip):
        return "type does not fit the content", misfit
    if missing := [span for span in draft.evidence if not _said(span, clip)]:
        return "evidence is not in the transcript", missing[0]
    if "C" in draft.type and not draft.evidence:
        return "no evidence", draft.type
    if "E" in draft.type and (wrong := _contradiction(draft.answer, clip)):
        return "the answer does not depend on the affect", wrong
    if other_gender := _other_gender(draft.answer, clip):
        return "the answer names another gender", other_gender
    for other in kept:
        if fuzz.ratio(_plain(draft.question), _plain(other.question)) >= SAME:
            return "duplicate question", other.question
    return None


def answered_by_words(draft: Draft, blind: str, clip: Clip) -> bool:
    """Did one who read the words alone give the same answer? Emotions and genders count before the wording.

    A G draft never is: half of all guesses are right, and guessing is not reading.
    """
    if draft.type in ("C", "G") or not blind.strip():
        return False  # what is said is in the words, and heard nevertheless
    if "E" in draft.type:
        expected, guessed = emotions_named(draft.answer, clip.lang), emotions_named(blind, clip.lang)
        if expected or guessed:
            return expected == guessed
    return bool(fuzz.token_set_ratio(_plain(draft.answer), _plain(blind)) >= SAME)


def _leak(draft: Draft, clip: Clip) -> str:
    """What of the emotion heard, or of the gender asked for, stands in the question."""
    if leaked := emotions_named(draft.question, clip.lang) & set(clip.emotions):
        return ", ".join(sorted(leaked))
    if "G" in draft.type and genders_named(draft.question, clip.lang, pronouns=True) == {clip.gender}:
        return str(clip.gender)  # "a man or a woman?" names both and tells nothing
    return ""


def _misfit(draft: Draft, clip: Clip) -> str:
    """How the type does not fit what is asked, answered, or known."""
    if draft.type not in TYPES:
        return f"type {draft.type or 'missing'}"
    named = genders_named(draft.answer, clip.lang)
    if "G" in draft.type and clip.gender is None:
        return f"{draft.type}, but the gender is not known"
    if "G" in draft.type and named != {clip.gender}:
        return f"{draft.type}, but the answer does not say {clip.gender}"
    if draft.type == "G" and emotions_named(draft.answer, clip.lang):
        return "G, but the answer names an emotion"
    if draft.type == "C":
        unsaid = emotions_named(draft.answer, clip.lang) - emotions_named(clip.words(), clip.lang)
        if unsaid:
            return f"C, but the answer names {', '.join(sorted(unsaid))}"
    return ""


def _contradiction(answer: str, clip: Clip) -> str:
    """Why the answer would be the same whatever was heard, or is another than what was heard."""
    named = emotions_named(answer, clip.lang)
    if named:
        return "" if named & set(clip.emotions) else f"names {', '.join(sorted(named))}"
    if tone_contradicts(answer, clip.lang, clip.vad):
        return "contradicts valence, arousal or dominance"
    return "" if tone_fits(answer, clip.lang, clip.vad) else "names nothing of how it sounds"


def _other_gender(answer: str, clip: Clip) -> str:
    """A gender that is neither the speaker's nor of anybody spoken of. 他 is written of anyone."""
    pronouns = clip.lang == "en"
    spoken_of = genders_named(clip.words(), clip.lang, pronouns)
    others = genders_named(answer, clip.lang, pronouns) - spoken_of - {clip.gender}
    return ", ".join(sorted(others)) if clip.gender else ""


def _said(span: str, clip: Clip) -> bool:
    return bool(_plain(span)) and any(_plain(span) in _plain(turn.text) for turn in clip.turns)


def _plain(text: str) -> str:
    """Lower case, without punctuation, one space between words, none between Chinese characters."""
    return " ".join(re.sub(r"[^\w\s]|_", "", text.lower()).split())


def _loads(text: str) -> Any:
    """JSON with the small faults of small teachers mended; None where that does not help."""
    for attempt in (text, re.sub(r",\s*([}\]])", r"\1", text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _drafts_in(value: Any, depth: int = 4) -> Iterator[Draft]:
    """The draft that an object is, or those up to `depth` lists and objects within it."""
    if isinstance(value, list) and depth:
        for item in value:
            yield from _drafts_in(item, depth - 1)
    if not isinstance(value, dict):
        return
    fields = {str(key).strip().lower(): inner for key, inner in value.items()}
    parts = {name: next((fields[k] for k in keys if k in fields), None) for name, keys in _FIELDS.items()}
    if isinstance(parts["question"], str) and isinstance(parts["answer"], str):
        evidence = parts["evidence"] if isinstance(parts["evidence"], list) else [parts["evidence"]]
        yield Draft(
            question=whole_characters(parts["question"]).strip(),
            answer=whole_characters(parts["answer"]).strip(),
            type=_type(parts["type"]),
            level="complex" if str(parts["level"]).strip().lower() in ("complex", "复杂") else "simple",
            evidence=tuple(whole_characters(e).strip() for e in evidence if isinstance(e, str) and e.strip()),
        )
        return
    yield from _drafts_in(list(value.values()), depth)


def _type(value: Any) -> str:
    """`C+E`, `CE: content and emotion` and `content, emotion` are all CE; "" where nothing is named."""
    text = str(value or "").strip()
    if code := re.match(r"[CEG](?:\s*[+&/,]?\s*[CEG])?(?![A-Za-z])", text):
        letters = set(re.sub(r"[^CEG]", "", code[0]))
    else:
        letters = {letter for letter, *words in _TYPE_WORDS if any(word in text.lower() for word in words)}
    named = "".join(sorted(letters))
    return named if named in TYPES else ""


def _objects(text: str) -> Iterator[str]:
    """Outermost spans between matching braces, quotes respected; one pass over the text."""
    depth, start, quoted, escaped = 0, 0, False, False
    for place, char in enumerate(text):
        if depth and quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == "{":
            start = start if depth else place
            depth += 1
        elif depth and char == '"':
            quoted = True
        elif depth and char == "}":
            depth -= 1
            if not depth:
                yield text[start : place + 1]
