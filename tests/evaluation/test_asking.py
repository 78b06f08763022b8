"""Asking a system: answers that stay, and logs that inspect-ai's viewer reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, current_thread

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from inspect_ai.log import list_eval_logs, read_eval_log

from harken.errors import DataError, HarkenError, InputError
from harken.evaluation.asking.answers import FILE, LOCK, Answers
from harken.evaluation.asking.exchanges import LOGS, Exchange, Failure, ask, score
from harken.evaluation.systems.base import Answer, Question, Unanswered

TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)


@dataclass
class Echo:
    """Says what it was asked, and what it said before; deaf to some keys."""

    name: str = "echo"
    concurrency: int = 1
    deaf: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    together: Barrier | None = None
    asked: list[str] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        self.asked.append(question.key)
        if self.together:
            self.together.wait(20)
        if question.key in self.down:
            raise HarkenError("no server answers")
        if question.key in self.deaf:
            raise Unanswered("too quiet")
        text = " ".join([*(reply or "-" for reply in question.replies), question.key])
        return Answer(text, TONE, 16_000, 0.5) if question.spoken else Answer(text)


def exchange(name: str, turns: int = 2, spoken: bool = False) -> Exchange:
    keys = [f"{name}_{number}" for number in range(1, turns + 1)]
    recordings = tuple(Path(f"{key}.wav") for key in keys)
    questions = tuple(
        Question("set", key, recordings[: number + 1], spoken=spoken) for number, key in enumerate(keys)
    )
    return Exchange(name, questions, tuple(f"words of {key}" for key in keys))


def answers(folder: Path, system: str = "echo") -> Answers:
    return Answers(folder, {"system": system})


def test_each_question_follows_on_the_systems_own_replies(tmp_path: Path) -> None:
    held, kept = exchange("a", 3), answers(tmp_path)
    assert ask(Echo(), {"en": [held]}, kept, "fake").failures == []
    assert [kept.get(question).text for question in held.questions] == [  # type: ignore[union-attr]
        "a_1",
        "a_1 a_2",
        "a_1 a_1 a_2 a_3",
    ]


def test_a_reply_that_is_missing_is_told_and_asked_for_again(tmp_path: Path) -> None:
    held = exchange("a", 2)
    done = ask(Echo(deaf=frozenset({"a_1"})), {"en": [held]}, answers(tmp_path), "fake")
    assert done.failures == [Failure("a", "a_1", "too quiet")]
    again, kept = Echo(), answers(tmp_path)
    ask(again, {"en": [held]}, kept, "fake")
    assert again.asked == ["a_1"]
    assert kept.get(held.questions[1]).text == "- a_2"  # type: ignore[union-attr]


def test_as_many_are_asked_at_once_as_the_system_takes(tmp_path: Path) -> None:
    """The barrier opens only when four ask at once."""
    system = Echo(concurrency=4, together=Barrier(4))
    held = [exchange(f"e{number}", 1) for number in range(8)]
    assert ask(system, {"en": held}, answers(tmp_path), "fake").failures == []
    assert len(system.asked) == 8


def test_one_that_is_asked_one_question_at_a_time_is_asked_on_the_thread_that_it_was_made_on(
    tmp_path: Path,
) -> None:
    threads = []

    class Noting(Echo):
        def answer(self, question: Question) -> Answer:
            threads.append(current_thread())
            return super().answer(question)

    ask(Noting(), {"en": [exchange("a")]}, answers(tmp_path), "fake")
    assert threads == [current_thread()] * 2


def test_a_folder_that_another_run_writes_to_is_refused(tmp_path: Path) -> None:
    system, held = Echo(), {"en": [exchange("a")]}
    with FileLock(tmp_path / LOCK), pytest.raises(DataError, match="another run keeps its answers there"):
        ask(system, held, answers(tmp_path), "fake")
    assert system.asked == []
    assert ask(system, held, answers(tmp_path), "fake").failures == []
    assert system.asked == ["a_1", "a_2"], "it is free again where the other run has ended"


def test_a_system_that_is_down_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    system = Echo(down=frozenset({"b_1"}))
    groups = {"en": [exchange("a"), exchange("b"), exchange("c")], "zh": [exchange("d")]}
    with pytest.raises(HarkenError, match="no server answers"):
        ask(system, groups, answers(tmp_path), "fake")
    assert system.asked == ["a_1", "a_2", "b_1"]
    again = Echo()
    ask(again, groups, answers(tmp_path), "fake")
    assert again.asked == ["b_1", "b_2", "c_1", "c_2", "d_1", "d_2"]


def test_sound_is_kept_beside_the_answer(tmp_path: Path) -> None:
    held, kept = exchange("a", 1, spoken=True), answers(tmp_path)
    ask(Echo(), {"en": [held]}, kept, "fake")
    found = answers(tmp_path).get(held.questions[0])
    assert found is not None and found.first_audio_s == 0.5 and found.sound == "sound/set/a_1.wav"
    samples, rate = soundfile.read(tmp_path / found.sound)
    assert (len(samples), rate) == (4000, 16_000)


def test_logs_hold_what_was_said_and_what_it_was_worth(tmp_path: Path) -> None:
    system = Echo(deaf=frozenset({"b_2"}))
    done = ask(system, {"en": [exchange("a"), exchange("b")]}, answers(tmp_path), "fake")
    assert len(list_eval_logs(str(tmp_path / LOGS))) == 1
    score(done.logs["en"], {"a": ({"warmth": 4.0, "depth": None}, "kind")})
    log = read_eval_log(str(done.logs["en"]))
    assert log.status == "success" and log.eval.metadata == {"system": "echo"}
    first, second = sorted(log.samples or [], key=lambda sample: str(sample.id))
    assert [message.text for message in first.messages] == [
        "[a_1.wav] words of a_1",
        "a_1",
        "[a_2.wav] words of a_2",
        "a_1 a_2",
    ]
    assert second.metadata["unanswered"] == ["b_2: too quiet"]
    assert first.scores is not None and first.scores["harken"].as_dict()["warmth"] == 4.0
    assert log.results is not None
    means = {each.name: (each.metrics["mean"].value, each.scored_samples) for each in log.results.scores}
    assert means["warmth"] == (4.0, 1) and means["depth"][1] == 0


def test_a_folder_holds_the_answers_of_one_system(tmp_path: Path) -> None:
    answers(tmp_path)
    with pytest.raises(DataError, match="holds other answers"):
        answers(tmp_path, "another")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        answers(tmp_path / "file" / FILE)


def test_an_answer_to_another_question_of_the_same_name_is_none(tmp_path: Path) -> None:
    recording = tmp_path / "one.wav"
    recording.write_bytes(b"I failed.")
    asked = Question("set", "1", (recording,))
    answers(tmp_path / "out").keep(asked, Answer("Oh no."))
    kept = answers(tmp_path / "out")
    spoken = Question("set", "1", (recording,), spoken=True, replies=())
    assert kept.get(asked) == kept.get(spoken) is not None
    recording.write_bytes(b"I won!")
    assert kept.get(asked) is kept.get(Question("set", "1", (tmp_path / "two.wav",))) is None
    kept.keep(asked, Answer("Well done!"))
    assert [each.get(asked).text for each in (kept, answers(tmp_path / "out"))] == ["Well done!"] * 2  # type: ignore[union-attr]
