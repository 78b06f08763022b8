"""The audit's page in a real browser: it renders without errors, asks nothing of the network, and plays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="an audit needs harken[data]")
pytest.importorskip("matplotlib", reason="an audit needs harken[data]")
pytest.importorskip("pyarrow", reason="an audit needs harken[data]")

from harken.data.audit import audit
from harken.data.audit_plots import PLOTS
from harken.data.rows import Affect, Instruction, Row, Speaker, Teacher, Turn
from harken.data.shards import write_shard
from harken.data.steps.base import Dropped
from harken.data.workspace import Workspace

EVIL = "<script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>"
PLAYED = """Promise.all([...document.querySelectorAll("audio")].map(async audio => {
  audio.preload = "auto";
  const moved = new Promise(done => audio.ontimeupdate = () => audio.currentTime > 0 && done());
  await audio.play();
  await moved;
  return audio.duration;
}))"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Of a set with three recordings, in which one row's every text would run a script if it could."""
    folder = tmp_path / "set"
    workspace = Workspace(folder / "work", root=folder)
    hum = (0.3 * np.sin(np.arange(12_000) / 20)).astype(np.float32)
    asked, said, answered = (workspace.save(name, hum, 24_000) for name in ("asked", "said", "answered"))
    teacher = Teacher("qwen", "abc123", "f" * 64, '{"temperature":0.7}', 0)
    felt = (Affect("sad", "rule"), Affect("fear", "model", 0.7, model="readout@1"))
    turns = (
        Turn("user", "I lost my job.", said, 0.5, speaker=Speaker("af_bella", "female"), affect=felt),
        Turn("assistant", "I am sorry.", answered, 0.5, style="gentle"),
    )
    good = Row(
        "a", "g1", "train", "trajectory", "1-2", "en", "mine", "CC0-1.0", True, turns, teacher=teacher,
        instruction=Instruction("How did it go?", asked, "am_adam", 0.5), target="I am sorry.",
    )  # fmt: skip
    evil = Row(
        EVIL, EVIL, "train", "empathy", "1-2", "zh", EVIL, EVIL, True, (Turn("user", EVIL, affect=felt),),
        target=EVIL, trace=EVIL + " so", injection=EVIL,
    )  # fmt: skip
    write_shard(folder, 0, [good, evil], workspace, [Dropped(evil, "speak", EVIL)])
    audit(folder)
    return folder / "audit" / "index.html"


def test_the_page_renders_plays_and_asks_nothing_of_the_network(browser: Any, page: Path) -> None:
    browser.open(page.as_uri())
    count = "document.querySelectorAll({!r}).length"
    assert browser.value(count.format("table")) >= 5 and browser.value(count.format("td")) > 20
    pictures = browser.value("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(pictures) >= len(PLOTS) // 2 and min(pictures) > 100
    assert "I lost my job." in browser.value("document.body.innerText")
    assert browser.value("document.body.innerText").count(EVIL) >= 3, "text of rows is shown as it is"
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "a phone shows it whole"
    lengths_s = browser.value(PLAYED)
    assert len(lengths_s) == 3 and all(abs(seconds - 0.5) < 0.1 for seconds in lengths_s)

    asked = {sent["request"]["url"] for sent in browser.told("Network.requestWillBeSent")}
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    errors = browser.told("Runtime.exceptionThrown", "Log.entryAdded")
    logged = [one for one in browser.told("Runtime.consoleAPICalled") if one["type"] in ("error", "assert")]
    assert not errors and not logged


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells what a process has open")
def test_a_browser_that_does_not_start_leaves_nothing_open(
    tmp_path: Path, start_browser: Callable[[str, Path], Any]
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises((AssertionError, BrokenPipeError)):
        start_browser("false", tmp_path / "profile")
    assert set(os.listdir("/proc/self/fd")) == before
