"""A GGUF model inside this process, by llama.cpp (`xllamacpp`): nothing to install or start beside Harken.

Several prompts are decoded side by side, each in a slot of its own (continuous batching).
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from harken.errors import InputError, MissingExtra
from harken.llm import beginnings, templates
from harken.llm.asking import INTERRUPTED, Asker
from harken.llm.base import Completion, LLMError, Sampling
from harken.llm.slots import Slots
from harken.processor import cores

if TYPE_CHECKING:
    import xllamacpp

SLOTS = 8  # of 1, 2, 4, 8, 16: the least from which llama.cpp's kernels for batches pay on a CPU
CONTEXT = 2048  # tokens a slot
CHOICE = 8  # prompts that wait for a slot, a slot: to choose from


class EmbeddedLLM(Asker):
    """A GGUF file, or an entry of the weights catalogue, answering in this process.

    It starts with its first prompt and is shared by all in the process that open the same file with the same
    settings. The number of slots can change texts: with one, a prompt gives the same text each time (at
    temperature 0, or with the same seed); with several, sums are taken in another order as other prompts come
    and go beside it, and a text now and then takes another turn. A `CachedLLM` keeps the first.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        template: str = "chatml",
        thinks: bool = False,
        slots: int = SLOTS,
        context: int = CONTEXT,
        threads: int | None = None,
    ) -> None:
        """Describe the model; nothing is fetched or loaded yet.

        Args:
            model: a name in the catalogue of weights, or the Path of a GGUF file.
            slots: prompts in work at once.
            context: tokens of prompt and answer together, a slot.
            threads: of the processor; as many as this process may use if None.
        """
        name = model.stem if isinstance(model, Path) else model
        revision = None if isinstance(model, Path) else _catalogue_file(model)[1]
        super().__init__(name, revision, template, thinks, concurrency=slots, choice=CHOICE)
        self._stop = templates.find(template).end
        self._model = model
        self._context = context
        self._cores = threads or cores()
        self._runtime: _Runtime | None = None

    @property
    def revision(self) -> str:
        """The sha256 of the file."""
        if self._revision is None:
            assert isinstance(self._model, Path)
            self._revision = _file_sha256(_checked(self._model))
        return self._revision

    def start(self) -> None:
        """Load the model, unless this process has it. Raises MissingExtra, InputError or WeightsError."""
        with _STARTING:
            if self._runtime is not None and self._runtime.process == os.getpid():
                return
            path = _checked(self._model) if isinstance(self._model, Path) else _ensured(self._model)
            key = (os.getpid(), str(path.resolve()), self.concurrency, self._context, self._cores)
            runtime = _RUNTIMES.get(key)
            if runtime is None:
                runtime = _Runtime(path, self.concurrency, self._context, self._cores)
                _RUNTIMES[key] = runtime
            self._runtime = runtime

    def close(self) -> None:
        """Unload the model, once nobody else in the process uses it."""
        self._runtime = None

    def answers(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[str, Completion | LLMError]]:
        """As of every `Asker`; what prompts have in common is read first, and once."""
        if prompts:
            self.start()
        for beginning in beginnings.shared(prompts):
            if (runtime := self._runtime) is not None:
                runtime.learn(beginning)
        yield from super().answers(prompts, sampling)

    def ask(self, prompt: str, sampling: Sampling) -> Completion | LLMError:
        """One answer, or an LLMError: longer than the context, or not a text that llama.cpp can read."""
        return self._in_turn(prompt, sampling, threading.Event())

    def _in_turn(self, prompt: str, sampling: Sampling, stopped: threading.Event) -> Completion | LLMError:
        """Ask in the slot that suits the prompt."""
        closed = LLMError(f"{self.name}: closed while a prompt waited")
        runtime = self._runtime
        if runtime is None:
            return closed
        with runtime.slots.slot_for(prompt) as (slot, read):
            if stopped.is_set():
                return INTERRUPTED
            if self._runtime is None:
                return closed
            runtime.beginnings.start(slot, prompt, read)
            return runtime.ask(self.name, prompt, sampling, (*sampling.stop, self._stop), slot)


class _Runtime:
    """A loaded model; unloaded when the last reference to it goes."""

    def __init__(self, path: Path, slots: int, context: int, threads: int) -> None:
        self.process = os.getpid()
        self._folder = beginnings.new_folder()
        key = secrets.token_urlsafe()  # it listens on loopback too; nobody else knows this key
        self._server = _load(path, slots, context, threads, self._folder.name, key)
        self.slots = Slots(slots)
        act = beginnings.over_http(self._server.listening_address, key)
        self.beginnings = beginnings.Beginnings(Path(self._folder.name), act)
        self._learning = threading.Lock()

    def learn(self, beginning: str) -> None:
        """Read what prompts will begin with, unless most of it is known: any slot can then start from there.

        What cannot be read is not: the prompts themselves say why.
        """
        with self._learning:
            if len(beginning) - len(self.beginnings.longest(beginning)) < beginnings.LEAST:
                return
            with self.slots.slot_for(beginning) as (slot, read), suppress(RuntimeError):
                self.beginnings.start(slot, beginning, read)
                request = {"id_slot": slot, "prompt": beginning, "max_tokens": 0}
                if "choices" in self._server.handle_completions(request):
                    self.beginnings.keep(slot, beginning)

    def ask(
        self, name: str, prompt: str, sampling: Sampling, stop: Sequence[str], slot: int
    ) -> Completion | LLMError:
        request: dict[str, Any] = {
            "id_slot": slot,
            "prompt": prompt,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,  # what llama.cpp would cut off besides is not in `Sampling`
            "min_p": 0.0,
            "seed": sampling.seed,
            "stop": list(stop),
        }
        if sampling.json_schema is not None:  # llama.cpp makes a grammar of it
            request["json_schema"] = json.loads(sampling.json_schema)
        try:
            answer: dict[str, Any] = self._server.handle_completions(request)
        except RuntimeError as error:
            return LLMError(f"{name} could not read a prompt: {str(error)[:200]}")
        if "choices" not in answer:
            return LLMError(f"{name}: {answer.get('error', {}).get('message', 'no answer')}"[:300])
        choice, usage = answer["choices"][0], answer["usage"]
        return Completion(
            choice["text"],
            "length" if choice["finish_reason"] == "length" else "stop",
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )


_STARTING = threading.Lock()
_RUNTIMES: WeakValueDictionary[tuple[int, str, int, int, int], _Runtime] = WeakValueDictionary()


def _load(path: Path, slots: int, context: int, threads: int, states: str, key: str) -> xllamacpp.Server:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("an embedded language model", "data") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.verbosity = -1  # nothing on standard output or error
    params.n_parallel = slots
    params.n_ctx = slots * context
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
        cpu.poll = 0  # waiting threads do not spin
    params.cache_ram_mib = 0  # a prompt is given its slot: what would be cached there is never looked up
    params.slot_save_path = f"{states}/"
    params.endpoint_slots = False
    params.ui = False
    params.api_keys = [key]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise InputError(f"{path} could not be loaded: {error}", "is it a GGUF language model?") from error


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there", "give the path of a GGUF file, or weights of the catalogue")
    return path


def _catalogue_file(name: str) -> tuple[str, str]:
    """Path inside the entry's folder, and sha256. Raises WeightsError or InputError where it is no GGUF."""
    from harken.weights.catalogue import find

    entry = find(name)
    if entry.converter or entry.is_repository or not entry.files[0].path.endswith(".gguf"):
        raise InputError(f"{name} is no GGUF language model in the catalogue", "harken weights list")
    return entry.files[0].path, entry.files[0].sha256


def _ensured(name: str) -> Path:
    from harken.weights.store import ensure

    path, _ = _catalogue_file(name)
    return ensure(name) / path


def _file_sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_as_of(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256_as_of(path: Path, size: int, mtime_ns: int) -> str:
    from harken.weights.unpack import sha256_of

    return sha256_of(path)
