"""TELEVAL as a run: its files read as the hub and its own tool write them, asked, scored and handed on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pages import read as read_page

from harken.audio.io import read
from harken.cli import main
from harken.errors import DataError, InputError
from harken.evaluation.asking.answers import FILE
from harken.evaluation.report import Report
from harken.evaluation.spoken_qa import SET_SIZES, prediction_file, read_predictions
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.evaluation.televal.run import run_televal
from harken.evaluation.televal.sets import read_sets
from harken.evaluation.televal.tables import Columns, read_columns

TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
ANSWERS = {"a": "Paris", "b": ["Bonn", "Berlin"], "c": {"__tuple__": True, "items": ["salt", "pepper"]}}
SAID = {"a": "It is Paris.", "b": "In Berlin, I think.", "c": "Salt, and nothing else."}


def sound() -> bytes:
    data = io.BytesIO()
    soundfile.write(data, TONE, 16_000, format="WAV")
    return data.getvalue()


def lines(path: Path, rows: list[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def jsonl(folder: Path, name: str, keys: str = "abc") -> None:
    """A set as TELEVAL's own tool writes it."""
    rows = [{"key": k, "audio": f"audios/{k}.wav", "query": f"{k}?", "answer": ANSWERS[k]} for k in keys]
    lines(folder / f"{name}.jsonl", rows)  # type: ignore[arg-type]
    (folder / "audios").mkdir(exist_ok=True)
    for key in keys:
        (folder / "audios" / f"{key}.wav").write_bytes(sound())


def parquet(folder: Path, name: str, keys: str = "abc") -> None:
    """A set as the hub has it: audio as bytes, references as JSON in a column of text."""
    rows = [
        {
            "key": key,
            "audio": {"bytes": sound(), "path": f"{key}.wav"},
            "query": f"{key}?",
            "answer": ANSWERS[key] if key == "a" else json.dumps(ANSWERS[key]),
        }
        for key in keys
    ]
    (folder / name).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name / "test-00000-of-00001.parquet")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of three questions are whole."""
    for name in SET_SIZES:
        monkeypatch.setitem(SET_SIZES, name, 3)


def in_sentences(question: Question) -> Answer:
    return Answer(SAID[question.key])


@dataclass
class FakeSystem:
    reply: Callable[[Question], Answer] = in_sentences
    name: str = "team/fake"
    concurrency: int = 1
    asked: list[Question] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.reply(question)


def run(data: Path, out: Path, system: FakeSystem, limit: int | None = None) -> Report:
    return run_televal(read_sets(data, Columns(), out / "questions", limit), system, out)


def measured(report: Report) -> dict[object, tuple[float, object, object]]:
    """Set or column -> score, questions, unanswered ones."""
    return {
        row["data"]: (round(row["value"][0], 3), row["n"], row["unanswered"])  # type: ignore[index]
        for row in report.rows
        if row["from"] == "measured here"
    }


def test_lines_and_parquet_are_read_asked_and_scored_alike(tmp_path: Path, small: None) -> None:
    jsonl(tmp_path / "data", "llamaqa-en")
    parquet(tmp_path / "data", "triviaqa-en")
    report = run(tmp_path / "data", tmp_path / "out", system := FakeSystem())
    assert [(q.dataset, q.key, q.instruction, q.spoken) for q in system.asked[::3]] == [
        ("llamaqa-en", "a", None, False),
        ("triviaqa-en", "a", None, False),
    ]
    assert [read(q.recordings[0]).samples.size for q in system.asked] == [4000] * 6
    of_set = (66.667, 3, 0)
    assert measured(report) == {
        "llamaqa-en": of_set,
        "triviaqa-en": of_set,
        "AQA-en": (66.667, 6, None),
    }
    assert report.setting["AQA-zh"] == (
        "none: not whole: llamaqa-zh (0 of 3 questions), triviaqa-zh (0 of 3 questions), "
        "chinesesimpleqa-zh (0 of 3 questions)"
    )


def test_columns_stand_only_where_their_sets_are_whole(tmp_path: Path, small: None) -> None:
    for name in ("llamaqa-en", "triviaqa-en", "webq-zh"):
        jsonl(tmp_path / "data", name)
    report = run(tmp_path / "data", tmp_path / "limited", FakeSystem(), limit=2)
    assert measured(report) == dict.fromkeys(("llamaqa-en", "triviaqa-en", "webq-zh"), (100.0, 2, 0))
    assert (
        report.setting["AQA-en"]
        == "none: not whole: llamaqa-en (2 of 3 questions), triviaqa-en (2 of 3 questions)"
    )
    assert "webq-zh (2 of 3 questions)" in report.setting["sets that are not whole"]  # type: ignore[operator]


def test_a_column_weighs_its_sets_as_the_paper_does(tmp_path: Path, small: None) -> None:
    for name in ("llamaqa-zh", "triviaqa-zh", "chinesesimpleqa-zh"):
        jsonl(tmp_path / "data", name)
    only_llama = FakeSystem(lambda q: in_sentences(q) if q.dataset == "llamaqa-zh" else Answer("no idea"))
    report = run(tmp_path / "data", tmp_path / "out", only_llama)
    expected = 200 / 3 * 300 / (300 + 837 + 1938)
    (row,) = (r for r in report.rows if (r["data"], r["from"]) == ("AQA-zh", "measured here"))
    assert row["value"][0] == pytest.approx(expected)  # type: ignore[index]
    assert row["value"][1] < expected < row["value"][2]  # type: ignore[index]
    published = {
        r["system"]: r["value"] for r in report.rows if r["data"] == "AQA-zh" and r["from"] == "published"
    }
    assert published["TeleAI (IEAT)"] == 37.38


def test_an_unanswered_question_counts_as_0_and_is_asked_again(tmp_path: Path) -> None:
    def deaf(question: Question) -> Answer:
        if question.key == "a":
            raise Unanswered("too quiet")
        return in_sentences(question)

    jsonl(tmp_path / "data", "webq-en")
    report = run(tmp_path / "data", out := tmp_path / "out", FakeSystem(deaf))
    assert measured(report) == {"webq-en": (33.333, 3, 1)} and report.setting["unanswered questions"] == 1
    assert (out / "televal-problems.txt").read_text() == "a: unanswered: too quiet\n"
    again = FakeSystem()
    assert measured(run(tmp_path / "data", out, again)) == {"webq-en": (66.667, 3, 0)}
    assert [q.key for q in again.asked] == ["a"]
    run(tmp_path / "data", out, silent := FakeSystem())
    assert silent.asked == []


def test_predictions_are_televals_and_score_the_same_without_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonl(tmp_path / "data", "llamaqa-en")
    parquet(tmp_path / "data", "webq-zh")
    first = run(tmp_path / "data", tmp_path / "made", FakeSystem())
    path = prediction_file(tmp_path / "made", "team_fake", "webq-zh")
    assert [(p.key, p.ref) for p in read_predictions(path)[0]] == [
        ("a", "Paris"),
        ("b", ["Bonn", "Berlin"]),
        ("c", ("salt", "pepper")),
    ]
    for recording in (tmp_path / "data" / "audios").iterdir():
        recording.unlink()
    command = ["evaluate", "televal", "--data", str(tmp_path / "data"), "--system", str(tmp_path / "made")]
    assert main([*command, "--model", "team_fake", "--out", str(tmp_path / "out"), "--json"]) == 0
    setting, *rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert (setting["system"], setting["recipe"], setting["problems of files"]) == ("team_fake", "none", 0)
    assert measured(Report("televal", setting, tuple(rows))) == measured(first)
    assert not (tmp_path / "out" / "questions").exists()
    page = read_page(tmp_path / "out" / "televal.html")
    assert page.all("audio") == [] and page.text.count("no sound: a.wav: no such file") == 2
    assert "recordings 0, sha256" in page.text and "; 6 cannot be read" in page.text
    assert [row["from"] for row in rows].count("published") == 24
    assert main([*command, "--out", str(tmp_path / "data" / "out")]) == 1
    assert "lies in the data" in capsys.readouterr().err


def test_the_page_plays_questions_of_every_set_and_says_what_is_right(tmp_path: Path) -> None:
    jsonl(tmp_path / "data", "llamaqa-en")
    parquet(tmp_path / "data", "webq-zh")
    sets = read_sets(tmp_path / "data", Columns(), tmp_path / "out" / "questions")

    def but_one(question: Question) -> Answer:
        if (question.dataset, question.key) == ("webq-zh", "b"):
            raise Unanswered("too quiet")
        return Answer(SAID[question.key], TONE, 16_000)

    run_televal(sets, FakeSystem(but_one), tmp_path / "out", spoken=True, command="harken evaluate televal")
    page = read_page(tmp_path / "out" / "televal.html")
    tags = page.text_of("span", "tag")
    assert sorted(tags[-12::2]) == ["llamaqa-en"] * 3 + ["webq-zh"] * 3 and tags[-12] != tags[-10]
    assert len(page.sounds) == 6 + 5 and all(rate == 24_000 for _, rate in page.sounds)
    assert "b? reply, scored In Berlin, I think. reference Bonn or Berlin scored as right" in page.text
    assert "reference salt and pepper scored as wrong" in page.text
    assert "reference Bonn or Berlin scored as no answer, which counts as wrong" in page.text
    assert "GPT-4o Audio" in page.text and "harken evaluate televal" in page.text
    assert "data/llamaqa-en.jsonl sha256" in page.text and "recordings 6, sha256" in page.text
    assert "webq-zh/test-00000-of-00001.parquet sha256" in page.text and "answers.jsonl sha256" in page.text


def test_bad_rows_are_named_and_the_rest_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    jsonl(folder, "llamaqa-en")
    more: list[Mapping[str, object]] = [
        {"key": "a", "audio": "audios/a.wav", "answer": "again"},
        {"audio": "audios/a.wav", "answer": "no key"},
        {"key": "d", "audio": "audios/d.wav", "answer": "x"},
        {"key": "e", "audio": "audios/a.wav", "answer": []},
        {"key": "f", "answer": "x"},
    ]
    with (folder / "llamaqa-en.jsonl").open("a") as file:
        file.write("no JSON\n" + "".join(json.dumps(row) + "\n" for row in more))
    lines(folder / "webq-en.jsonl", [])
    lines(folder / "riddles.jsonl", [{"key": "r"}])
    (folder / "webq-zh.parquet").write_bytes(b"PAR1 no Parquet")
    sets = read_sets(folder, Columns(), tmp_path / "questions")
    assert [item.key for item in sets.items["llamaqa-en"]] == ["a", "b", "c"]
    said = "\n".join(map(str, sets.problems))
    for what in (
        "llamaqa-en.jsonl: a: occurs again",
        "line 6 has no key",
        "d: the recording audios/d.wav is missing",
        "e: answer is missing, empty",
        "f: has no audio",
        "is not JSON",
        "webq-en.jsonl: holds no question that can be asked",
        "riddles.jsonl: is of none of TELEVAL's sets",
        "webq-zh.parquet: cannot be read on",
    ):
        assert what in said
    with pytest.raises(DataError, match="holds no question of TELEVAL"):
        read_sets(folder / "riddles.jsonl", Columns(), None)


def test_columns_and_sets_of_other_names_are_mapped(tmp_path: Path) -> None:
    rows: list[Mapping[str, object]] = [{"id": 7, "refs": 1969, "wav": "x.wav", "q": "When?"}]
    lines(tmp_path / "data" / "llama.jsonl", rows)
    mapping = tmp_path / "columns.toml"
    mapping.write_text(
        'key = "id"\nanswer = "refs"\naudio = "wav"\nquery = "q"\n[sets]\nllama = "llamaqa-en"\n'
    )
    ((item,),) = read_sets(tmp_path / "data", read_columns(mapping), None).items.values()
    assert (item.key, item.query, item.answer) == ("7", "When?", "1969")
    for wrong in ("reference = 1", "key = 3", "key ="):
        mapping.write_text(wrong)
        with pytest.raises(InputError, match=r"columns\.toml"):
            read_columns(mapping)


def test_keys_that_are_no_file_names_get_others(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"key": "../a", "audio": {"bytes": sound(), "path": None}, "answer": "x"}])
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "webq-en.parquet")
    ((item,),) = read_sets(tmp_path / "data", Columns(), tmp_path / "q").items.values()
    assert item.recording.parent == tmp_path / "q" / "webq-en" and item.recording.is_file()


def test_the_folder_of_answers_is_of_one_system(tmp_path: Path) -> None:
    jsonl(tmp_path / "data", "webq-en")
    run(tmp_path / "data", tmp_path / "out", FakeSystem())
    assert len((tmp_path / "out" / FILE).read_text().splitlines()) == 4
    with pytest.raises(DataError, match="holds other answers"):
        run(tmp_path / "data", tmp_path / "out", FakeSystem(name="another"))
