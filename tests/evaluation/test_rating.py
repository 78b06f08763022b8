"""People rate spoken replies: over a real socket, and on the page in a real browser with a real keyboard."""

from __future__ import annotations

import importlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="rating needs harken[eval]")
pytest.importorskip("uvicorn", reason="rating needs harken[eval]")

import uvicorn

from harken.cli import main
from harken.errors import DataError, MissingExtra
from harken.evaluation.asking.answers import FILE
from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.run import run_humdial
from harken.evaluation.humdial.scores import D1, D2, D3
from harken.evaluation.humdial.testset import read_test_set
from harken.evaluation.rating.items import ITEMS, read_items
from harken.evaluation.rating.server import listen, rating_app
from harken.evaluation.rating.session import Run, Session
from harken.evaluation.rating.sheet import Sheet
from harken.evaluation.ratings import read_ratings
from harken.evaluation.systems.base import Answer, Question

TONE = (0.3 * np.sin(np.arange(8_000) / 10)).astype(np.float32)
SECRET = "secret-system"


class FakeSystem:
    concurrency = 1

    def __init__(self, name: str = SECRET, speaks: bool = True) -> None:
        self.name, self._speaks = name, speaks

    def answer(self, question: Question) -> Answer:
        said = f"Reply to <b>{question.key}</b>."
        return Answer(said, TONE[:4000], 16_000, 0.5) if self._speaks else Answer(said)


def finished_run(folder: Path, system: FakeSystem, dialogues: int = 3) -> Path:
    """A run of so many dialogues of task 3 a language, the second of three turns rated; gives its OUT."""
    said = ("I failed.", "sad"), ("I passed!", "happy"), ("Bye.", "neutral")
    turns = tuple(Turn(n, text, emotion, "said.wav") for n, (text, emotion) in enumerate(said, 1))
    for language in ("en", "zh"):
        names = [f"task3_2_{language}_{number:04}" for number in range(dialogues)]
        write_dialogues(folder / "data" / language / "T3.jsonl", [Dialogue(name, turns) for name in names])
    soundfile.write(folder / "data" / "said.wav", TONE, 16_000)
    cases, problems = read_test_set(folder / "data")
    run_humdial(cases, problems, system, None, Asking(), folder / "out")
    return folder / "out"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return finished_run(tmp_path, FakeSystem())


def session(*outs: Path, rater: str = "ann") -> Session:
    return Session([Run(read_items(out), Sheet(out / "ratings.csv", rater)) for out in outs], rater)


@contextmanager
def served(rated: Session) -> Iterator[str]:
    """The address of the page, while it is served."""
    with listen(0) as at:
        server = uvicorn.Server(uvicorn.Config(rating_app(rated), lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{at.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def got(url: str, body: object = None, kind: str = "application/json", host: str | None = None) -> bytes:
    """What an address gives, or takes."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": kind} | ({"Host": host} if host else {})
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        told: bytes = answer.read()
        return told


def refused(url: str, **how: Any) -> str:
    with pytest.raises(urllib.error.HTTPError) as raised:
        got(url, **how)
    return f"{raised.value.code} {raised.value.read().decode()}"


def test_the_dialogue_is_played_up_to_the_reply_that_counts(out: Path) -> None:
    with served(session(out)) as url:
        for number in range(6):
            item = json.loads(got(f"{url}items/{number}"))
            assert [turn["text"] for turn in item["turns"]] == ["I failed.", "I passed!"]
            assert item["turns"][-1]["reply"].endswith("_2</b>.") and item["ratings"] == {}
            for turn in (0, 1):
                for who, samples in (("user", 8000), ("reply", 4000)):
                    sound = got(f"{url}items/{number}/{turn}/{who}")
                    assert len(soundfile.read(io.BytesIO(sound))[0]) == samples
        assert "there is no recording" in refused(f"{url}items/0/2/user")
        assert "there is no reply 6" in refused(f"{url}items/6")


def test_the_systems_name_never_reaches_the_browser(out: Path, tmp_path: Path) -> None:
    hidden = finished_run(tmp_path / SECRET, FakeSystem("another-secret"))
    with served(session(out, hidden)) as url:
        pages = [got(url + name) for name in ("", "rating.js", "words.js", "rating.css", "state")]
        items = [got(f"{url}items/{number}") for number in range(12)]
        faults = [refused(f"{url}items/0/7/reply").encode()]
    assert not any(b"secret" in told or str(tmp_path).encode() in told for told in pages + items + faults)


def test_the_raters_name_draws_the_order(out: Path) -> None:
    def order(rater: str) -> list[object]:
        rated = session(out, rater=rater)
        return [rated.item(number)["turns"] for number in range(rated.total)]

    assert order("ann") == order("ann") and sorted(map(str, order("ann"))) == sorted(map(str, order("bo")))
    assert len({str(order(rater)) for rater in ("ann", "bo", "cy", "di")}) > 1


def test_each_rating_is_kept_at_once_and_the_next_session_goes_on(out: Path) -> None:
    rated = session(out)
    with served(rated) as url:
        for dimension, rating in ((D1, 2), (D2, 3), (D3, 5), (D1, 4)):  # the last is a second thought
            told = json.loads(got(f"{url}ratings", {"number": 1, "dimension": dimension, "rating": rating}))
            assert len(read_ratings(out / "ratings.csv")) == min(3, len(rated.item(1)["ratings"]))  # type: ignore[arg-type]
        assert told["done"] == [False, True, False, False, False, False]
    kept = {rating.dimension: rating.rating for rating in read_ratings(out / "ratings.csv")}
    assert kept == {D1: 4, D2: 3, D3: 5}
    again = session(out)
    assert again.done() == [False, True, False, False, False, False]
    assert again.item(1)["ratings"] == kept
    assert not any(session(out, rater="bo").done())


def test_a_run_takes_the_ratings_and_only_of_its_own(out: Path, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other", FakeSystem("b"))
    rated = session(out, other)
    for number in range(rated.total):
        for dimension in (D1, D2, D3):
            rated.rate(number, dimension, 1 + number % 5)
    assert len(read_ratings(out / "ratings.csv")) == len(read_ratings(other / "ratings.csv")) == 18
    cases, problems = read_test_set(tmp_path / "data")
    report = run_humdial(
        cases, problems, FakeSystem(), None, Asking(ratings=out / "ratings.csv"), out
    )  # fmt: skip
    scored = [row["n"] for row in report.rows if row["measure"] == D2 and row["from"] == "measured here"]
    assert scored == [3, 3]


def test_others_rows_and_columns_stay(out: Path) -> None:
    path = out / "ratings.csv"
    path.write_text('\ufeffnote,id,dimension,rating,rater\n"so, so",x,D2,2.5,bo\n', encoding="utf-8")
    mine, yours = Sheet(path, "ann"), Sheet(path, "bo")
    mine.rate("x", "D2", 4)
    yours.rate("y", "D2", 1)
    mine.rate("x", "D2", 5)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [
        "note,id,dimension,rating,rater", '"so, so",x,D2,2.5,bo', ",y,D2,1,bo", ",x,D2,5,ann"
    ]  # fmt: skip
    assert Sheet(path, "bo").ratings == {"x": {"D2": 2.5}, "y": {"D2": 1}}


@pytest.mark.parametrize(
    "body",
    [
        {"number": 0, "dimension": D1, "rating": 6},
        {"number": 0, "dimension": D1, "rating": "3"},
        {"number": 0, "dimension": D1, "rating": True},
        {"number": 0, "dimension": "beauty", "rating": 3},
        {"number": 99, "dimension": D1, "rating": 3},
        {"number": 0},
        [],
    ],
)
def test_what_is_no_rating_is_refused(out: Path, body: object) -> None:
    with served(session(out)) as url:
        assert refused(f"{url}ratings", body=body).startswith("400 ")
    assert not (out / "ratings.csv").exists()


def test_other_pages_and_hosts_are_refused(out: Path) -> None:
    body = {"number": 0, "dimension": D1, "rating": 3}
    with served(session(out)) as url:
        assert refused(f"{url}ratings", body=body, kind="text/plain").startswith("400 ")
        assert refused(f"{url}state", host="evil.example").startswith("400 ")
    assert not (out / "ratings.csv").exists()


def test_a_file_that_breaks_while_rating_is_said_on_the_page(out: Path) -> None:
    rated = session(out)
    (out / "ratings.csv").write_text("a,b\n1,2\n")
    with served(rated) as url:
        told = refused(f"{url}ratings", body={"number": 0, "dimension": D1, "rating": 3})
    assert "has no column" in told and (out / "ratings.csv").read_text() == "a,b\n1,2\n"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "harken.evaluation.rating.server")
    with pytest.raises(MissingExtra) as raised:
        importlib.import_module("harken.evaluation.rating.server")
    assert raised.value.hint == "pip install 'harken[eval]'"


def unrated(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that cannot do it says."""
    assert main(["evaluate", "rate", *command]) in (1, 2)
    told = capsys.readouterr().err
    assert "Traceback" not in told and "hint: " in told
    return told


def test_what_cannot_be_rated_is_said_in_a_line(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, quiet = ["--rater", "ann", "--no-open"], tmp_path / "quiet"
    assert "holds no run of HumDial" in unrated([str(tmp_path), *ann], capsys)
    assert "has no spoken reply" in unrated(
        [str(finished_run(quiet, FakeSystem(speaks=False))), *ann], capsys
    )
    (quiet / "out" / ITEMS).unlink()
    assert "is not finished" in unrated([str(quiet / "out"), *ann], capsys)
    other = tmp_path / "other.csv"
    other.write_text("name,score\na,1\n")
    assert "has no column 'id'" in unrated([str(out), *ann, "--csv", str(other)], capsys)
    assert "--csv is for one run" in unrated([str(out), str(out), *ann, "--csv", str(other)], capsys)
    assert "takes folders of runs" in unrated(ann, capsys)
    assert "takes folders of runs" in unrated([str(out), "--rater", " "], capsys)
    assert "is no port" in unrated([str(out), *ann, "--port", "70000"], capsys)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in unrated([str(out), *ann, "--port", str(port)], capsys)
    (tmp_path / "data" / "said.wav").unlink()
    assert "said.wav is missing" in unrated([str(out), *ann], capsys)


def test_items_that_are_not_ours_are_refused(out: Path) -> None:
    (out / ITEMS).write_text('{"id": "x"}\n')
    with pytest.raises(DataError, match="cannot be read"):
        read_items(out)
    assert (out / FILE).exists()


def test_the_command_serves_until_it_is_interrupted(out: Path) -> None:
    command = [sys.executable, "-m", "harken", "evaluate", "rate", str(out), "--rater", "ann"]
    with subprocess.Popen(
        [*command, "--port", "0", "--no-open"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        said = process.stderr.readline()
        url = next(word for word in said.split() if word.startswith("http"))
        assert "6 replies, 0 of them rated" in said
        got(f"{url}ratings", {"number": 0, "dimension": D1, "rating": 3})
        process.send_signal(signal.SIGINT)
        told, faults = process.communicate(timeout=60)
    assert (process.returncode, faults) == (0, "")
    assert told == f"0 of 6 replies are rated: {out / 'ratings.csv'}\n"
    assert len(read_ratings(out / "ratings.csv")) == 1


def chosen(browser: Any) -> str:
    """The ratings that are on show, in the order of the scales."""
    return str(
        browser.value(
            '[...document.querySelectorAll("[aria-pressed=true]")].map(m => m.textContent).join("")'
        )
    )


def test_a_person_rates_with_the_keyboard_and_goes_on_later(
    browser: Any, tmp_path: Path, needs: Callable[[str, bool, str], None]
) -> None:
    out = finished_run(tmp_path, FakeSystem(), dialogues=1)
    with served(session(out)) as url:
        browser.open(url)
        browser.until("document.querySelectorAll('audio').length === 4")
        browser.until("[...document.querySelectorAll('audio')].every(sound => sound.duration > 0.2)")
        browser.press(" ")
        browser.until(
            "[...document.querySelectorAll('audio')].at(-1).currentTime > 0"
        )  # all before it are over
        browser.press("Enter")  # too early: nothing is rated
        for key in "42":
            browser.press(key)
        browser.until("document.querySelectorAll('[aria-pressed=true]').length === 2")
        assert chosen(browser) == "42" and len(read_ratings(out / "ratings.csv")) == 2
    with served(session(out)) as url:
        browser.open(url)
        browser.until("document.querySelectorAll('[aria-pressed=true]').length === 2")
        for key in ("5", "ArrowUp", "3", "Enter"):  # at the last scale; one up, and changed
            browser.press(key)
        browser.until("document.getElementById('count').textContent === '1 of 2 rated'")
        browser.until("document.querySelectorAll('[aria-pressed=true]').length === 0")
        for key in ("1", "1", "1", "Enter"):
            browser.press(key)
        browser.until("!document.getElementById('end').hidden")
        browser.value("document.getElementById('language').click() ?? true")
        assert "所有回复都已评分" in browser.value("document.body.innerText")
        browser.press("ArrowLeft")
        browser.until("!document.getElementById('task').hidden")
        assert chosen(browser) == "111" and "待评分的回复" in browser.value("document.body.innerText")
        assert "Reply to <b>task3" in browser.value("document.body.innerText"), "text is shown as it is"
        assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "a phone shows it whole"
    kept = sorted((rating.dimension, rating.rating) for rating in read_ratings(out / "ratings.csv"))
    assert kept == sorted([(D1, 4), (D2, 3), (D3, 5), (D1, 1), (D2, 1), (D3, 1)])
    errors = browser.told("Runtime.exceptionThrown", "Log.entryAdded")
    assert errors == []
    asked = {sent["request"]["url"] for sent in browser.told("Network.requestWillBeSent")}
    assert all(address.startswith(("http://127.0.0.1:", "data:", "about:")) for address in asked)
