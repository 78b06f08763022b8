"""What a test needs from outside is skipped without, unless it has to be there."""

from __future__ import annotations

import pytest


def test_what_is_required_and_missing_fails_with_the_way_out(needs, monkeypatch):
    monkeypatch.setenv("HARKEN_REQUIRE", "chromium,ray")
    with pytest.raises(
        pytest.fail.Exception, match="there is no Ray: install it, or leave ray out of HARKEN_REQUIRE"
    ):
        needs("ray", False, "there is no Ray")
    needs("ray", True, "there is no Ray")


@pytest.mark.parametrize("required", ["", "chromium"])
def test_what_is_not_required_is_skipped(needs, monkeypatch, required):
    monkeypatch.setenv("HARKEN_REQUIRE", required)
    with pytest.raises(pytest.skip.Exception, match="there is no Ray"):
        needs("ray", False, "there is no Ray")
