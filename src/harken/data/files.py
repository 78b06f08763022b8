"""Files that are written whole or not at all. Which files, and what is in them, is left to whoever writes."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write a file whole or not at all; where it is to be lasting, through to the disk."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
