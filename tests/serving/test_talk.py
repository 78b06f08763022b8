"""Talking in the terminal, on fake devices: turns, replies, interruptions, and devices that are not there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fake_devices import RATE_HZ, FakeSoundDevice

from harken import api
from harken.api import Harken
from harken.cli import main
from harken.cli.talk import Terminal
from harken.dialogue.events import AudioChunk, Event, Heard, TextDelta
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import HarkenError, InputError
from harken.recipes import ReflectConfig
from harken.serving import turns
from harken.serving.devices import Loudspeaker, Microphone
from harken.serving.head_start import HeadStart
from harken.serving.talk import Talk
from harken.testing import FakeVoice, ScriptedLM, heard_turn, loud_is_speech

ANSWER = "That hurts a lot. I can see why."
TRACE = 'The speaker feels sad because: "the job"'
SPOKEN_S = (len("That hurts a lot.") + len("I can see why.")) / 15


def model(**options: Any) -> ScriptedLM:
    return ScriptedLM(
        lambda text: f"{TRACE}</think>" if text.endswith("<think>\n") else ANSWER,
        lambda samples: heard_turn(seconds=len(samples) / 16_000, width=1),
        **options,
    )


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> FakeSoundDevice:
    fake = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


class Screen:
    """Remembers; when it is listened, the next deed is done."""

    def __init__(self, *deeds: Callable[[], None]) -> None:
        self.deeds = list(deeds)
        self.on_event: Callable[[Event], None] = lambda event: None
        self.events: list[Event] = []
        self.ends: list[bool] = []
        self.errors: list[HarkenError] = []

    def listening(self) -> None:
        self.deeds.pop(0)()

    def begin(self) -> None:
        self.events.append("turn")  # type: ignore[arg-type]

    def event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def end(self, interrupted: bool) -> None:
        self.ends.append(interrupted)

    def failed(self, error: HarkenError) -> None:
        self.errors.append(error)


def talk(harken: Harken, screen: Screen, headphones: bool = False) -> list[Any]:
    """A conversation until the microphone is gone; gives its turns."""
    session = harken.conversation()
    with Microphone() as microphone, Loudspeaker() as loudspeaker, ThreadPoolExecutor(1) as thread:
        talking = Talk(session, thread, loudspeaker, loud_is_speech, screen, "after", headphones)
        talking.run(microphone.chunks())
    return session.turns


def test_turns_are_found_answered_and_said_one_after_the_other(devices: FakeSoundDevice) -> None:
    screen = Screen(lambda: devices.say(1.0), lambda: devices.say(2.0), devices.unplug)
    told = talk(Harken(model(), FakeVoice()), screen)
    assert [type(turn) for turn in told] == [UserTurn, AssistantTurn] * 2
    assert [turn.text for turn in told[1::2]] == [ANSWER, ANSWER]
    heard = [event.seconds for event in screen.events if isinstance(event, Heard)]
    assert heard == [pytest.approx(said + 0.65, abs=0.2) for said in (1.0, 2.0)], "with the quiet around it"
    assert len(devices.played) / RATE_HZ == pytest.approx(2 * SPOKEN_S, abs=0.1)
    assert (screen.ends, screen.errors) == ([False, False], [])


def test_where_speech_is_made_slowly_a_reply_is_said_when_enough_of_it_is_made(
    devices: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadStart, "seconds", 99.0)
    screen, play = Screen(lambda: devices.say(1.0), devices.unplug), Loudspeaker.play

    def noted(loudspeaker: Loudspeaker, *sound: Any) -> None:
        screen.events.append("played")  # type: ignore[arg-type]
        play(loudspeaker, *sound)

    monkeypatch.setattr(Loudspeaker, "play", noted)
    talk(Harken(model(), FakeVoice(chunk_s=0.5)), screen)
    order = ["played" if event == "played" else "made" for event in screen.events if is_sound(event)]
    half = len(order) // 2
    assert half > 2 and order == ["made"] * half + ["played"] * half
    assert len(devices.played) / RATE_HZ == pytest.approx(SPOKEN_S, abs=0.1)


def is_sound(event: object) -> bool:
    return event == "played" or isinstance(event, AudioChunk)


def test_what_is_heard_while_a_reply_is_said_is_no_turn_without_headphones(devices: FakeSoundDevice) -> None:
    screen = Screen(lambda: devices.say(1.0), devices.unplug)
    screen.on_event = lambda event: devices.say(0.3) if isinstance(event, Heard) else None
    told = talk(Harken(model(), FakeVoice()), screen)
    assert [type(turn) for turn in told] == [UserTurn, AssistantTurn]


def test_with_headphones_talking_stops_the_reply_and_keeps_what_was_heard(devices: FakeSoundDevice) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, AudioChunk) and devices.most_played_s < 1:
            devices.most_played_s = 99.0
            screen.on_event = lambda event: None
            devices.say(1.0)

    devices.most_played_s = 0.5
    screen = Screen(lambda: devices.say(1.0), devices.unplug)
    screen.on_event = interrupt
    session_turns = talk(Harken(model(), FakeVoice(chunk_s=0.2)), screen, headphones=True)
    assert screen.ends == [True, False]
    assert [type(turn) for turn in session_turns][-2:] == [UserTurn, AssistantTurn]
    heard = [turn.text for turn in session_turns if isinstance(turn, AssistantTurn)]
    assert heard[-1] == ANSWER and all(ANSWER.startswith(text) for text in heard)
    assert len(devices.played) / RATE_HZ < 2 * SPOKEN_S


def test_a_turn_that_cannot_be_answered_is_said_and_the_next_one_is(devices: FakeSoundDevice) -> None:
    class Strict(ScriptedLM):
        def hear(self, samples: Any) -> Any:
            if len(samples) < 2 * 16_000:
                raise InputError("the recording is too short")
            return super().hear(samples)

    strict = Strict(lambda text: "Yes.</think>" if text.endswith("<think>\n") else "Yes.", model().heard)
    screen = Screen(lambda: devices.say(0.5), lambda: devices.say(2.0), devices.unplug)
    told = talk(Harken(strict, FakeVoice()), screen)
    assert [error.message for error in screen.errors] == ["the recording is too short"]
    assert [type(turn) for turn in told] == [UserTurn, AssistantTurn] and screen.ends == [False]


def test_who_ends_it_in_the_middle_of_a_reply_hears_no_more_of_it(devices: FakeSoundDevice) -> None:
    screen = Screen(lambda: devices.say(1.0))
    in_reply, go_on = threading.Event(), threading.Event()

    def wait(event: Event) -> None:
        if isinstance(event, AudioChunk):
            in_reply.set()
            assert go_on.wait(20)

    screen.on_event = wait
    session = Harken(model(), FakeVoice(chunk_s=0.2)).conversation()
    with ThreadPoolExecutor(1) as thread, Microphone() as microphone, Loudspeaker() as loudspeaker:

        def chunks() -> Iterator[Any]:
            for samples in microphone.chunks():
                yield samples
                if in_reply.is_set():
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Talk(session, thread, loudspeaker, loud_is_speech, screen).run(chunks())
        go_on.set()
    assert sum(isinstance(event, AudioChunk) for event in screen.events) == 1


@pytest.fixture
def command(devices: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch) -> FakeSoundDevice:
    """`harken talk` on fakes; the microphone is gone after one turn."""

    def load(recipe: Any = None, trained: Any = None, voice: Any = "recipe", guard: Any = None) -> Harken:
        return Harken(model(), FakeVoice(), guard)

    said = iter([lambda: devices.say(1.0), devices.unplug])
    monkeypatch.setattr(api, "fetch", lambda recipe, trained, voice: None)
    monkeypatch.setattr(api, "load", load)
    monkeypatch.setattr(turns, "open_vad", lambda: loud_is_speech)
    monkeypatch.setattr("harken.cli.talk.Terminal.listening", lambda screen: next(said)())
    return devices


def test_the_terminal_shows_what_was_heard_the_reply_and_why(
    command: FakeSoundDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["talk"]) == 1
    told = capsys.readouterr()
    for shown in ("turn 1", '"I lost my job."', "sad", ANSWER, 'because of "the job"', "first audio"):
        assert shown in told.out
    assert told.err == "harken: the microphone is gone\n" and len(command.played) > 0


def test_ctrl_c_in_the_middle_of_a_reply_ends_its_line(
    command: FakeSoundDevice,
    ctrl_c: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    show, leave, left = Terminal.event, Terminal.leave, threading.Event()

    def shown(screen: Terminal, event: Event) -> None:
        show(screen, event)
        if isinstance(event, TextDelta):
            ctrl_c()
            assert left.wait(20)

    monkeypatch.setattr(Terminal, "event", shown)
    monkeypatch.setattr(Terminal, "leave", lambda screen: (leave(screen), left.set()))
    assert main(["talk"]) == 130
    reply = capsys.readouterr().out.split("reply")[-1]
    assert reply.strip() and ANSWER.startswith(reply.strip()) and reply.endswith("\n")


def test_the_model_runs_on_the_thread_that_loaded_it(
    command: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    class Noting(ScriptedLM):
        def hear(self, samples: Any) -> Any:
            threads.append(threading.current_thread())
            return super().hear(samples)

    def load(*_: Any, **__: Any) -> Harken:
        threads.append(threading.current_thread())
        return Harken(Noting(lambda _: "Yes.</think>", model().heard), FakeVoice())

    said = iter([lambda: command.say(1.0), lambda: command.say(1.0), command.unplug])
    monkeypatch.setattr("harken.cli.talk.Terminal.listening", lambda screen: next(said)())
    monkeypatch.setattr(api, "load", load)
    assert main(["talk"]) == 1
    assert len(threads) == 3 and len(set(threads)) == 1, "two threads are slower"


def test_reflections_are_shown_between_the_chunks_of_a_reply_to_who_asks(
    command: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ReflectConfig(response_tokens=17, reflection_tokens=8, real_time=False)
    reflecting = model(reflect=how, reflection=lambda _: "Sad?")
    monkeypatch.setattr(api, "load", lambda *_, **__: Harken(reflecting, FakeVoice()))
    assert main(["talk", "--reflect", "--show", "reflections"]) == 1
    told = capsys.readouterr().out
    said = "That hurts a lot."
    assert told.index(said) < told.index("Sad?") < told.index(ANSWER.removeprefix(said))
    assert "thought  1 times" in told and len(command.played) / RATE_HZ == pytest.approx(SPOKEN_S, abs=0.1)


def test_a_model_that_cannot_reflect_is_not_talked_to_with_reflections(
    command: FakeSoundDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["talk", "--reflect"]) == 1
    assert "has no tokens for reflections" in capsys.readouterr().err
    assert main(["talk", "--show", "reflections"]) == 2
    assert "add --reflect" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "what"), [("input", "microphone"), ("output", "loudspeaker")])
def test_a_device_that_is_not_there_is_named(
    command: FakeSoundDevice, capsys: pytest.CaptureFixture[str], kind: str, what: str
) -> None:
    command.missing = kind
    assert main(["talk", f"--{what}", "Blue"]) == 1
    err = capsys.readouterr().err
    assert f"there is no {what} 'Blue' that can be opened" in err and "hint: python -m sounddevice" in err


def test_missing_packages_and_libraries_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["talk"]) == 1
    assert "pip install 'harken[talk]'" in capsys.readouterr().err

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert main(["talk"]) == 1
    err = capsys.readouterr().err
    assert "there is no PortAudio" in err and "libportaudio2" in err
