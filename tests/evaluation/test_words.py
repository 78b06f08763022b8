"""Word error rate, the recordings it is measured on, and writing many answers at once."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from harken.dialogue.conversation import Conversation
from harken.dialogue.decoding import TextStream, Writing
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.dialogue.sampling import Sampler, Sampling
from harken.errors import DataError
from harken.evaluation.clips import drawn, evaluation_clips
from harken.evaluation.words import evaluate_words, normalise, word_error_rate, word_errors
from harken.evaluation.writing import Writer
from harken.testing import heard_turn, tiny_model


def tone(seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(np.arange(int(16000 * seconds)) / 20), 16000, format="WAV")
    return file.getvalue()


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    """Three recordings of two corpora, as people's reading lies on disk."""
    folder = tmp_path / "read"
    folder.mkdir()
    rows = [
        ("arctic", "a1", "Hello there."),
        ("arctic", "a2", "I'm late!"),
        ("lj", "l1", "the earliest book"),
    ]
    with gzip.open(folder / "manifest.jsonl.gz", "wt") as manifest:
        for corpus, name, text in rows:
            manifest.write(
                json.dumps({"path": f"{name}.wav", "corpus": corpus, "text": text, "seconds": 0.5}) + "\n"
            )
    for corpus in ("arctic", "lj"):
        with tarfile.open(folder / f"{corpus}.tar", "w") as tar:
            for name in (name for owner, name, _ in rows if owner == corpus):
                member = tarfile.TarInfo(f"{name}.wav")
                member.size = len(tone())
                tar.addfile(member, io.BytesIO(tone()))
    return folder


@pytest.fixture
def render(tmp_path: Path) -> Path:
    folder = tmp_path / "render"
    folder.mkdir()
    row = {"lang": "en", "seconds": 0.5, "voice": "v", "group": "g", "source": "s", "text": "hi you"}
    rows = [row | {"id": "one", "split": "dev"}, row | {"id": "two", "split": "train"}]
    rows.append(row | {"id": "three", "split": "dev", "lang": "zh"})
    (folder / "manifest-0.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "one.ogg").write_bytes(tone())
    return folder


def test_normalise() -> None:
    assert normalise("Well — it’s  FINE, [laughs] isn't it?") == "well it's fine isn't it"
    assert normalise("我今天，LOST 3 份工作。") == "我 今 天 lost 3 份 工 作"


def test_word_error_rate_counts_over_all_pairs() -> None:
    references, heard = (
        ["One two three four", "five six", "[noise]"],
        ["one too three", "five six seven", "what"],
    )
    assert word_error_rate(references, heard) == pytest.approx(3 / 6)
    errors = word_errors(references, heard)
    assert errors.above.tolist() == [[2.0], [1.0]] and errors.below.tolist() == [[4.0], [2.0]]
    assert word_error_rate(["one two"], [""]) == 1.0
    assert word_error_rate(["你好吗？", "fine"], ["你们好", "fine"]) == pytest.approx(2 / 4)
    assert word_error_rate([], []) == 0.0


def test_clips_come_by_corpus_and_only_dev_turns_in_english(reading: Path, render: Path) -> None:
    sets = evaluation_clips([reading, render])
    assert {name: [clip.id for clip in clips] for name, clips in sets.items()} == {
        "read/arctic": ["a1.wav", "a2.wav"],
        "read/lj": ["l1.wav"],
        "render dev": ["one"],
    }
    assert len(sets["read/lj"][0].samples()) == 8000
    assert [len(clips) for clips in evaluation_clips([reading], limit=1).values()] == [1, 1]


def test_folders_of_one_name_are_told_apart(reading: Path, render: Path, tmp_path: Path) -> None:
    for folder in (reading, render):
        shutil.copytree(folder, tmp_path / "other" / folder.name)
    again = [tmp_path / "other" / folder.name for folder in (reading, render)]
    sets = evaluation_clips([reading, render, *again, render])
    assert {name: len(clips) for name, clips in sets.items()} == {
        f"{reading}/arctic": 2, f"{reading}/lj": 1, f"{render} dev": 1,
        f"{again[0]}/arctic": 2, f"{again[0]}/lj": 1, f"{again[1]} dev": 1,
    }  # fmt: skip
    assert {clip.file for clip in sets[f"{render} dev"]} == {render / "one.ogg"}


def test_a_bad_manifest_of_people_reading_is_named(reading: Path) -> None:
    manifest = reading / "manifest.jsonl.gz"
    whole = manifest.read_bytes()
    for second, message in (
        ('{"path": "x", "corpus": "lj", "text": "Hi."}', "row 2 lacks seconds"),
        ("5", "row 2"),
    ):
        with gzip.open(manifest, "rt") as rows:
            first = rows.readline()
        with gzip.open(manifest, "wt") as rows:
            rows.write(f"{first}{second}\n")
        with pytest.raises(DataError, match=rf"manifest\.jsonl\.gz {message}"):
            evaluation_clips([reading])
    manifest.write_bytes(whole[:-12])
    with pytest.raises(DataError, match=r"manifest\.jsonl\.gz: cannot be read"):
        evaluation_clips([reading])


def test_no_clip_at_all_is_said(render: Path) -> None:
    (render / "manifest-0.jsonl").write_text("")
    with pytest.raises(DataError, match="no English dev clips"):
        evaluation_clips([render])


def test_drawing_is_seeded_and_keeps_the_order() -> None:
    items = list(range(50))
    assert drawn(items, 10, 1) == drawn(items, 10, 1) == sorted(drawn(items, 10, 1))
    assert drawn(items, 10, 1) != drawn(items, 10, 2)
    assert drawn(items, None, 1) == drawn(items, 99, 1) == items


def test_words_puts_three_systems_beside_each_other(reading: Path) -> None:
    model = tiny_model(heard=lambda samples: heard_turn("hello there"))
    sets = evaluation_clips([reading])
    report = evaluate_words(Writer(model), lambda recordings: ["I'm late"] * len(recordings), sets)
    figures = {(row["data"], row["system"]): row for row in report.rows}
    assert len(figures) == 6
    assert figures["read/arctic", "transcript"]["value"][0] == pytest.approx(2 / 4)  # type: ignore[index]
    assert figures["read/lj", "Whisper's decoder"]["value"] == [1.0, 1.0, 1.0]
    assert figures["read/arctic", "repeat"]["n"] == 2
    assert report.setting["data"] == {"read/arctic": "2 clips, 1 s", "read/lj": "1 clips, 0 s"}


PROMPTS = (
    [UserTurn("Hi.")],
    [UserTurn("I lost my job today, can you believe it?")],
    [UserTurn("Hello"), AssistantTurn("Hello!"), UserTurn(heard_turn("so many words").embeddings)],
)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_answers_written_together_are_those_written_alone(family: str) -> None:
    model = tiny_model(family, seed=3)  # type: ignore[arg-type]
    writer = Writer(model, batch=2)
    together = writer.write([writer.prompt(turns) for turns in PROMPTS], most=12)
    for turns, written in zip(PROMPTS, together, strict=True):
        conversation = Conversation(model)
        for turn in turns[:-1]:
            conversation.add(turn)
        assert isinstance(turns[-1], UserTurn)
        opening, _ = conversation.ask(turns[-1])
        stream = TextStream(model.tokenizer)
        list(Writing(model, opening, Sampler(Sampling()), stream, 12))
        assert (written.text, written.ids[: len(stream.ids)]) == (stream.text, stream.ids)


def test_an_answer_ends_at_its_stop_text() -> None:
    writer = Writer(tiny_model(seed=3))
    prompt = writer.prompt([UserTurn("Hi.")])
    whole = writer.write([prompt], most=12)[0]
    stop = writer.model.tokenizer.decode(whole.ids[4:6])
    cut = writer.write([prompt], most=12, stop=stop)[0]
    assert len(cut.ids) == 6 and whole.text.startswith(cut.text) and stop not in cut.text


def test_log_probs_are_those_of_reading_each_alone() -> None:
    writer = Writer(tiny_model(seed=5))
    prompts, answers = [writer.prompt(turns) for turns in PROMPTS], [[5, 6, 7], [8], [9, 10]]
    together = writer.log_probs(prompts, answers)
    for prompt, answer, log_probs in zip(prompts, answers, together, strict=True):
        alone = writer.log_probs([prompt], [answer])[0]
        assert log_probs.shape == (len(answer), 259)
        assert torch.allclose(log_probs, alone, atol=1e-4)
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones(len(answer)), atol=1e-4)
