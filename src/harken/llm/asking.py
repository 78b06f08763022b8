"""Many prompts at a time to a model that answers one by one: threads, bounded, equal prompts asked once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from harken.llm.base import Completion, LLMError, Sampling

INTERRUPTED = LLMError("interrupted while a prompt waited")


class Asker(ABC):
    """Base of the language models here, an `LLM`: at most `concurrency` prompts are out at once.

    The bound is on the model, however many threads call it.
    """

    def __init__(
        self,
        name: str,
        revision: str | None,
        template: str,
        thinks: bool,
        concurrency: int,
        choice: int = 1,
    ) -> None:
        """Args: choice: how many times `concurrency` prompts wait for their turn at once, for a model that
        chooses which goes next (`_in_turn`).
        """
        self.name = name
        self.template = template
        self.thinks = thinks
        self.concurrency = concurrency
        self._revision = revision
        self._threads = concurrency * choice
        self._free = threading.BoundedSemaphore(concurrency)

    @property
    @abstractmethod
    def revision(self) -> str:
        """What tells two models of one name apart."""

    @abstractmethod
    def start(self) -> None:
        """Be ready to answer. Raises HarkenError where that cannot be; a second call does nothing."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what was started. A later prompt starts it again."""

    @abstractmethod
    def ask(self, prompt: str, sampling: Sampling) -> Completion | LLMError:
        """One answer; called from several threads at once, after `start`."""

    def answers(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[str, Completion | LLMError]]:
        """Each distinct prompt with its answer, as they come. Raises HarkenError where nothing can start."""
        distinct = list(dict.fromkeys(prompts))
        if not distinct:
            return
        self.start()
        pool = ThreadPoolExecutor(min(self._threads, len(distinct)), thread_name_prefix="harken-llm")
        stopped = threading.Event()
        try:
            asked = {pool.submit(self._in_turn, prompt, sampling, stopped): prompt for prompt in distinct}
            for answer in as_completed(asked):
                yield asked[answer], answer.result()
        finally:  # also when interrupted: what waits is not asked any more
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        """One answer a prompt, in order; raises HarkenError only where the model cannot start at all."""
        answers = dict(self.answers(prompts, sampling))
        return [answers[prompt] for prompt in prompts]

    def _in_turn(self, prompt: str, sampling: Sampling, stopped: threading.Event) -> Completion | LLMError:
        """Ask when there is room, unless nobody wants the answer any more."""
        with self._free:
            return INTERRUPTED if stopped.is_set() else self.ask(prompt, sampling)
