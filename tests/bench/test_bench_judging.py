"""The bench of judging on a real socket: what is counted, and that a killed run goes on."""

from __future__ import annotations

from pathlib import Path

from harken.bench.judging import items_of, killed, pace, slow_judge, verdicts_of


def test_a_judge_that_takes_its_time_is_asked_each_item_once(tmp_path: Path) -> None:
    with slow_judge(0.0) as server:
        verdicts_of(server.url, items_of(12), 4, tmp_path / "answers.sqlite")
        verdicts_of(server.url, items_of(12), 4, tmp_path / "answers.sqlite")
    assert len(server.asked) == server.asked.total() == 12


def test_the_pace_is_of_all_items_and_never_above_what_the_judge_allows() -> None:
    found = pace(concurrency=2, seconds=0.4)
    assert found["items"] == 4 and 0 < found["of_possible"] <= 1.0


def test_a_run_that_was_killed_asks_again_only_for_what_had_no_answer() -> None:
    found = killed(items=40, after=12, concurrency=2)
    assert found["items"] == 40 and 12 <= found["asked_before"] < 40
    assert found["asked_before"] + found["asked_after"] == 40 + found["asked_twice"]
    assert found["asked_twice"] <= found["in_flight_at_most"]
