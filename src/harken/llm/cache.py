"""Answers kept on disk, so that a build asks each prompt once, over all its runs and processes.

An SQLite file in write-ahead mode: several processes and threads of one machine may use it together, and each
answer is written as it comes, whole or not at all. (Write-ahead mode needs a local disk, not a network's.)
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock

from harken.errors import HarkenError
from harken.llm.asking import Asker
from harken.llm.base import LLM, Completion, LLMError, Sampling

_FORM = 1  # of the table; in the file's user_version
_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, text TEXT NOT NULL, finish TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL) WITHOUT ROWID"""
_LOOK_UP = "SELECT text, finish, prompt_tokens, completion_tokens FROM answers WHERE key = ?"


@dataclass(frozen=True)
class Usage:
    """What a `CachedLLM` was asked and what that took; tokens and seconds of what the model answered."""

    prompts: int = 0
    cached: int = 0  # of them, found on disk or equal to another of their batch
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = vars(self), vars(other)
        return Usage(**{field: mine[field] + theirs[field] for field in mine})


class CachedLLM:
    """`llm`, asked only for what the file at `path` does not have. Errors are not kept."""

    def __init__(self, llm: LLM, path: Path) -> None:
        """Open the file, or make it. Raises HarkenError where it is damaged or cannot be written."""
        self._llm = llm
        self._path = path
        self._lock = threading.Lock()  # of the connection and of `usage`
        self._usage = Usage()
        with self._readable():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):  # SQLite's timeout does not hold while a new file turns to WAL
                self._file = sqlite3.connect(
                    path, timeout=60.0, check_same_thread=False, isolation_level=None
                )
                self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("PRAGMA synchronous = NORMAL")
                form = self._file.execute("PRAGMA user_version").fetchone()[0]
                if form not in (0, _FORM):
                    raise HarkenError(f"{path} was written by another version of Harken", self._way_out)
                self._file.execute(_TABLE)
                self._file.execute(f"PRAGMA user_version = {_FORM}")

    @property
    def name(self) -> str:
        return self._llm.name

    @property
    def revision(self) -> str:
        return self._llm.revision

    @property
    def template(self) -> str:
        return self._llm.template

    @property
    def thinks(self) -> bool:
        return self._llm.thinks

    @property
    def usage(self) -> Usage:
        """So far, over all threads that share this object."""
        with self._lock:
            return self._usage

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        """One answer a prompt, in order: from the file, else from the model and then into the file.

        What comes back is always what the file holds, also where two processes asked the same thing at once.
        """
        distinct = list(dict.fromkeys(prompts))
        keys = {prompt: self._key(prompt, sampling) for prompt in distinct}
        found = self._found(keys)
        answers: dict[str, Completion | LLMError] = dict(found)
        missing = [prompt for prompt in distinct if prompt not in found]
        self._count(Usage(prompts=len(prompts), cached=len(prompts) - len(missing)))
        start_s = time.monotonic()
        try:
            for prompt, answer in self._asked(missing, sampling):
                answers[prompt] = answer if isinstance(answer, LLMError) else self._kept(keys[prompt], answer)
        finally:
            self._count(Usage(seconds=time.monotonic() - start_s if missing else 0.0))
        return [answers[prompt] for prompt in prompts]

    def tokens_line(self) -> str:
        """`usage` on one line for people."""
        u = self.usage
        failed = f", {u.failed:,} failed" if u.failed else ""
        rate = f" ({u.completion_tokens / u.seconds:.1f} a second)" if u.seconds else ""
        return (
            f"{self.name}: {u.prompts:,} prompts, {u.cached:,} from the cache{failed}; {u.prompt_tokens:,} "
            f"tokens read, {u.completion_tokens:,} written in {u.seconds:,.0f} s{rate}"
        )

    def close(self) -> None:
        """Close the file, and the model where it can be closed."""
        with self._lock:
            self._file.close()
        if isinstance(self._llm, Asker):
            self._llm.close()

    def _key(self, prompt: str, sampling: Sampling) -> bytes:
        shaping = (self.name, self.revision, self.template, sampling.canonical(), prompt)
        return hashlib.sha256(json.dumps(shaping).encode()).digest()

    def _asked(self, prompts: list[str], sampling: Sampling) -> Iterator[tuple[str, Completion | LLMError]]:
        """What the model answers, one by one as it comes where the model can, counted."""
        if not prompts:
            return
        if isinstance(self._llm, Asker):
            answers = self._llm.answers(prompts, sampling)
        else:
            answers = zip(prompts, self._llm.complete(prompts, sampling), strict=True)
        for prompt, answer in answers:
            if isinstance(answer, LLMError):
                self._count(Usage(failed=1))
            else:
                tokens = answer.prompt_tokens, answer.completion_tokens
                self._count(Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1]))
            yield prompt, answer

    def _found(self, keys: dict[str, bytes]) -> dict[str, Completion]:
        with self._lock, self._readable():
            rows = {prompt: self._file.execute(_LOOK_UP, (key,)).fetchone() for prompt, key in keys.items()}
        return {prompt: _read(row) for prompt, row in rows.items() if row is not None}

    def _kept(self, key: bytes, answer: Completion) -> Completion:
        """Write the answer, unless another process was first; the file's word counts."""
        fields = (answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens)
        with self._lock, self._readable():
            self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", (key, *fields))
            text, finish, _, _ = self._file.execute(_LOOK_UP, (key,)).fetchone()
        return replace(answer, text=text, finish=finish)

    def _count(self, more: Usage) -> None:
        with self._lock:
            self._usage = self._usage + more

    @property
    def _way_out(self) -> str:
        return f"remove it (rm {self._path}*): answers are then asked for again"

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what SQLite says about the file into something that can be acted on."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # closed before: a fault of the caller, not of the file
        except sqlite3.OperationalError as error:  # locked, full, read-only: the file itself is sound
            raise HarkenError(
                f"the answers in {self._path} cannot be used: {error}", "is the disk full, or read-only?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise HarkenError(f"{self._path} is damaged: {error}", self._way_out) from error
        except OSError as error:
            raise HarkenError(f"{self._path} cannot be written: {error.strerror}") from error


def _read(row: tuple[str, Literal["stop", "length"], int, int]) -> Completion:
    text, finish, prompt_tokens, completion_tokens = row
    return Completion(text, finish, prompt_tokens, completion_tokens, cached=True)
