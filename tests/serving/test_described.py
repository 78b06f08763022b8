"""The HTTP side is what it says of itself: requests that are made out of its description, and broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("schemathesis", reason="needs harken[dev]")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Served, a_host, served

from harken.audio.io import encode
from harken.serving.limits import Limits

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
HUM = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
WAV = encode(HUM, 16_000)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A recording in which some bytes are others, most of them in its head, and which may end early."""
    sound = bytearray(WAV)
    places = st.integers(0, 60) | st.integers(0, len(WAV) - 1)
    for place, value in draw(st.dictionaries(places, st.integers(0, 255), max_size=4)).items():
        sound[place] = value
    return bytes(sound[: draw(st.sampled_from([len(WAV), 44, 20]))])


RECORDINGS = st.sampled_from([WAV, encode(HUM, 16_000, "opus"), encode(0 * HUM, 16_000)])
schemathesis.openapi.media_type("audio/wav", RECORDINGS | broken() | st.binary(max_size=200))


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(a_host(Limits(message_bytes=50_000, buffered_s=3))) as running:
        yield running


@pytest.fixture(scope="module")
def described(running: Served) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")


def test_whatever_is_asked_is_answered_as_described(described: Any) -> None:
    operations = [operation.ok() for operation in described.get_all_operations()]
    for operation in operations:

        @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def is_as_described(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        is_as_described()
    assert len(operations) == 4


def test_the_description_has_every_route(described: Any) -> None:
    found = {operation.ok().label for operation in described.get_all_operations()}
    assert found == {"POST /v1/audio/replies", "GET /healthz", "GET /readyz", "GET /metrics"}
