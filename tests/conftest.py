"""What all tests share: where development data may be, and settings that make results equal on a fast machine
and a busy one.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches a model hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent

# How fast an example runs says nothing about whether it is right.
settings.register_profile(
    "harken", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("harken")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Development corpora beside the checkout; no part of Harken, so a test that wants them skips without."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the development corpora in ../shared/data, which are not part of Harken")
    return folder


@pytest.fixture(scope="session")
def needs() -> Callable[[str, bool, str], None]:
    """`needs(name, there, reason)` skips a test where something outside Python's packages is not there; what
    HARKEN_REQUIRE names, with commas between, must be there."""

    def check(name: str, there: bool, reason: str) -> None:
        if there:
            return
        if name in os.environ.get("HARKEN_REQUIRE", "").split(","):
            pytest.fail(
                f"HARKEN_REQUIRE names {name}, but {reason}: install it, or leave {name} out of "
                "HARKEN_REQUIRE (empty, it skips what is missing)"
            )
        pytest.skip(reason)

    return check
