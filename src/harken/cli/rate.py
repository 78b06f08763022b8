"""`harken evaluate rate`: people rate the spoken replies of HumDial runs, in a browser on this machine."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from harken.cli.command import DONE, Command, WrongUse, say

RATINGS = "ratings.csv"


@dataclass(frozen=True, kw_only=True)
class Rate(Command):
    """Rate how replies of task 3 speak to the user and sound, from 1 to 5, without knowing whose they are;
    each rating is kept at once, and a rater goes on where they stopped. Ctrl-C ends it."""

    out: Positional[tuple[Path, ...]] = ()
    """Folders of finished runs of `harken evaluate humdial`, one or more."""
    rater: str
    """Whose ratings; the name also draws the order of the replies."""
    csv: Path | None = None
    """Where the ratings of one run are kept, instead of OUT/ratings.csv."""
    port: int = 8008
    """Where the page is on this machine; 0 takes a free port."""
    no_open: bool = False
    """Open no browser."""

    def run(self) -> int:
        rater = self.rater.strip()
        if not self.out or not rater:
            raise WrongUse(
                "rating takes folders of runs, and a rater", "harken evaluate rate OUT --rater NAME"
            )
        if self.csv is not None and len(self.out) > 1:
            raise WrongUse(
                "--csv is for one run: others have the same ids", "leave it out: each OUT has its own"
            )
        if not 0 <= self.port <= 65_535:
            raise WrongUse(f"--port {self.port} is no port", "--port 8008, for example")
        from harken.evaluation.rating.items import read_items
        from harken.evaluation.rating.server import HOST, listen, serve
        from harken.evaluation.rating.session import Run, Session
        from harken.evaluation.rating.sheet import Sheet

        items = {out: read_items(out) for out in self.out}
        sheets = {out: Sheet(self.csv or out / RATINGS, rater) for out in items}
        session = Session([Run(items[out], sheets[out]) for out in items], rater)
        with listen(self.port) as at:
            url = f"http://{HOST}:{at.getsockname()[1]}/"
            say(f"{url} has {session.total} replies, {sum(session.done())} of them rated; Ctrl-C ends it")
            if not self.no_open:
                webbrowser.open(url)
            serve(session, at)
        kept = ", ".join(str(sheet.path) for sheet in sheets.values())
        print(f"{sum(session.done())} of {session.total} replies are rated: {kept}")
        return DONE
