"""The trained scorer of empathy: what the core reads, heads, the run, and the scorer as a judge; on a tiny
random core."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.cli import main
from harken.dialogue.render import AssistantTurn, UserTurn, render
from harken.errors import InputError, RecipeError
from harken.evaluation import agreement
from harken.evaluation.empathy.items import Item as EmpathyItem
from harken.evaluation.empathy.run import run_empathy
from harken.evaluation.empathy_scorer import scorer as scorer_module
from harken.evaluation.empathy_scorer.baselines import BagOfWords, length_numbers
from harken.evaluation.empathy_scorer.figures import agreement_rows, grades
from harken.evaluation.empathy_scorer.graded import graded, scenes
from harken.evaluation.empathy_scorer.heads import Heads, chosen_penalty, fit, read_heads, save_heads
from harken.evaluation.empathy_scorer.readings import Reader, turns_of
from harken.evaluation.empathy_scorer.rules import FAMILIES, GOLD
from harken.evaluation.empathy_scorer.run import GRADED, READINGS, replies_of, train_scorer
from harken.evaluation.empathy_scorer.scorer import (
    FILE,
    LANGUAGE,
    WORDLESS,
    EmpathyScorer,
    open_scorer,
    save_scorer,
)
from harken.evaluation.judges.judging import Item, judge
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.select import open_judge_or_scorer
from harken.evaluation.judges.trial import trust_in
from harken.evaluation.judges.verdicts import Fault, Verdict
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question
from harken.testing import FakeLLM, heard_turn, tiny_core, tiny_recipe, tiny_tokenizer


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are not what is tested here."""
    monkeypatch.setattr(agreement, "RESAMPLES", 20)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(tiny_core(), tiny_tokenizer(), "Be kind.")


TEXT = st.text(st.characters(exclude_characters="\r\n", categories=("L", "P", "Zs")), min_size=1, max_size=20)
EMOTION = st.one_of(st.none(), st.sampled_from(["sad", "happy"]))
TURN = st.tuples(st.booleans(), EMOTION, TEXT)


@given(st.lists(TURN, max_size=5))
def test_a_conversation_that_judges_read_is_taken_apart_again(
    told: list[tuple[bool, str | None, str]],
) -> None:
    lines, turns = [], []
    for by_user, emotion, text in told:
        if by_user:
            lines.append(f"User ({emotion}): {text}" if emotion else f"User: {text}")
            turns.append(UserTurn(text, f"The speaker feels {emotion}." if emotion else None))
        else:
            lines.append(f"Assistant: {text}")
            turns.append(AssistantTurn(text))
    assert turns_of("\n".join(lines)) == turns


@given(st.text(max_size=80))
def test_any_text_is_a_conversation(text: str) -> None:
    turns = turns_of(text)
    assert bool(turns) == bool(text.strip()) or "User" in text or "Assistant" in text


def test_text_that_nobody_is_said_to_have_said_is_the_users() -> None:
    assert turns_of("I failed.\nAgain.") == [UserTurn("I failed.\nAgain.")]
    assert turns_of("Well.\nUser: I failed.\nAssistant: Oh.") == [
        UserTurn("Well."), UserTurn("I failed."), AssistantTurn("Oh."),
    ]  # fmt: skip


def test_a_reply_reads_as_the_core_reads_it_alone_whatever_stands_beside_it(reader: Reader) -> None:
    """The batch, with its padding and shared states, against one plain run over prompt and reply."""
    pairs = [
        ("User (sad): I failed.", "Oh no."),
        ("User: Hi.\nAssistant: Yes?\nUser: Why?", "Because I said so, dear."),
    ]
    found = reader.read_texts([*pairs, (pairs[0][0], "Which part was it, and when?"), *pairs])
    assert found.shape == (5, reader.numbers)
    np.testing.assert_allclose(found[3:], found[:2], rtol=1e-3, atol=1e-4)
    width = reader.core.width
    for (conversation, reply), row in zip(pairs, found, strict=False):
        segments = render(turns_of(conversation), reader.tokenizer, "Be kind.")
        prompt = [token for segment in segments for token in segment]
        ids = [*reader.tokenizer.encode(reply, add_special_tokens=False), reader.tokenizer.eos_token_id]
        with torch.no_grad():
            output = reader.core(reader.core.embed(torch.tensor([[*prompt, *ids]])))
            log_probs = reader.core.logits(output.hidden[0, len(prompt) - 1 : -1]).log_softmax(-1)
        shared = output.shared[0, len(prompt) :].mean(0).numpy()
        expected = log_probs.gather(-1, torch.tensor(ids)[:, None]).mean().item()
        np.testing.assert_allclose(row[:width], shared, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            row[4 * width : 5 * width], output.hidden[0, -1].numpy(), rtol=1e-3, atol=1e-4
        )
        assert row[5 * width] == pytest.approx(expected, abs=1e-3)


def test_a_user_may_be_heard_instead(reader: Reader) -> None:
    before = turns_of("User: Hi.\nAssistant: Yes?")
    written, heard = UserTurn("I failed."), UserTurn(heard_turn().embeddings)
    found = reader.read(
        [[*before, written], [*before, heard], [heard]], [(n, "Oh no.") for n in (0, 1, 1, 2)]
    )
    assert np.allclose(found[1], found[2], atol=1e-4)
    assert not np.allclose(found[0], found[1]) and not np.allclose(found[1], found[3])


def test_heads_find_what_the_numbers_say_and_stay_on_the_scale() -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(300, 6))
    truth = np.clip(3 + numbers[:, :2] * [[1.0, -0.5]], 1, 5)
    heads = fit(numbers[:200], truth[:200], 1.0)
    assert np.abs(heads(numbers[200:]) - truth[200:]).mean() < 0.15
    extreme = heads(100 * numbers)
    assert extreme.min() == 1.0 and extreme.max() == 5.0
    assert np.isfinite(fit(np.zeros((4, 3)), truth[:4], 1.0).weight).all()  # numbers that never change


def test_the_penalty_is_strong_where_there_is_nothing_to_learn() -> None:
    random = np.random.default_rng(0)
    numbers, groups = random.normal(size=(60, 200)), [str(n // 4) for n in range(60)]
    clear = np.clip(3 + numbers[:, :1], 1, 5)
    assert chosen_penalty(numbers, random.uniform(1, 5, (60, 1)), groups) > chosen_penalty(
        numbers, clear, groups
    )


def test_heads_come_back_from_their_file(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    heads = fit(random.normal(size=(30, 5)), random.uniform(1, 5, (30, 4)), 10.0)
    save_heads(tmp_path / "heads.safetensors", heads, {"recipe": "none"})
    found, about = read_heads(tmp_path / "heads.safetensors")
    assert np.allclose(found.weight, heads.weight, rtol=1e-6) and np.allclose(
        found.bias, heads.bias, rtol=1e-6
    )
    assert about == {"recipe": "none"}
    assert [path.name for path in tmp_path.iterdir()] == ["heads.safetensors"]


def test_baselines_count_words_and_nothing_else() -> None:
    replies = ["Oh no.", "Oh no, no!", "oh NO", "Fine."]
    assert length_numbers(replies).tolist() == [[2, 4, 6], [3, 9, 10], [2, 4, 5], [1, 1, 5]]
    bag = BagOfWords.of(replies)
    assert list(bag.vocabulary) == ["no", "oh"]
    assert bag.numbers(["no no", "new"]).tolist() == [[1, 0], [0, 0]]


class KnowsGold:
    """Reads a 1 of replies that end in a question after a sentence, as the good ones here do; else a 0."""

    numbers, fingerprint = 2, "gold"

    def __init__(self) -> None:
        self.read = 0

    def read_texts(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.read += len(pairs)
        return np.array([[reply.endswith("?") and "." in reply, 0.0] for _, reply in pairs], dtype=np.float32)


def dialogues(count: int, split: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}-{n}",
            "split": split,
            "turns": [
                {"speaker": "user", "text": f"I lost {split} {n}.", "emotion": "sad", "cause": "lost"},
                {"speaker": "assistant", "text": f"Lost {split} {n}, oh dear. Where was it last?"},
            ],
        }
        for n in range(count)
    ]


def trained(out: Path, reader: Any, **options: Any) -> Report:
    made = scenes([*dialogues(30, "train"), *dialogues(6, "dev")])
    return train_scorer(reader, tiny_recipe(), replies_of(made, 30), out, **options)


def value(report: Report, system: str, measure: str, column: str = "value") -> Any:
    (row,) = (r for r in report.rows if (r["system"], r["measure"]) == (system, measure))
    return row[column][0] if row[column] else None  # type: ignore[index]


def test_a_run_trains_on_train_and_reports_on_what_was_held_out(tmp_path: Path) -> None:
    report = trained(tmp_path, KnowsGold())
    assert report.setting["trained on"] == "120 replies to 30 dialogues"
    assert str(report.setting["held out"]).endswith("to 6 dialogues")
    assert value(report, "scorer", "AUC, gold over cold") == 1.0
    assert value(report, "scorer", "AUC, gold over cold", "left out") == 1.0
    assert value(report, "scorer", "Spearman with grades, mean") > 0.3
    systems = {row["system"] for row in report.rows}
    assert systems == {"scorer", "reply length", "bag of words"}
    for family in set(FAMILIES) - {"to another feeling"}:
        assert value(report, "bag of words", f"distance from grades, {family}") is not None
    assert value(report, "bag of words", "AUC, generic over wrong language") == 1.0  # by rule
    rows = [json.loads(line) for line in (tmp_path / GRADED).read_text().splitlines()]
    assert {row["id"].split("/")[0] for row in rows} == {f"dev-{n}" for n in range(6)}
    assert set(rows[0]["scores"]) == {"NS", "WA", "EU", "ES"}
    assert (tmp_path / FILE).stat().st_size == report.setting["bytes"]


def test_a_second_run_reads_nothing_again_and_gives_the_same(tmp_path: Path) -> None:
    first = trained(tmp_path, reader := KnowsGold())
    count = reader.read
    assert trained(tmp_path, reader).rows == first.rows and reader.read == count
    other = KnowsGold()
    other.fingerprint = "another core"
    trained(tmp_path, other)
    assert other.read == count
    for path in (tmp_path / READINGS).iterdir():
        path.write_bytes(b"torn")
    assert trained(tmp_path, reader).rows == first.rows and reader.read == 2 * count


def test_it_is_held_against_a_judge_and_people(tmp_path: Path) -> None:
    def kind(prompt: str, seed: int) -> str:
        reply = prompt.rpartition("<reply>")[2]
        score = 5 if "oh dear" in reply else 2
        scores = dict.fromkeys(("NS", "WA", "EU", "ES"), score)
        return json.dumps({"comment": "It says so.", "reasons": {}, "scores": scores})

    people = {
        "NS": {f"dev-{n}/{rule}": score for n in range(6) for rule, score in ((GOLD, 5.0), ("cold", 1.0))}
    }
    llm = FakeLLM(kind)
    report = trained(tmp_path, KnowsGold(), llm=llm, judged=20, people=people)
    assert len(llm.asked) == 20 and report.setting["unscored by the judge"] == "none"
    assert value(report, "scorer", "Spearman with people, NS") == pytest.approx(1.0)
    assert value(report, "grades", "Spearman with people, NS") == pytest.approx(1.0)
    assert value(report, "grades", "Spearman with the judge, mean") > 0.3
    assert not any(row["measure"] == "Spearman with people, mean" for row in report.rows)
    assert len((tmp_path / "verdicts.jsonl").read_text().splitlines()) == 20


def test_people_who_rated_other_replies_agree_with_nothing() -> None:
    held_out = graded(scenes(dialogues(2, "dev")))
    assert agreement_rows("scorer", grades(held_out), "people", {"NS": {"other": 1.0}}, held_out) == []


def test_too_few_dialogues_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        replies_of(scenes(dialogues(4, "train")), 1)


def a_scorer(reader: Reader, seed: int = 0) -> EmpathyScorer:
    random = np.random.default_rng(seed)
    heads = Heads(0.2 * random.normal(size=(4, reader.numbers)), np.full(4, 3.0))
    return EmpathyScorer(heads, reader, ("en",), "r1")


def test_the_scorer_judges_by_the_rubric_of_empathy_and_by_its_rules(reader: Reader) -> None:
    items = [
        Item("a", {"conversation": "User (sad): I failed.", "reply": "Oh no, that hurts."}),
        Item("foreign", {"conversation": "User (sad): I failed.", "reply": "我明白了，你再多说一点吧。"}),
        Item("empty", {"conversation": "User (sad): I failed.", "reply": "…"}),
        Item("chinese", {"conversation": "User (sad): 我失败了。", "reply": "我明白了。"}),
    ]
    scorer = a_scorer(reader)
    judging = judge(scorer, rubric("empathy-eval"), items)
    first, foreign, empty, chinese = (judgement.outcome for judgement in judging.judgements)
    assert isinstance(first, Verdict) and all(1 <= score <= 5 for score in first.scores.values())
    expected = scorer.heads(reader.read_texts([("User (sad): I failed.", "Oh no, that hurts.")]))[0]
    assert list(first.scores.values()) == pytest.approx(expected.tolist(), abs=1e-2)
    assert isinstance(foreign, Verdict) and set(foreign.scores.values()) == {1.0}
    assert isinstance(empty, Fault) and empty.reason == WORDLESS
    assert isinstance(chinese, Fault) and chinese.reason == LANGUAGE
    assert judging.judge == "empathy-scorer@r1" and judging.faults == {WORDLESS: 1, LANGUAGE: 1}
    with pytest.raises(RecipeError, match="scores NS, WA, EU, ES, and rubric pairwise"):
        judge(scorer, rubric("pairwise"), [Item("a", {"conversation": "c", "first": "x", "second": "y"})])


def test_it_is_tried_like_any_judge_and_not_trusted_in_a_language_it_does_not_read(reader: Reader) -> None:
    trust = trust_in(a_scorer(reader), rubric("empathy-eval"), ("en", "zh"), dialogues=3)
    assert (
        set(trust) == {"en", "zh"}
        and not trust["zh"].shown
        and "12 of 12 replies unscored" in trust["zh"].why
    )


def test_the_scorer_of_a_folder_opens_with_its_own_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    opened = []
    monkeypatch.setattr(scorer_module, "open_reader", lambda recipe: opened.append(recipe) or reader)
    made = a_scorer(reader)
    path = save_scorer(tmp_path, made.heads, tiny_recipe())
    found = open_judge_or_scorer(f"scorer:{tmp_path}", None, None)
    assert isinstance(found, EmpathyScorer) and opened == [tiny_recipe()] and found.languages == ("en",)
    np.testing.assert_allclose(found.heads.weight, made.heads.weight, rtol=1e-6)
    save_scorer(tmp_path, Heads(made.heads.weight[:, :9], made.heads.bias), tiny_recipe())
    with pytest.raises(RecipeError, match="heads are"):
        open_scorer(tmp_path)
    path.write_bytes(b"no tensors")
    with pytest.raises(RecipeError, match="is no trained scorer"):
        open_scorer(tmp_path)
    with pytest.raises(RecipeError, match=f"holds no {FILE}") as raised:
        open_scorer(tmp_path / "elsewhere")
    assert "--judge scorer:RUN" in str(raised.value.hint)


def test_a_run_of_empathy_is_scored_by_it(tmp_path: Path, reader: Reader) -> None:
    class System:
        name, concurrency = "fake system", 1

        def answer(self, question: Question) -> Answer:
            return Answer(f"Oh, {question.key}. What now?")

    items = [
        EmpathyItem(n, f"words of {n}", "sad", tmp_path / "none.wav", tmp_path / "turns.jsonl") for n in "ab"
    ]
    (tmp_path / "turns.jsonl").write_text("")
    report = run_empathy(items, [], System(), a_scorer(reader), tmp_path / "out")
    assert report.setting["judge"] == "empathy-scorer@r1"
    assert {row["data"]: (row["n"], row["unscored"]) for row in report.rows} == dict.fromkeys(
        ("NS", "WA", "EU", "ES", "mean"), (2, 0)
    )
    assert (tmp_path / "out" / "empathy.html").exists()


def test_the_command_trains_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from harken import evaluation
    from harken.evaluation.empathy_scorer.run import ScorerTraining

    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(evaluation, "run_empathy_scorer", lambda *a, **k: calls.append((a, k)))
    command = ["evaluate", "empathy-scorer", "--out", "o"]
    assert main([*command, "--judge", "local", "--judged", "9", "--limit", "4", "--seed", "3"]) == 0
    ((training,), options) = calls[0]
    assert training == ScorerTraining("local", judged=9, limit=4)
    assert (options["out"], options["seed"], options["recipe"].name) == (Path("o"), 3, "mini")
    for wrong in (["--limit", "1"], ["--judged", "9"], ["--recipe", "none"]):
        assert main([*command, *wrong]) == 2
    assert len(calls) == 1
