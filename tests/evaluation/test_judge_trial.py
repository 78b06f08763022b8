"""A judge on trial: what good, constant and biased fakes come to, what is asked, kept and asked only once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harken.cli import main
from harken.errors import InputError, RecipeError
from harken.evaluation.judges import run as judges_run
from harken.evaluation.judges.probes import FILLER
from harken.evaluation.judges.rubrics import named_rubric, rubric
from harken.evaluation.judges.run import judge_report
from harken.evaluation.judges.select import answers_of, open_judge
from harken.evaluation.judges.trial import starter_dialogues, try_judge, try_planted
from harken.evaluation.judges.verdicts import json_schema
from harken.evaluation.planted import GENERIC, GENERICS, GOLD, OTHER_LANGUAGE
from harken.llm.asking import Asker
from harken.llm.base import Completion, LLMError, Sampling
from harken.llm.cache import CachedLLM
from harken.testing import FakeLLM

RUBRIC = rubric("humdial-task3-text")
GOLD_OF = {talk: gold for lang in ("en", "zh") for talk, gold in starter_dialogues(lang)}
ALL_GENERIC = {reply for replies in GENERICS.values() for reply in replies}


def between(prompt: str, tag: str) -> str:
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    assert found
    return found[1]


def worth(prompt: str, place: str, seed: int = 0) -> int:
    """5 for the gold reply, however it was padded; less for all others."""
    reply = between(prompt, place)
    for filler in FILLER.values():
        reply = reply.removesuffix(filler)
    return 5 if reply == GOLD_OF[between(prompt, "conversation")] else 2 if reply in ALL_GENERIC else 1


def answer(of: Callable[[str, str, int], int]) -> Callable[[str, int], str]:
    """A judge that scores what stands in each place."""

    def said(prompt: str, seed: int) -> str:
        places = {"first": "first", "second": "second"} if "<first>" in prompt else {RUBRIC_NAME: "reply"}
        scores = {name: of(prompt, place, seed) for name, place in places.items()}
        return json.dumps({"comment": "so it is", "reasons": dict.fromkeys(scores, "why"), "scores": scores})

    return said


(RUBRIC_NAME,) = (dimension.name for dimension in RUBRIC.dimensions)
GOOD, CONSTANT = answer(worth), answer(lambda *_: 4)


def test_dialogues_come_with_their_gold_replies_and_feelings() -> None:
    (talk, gold), *_ = starter_dialogues("en", 1)
    assert talk == "User (sad): They gave my desk to someone else while I was off sick."
    assert gold.startswith("Coming back to that must have hurt.")
    long = starter_dialogues("zh", 2)[1][0]
    assert [line.split(":")[0] for line in long.split("\n")] == [
        "User (neutral)",
        "Assistant",
        "User (happy)",
    ]
    assert len(starter_dialogues("zh")) == len(starter_dialogues("en")) == 100
    with pytest.raises(InputError, match="'fr'"):
        starter_dialogues("fr")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_good_judge_is_shown_and_found_to_have_no_bias(lang: str) -> None:
    trial = try_judge(FakeLLM(GOOD), RUBRIC, lang)
    assert trial.planted.trust.shown and trial.planted.separation.auc[GOLD, GENERIC].value == 1.0
    assert (trial.planted.separation.dialogues, trial.planted.separation.replies) == (12, 48)
    assert trial.order.gain_of_earlier and trial.order.gain_of_earlier.value == 0.0
    assert trial.order.same_order and trial.order.same_order.value == 1.0
    assert trial.length.gain_of_padding and trial.length.gain_of_padding.value == 0.0
    assert (trial.order.n, trial.length.n) == (12, 12)
    for repeated in (trial.steady, trial.drawn):
        assert repeated and (repeated.within, repeated.agreeing, repeated.n) == (0.0, 1.0, 6)


@pytest.mark.parametrize(
    "said", [CONSTANT, answer(lambda prompt, place, seed: 1 + sum(prompt.encode()) * 7919 % 5)]
)
def test_judges_that_cannot_tell_are_withheld(said: Callable[[str, int], str]) -> None:
    trust = try_planted(FakeLLM(said), RUBRIC, "en").trust
    assert not trust.shown and "withheld" in trust.why


def test_habits_are_found() -> None:
    biased = answer(
        lambda prompt, place, seed: (
            min(5, worth(prompt, place) + (place == "first"))
            if place != "reply"
            else 2 + (FILLER["en"] in prompt)
        )
    )
    trial = try_judge(FakeLLM(biased), RUBRIC, "en")
    assert trial.order.gain_of_earlier and trial.order.gain_of_earlier.value > 0.4
    assert trial.length.gain_of_padding and trial.length.gain_of_padding.value == 1.0


def test_repeats_are_asked_with_seeds_of_their_own_at_both_temperatures() -> None:
    asked: list[tuple[float, int]] = []

    class Moody(FakeLLM):
        def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
            asked.extend((sampling.temperature, sampling.seed) for _ in prompts)
            score = 1 + sampling.seed // 3 % 3 if sampling.temperature else 3
            return [Completion(answer(lambda *_: score)(prompt, 0), "stop") for prompt in prompts]

    trial = try_judge(Moody(GOOD), RUBRIC, "en", repeats=3)
    assert {seed for temperature, seed in asked if temperature == 0.0} == {0, 3, 6}
    assert trial.steady and trial.steady.within == 0.0
    assert trial.drawn and trial.drawn.within == pytest.approx(1.0)  # 1, 2 and 3 for every item
    assert sum(temperature == 0.0 for temperature, _ in asked) == 6 * 3


def test_a_judge_that_is_down_has_a_trial_without_figures() -> None:
    trial = try_judge(FakeLLM(lambda *_: LLMError("down")), RUBRIC, "en", dialogues=2)
    assert not trial.planted.trust.shown and "8 of 8 replies unscored" in trial.planted.trust.why
    assert (trial.steady, trial.drawn, trial.order.unscored, trial.length.unscored) == (None, None, 2, 2)


def test_a_rubric_that_asks_for_more_is_refused() -> None:
    with pytest.raises(InputError, match="'question'"):
        try_planted(FakeLLM(GOOD), rubric("paralinguistic-qa"), "en")
    with pytest.raises(RecipeError, match="hears"):
        try_planted(FakeLLM(GOOD), rubric("humdial-task3-voice"), "en")


def test_a_judge_is_held_to_the_form_of_its_rubric() -> None:
    schemas: set[str | None] = set()

    class Held(FakeLLM):
        def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
            schemas.add(sampling.json_schema)
            return super().complete(prompts, sampling)

    try_planted(Held(GOOD), RUBRIC, "en", dialogues=2)
    (schema,) = schemas
    assert schema is not None and json.loads(schema) == json_schema(RUBRIC)
    assert [*json.loads(schema)["properties"]] == ["comment", "reasons", "scores"]


def test_a_judge_is_tried_once_and_another_rubric_is_another_trial(tmp_path: Path) -> None:
    def tried(name: str = RUBRIC.name) -> int:
        llm = FakeLLM(GOOD if name == RUBRIC.name else lambda *_: "no")
        cached = CachedLLM(llm, tmp_path / "answers.sqlite")
        try_judge(cached, rubric(name), "en", dialogues=3)
        cached.close()
        return len(llm.asked)

    first = tried()
    # 3 x 4 planted, 3 lists in both orders, 3 padded, 6 items 3 times at temperature 0 and twice more above
    assert first == 12 + 6 + 3 + 18 + 12
    assert tried() == 0
    assert tried("empathy-eval") > 0


class Killed(BaseException):
    """As when a process ends."""


class OneByOne(Asker):
    """Answers prompt after prompt, and dies at one of them."""

    revision = "1"

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__("judge", None, "chatml", False, concurrency=1)
        self.asked: list[tuple[str, int, float]] = []
        self.dies_at = dies_at

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def ask(self, prompt: str, sampling: Sampling) -> Completion | LLMError:
        if len(self.asked) == self.dies_at:
            raise Killed
        self.asked.append((prompt, sampling.seed, sampling.temperature))
        return Completion(GOOD(prompt, sampling.seed), "stop", 10, 5)


def test_a_trial_that_was_killed_asks_nothing_twice(tmp_path: Path) -> None:
    killed, again, whole = OneByOne(dies_at=20), OneByOne(), OneByOne()
    path = tmp_path / "answers.sqlite"
    with pytest.raises(Killed):
        try_judge(CachedLLM(killed, path), RUBRIC, "en", dialogues=3)
    resumed = try_judge(CachedLLM(again, path), RUBRIC, "en", dialogues=3)
    plain = try_judge(CachedLLM(whole, tmp_path / "other.sqlite"), RUBRIC, "en", dialogues=3)
    assert len(killed.asked) == 20 and set(killed.asked).isdisjoint(again.asked)
    assert {*killed.asked, *again.asked} == set(whole.asked)
    assert resumed.planted.judging.judgements == plain.planted.judging.judgements
    assert resumed.planted.trust == plain.planted.trust


def test_the_report_has_every_figure_of_each_language_and_the_trust() -> None:
    report, _ = judge_report(FakeLLM(GOOD), RUBRIC, 3)
    measures = {(row["data"], row["measure"]) for row in report.rows}
    for lang in ("en", "zh"):
        data = f"{lang} planted replies"
        assert sum(of == data and str(measure).startswith("AUC") for of, measure in measures) == 6
        for measure in (
            "gain of standing first", "same order when turned round", "gain of padding",
            "Spearman of score and length", "sd over repeats, temperature 0", "unscored", "tokens read",
            "sd over repeats, temperature 0.6", "tokens written", "seconds", "items a minute",
        ):  # fmt: skip
            assert (data, measure) in measures
        assert "are shown" in str(report.setting[f"trust in the judge, {lang}"])
    assert "AUC, gold over wrong language" in report.markdown()
    json.loads(report.json_lines().splitlines()[1])


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_judge_keeps_its_answers_in_a_file_of_its_own_at_home(at_home: Path) -> None:
    one, two = FakeLLM(GOOD, name="org/judge:7b"), FakeLLM(GOOD, name="org/judge:7b", revision="2")
    assert answers_of(one).parent == at_home / "judges"
    assert answers_of(one) != answers_of(two) and answers_of(one) == answers_of(
        FakeLLM(CONSTANT, name=one.name)
    )
    assert answers_of(one).name.startswith("org-judge-7b-") and answers_of(one).suffix == ".sqlite"


def test_judges_are_named_by_url_or_are_local(at_home: Path) -> None:
    assert open_judge("local", None, None).name == "qwen2.5-coder-0.5b-instruct"
    for named, what in (("loud", "loud is no judge"), ("http://here/v1", "has no model")):
        with pytest.raises(InputError, match=what):
            open_judge(named, None, None)


def test_the_command_prints_saves_and_takes_a_rubric_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = FakeLLM(GOOD)
    monkeypatch.setattr(judges_run, "open_judge", lambda named, model, key: llm)
    own = tmp_path / "own.toml"
    text = (Path(judges_run.__file__).parent / "rubrics" / f"{RUBRIC.name}.toml").read_text(encoding="utf-8")
    own.write_text(text.replace('name = "humdial-task3-text"', 'name = "own"'), encoding="utf-8")
    scores = tmp_path / "scores.csv"
    scores.write_text("id,score,rating\na,1,1\nb,3,4\nc,5,5\n")
    out = tmp_path / "out"
    command = ["evaluate", "judge", "--judge", "local", "--limit", "2", "--out", str(out), "--json"]
    assert main([*command, "--rubric", str(own), "--scores", str(scores)]) == 0
    setting, *rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert setting["rubric"] == named_rubric(str(own)).label and setting["rubric"].startswith("own@")
    (found,) = (row for row in rows if row["measure"] == "Spearman with ratings")
    assert found["data"] == "scores.csv" and found["value"][0] == pytest.approx(1.0)
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert len(verdicts) == 2 * 2 * 4
    assert verdicts[0] == {
        "id": f"0/{GOLD}", "lang": "zh", "rubric": setting["rubric"], "judge": "fake@1",
        "scores": {RUBRIC_NAME: 5}, "reasons": {RUBRIC_NAME: "why"}, "comment": "so it is",
    }  # fmt: skip
    assert verdicts[-1]["id"] == f"1/{OTHER_LANGUAGE}" and verdicts[-1]["lang"] == "en"
    assert (out / "judge.md").is_file() and (out / "judge.jsonl").is_file()


@pytest.mark.parametrize("wrong", [["--limit", "1"], ["--limit", "0"], ["--data", "d"]])
def test_the_command_refuses_what_it_cannot_use(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["evaluate", "judge", "--judge", "local", *wrong])
    except SystemExit as error:
        code = error.code  # type: ignore[assignment]
    assert code == 2
