"""How fast verdicts come from a slow judge, and whether a run that is killed asks anything twice.

The judge is a server of this process that answers each prompt after `DELAY_S`, so that what is measured is
Harken's own part of the work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from harken.evaluation.judges.judging import Item, judge
from harken.evaluation.judges.rubrics import Rubric, rubric
from harken.evaluation.report import hardware
from harken.llm.select import LLMConfig, open_llm

DELAY_S = 0.2
CONCURRENCY = (1, 8, 32)
SECONDS_EACH = 12.0
"""What a row of the table takes at best."""
KILLED_ITEMS, KILLED_AFTER = 400, 120
"""Of the run that is killed, and how many answers it has by then."""
RUBRIC = "humdial-task3-text"
MODEL = "fake"


class SlowJudge(ThreadingHTTPServer):
    """Answers every prompt with the same verdict after a delay, and counts how often it was asked what."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, delay_s: float, asked_of: Rubric) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay_s = delay_s
        scores = {dimension.name: dimension.values[-1] for dimension in asked_of.dimensions}
        self.verdict = json.dumps({"comment": "fine", "reasons": {}, "scores": scores})
        self.asked: Counter[str] = Counter()
        self.answered = 0
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def wait_for(self, answers: int, seconds: float) -> bool:
        """Until so many were given."""
        with self.changed:
            return self.changed.wait_for(lambda: self.answered >= answers, seconds)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowJudge

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = str(body["prompt"])
        with self.server.changed:
            self.server.asked[prompt] += 1
        time.sleep(self.server.delay_s)
        choice = {"index": 0, "text": self.server.verdict, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "1", "object": "text_completion", "created": 0, "model": MODEL}
        self._send({**head, "choices": [choice], "usage": usage})
        with self.server.changed:
            self.server.answered += 1
            self.server.changed.notify_all()

    def _send(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def slow_judge(delay_s: float = DELAY_S) -> Iterator[SlowJudge]:
    """One that serves until it is left."""
    server = SlowJudge(delay_s, rubric(RUBRIC))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def bench_judging() -> dict[str, Any]:
    """Items a minute at each of `CONCURRENCY`, and what a run that is killed asks again."""
    found: dict[str, Any] = {
        "bench": "judging", "hardware": hardware(), "judge": f"a server that takes {1000 * DELAY_S:.0f} ms",
    }  # fmt: skip
    for concurrency in CONCURRENCY:
        found[f"concurrency_{concurrency}"] = pace(concurrency, SECONDS_EACH)
    return found | {"killed": killed(KILLED_ITEMS, KILLED_AFTER)}


def pace(concurrency: int, seconds: float) -> dict[str, float]:
    """Items a minute, and the share of what the judge allows."""
    possible = concurrency / DELAY_S
    items = items_of(max(1, round(seconds * possible)))
    with slow_judge() as server, TemporaryDirectory() as folder:
        begun = perf_counter()
        verdicts_of(server.url, items, concurrency, Path(folder) / "answers.sqlite")
        per_s = len(items) / (perf_counter() - begun)
    return {
        "items": len(items),
        "items_a_minute": round(60 * per_s, 1),
        "of_possible": round(per_s / possible, 3),
    }


def killed(items: int, after: int, concurrency: int = 8) -> dict[str, int]:
    """Kill a run of its own process after so many answers, and run it again to its end.

    What was asked twice had no answer yet when the run was killed: at most `concurrency`.
    """
    with slow_judge(DELAY_S / 4) as server, TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.sqlite"
        command = [sys.executable, "-m", "harken.bench.judging", server.url, str(items), str(concurrency)]
        first = subprocess.Popen([*command, str(answers)])
        there = server.wait_for(after, 120)
        first.kill()
        first.wait()
        asked_before = server.asked.total()
        subprocess.run([*command, str(answers)], check=True)
        twice = sum(times > 1 for times in server.asked.values())
        return {
            "items": items if there else 0,
            "asked_before": asked_before,
            "asked_after": server.asked.total() - asked_before,
            "asked_twice": twice,
            "in_flight_at_most": concurrency,
        }


def items_of(count: int) -> list[Item]:
    """Items of which no two are alike."""
    return [
        Item(f"{n}", {"conversation": f"User: This is turn {n}.", "reply": "I see."}) for n in range(count)
    ]


def verdicts_of(url: str, items: list[Item], concurrency: int, answers: Path) -> None:
    """Judge them."""
    llm = open_llm(LLMConfig(kind="server", url=url, model=MODEL, concurrency=concurrency), answers)
    done = judge(llm, rubric(RUBRIC), items)
    assert not done.unscored, "the judge of the bench always answers"


if __name__ == "__main__":
    url, count, concurrency, answers = sys.argv[1:]
    verdicts_of(url, items_of(int(count)), int(concurrency), Path(answers))
