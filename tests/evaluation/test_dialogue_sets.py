"""Spoken dialogues to judge on: which are chosen, what is asked and refused, and that a build goes on."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import soundfile
from annotated import written

from harken.affect.labels import EMOTIONS
from harken.audio.io import read
from harken.errors import DataError
from harken.evaluation.dialogue_sets import build as room
from harken.evaluation.dialogue_sets.build import UNCHECKED, build_dialogues
from harken.evaluation.dialogue_sets.items import QUESTIONS
from harken.evaluation.dialogue_sets.recordings import cast_speaker
from harken.evaluation.dialogue_sets.scenes import read_scenes
from harken.evaluation.dialogue_sets.trained_on import read_manifests
from harken.evaluation.humdial.dialogues import read_dialogues
from harken.testing import ToneVoice
from harken.voices.casts import JUDGING_VOICES


def built(annotated: Path, out: Path, **options: Any) -> room.Built:
    options = {"open_voice": ToneVoice, "report": lambda line: None} | options
    return build_dialogues({"reccon": annotated}, out, **options)


def items_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]


def test_dialogues_in_another_language_are_counted(annotated: Path, tmp_path: Path) -> None:
    told: list[str] = []
    rows = [json.loads(line) for line in annotated.read_text().splitlines()]
    rows[0]["turns"][1]["text"] = "完全是中文的一句话"
    built(written(annotated, rows), tmp_path / "out", report=told.append)
    assert "source reccon: 1 dialogues left out: other language" in told


def test_a_set_holds_dialogues_items_recordings_and_where_they_come_from(
    annotated: Path, tmp_path: Path
) -> None:
    out, told = tmp_path / "out", list[str]()
    done = built(annotated, out, report=told.append)
    assert done.counts.items == {"trajectory": 4, "reasoning": 4, "empathy": 4, "contrast": 48}
    assert told == [UNCHECKED] and done.made == 12 + 48
    dialogues, problems = read_dialogues(out / "dialogues-en.jsonl")
    assert problems == [] and [d.dialogue_id for d in dialogues] == [f"reccon-d{n}" for n in range(4)]
    assert [turn.emotion for turn in dialogues[2].turns] == ["neutral", "anger", "fear"]
    assert dialogues[0].turns[0].response_text == "Answer 1."
    contrasts, problems = read_dialogues(out / "contrast-en.jsonl")
    assert problems == [] and len(contrasts) == 48
    named = [turn.split_audio_file for d in [*dialogues, *contrasts] for turn in d.turns]
    assert sorted(named) == sorted(f"audio/{path.name}" for path in (out / "audio").iterdir())
    assert all(read(out / str(name)).seconds > 0.3 for name in named)
    assert read_dialogues(out / "dialogues-zh.jsonl") == ([], [])
    about = json.loads((out / "set.json").read_text())
    assert (
        about["sources"]["reccon"]["dialogues"] == 4
        and "CC-BY-NC-SA" in about["sources"]["reccon"]["licence"]
    )
    assert about["training manifests"] == {} and set(about["voices"]) <= set(JUDGING_VOICES)
    assert about["counts"]["dialogues"] == {"en": 4} and about["seed"] == 0 and about["harken"]


def test_items_have_their_answer_once_and_do_not_give_it_away(annotated: Path, tmp_path: Path) -> None:
    built(annotated, tmp_path / "out")
    dialogues = {d.dialogue_id: d for d in read_dialogues(tmp_path / "out" / "dialogues-en.jsonl")[0]}
    items = items_of(tmp_path / "out")
    assert len({item["id"] for item in items}) == len(items)
    for item in items:
        assert not any(emotion in item["question"] for emotion in EMOTIONS)
        if item["task"] == "empathy":
            assert item["answer"] is None and not item["candidates"] and item["turn_id"] == 3
            continue
        assert item["candidates"].count(item["answer"]) == 1
        assert len(set(item["candidates"])) == len(item["candidates"]) == 4
        if item["task"] == "trajectory":
            turns = dialogues[item["dialogue_id"]].turns
            assert item["gold"] == [turn.emotion for turn in turns] == item["answer"].split(", ")
        if item["task"] == "reasoning":
            turns = dialogues[item["dialogue_id"]].turns
            assert item["turn_id"] == 3 and item["gold"][0] in turns[item["cause_turns"][0] - 1].text
    assert {lang for _, lang in QUESTIONS} == {"en", "zh"} and len(QUESTIONS) == 8


def test_only_the_sound_tells_a_contrast_item(annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(annotated, out)
    said = {d.dialogue_id: d.turns[0] for d in read_dialogues(out / "contrast-en.jsonl")[0]}
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in items_of(out):
        if item["task"] == "contrast":
            groups.setdefault(item["group"], []).append(item)
    assert len(groups) == 12
    for group in groups.values():
        assert Counter(item["answer"] for item in group) == Counter(group[0]["candidates"])
        assert len({tuple(item["candidates"]) for item in group}) == 1
        assert len({said[item["dialogue_id"]].text for item in group}) == 1
        sounds = [read(out / str(said[item["dialogue_id"]].split_audio_file)).samples for item in group]
        assert len({sound.tobytes() for sound in sounds}) == len(sounds)


def test_a_speaker_keeps_one_voice_kept_for_judging(annotated: Path, tmp_path: Path) -> None:
    heard: list[str] = []

    def opened(name: str) -> ToneVoice:
        heard.append(name)
        return ToneVoice(name)

    built(annotated, tmp_path / "out", open_voice=opened)
    assert set(heard) <= set(JUDGING_VOICES) and len(heard) == len(set(heard)) > 1
    women = {cast_speaker(f"d{n}", "en", "female", 0).voice for n in range(40)}
    assert women == {"af_sky", "bf_emma"}
    assert {cast_speaker(f"d{n}", "zh", None, 0).voice for n in range(40)} == {"zf_xiaoyi", "zm_yunyang"}
    assert cast_speaker("d", "en", None, 3) == cast_speaker("d", "en", None, 3)


def test_what_training_used_is_refused_by_name(annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = [{"group": "g2", "voice": "af_bella", "split": "train"}]
    with pytest.raises(DataError, match=r"source reccon: group 'g2' is in the training manifest .*m\.jsonl"):
        built(annotated, out, manifests=[written(tmp_path / "m.jsonl", rows)])
    voices = [{"group": "g77", "voice": "+".join(["af_bella", voice])} for voice in JUDGING_VOICES]
    with pytest.raises(DataError, match=r"the set: voice '.*' .*training manifest"):
        built(annotated, out, manifests=[written(tmp_path / "m.jsonl", voices)])
    assert not out.exists()
    pack = tmp_path / "pack.jsonl.gz"
    pack.write_bytes(gzip.compress(b'{"group": "g0", "user_voice": "af_sky", "reply_voice": "af_heart"}\n'))
    assert read_manifests([pack]).voices == {"af_sky": pack, "af_heart": pack}
    with pytest.raises(DataError, match="group 'g0'"):
        built(annotated, out, manifests=[pack])


def test_a_source_that_training_left_out_may_be_spoken_whole(annotated: Path, tmp_path: Path) -> None:
    whole, out = {"any_split": ["reccon"]}, tmp_path / "out"
    with pytest.raises(DataError, match="nothing says that training left reccon out"):
        built(annotated, out, **whole)
    others = written(tmp_path / "m.jsonl", [{"group": "another"}])
    found = built(annotated, out, manifests=[others], **whole)
    assert found.counts.dialogues.total() == len(read_scenes("reccon", annotated).scenes) > 4
    assert json.loads((out / "set.json").read_text())["sources"]["reccon"]["split"] == "any"
    trained = [{"group": read_scenes("reccon", annotated, any_split=True).usable()[-1].group}]
    with pytest.raises(DataError, match="training"):
        built(annotated, tmp_path / "no", manifests=[written(tmp_path / "t.jsonl", trained)], **whole)


def test_manifests_of_other_groups_let_the_set_pass(annotated: Path, tmp_path: Path) -> None:
    told: list[str] = []
    rows = [{"group": "g9", "voice": "af_bella", "split": "train"}, {"group": "g2", "split": "dev"}]
    manifest = written(tmp_path / "m.jsonl", rows)
    built(annotated, tmp_path / "out", manifests=[manifest], report=told.append)
    assert told == [] and list(json.loads((tmp_path / "out/set.json").read_text())["training manifests"]) == [
        "m.jsonl"
    ]
    with pytest.raises(DataError, match="neither groups nor voices"):
        built(annotated, tmp_path / "out", manifests=[written(tmp_path / "n.jsonl", [{"text": "Hello."}])])


def test_a_build_that_stopped_goes_on_to_the_same_set(annotated: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    built(annotated, whole)
    spoken: list[str] = []

    class Stopping(ToneVoice):
        def speak(self, text: str, *style: Any) -> Any:
            if len(spoken) == 7:
                raise KeyboardInterrupt
            spoken.append(text)
            return super().speak(text, *style)

    part.mkdir()
    (part / "set.json").write_text("{}")  # of a set that was here before
    with pytest.raises(KeyboardInterrupt):
        built(annotated, part, open_voice=Stopping)
    assert not (part / "set.json").exists() and len(list((part / "audio").iterdir())) == 7
    assert built(annotated, part).made == 60 - 7
    assert built(annotated, part).made == 0
    for name in ("dialogues-en.jsonl", "contrast-en.jsonl", "items.jsonl", "set.json"):
        assert (part / name).read_text() == (whole / name).read_text()


def test_what_would_sound_otherwise_is_made_again(annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(annotated, out)
    annotated.write_text(annotated.read_text().replace('"emotion": "neutral"', '"emotion": "happy"', 1))
    assert built(annotated, out).made == 1
    names = [turn.split_audio_file for d in read_dialogues(out / "dialogues-en.jsonl")[0] for turn in d.turns]
    assert len(set(names)) == 12 and all((out / str(name)).is_file() for name in names)


def test_limit_and_seed_draw_dialogues_and_sentences(annotated: Path, tmp_path: Path) -> None:
    drawn = []
    for seed in range(6):
        out = tmp_path / str(seed)
        done = built(annotated, out, limit=2, seed=seed)
        assert done.counts.dialogues == {"en": 2} and done.counts.contrast == {"en": 8}
        drawn.append(tuple(d.dialogue_id for d in read_dialogues(out / "dialogues-en.jsonl")[0]))
    assert len(set(drawn)) > 1


def test_what_cannot_be_spoken_is_left_out_and_counted(annotated: Path, tmp_path: Path) -> None:
    class Mute(ToneVoice):
        def speak(self, text: str, *style: Any) -> Any:
            return iter(()) if "thing 2 number 1" in text else super().speak(text, *style)

    done = built(annotated, tmp_path / "out", open_voice=Mute)
    assert done.counts.unspeakable == 2 and done.counts.dialogues == {"en": 3}
    assert not [item for item in items_of(tmp_path / "out") if item["dialogue_id"] == "reccon-d2"]


def test_without_annotated_causes_none_is_asked_and_that_is_said(annotated: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in annotated.read_text().splitlines()]
    for turn in (turn for row in rows for turn in row["turns"]):
        turn.pop("cause_spans", None)
        turn.pop("cause_turns", None)
    told: list[str] = []
    done = built(written(annotated, rows), tmp_path / "out", report=told.append)
    assert done.counts.items["reasoning"] == 0 and done.counts.items["trajectory"] == 4
    assert "source reccon: no reasoning items: its dialogues have no causes annotated" in told


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two dev actors who say a sentence in three emotions, twice each; one of them another in one alone."""
    folder = tmp_path / "affect"
    folder.mkdir()
    said = [
        (who, "Kids talk.", felt) for who in ("ravdess-21", "ravdess-22") for felt in ("sad", "happy", "calm")
    ]
    rows = [
        {"path": f"ravdess/{who}-{felt}-{take}.ogg", "corpus": "ravdess", "split": "dev", "lang": "en",
         "emotion": felt, "speaker": who, "gender": "male", "text": text, "seconds": 0.5}
        for who, text, felt in [*said, ("ravdess-21", "Dogs sit.", "sad")]
        for take in (1, 2)
    ]  # fmt: skip
    with gzip.open(folder / "manifest.jsonl.gz", "wt") as manifest:
        manifest.writelines(json.dumps(row) + "\n" for row in rows)
    with tarfile.open(folder / "ravdess.tar", "w") as tar:
        for number, row in enumerate(rows, 1):
            sound = io.BytesIO()
            soundfile.write(
                sound, np.full(8000, number / 100, np.float32), 16000, format="OGG", subtype="OPUS"
            )
            member = tarfile.TarInfo(str(row["path"]))
            member.size = len(sound.getvalue())
            tar.addfile(member, io.BytesIO(sound.getvalue()))
    return folder


def test_people_come_first_in_the_contrast_set(annotated: Path, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = built(annotated, out, people=[people], limit=3)
    assert done.counts.contrast == {"en": 2 * 3 + 4}
    contrasts = read_dialogues(out / "contrast-en.jsonl")[0]
    assert [d.turns[0].emotion for d in contrasts[:3]] == ["happy", "neutral", "sad"]
    assert {d.turns[0].text for d in contrasts[:6]} == {"Kids talk."}
    items = [item for item in items_of(out) if item["task"] == "contrast"][:6]
    assert all(sorted(item["candidates"]) == ["happy", "neutral", "sad"] for item in items)
    about = json.loads((out / "set.json").read_text())
    assert about["sources"]["ravdess"]["contrast recordings"] == 6 and "ravdess-21" in about["voices"]
    assert all(read(out / str(d.turns[0].split_audio_file)).seconds > 0.3 for d in contrasts)
    assert built(annotated, out, people=[people], limit=3).made == 0


def test_people_whom_training_heard_are_refused(annotated: Path, people: Path, tmp_path: Path) -> None:
    manifest = written(tmp_path / "m.jsonl", [{"speaker": "ravdess-22", "split": "train"}])
    with pytest.raises(DataError, match="voice 'ravdess-22' is in the training manifest"):
        built(annotated, tmp_path / "out", people=[people], manifests=[manifest])


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code, out, err = command_line.run(capsys, "evaluate", "build-dialogues", *arguments)
    return code or 0, out, err


def test_the_command_builds(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def build(sources: Any, out: Path, **options: Any) -> room.Built:
        calls.append((sources, options["manifests"], options["limit"], options["seed"]))
        return build_dialogues(sources, out, **options, open_voice=ToneVoice)

    monkeypatch.setattr(room, "build_dialogues", build)
    out = str(tmp_path / "out")
    code, said, err = run(
        capsys, "--source", f"reccon={annotated}", "starter", "--out", out, "--limit", "2", "--seed", "3"
    )
    assert code == 0 and "4 dialogues (" in said and "4 empathy" in said and UNCHECKED in err
    assert calls[-1] == ({"reccon": annotated, "starter": None}, (), 2, 3)
    assert run(capsys, "--out", out, "--limit", "1")[0] == 0 and calls[-1][0] == {"starter": None}
    manifest = written(tmp_path / "m.jsonl", [{"group": "g0"}])
    code, _, err = run(capsys, "--source", f"reccon={annotated}", "--manifest", str(manifest), "--out", out)
    assert code == 1 and "group 'g0' is in the training manifest" in err


@pytest.mark.parametrize("options", [("--source", "reccon"), ("--limit", "0"), ("--workers", "2")])
def test_wrong_use_is_refused(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(capsys, *options, "--out", str(tmp_path / "out"))[0] == 2 and not (tmp_path / "out").exists()


def test_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0 and "harken evaluate build-dialogues" in out and "--manifest" in out
