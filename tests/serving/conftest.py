"""A server on fakes, running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from served import Served, a_host, served


@pytest.fixture
def serving() -> Iterator[Served]:
    with served(a_host()) as running:
        yield running
