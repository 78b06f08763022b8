"""Fakes, so that what is built around a model can be tested without weights, and in milliseconds.

`tiny_causal_lm` and `tiny_core` are real architectures with random weights; `tiny_tokenizer` spells text byte
by byte in ChatML; `tiny_model` hears in a made-up way and writes nonsense; `ScriptedLM` writes what a test
tells it to; `FakeVoice` and `ToneVoice` hum, `tiny_own_voice` babbles by a `FakeUnitDecoder`; `FakeLLM`
answers by a function. All are deterministic. Harken's own tests use them, and so may anybody's.
"""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harken.llm.base import Completion, LLMError, Sampling
from harken.model.core import Core, CoreState, new_causal_lm
from harken.model.layer_stack import LayerStack
from harken.model.own_voice import STYLES, OwnVoice, ReplyStyle
from harken.model.reflection_marks import ReflectionMarks
from harken.model.speak import Speak, SpeakSizes
from harken.model.spoken_lm import SAMPLE_RATE_HZ, HeardTurn, Read, SpokenLM
from harken.recipes import CoreConfig, Recipe, ReflectConfig, mini
from harken.voices.base import NEUTRAL, Samples, Style, TimedWord, level
from harken.voices.phonemes import SpokenWord, sentences
from harken.voices.symbols import SYMBOL_IDS

Family = Literal["llama", "qwen2", "qwen3"]
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
REFLECT, REFLECTED = "<|reflect|>", "</|reflect|>"
WIDTH = 32
POSITIONS = 1024
LABELS = ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def tiny_tokenizer() -> Any:
    """One token a byte, and ChatML's marks; as transformers hands tokenizers out."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>"
    )


def tiny_causal_lm(family: Family = "llama", seed: int = 0, layers: int = 4) -> Any:
    """A whole causal LM of a family, as transformers makes it, with random weights, 32 wide."""
    config = tiny_recipe(family).core.model_copy(update={"layers": layers})
    far_apart = 0.2  # so that a wrong position or mask shows
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return new_causal_lm(config, max_position_embeddings=POSITIONS, initializer_range=far_apart).eval()


def tiny_core(family: Family = "llama", seed: int = 0, layers: int = 4, split: int = 2) -> Core:
    """`tiny_causal_lm`, split into Think and Write."""
    return Core(tiny_causal_lm(family, seed, layers), split).eval()


def tiny_recipe(family: Family = "llama") -> Recipe:
    """mini's recipe with a tiny core and short replies."""
    core = CoreConfig(
        weights="tiny",
        family=family,
        layers=4,
        split=2,
        width=WIDTH,
        heads=4,
        kv_heads=2,
        head_width=WIDTH // 4,
        feed_forward_width=2 * WIDTH,
        vocabulary=256 + len(SPECIALS),
        tied=False,
    )
    return mini().model_copy(
        update={
            "name": "tiny",
            "core": core,
            "system": "Be kind.",
            "max_reply_tokens": 48,
            "max_trace_tokens": 64,
        }
    )


def heard_turn(
    transcript: str = "I lost my job.",
    emotion: str = "sad",
    confidence: float = 0.9,
    seconds: float = 2.0,
    width: int = WIDTH,
    words_from_s: float = 0.0,
) -> HeardTurn:
    """What a model could have heard: one vector of affect and one a word, the same for the same arguments."""
    words = torch.Generator().manual_seed(sum(map(ord, transcript)))
    return HeardTurn(
        embeddings=0.2 * torch.randn(1 + len(transcript.split()), width, generator=words),
        transcript=transcript,
        confidence=confidence,
        emotion={label: 0.7 if label == emotion else 0.05 for label in LABELS},
        gender={"female": 0.8, "male": 0.2},
        affect=torch.zeros(4),
        seconds=seconds,
        words_from_s=words_from_s,
    )


class _Deaf(SpokenLM):
    """A SpokenLM without Listen: what it hears is made up by `heard`, from the samples."""

    heard: Callable[[NDArray[np.float32]], HeardTurn]

    def _set_up(
        self,
        recipe: Recipe,
        core: Any,
        heard: Callable[[NDArray[np.float32]], HeardTurn] | None,
        reflect: ReflectConfig | None,
    ) -> None:
        nn.Module.__init__(self)
        self.recipe = recipe.model_copy(update={"reflect": reflect})
        self.core, self.tokenizer, self.open_voice = core, tiny_tokenizer(), None
        self.marks = ReflectionMarks(recipe.core.vocabulary, recipe.core.width) if reflect else None
        width = recipe.core.width
        self.heard = heard or (lambda samples: heard_turn(seconds=len(samples) / SAMPLE_RATE_HZ, width=width))

    def hear(self, samples: NDArray[np.float32]) -> HeardTurn:
        return self.heard(samples)


class _TinyLM(_Deaf):
    def __init__(
        self,
        family: Family,
        seed: int,
        heard: Callable[[NDArray[np.float32]], HeardTurn] | None,
        reflect: ReflectConfig | None,
    ) -> None:
        self._set_up(tiny_recipe(family), tiny_core(family, seed), heard, reflect)
        if self.marks:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                nn.init.normal_(self.marks.rows, std=0.2)


def tiny_text_side() -> tuple[Any, Core]:
    """A tokenizer and a core, as `harken.checkpoint.load_text_side` gives them."""
    return tiny_tokenizer(), tiny_core()


def tiny_model(
    family: Family = "llama",
    seed: int = 0,
    heard: Callable[[NDArray[np.float32]], HeardTurn] | None = None,
    reflect: ReflectConfig | None = None,
) -> SpokenLM:
    """A SpokenLM with a tiny random core: real state and real logits, nonsense in words.

    Args:
    heard: what it makes of samples (N,) at 16 kHz; `heard_turn()` unless given.
    reflect: what its recipe says of reflecting; given, it has the tokens for it.
    """
    return _TinyLM(family, seed, heard, reflect)


@dataclass(frozen=True)
class ScriptState:
    """The token ids that were read so far; -1 for a heard vector."""

    ids: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        return len(self.ids)

    def fork(self) -> ScriptState:
        return self

    def rollback(self, length: int) -> ScriptState:
        assert 0 <= length <= self.length, f"cannot roll back from {self.length} to {length}"
        return ScriptState(self.ids[:length])


class ScriptedLM(_Deaf):
    """A SpokenLM that writes what a script says. `read_texts` has everything that it read, as text."""

    def __init__(
        self,
        script: Callable[[str], str],
        heard: Callable[[NDArray[np.float32]], HeardTurn] | None = None,
        positions: int = POSITIONS,
        reflect: ReflectConfig | None = None,
        reflection: Callable[[str], str] = lambda read: "Hm.",
    ) -> None:
        """Args:
        script: what was read up to the opening of the assistant's turn or of its think block, as text with
            heard vectors as "·" -> what is written from there on.
        positions: how many the context has.
        reflect: what the recipe says of reflecting; given, there are tokens for it.
        reflection: what was read up to the opening of a reflection -> what is reflected.
        """
        core = tiny_recipe().core.model_copy(update={"width": 1})
        recipe = tiny_recipe().model_copy(update={"core": core})
        config = SimpleNamespace(max_position_embeddings=positions)
        self._set_up(recipe, SimpleNamespace(config=config, reads_each=False), heard, reflect)
        self.script, self.reflection = script, reflection
        if reflect:
            self.tokenizer.add_special_tokens({"additional_special_tokens": [REFLECT, REFLECTED]})
        self.read_texts: list[str] = []
        self.steps = 0

    def embed(self, ids: list[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.float32)[:, None]  # (T, 1)

    def read(self, inputs: Tensor, state: CoreState | None = None, key_bias: Tensor | None = None) -> Read:
        past = state.ids if isinstance(state, ScriptState) else ()
        numbers = inputs[0, :, 0].tolist()
        new = tuple(int(n) if n >= 0 and n == int(n) else -1 for n in numbers)
        self.steps += 1
        self.read_texts.append(self._text(new))
        now = ScriptState(past + new)
        logits = torch.full((1, 256 + len(SPECIALS) + (2 if self.marks else 0)), -10.0)
        logits[0, self._next(now.ids)] = 10.0
        return Read(logits, cast(CoreState, now), torch.zeros(1, len(new), 1))

    def _text(self, ids: tuple[int, ...]) -> str:
        parts: list[str] = []
        written: list[int] = []
        for i in (*ids, -1):
            if i >= 0:
                written.append(i)
                continue
            parts.append(self.tokenizer.decode(written))
            written = []
        return "·".join(parts)

    def _next(self, ids: tuple[int, ...]) -> int:
        text = self._text(ids)
        start = text.rfind("<|im_start|>assistant\n") + len("<|im_start|>assistant\n")
        written = text[start:]
        if written.startswith("<think>\n"):
            closed = written.find("</think>\n\n")
            start += len("<think>\n") if closed < 0 else closed + len("</think>\n\n")
        script, end = self.script, "<|im_end|>"
        if text.rfind(REFLECT) > text.rfind(REFLECTED):
            start, script, end = text.rfind(REFLECT) + len(REFLECT), self.reflection, REFLECTED
        spoken = re.sub(f"{re.escape(REFLECT)}.*?{re.escape(REFLECTED)}", "", text[start:], flags=re.DOTALL)
        answer = self.tokenizer.encode(script(text[:start]) + end, add_special_tokens=False)
        done = len(self.tokenizer.encode(spoken, add_special_tokens=False))
        return int(answer[min(done, len(answer) - 1)])


def spelled_words(text: str) -> list[SpokenWord]:
    """Every word as its letters, so that no espeak-ng is needed."""
    found, at = list[SpokenWord](), 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        found.append(SpokenWord(start, at, word.replace("g", "ɡ")))
    return found


class FakeUnitDecoder:
    """Makes of each unit a hundred samples of that number, two units late."""

    units_hz, sample_rate, lookahead_units, unit_samples = 10.0, 1000, 2, 100
    vocabulary, codec_sha256, voices = (15,), "0" * 64, ("anna", "ben")

    def init_state(self, voices: list[str]) -> list[Tensor]:
        return [torch.zeros(0, dtype=torch.long) for _ in voices]

    def step(self, state: list[Tensor], units: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        held = [torch.cat([row, new[:n]]) for row, new, n in zip(state, units, lengths.tolist(), strict=True)]
        late = self.lookahead_units
        return [self._sound(row[: max(0, len(row) - late)]) for row in held], [row[-late:] for row in held]

    def flush(self, state: list[Tensor], units: Tensor, lengths: Tensor) -> list[Tensor]:
        settled, held = self.step(state, units, lengths)
        return [torch.cat([sound, self._sound(row)]) for sound, row in zip(settled, held, strict=True)]

    def _sound(self, units: Tensor) -> Tensor:
        return units.float().repeat_interleave(self.unit_samples) / 15


def tiny_own_voice(core: Core, units_per_step: int = 2) -> OwnVoice:
    """A voice with random weights on a tiny core; its decoder is a fake."""
    sizes = SpeakSizes(
        WIDTH, (3, 5), max(SYMBOL_IDS.values()) + 1, len(STYLES) + 2, units_per_step, behind=1, ahead=3
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        speak = Speak(sizes, LayerStack(copy.deepcopy(core.write.layers[-1:]), core.write.rotary))
        style = ReplyStyle(4)
    return OwnVoice(speak.eval(), FakeUnitDecoder(), style.eval(), "anna")


class FakeVoice:
    """Hums for as long as somebody would need to say the text. `spoken` has what was said, and how."""

    name = "fake"
    sample_rate = 8000

    def __init__(self, chunk_s: float = 60.0) -> None:
        """Args: chunk_s: the longest chunk; short ones make several of a sentence."""
        self.chunk_s = chunk_s
        self.spoken: list[tuple[str, Style]] = []

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        self.spoken.append((text, style))
        size = int(self.chunk_s * self.sample_rate)
        time_s = np.arange(int(len(text) / 15 * self.sample_rate)) / self.sample_rate
        hum = (0.1 * np.sin(2 * np.pi * 200 * time_s)).astype(np.float32)
        for start in range(0, len(hum), size):
            yield hum[start : start + size]


class ToneVoice:
    """Hums 0.3 s a word at a pitch of its own; obeys the style as a real voice does."""

    sample_rate = 24_000

    def __init__(self, name: str = "tone") -> None:
        self.name = name
        self._pitch_hz = 100.0 + zlib.crc32(name.encode()) % 150

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """One chunk a sentence that has a letter or a digit in it."""
        for sentence in sentences(text):
            if any(c.isalnum() for c in sentence):
                size = int(len(sentence.split()) * 0.3 / style.speed * self.sample_rate)
                t = np.arange(size) / self.sample_rate
                melody = self._pitch_hz * t + style.prosody_scale * 40.0 * np.sin(2 * np.pi * t) / (2 * np.pi)
                yield level(0.3 * np.sin(2 * np.pi * melody).astype(np.float32), style.gain)

    def speak_timed(self, text: str, style: Style = NEUTRAL) -> tuple[Samples, list[TimedWord]]:
        """The same, each word's letters and the space after it evenly long."""
        sound = np.concatenate([np.zeros(0, np.float32), *self.speak(text, style)])
        said, at = [], 0
        for number, word in enumerate(text.split() if sound.size else []):
            start = text.index(word, at)
            at = start + len(word)
            symbols = "".join(c for c in word.lower() if "a" <= c <= "z") + " "
            begun, each = number * 0.3 / style.speed, 0.3 / style.speed / len(symbols)
            ends = tuple(round(begun + each * n, 4) for n in range(1, len(symbols) + 1))
            said.append(TimedWord(start, at, symbols, ends))
        return sound, said


def loud_is_speech() -> Callable[[Samples], float]:
    """A judge of what is speech for a stream, as `harken.serving` opens them: whatever can be heard is."""
    return lambda samples: float(np.abs(samples).max() > 0.01)


Answer = str | Completion | LLMError


@dataclass
class FakeLLM:
    """Answers each prompt with what `answer(prompt, seed)` says; a text is a completion that stopped."""

    answer: Callable[[str, int], Answer]
    thinks: bool = False
    name: str = "fake"
    revision: str = "1"
    template: str = "chatml"
    asked: list[str] = field(default_factory=list)

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        self.asked += prompts
        answers = [self.answer(prompt, sampling.seed) for prompt in prompts]
        return [Completion(a, "stop") if isinstance(a, str) else a for a in answers]


@dataclass
class FakeResources:
    """What a build lends to a step: one language model, whatever it is asked for by name."""

    model: FakeLLM
    folder: Path = Path("build")
    seed: int = 0

    def llm(self, name: str) -> FakeLLM:
        return self.model
