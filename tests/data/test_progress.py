"""What a build tells of its progress."""

from harken.data.progress import Lines, shown_s


def test_lines_come_now_and_then_with_the_time_left():
    now, said = [0.0], []
    lines = Lines(said.append, lambda: now[0])
    lines.begin("building shards", 10)
    for done, second in ((1, 5), (2, 20), (3, 21), (10, 100)):
        now[0] = second
        lines.reached(done)
    lines.end()
    lines.end()
    assert said == [
        "building shards …",
        "building shards: 2 of 10, 80 s left",
        "building shards: 10 of 10",
        "building shards: 10 of 10",
    ]
    lines.begin("reading sources", None)
    lines.reached(7)
    lines.begin("next", 1)
    assert said[-2:] == ["reading sources: 7", "next …"]


def test_seconds_are_said_in_fitting_units():
    assert [shown_s(s) for s in (5, 89, 600, 9000)] == ["5 s", "89 s", "10 min", "2.5 h"]
