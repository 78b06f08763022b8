"""The audit: what it counts, what it flags, and a page that is whole by itself and takes any text."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="an audit needs harken[data]")
pytest.importorskip("matplotlib", reason="an audit needs harken[data]")
pytest.importorskip("pyarrow", reason="an audit needs harken[data]")

from harken.audio.io import write
from harken.data import audit_page
from harken.data.audit import Audit, audit
from harken.data.audit_page import EXAMPLES, Examples
from harken.data.audit_plots import MOST_BARS, PLOTS
from harken.data.rows import Affect, Instruction, Reflection, Row, Speaker, Teacher, Turn
from harken.data.shards import write_shard
from harken.data.steps.base import Dropped
from harken.data.workspace import Workspace
from harken.errors import DataError

TEACHER = Teacher("qwen", "abc123", "f" * 64, '{"temperature":0.7}', 0)
EVIL = "<script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>"


def row(name: str, **changes: Any) -> Row:
    """A row of one user's turn; `voice`, `text` and `seconds` are that turn's."""
    user = Turn(
        "user",
        changes.pop("text", f"This is row {name}."),
        audio=changes.pop("audio", None),
        seconds=changes.pop("seconds", 2.0),
        speaker=Speaker(changes.pop("voice", "af_bella"), "female"),
        affect=(Affect("sad", "rule"), Affect("fear", "model", 0.7, model="readout@1")),
    )
    made = Row(
        name, f"group-{name}", "train", "empathy", "1-2", "en", "mine", "CC0-1.0", True, (user,),
        target="I am sorry.", teacher=TEACHER,
    )  # fmt: skip
    return replace(made, **changes)


def built(folder: Path, rows: Sequence[Row], dropped: Sequence[Dropped] = (), number: int = 0) -> Path:
    write_shard(folder, number, rows, Workspace(folder / "work", root=folder), dropped)
    return folder


def tone(folder: Path, name: str, seconds: float = 0.5) -> str:
    wave = (0.3 * np.sin(np.arange(int(24_000 * seconds)) / 20)).astype(np.float32)
    return Workspace(folder / "work", root=folder).save(name, wave, 24_000)


def page(folder: Path) -> str:
    return (folder / "audit" / "index.html").read_text()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of an audit's time: they are drawn where they are what is tested."""
    monkeypatch.setattr(audit_page, "PLOTS", {})


@pytest.fixture
def sound_set(tmp_path: Path) -> Path:
    """Four rows in two shards: two share a recording, one is in Chinese, for development."""
    folder = tmp_path / "set"
    hello = tone(folder, "hello")
    first = row("a", audio=hello, seconds=3600.0)
    again = row(
        "b", audio=hello, seconds=3600.0, task="trajectory", instruction=Instruction("How did it go?")
    )
    zh = row(
        "c", lang="zh", split="dev", voice="zf_xiaoni", text="我丢了工作。", licence="CC BY-NC 4.0",
        shippable=False, source="other", teacher=None,
    )  # fmt: skip
    turns = (*row("d").turns, Turn("assistant", "Go on."), *row("e").turns)
    long = row(
        "d", turns=turns, trace="The speaker is sad, because of work.", injection="The speaker is sad,"
    )
    built(folder, [first, again], [Dropped(row("x"), "speak", "read back wrong", "cer 0.9")] * 2)
    return built(folder, [zh, long], [Dropped(row("y"), "attribute", "never closes")], number=1)


def test_counts_what_is_there(sound_set: Path) -> None:
    found = audit(sound_set)
    assert (found.rows, found.groups, found.duplicates, found.violations) == (4, 4, 0, ())
    assert found.counts["task"] == {"empathy": 3, "trajectory": 1}
    assert found.counts["lang"] == {"en": 3, "zh": 1} and found.counts["split"] == {"train": 3, "dev": 1}
    assert found.turns == {"1": 3, "3": 1}
    assert found.emotions == {"fear": {"model": 5}, "sad": {"rule": 5}}
    assert found.labelers == {"readout@1": 5}
    assert found.hours == {"mine": {"user": 2.0}} and found.distinct_hours == {"user": 1.0}
    assert found.durations_s[2] == 3 and found.durations_s[-1] == 2
    assert found.voices == {"dev": 1, "train": 1}
    assert [(x.source, x.shippable, x.rows) for x in found.licences] == [
        ("mine", True, 3),
        ("other", False, 1),
    ]
    assert [(m.name, m.revision, m.rows) for m in found.makers] == [("qwen", "abc123", 3)]
    assert found.without_model == 1
    assert found.dropped == {"attribute": {"never closes": 1}, "speak": {"read back wrong": 2}}


def test_the_file_for_programs_says_the_same(sound_set: Path, tmp_path: Path) -> None:
    found = audit(sound_set, tmp_path / "elsewhere")
    kept = json.loads((tmp_path / "elsewhere" / "audit.json").read_text())
    assert kept["counts"] == found.counts and kept["hours"] == found.hours and kept["violations"] == []
    assert not (sound_set / "audit").exists()


def test_groups_and_voices_in_two_splits_are_flagged(tmp_path: Path) -> None:
    rows = [
        row("a", group="one"),
        row("b", group="one", split="dev", voice="af_nova"),
        row("c", voice="speaker-7"),
        row("d", split="dev", voice="speaker-7"),
    ]
    found = audit(built(tmp_path / "set", rows))
    assert {v.kind: v.names for v in found.violations} == {
        "groups in two splits": ("one",),
        "voices in two splits": ("speaker-7",),
    }
    assert "groups in two splits: 1 (one)" in page(tmp_path / "set")
    out = io.StringIO()
    found.print(out)
    assert "must not be: voices in two splits: 1 (speaker-7)" in out.getvalue()


def test_voices_outside_their_cast_missing_licences_and_ids_twice_are_flagged(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    spoken = Instruction("How did it go?", voice="af_bella+am_echo")
    built(folder, [row("a", voice="af_nova"), row("b", instruction=spoken), row("c", licence=" ")])
    built(folder, [row("c", licence="CC0-1.0", text="Other words.")], number=1)
    assert {v.kind: v.names for v in audit(folder).violations} == {
        "voices heard outside their split": ("af_bella+am_echo (train)", "af_nova (train)"),
        "rows without a licence": ("c",),
        "ids that occur twice": ("c",),
    }


def test_a_violation_names_a_few_and_counts_all(tmp_path: Path) -> None:
    rows = [
        row(f"{split}{i}", group=f"g{i}", split=split, voice=split)
        for i in range(9)
        for split in ("dev", "train")
    ]
    (found,) = audit(built(tmp_path / "set", rows)).violations
    assert found.count == 9 and found.names == ("g0", "g1", "g2", "g3", "g4")
    assert str(found).endswith("g4, …)")


def test_a_model_is_compared_with_what_others_said_of_the_same_recording(tmp_path: Path) -> None:
    def labelled(name: str, said: str, origin: Any, heard: str, **changes: Any) -> Row:
        made = row(name, **changes)
        affect = (
            Affect(said, origin),
            Affect(heard, "model", 0.8),
            Affect("fear", "model", 0.9, t0=0.0, t1=1.0),
        )
        return replace(made, turns=(replace(made.turns[0], affect=affect),))

    rows = [
        labelled("a", "sad", "human", "sad"),
        labelled("b", "sad", "human", "other"),
        labelled("c", "happy", "rule", "anger"),
        labelled("d", "sad", "human", "sad", task="trajectory", text="This is row a."),
    ]
    found = audit(built(tmp_path / "set", rows))
    assert found.agreement == {"human": {"sad": {"sad": 1, "other": 1}}, "rule": {"happy": {"anger": 1}}}
    out = io.StringIO()
    found.print(out)
    assert re.search(r"sad .*human .*2 .*1 \(50%\) .*1 \(50%\)", out.getvalue())


def test_rows_that_say_the_same_and_traces_that_repeat_are_counted(tmp_path: Path) -> None:
    felt = "The speaker is {}, because the job is gone."
    rows = [
        row(e + n, text="Gone.", injection=f"The speaker is {e},", trace=felt.format(e)[: 60 - int(n)])
        for e, n in (("sad", "0"), ("sad", "1"), ("angry", "2"))
    ]
    found = audit(built(tmp_path / "set", rows))
    assert found.duplicates == 2
    assert (found.traces.rows, found.traces.distinct, found.traces.distinct_after_injection) == (3, 2, 1)


def test_an_empty_set_and_a_folder_that_is_none(tmp_path: Path) -> None:
    found = audit(built(tmp_path / "set", []))
    assert found.rows == 0 and "0</b> rows" in page(tmp_path / "set")
    found.print(io.StringIO())
    with pytest.raises(DataError, match="nothing"):
        audit(tmp_path / "nothing")


def test_out_that_cannot_be_written_is_one_clear_line(sound_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/x: cannot be written"):
        audit(sound_set, tmp_path / "file" / "x")


class Elements(HTMLParser):
    """Tags with their attributes, and that every element that is opened is closed."""

    VOID = frozenset(["meta", "img", "source", "br", "link", "input"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_any_text_of_a_row_is_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    evil = row(
        EVIL, text=EVIL, group=EVIL, source=EVIL, licence=EVIL, voice=EVIL, audio=tone(folder, "a"),
        target=EVIL + ".", trace=EVIL + " so", injection=EVIL, instruction=Instruction(EVIL, voice=EVIL),
        teacher=replace(TEACHER, name=EVIL),
    )  # fmt: skip
    built(folder, [evil], [Dropped(evil, EVIL, EVIL)])
    audit(folder)
    text = page(folder)
    assert "&lt;script&gt;" in text
    tags = {tag for tag, _ in Elements(text).found}
    assert "script" not in tags
    assert not [a for _, attrs in Elements(text).found for a in attrs if a.startswith("on")]


def test_the_page_needs_nothing_beside_it(sound_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_page, "PLOTS", {"turns": PLOTS["turns"]})
    audit(sound_set)
    text = page(sound_set)
    loaded = [
        value
        for tag, attrs in Elements(text).found
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "poster", "data", "action")
    ]
    assert loaded and all(value and value.startswith("data:") for value in loaded)
    assert not re.search(r"url\(|@import", text)
    assert text.count('<audio controls preload="none" src="data:audio/ogg;base64,T2dnU') == 2  # OggS
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_pictures_are_written_where_there_is_something_to_show(
    sound_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_page, "PLOTS", {"hours": PLOTS["hours"], "dropped": PLOTS["dropped"]})
    for path in sound_set.glob("dropped-*"):
        path.unlink()
    (sound_set / "audit").mkdir()
    (sound_set / "audit" / "dropped.png").write_bytes(b"of an earlier audit")
    audit(sound_set)
    (picture,) = (sound_set / "audit").glob("*.png")
    assert picture.name == "hours.png" and picture.read_bytes().startswith(b"\x89PNG")
    assert page(sound_set).count("<picture>") == 1


def test_every_picture_is_told_in_words_and_long_names_are_folded(sound_set: Path) -> None:
    found = audit(sound_set)
    assert PLOTS["emotions"].about(found) == "Emotions, by who says so, labels of users' turns: fear 5, sad 5"
    told = {name: plot.stacks(found) for name, plot in PLOTS.items()}
    assert told["durations"].total == 5 and told["turns"].values == {"1": [3], "3": [1]}
    many = replace(found, dropped={"speak": {f"reason {i:02}": 30 - i for i in range(20)}})
    folded = PLOTS["dropped"].stacks(many)
    assert len(folded.values) == MOST_BARS + 1 and folded.values["6 more"] == [sum(range(11, 17))]


def test_the_page_has_recipe_and_prompts_where_the_build_kept_them(sound_set: Path) -> None:
    record = {
        "recipe": {"name": "tiny"},
        "harken": "0.9",
        "prompts": {"f" * 64: "Be <kind>.", "0" * 64: "Not used."},
    }
    (sound_set / "build.json").write_text(json.dumps(record))
    audit(sound_set)
    text = page(sound_set)
    assert "Recipe <b>tiny</b>" in text and "Be &lt;kind&gt;." in text and "Not used." not in text
    (sound_set / "build.json").write_text('{"recipe"')
    with pytest.raises(DataError, match=r"build\.json: cannot be read"):
        audit(sound_set)


def test_audio_that_is_gone_is_said_on_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    built(folder, [row("a", audio=tone(folder, "a"))])
    (folder / "audio-00000.tar").unlink()
    audit(folder)
    assert "no sound:" in page(folder) and "<audio" not in page(folder)


def test_other_formats_are_played_as_opus(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    wav = tmp_path / "a.wav"
    write(wav, np.sin(np.arange(8000) / 9).astype(np.float32), 16_000)
    built(folder, [row("a", audio=str(wav))])
    audit(folder)
    assert 'src="data:audio/ogg;base64,T2dnU' in page(folder)


def test_examples_show_every_task_before_any_twice() -> None:
    examples = Examples()
    for i in range(50):
        task, lang = ("empathy", "respond", "reasoning")[i % 3], ("en", "zh")[i % 2]
        examples.add(row(f"r{i}", task=task, lang=lang))
    chosen = examples.chosen()
    assert len(chosen) == EXAMPLES and len({r.id for r in chosen}) == EXAMPLES
    assert {r.task for r in chosen[:3]} == {"empathy", "respond", "reasoning"}
    assert {r.lang for r in chosen[:3]} == {"en", "zh"}


def test_tables_are_printed(sound_set: Path) -> None:
    out = io.StringIO()
    found: Audit = audit(sound_set)
    found.print(out)
    printed = out.getvalue()
    for told in ("rows by task", "never closes", "qwen@abc123", "CC BY-NC 4.0", "no group and no voice"):
        assert told in printed


def test_reflections_are_counted(tmp_path: Path) -> None:
    thoughts = (Reflection(0, "Needs company."), Reflection(1, "So far warm, listens."))
    good = row("good", task="reflect", reflections=thoughts)
    mended = row("mended", task="reflect", reflections=thoughts[:1], given=2)
    found = audit(built(tmp_path / "set", [good, mended, row("plain")])).reflections
    assert (found.rows, found.mending, found.reflections, found.distinct) == (2, 1, 3, 2)
    assert "of them mending a weak beginning" in page(tmp_path / "set")
