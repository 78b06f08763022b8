"""What users import: a model that hears and answers, one turn or a conversation at a time.

`load` brings the parts together; `Harken` answers recordings, texts and whole histories as streams of events.
The command line, the server and the evaluation go through here too. The loop itself is `harken.dialogue`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from harken.dialogue.conversation import Conversation, Prefix
from harken.dialogue.events import Event
from harken.dialogue.guard import Guard
from harken.dialogue.reflection import check_reflects
from harken.dialogue.render import AssistantTurn, Turn, UserTurn
from harken.dialogue.reply import LEAST_CONFIDENCE, ReplySettings, Think, reply
from harken.dialogue.sampling import Sampling
from harken.errors import InputError, RecipeError
from harken.recipes import EXTERNAL_VOICES, Recipe, ReflectConfig, recipe
from harken.voices.phonemes import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harken.audio.io import Recording
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_lm import SpokenLM
    from harken.voices.base import Voice

    Audio = Recording | Path | str | bytes | BinaryIO | tuple[NDArray[np.floating], int]
    Said = Audio | str
    Message = Mapping[str, Any]

AUDIO_ENDINGS = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".m4a", ".aac", ".webm",
)  # fmt: skip


def load(
    name: str | Recipe | None = None,
    trained: str | os.PathLike[str] | None = None,
    voice: str | Voice | None = "recipe",
    guard: Guard | None = None,
) -> Harken:
    """A model that is ready to hear; weights that are not here yet are fetched.

    Use it on the thread that loads it: on another a reply takes more than half as long again where there are
    two cores (`harken.serving.worker` says why).

    Args:
        name: "mini" and so on (`harken recipes list`), or a recipe; None takes the one that `trained`
            was trained by, or "mini".
        trained: a folder of trained parts; None takes those that ship with Harken.
        voice: who speaks the replies: "recipe" is the model itself where it was taught to speak, else the
            recipe's external voice; "kokoro" that one in any case; "none" or None nobody; another string a
            speaker by name, the model's own or the external voice's (loaded when it first speaks); or any
            `harken.voices.base.Voice`.
        guard: may answer in the model's place, as `harken.dialogue.guard.Care` does; None lets it speak.

    Raises: RecipeError where parts do not fit each other, WeightsError where weights cannot be had.
    """
    from harken.checkpoint import load_model

    folder = Path(trained) if trained is not None else None
    chosen = chosen_recipe(name, folder)
    return Harken(load_model(chosen, folder), voice, guard)


def fetch(
    name: str | Recipe | None = None, trained: str | os.PathLike[str] | None = None, voice: str = "recipe"
) -> None:
    """Fetch the pretrained weights that a model, loaded in the same way, and its voice read, where they are
    not here yet; on any thread, and it can be interrupted. Raises WeightsError and RecipeError.
    """
    from harken.checkpoint import needed_weights
    from harken.weights.store import ensure

    folder = Path(trained) if trained is not None else None
    for weights in needed_weights(chosen_recipe(name, folder), folder, voice):
        ensure(weights)


class Harken:
    """A spoken language model and its voice."""

    def __init__(
        self, model: SpokenLM, voice: str | Voice | None = "recipe", guard: Guard | None = None
    ) -> None:
        self.model = model
        self.guard = guard
        self._voices: dict[str, Voice] = {}
        self._own_voice: OwnVoice | None = None
        self._prefixes: dict[str, Prefix] = {}
        self._voice = voice

    @property
    def recipe(self) -> Recipe:
        return self.model.recipe

    def voice(self, name: str | Voice | OwnVoice | None = None) -> Voice | OwnVoice | None:
        """The voice of a name, loaded once; None takes the one chosen at `load`. See `load` for names."""
        chosen = self._voice if name is None else name
        if not isinstance(chosen, str):
            return chosen
        if chosen == "none":
            return None
        return self._own(chosen) or self._external(chosen)

    def _own(self, name: str) -> OwnVoice | None:
        """The model's own voice, or another that its decoder has."""
        if self.model.open_voice is None or name == "kokoro":
            return None
        if self._own_voice is None:
            words("Hello.")  # what is missing shows now
            self._own_voice = self.model.open_voice()
        if name == "recipe":
            return self._own_voice
        known = name in self._own_voice.decoder.voices
        return self._own_voice.of(name) if known else None

    def _external(self, name: str) -> Voice:
        speaker = self.recipe.speaker if name in ("recipe", "kokoro") else name
        if speaker not in self._voices:
            self._voices[speaker] = _open_voice(self.recipe.voice, speaker)
        return self._voices[speaker]

    def conversation(self, system: str | None = None) -> Session:
        """A conversation that remembers its turns. `system` is its prompt; None takes the recipe's."""
        return Session(self, Conversation(self.model, self._prefix(system)))

    def reply(
        self,
        said: Said | list[Message],
        *,
        system: str | None = None,
        instruction: Audio | str | None = None,
        think: Think = "after",
        seed: int | None = None,
        voice: str | Voice | OwnVoice | None = None,
        reflect: bool | ReflectConfig = False,
    ) -> Iterator[Event]:
        """Answer one turn, or the last turn of a history.

        Args:
            said: a recording (path, bytes, open file, (samples, sample rate), `Recording`), a text, or a
                history: a list of `{"role": "user" | "assistant", "audio" | "text": …}` that ends with the
                user. A string is a recording where it names a file or ends like one (.wav …), else text.
            system: the system prompt; None takes the recipe's.
            instruction: what to do with the turn, as text or as a recording.
            think: when to state how the speaker feels and why: "after" the reply, "before" it, or "off".
            seed: draw the reply with this seed; None takes the most probable one, the same every time.
            voice: as for `load`; None takes the one chosen there.
            reflect: reflect while speaking, as the recipe says or otherwise.

        Yields: the events of `harken.dialogue.events`, Heard first and Done last.
        Raises: InputError for a recording that cannot be heard, RecipeError where the model cannot reflect.
        """
        session = self.conversation(system)
        content = session._remember(said) if isinstance(said, list) else _content(said)
        yield from session._answer(content, instruction, think, seed, voice, reflect)

    def hear_text(self, audio: Audio) -> str:
        """The words of a recording. Raises InputError where none are understood."""
        recording = read_audio(audio)
        heard = self.model.hear(recording.samples)
        if not heard.transcript or heard.confidence < LEAST_CONFIDENCE:
            raise InputError(
                f"{recording.name}: its words were not understood", "give the instruction as text"
            )
        return heard.transcript

    def _prefix(self, system: str | None) -> Prefix:
        """The system prompt, read once and forked by every conversation."""
        system = self.recipe.system if system is None else system
        if system not in self._prefixes:
            if len(self._prefixes) >= 16:
                self._prefixes.pop(next(iter(self._prefixes)))
            self._prefixes[system] = Prefix.read(self.model, system)
        return self._prefixes[system]


class Session:
    """A conversation with a Harken: each reply goes on from the turns before."""

    def __init__(self, harken: Harken, conversation: Conversation) -> None:
        self.harken = harken
        self.conversation = conversation

    @property
    def turns(self) -> list[Turn]:
        """What is remembered, oldest first."""
        return self.conversation.turns

    def reply(
        self,
        said: Said,
        *,
        instruction: Audio | str | None = None,
        think: Think = "after",
        seed: int | None = None,
        voice: str | Voice | OwnVoice | None = None,
        reflect: bool | ReflectConfig = False,
    ) -> Iterator[Event]:
        """Answer the next turn; arguments as for `Harken.reply`. Closing the iterator interrupts it."""
        yield from self._answer(_content(said), instruction, think, seed, voice, reflect)

    def interrupted_at(self, played_ms: float) -> str:
        """The last reply was stopped when so much of it had been played; gives the words that were heard."""
        return self.conversation.interrupted_at(played_ms)

    def _answer(
        self,
        content: NDArray[np.float32] | str,
        instruction: Audio | str | None,
        think: Think,
        seed: int | None,
        voice: str | Voice | OwnVoice | None,
        reflect: bool | ReflectConfig,
    ) -> Iterator[Event]:
        if instruction is not None and not _is_text(instruction):
            instruction = self.harken.hear_text(instruction)
        if reflect is True:
            reflect = check_reflects(self.harken.model)
        settings = ReplySettings(
            think, cast("str | None", instruction) or None, Sampling(seed), reflect=reflect or None
        )
        yield from reply(self.conversation, content, settings, self.harken.voice(voice), self.harken.guard)

    def _remember(self, history: list[Message]) -> NDArray[np.float32] | str:
        """Put all turns but the last into the conversation; gives what the last one says."""
        if not history or history[-1].get("role") != "user":
            raise InputError("the history does not end with the user", "end it with the turn to be answered")
        contents = [_message_content(message, number) for number, message in enumerate(history, 1)]
        for message, content in zip(history[:-1], contents[:-1], strict=True):
            if message["role"] == "assistant":
                self.conversation.add(AssistantTurn(str(content)))
            elif isinstance(content, str):
                self.conversation.add(UserTurn(content))
            else:
                self.conversation.add(UserTurn(self.harken.model.hear(content).embeddings))
        return contents[-1]


def read_audio(audio: Any) -> Recording:
    """Any of the forms in which a recording may be given. Raises InputError where it cannot be heard."""
    from harken.audio.io import Recording, from_array, read

    if isinstance(audio, Recording):
        return audio
    if isinstance(audio, tuple):
        return from_array(*audio)
    return read(audio)


def names_audio(text: str) -> bool:
    """Whether a string is meant as a recording: it ends like one, or there is such a file."""
    try:
        return text.lower().endswith(AUDIO_ENDINGS) or Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or a NUL in it
        return False


def _is_text(said: Any) -> bool:
    return isinstance(said, str) and not names_audio(said)


def _content(said: Said) -> NDArray[np.float32] | str:
    """Samples (N,) at 16 kHz, or a text that is not empty."""
    if not _is_text(said):
        return read_audio(said).samples
    return _text(cast(str, said))


def _text(text: str) -> str:
    if not text.strip():
        raise InputError("the text is empty", "say something")
    return text


def _message_content(message: Message, number: int) -> NDArray[np.float32] | str:
    """What a message of a history says, as `_content`."""
    role, given = message.get("role"), [key for key in ("audio", "text") if message.get(key) is not None]
    if role not in ("user", "assistant") or len(given) != 1 or (role == "assistant" and given != ["text"]):
        raise InputError(
            f"turn {number} of the history is not understood: {sorted(message)}",
            'a turn is {"role": "user", "audio" or "text": …} or {"role": "assistant", "text": …}',
        )
    return read_audio(message["audio"]).samples if given == ["audio"] else _text(str(message["text"]))


def chosen_recipe(name: str | Recipe | None, trained: Path | None) -> Recipe:
    """The recipe that is asked for, or the one in the folder of trained parts."""
    if isinstance(name, Recipe):
        return name
    if name is not None or trained is None:
        return recipe(name or "mini")
    from harken.checkpoint import stored_recipe

    return stored_recipe(trained)


def _open_voice(kind: str, speaker: str) -> Voice:
    """A speaker of the recipe's voice."""
    if kind not in EXTERNAL_VOICES:
        known = " or ".join(EXTERNAL_VOICES)
        raise RecipeError(
            f"voice {kind!r} is not there yet", f"choose a recipe that speaks with {known}, or voice='none'"
        )
    from harken.voices import kokoro

    voice = kokoro.load(speaker)
    list(voice.speak("Hello."))  # what is missing shows now, and the first reply need not wait for warming up
    return voice
