"""Reading the page of a report: its tags, its texts, and the sounds that are in it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import soundfile


class Read(HTMLParser):
    """A page's tags with their attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.articles: list[str] = []
        """The texts of each example."""
        self._by_tag: list[tuple[str, str | None, str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "article":
            self.articles.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "article"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._inside:
            self.articles[-1] = f"{self.articles[-1]} {data}".strip()
        if self.tags:
            name, attributes = self.tags[-1]
            self._by_tag.append((name, attributes.get("class"), data.strip()))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text_of(self, tag: str, kind: str) -> list[str]:
        """What tags of a class hold at their beginning."""
        return [text for name, of, text in self._by_tag if (name, of) == (tag, kind) and text]

    @property
    def titles(self) -> list[str | None]:
        """Of the plots."""
        return [figure["aria-label"] for figure in self.all("figure")]

    @property
    def sounds(self) -> list[tuple[Any, int]]:
        """The samples of each player, and their rate."""
        sources = [player["src"] or "" for player in self.all("audio")]
        assert all(source.startswith("data:audio/ogg;base64,") for source in sources)
        return [soundfile.read(io.BytesIO(base64.b64decode(s.split(",", 1)[1]))) for s in sources]


def read(path: Path) -> Read:
    return Read(path.read_text(encoding="utf-8"))
