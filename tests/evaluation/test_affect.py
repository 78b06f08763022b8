"""Training and evaluation of the readout, on clips made up so that the answer is known."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from harken import evaluation
from harken.affect.labels import READOUT_CLASSES
from harken.errors import DataError
from harken.evaluation.affect import (
    SHARED,
    AffectReport,
    Protocol,
    Split,
    calm_as_neutral,
    compare,
    protocols,
    speaker_folds,
)
from harken.model.affect_readout import AffectReadoutConfig
from harken.recipes import mini
from harken.training.readout import ReadoutTraining, calibrate, fit_readout, read_clips, score
from harken.training.readout_clips import PooledClips, pooled_clips, read_manifest

CONFIG = AffectReadoutConfig(n_layers=7, width=8, layers=(2, 3), curved=16)
QUICK = ReadoutTraining(components=24, members=2, steps=120, batch=32)


def made_up(corpus: str, speakers: list[str], per_class: int = 3, seed: int = 0) -> PooledClips:
    """Clips whose emotion and gender lie in the mean of layer 2, under noise and a shift a speaker."""
    random = np.random.default_rng(seed)
    labels = (
        range(len(READOUT_CLASSES)) if corpus == "ravdess" else [READOUT_CLASSES.index(x) for x in SHARED]
    )
    emotion, gender, speaker, sentence, pooled = [], [], [], [], []
    for number, name in enumerate(speakers):
        own = random.normal(0, 0.3, (2, 16))
        for label in labels:
            for take in range(per_class):
                x = own + random.normal(0, 0.3, (2, 16))
                x[0, label] += 2
                x[1, :8] += 2 * (number % 2)
                pooled.append(x)
                emotion.append(label)
                gender.append(number % 2)
                speaker.append(name)
                sentence.append(f"sentence {take % 2}")
    split = ["dev" if name in speakers[-2:] else "train" for name in speaker]
    return PooledClips(
        np.stack([pooled, pooled], axis=1).astype(np.float32),  # two views
        np.array(emotion),
        np.array(gender),
        np.array([corpus] * len(emotion)),
        np.array(split),
        np.array(speaker),
        np.array(sentence),
    )


@pytest.fixture(scope="module")
def ravdess() -> PooledClips:
    return made_up("ravdess", [f"r{n}" for n in range(8)])


def test_the_readout_learns_what_is_there_and_hears_it_from_other_speakers(ravdess: PooledClips) -> None:
    dev = ravdess.split == "dev"
    readout = fit_readout(ravdess.where(~dev), CONFIG, QUICK)
    scores = score(readout, ravdess.where(dev))
    assert scores.recall > 0.9
    assert scores.gender_accuracy > 0.9
    assert scores.clips == dev.sum()


def test_shuffled_labels_teach_nothing(ravdess: PooledClips) -> None:
    dev = ravdess.split == "dev"
    train = ravdess.where(~dev)
    shuffled = PooledClips(**vars(train) | {"emotion": np.random.default_rng(0).permutation(train.emotion)})
    assert score(fit_readout(shuffled, CONFIG, QUICK), ravdess.where(dev)).recall < 0.35


def test_the_same_seed_trains_the_same_readout(ravdess: PooledClips) -> None:
    few = ReadoutTraining(components=8, members=2, steps=3)
    first, again, other = (
        read_clips(fit_readout(ravdess, CONFIG, few, seed), ravdess)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_leaves_the_random_state_of_others_alone(ravdess: PooledClips) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    fit_readout(ravdess, CONFIG, ReadoutTraining(components=8, members=2, steps=2))
    assert torch.equal(torch.rand(3), expected)


def test_calibration_finds_the_temperature_that_was_applied() -> None:
    torch.manual_seed(0)
    logits = 2 * torch.randn(4000, 8)
    truth = torch.distributions.Categorical(logits=logits).sample()
    assert calibrate(logits * 2.5, truth) == pytest.approx(2.5, rel=0.1)


def test_folds_part_the_speakers(ravdess: PooledClips) -> None:
    folds = speaker_folds(ravdess)
    assert (np.sum(folds, axis=0) == 1).all()
    for fold in folds:
        assert not set(ravdess.speaker[fold]) & set(ravdess.speaker[~fold])


def test_no_protocol_trains_on_what_it_tests(ravdess: PooledClips) -> None:
    nemo = made_up("nemo", ["n0", "n1", "n2", "n3"], seed=1)
    found = list(protocols(ravdess.joined(nemo)))
    assert [(p.name, p.trained_on) for p in found] == [
        ("unseen speakers", "R"),
        ("unseen speakers", "R + N"),
        ("other sentence", "R"),
        ("other sentence, unseen speakers", "R"),
        ("other corpus", "R"),
        ("other corpus", "N"),
    ]
    for protocol in found:
        for split in protocol.splits:
            if "speakers" in protocol.name or "corpus" in protocol.name:
                assert not set(split.train.speaker) & set(split.test.speaker)
            if "sentence" in protocol.name:
                assert not set(split.train.sentence) & set(split.test.sentence)
            assert not {"n2", "n3"} & set(split.train.speaker)  # nEMO's dev speakers never train
    everything = sum(len(split.test) for split in found[0].splits)
    assert everything == len(ravdess)


def test_protocols_name_what_is_missing(ravdess: PooledClips) -> None:
    with pytest.raises(DataError, match="RAVDESS and nEMO"):
        list(protocols(ravdess))


def oracle(train: PooledClips, test: PooledClips, seed: int) -> np.ndarray:
    return 6.0 * np.eye(len(READOUT_CLASSES))[test.emotion]


def guess(train: PooledClips, test: PooledClips, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(test), len(READOUT_CLASSES)))


def test_the_table_tells_a_good_system_from_a_guess(ravdess: PooledClips) -> None:
    folds = speaker_folds(ravdess)
    splits = tuple(Split(ravdess.where(~fold), ravdess.where(fold)) for fold in folds)
    eight, seven = compare(Protocol("unseen speakers", "R", "R", splits), oracle, guess)
    assert (eight.classes, seven.classes) == (8, 7)
    assert eight.recall == 1.0
    assert eight.probe_recall < 0.3
    assert eight.difference.low > 0
    assert eight.difference_by_speaker is not None
    assert eight.calibration_error < 0.01
    report = AffectReport(0, (eight, seven))
    assert json.loads(json.dumps(report.rows()))[0]["difference"][0] == eight.difference.value


def test_another_seed_draws_other_intervals() -> None:
    clips = made_up("ravdess", [f"r{n}" for n in range(40)])

    def always_alike(train: PooledClips, test: PooledClips, seed: int) -> np.ndarray:
        return guess(train, test, 0)

    protocol = Protocol("unseen speakers", "R", "R", (Split(clips, clips),))
    first, again, other = (compare(protocol, oracle, always_alike, seed)[0] for seed in (1, 1, 2))
    assert first == again and first.difference.value == other.difference.value
    assert first.difference != other.difference
    assert first.difference_by_speaker != other.difference_by_speaker


def test_pooled_clips_are_kept_under_the_home_of_harken(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def evaluate(*arguments, **options):
        asked.append((arguments, options))
        return AffectReport(0, ())

    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("harken.evaluation.affect.evaluate_affect", evaluate)
    monkeypatch.setattr("harken.weights.store.ensure", lambda name: tmp_path / name)
    evaluation.run("affect", recipe=mini(), data=[tmp_path], seed=3)
    assert asked == [((tmp_path, tmp_path / "whisper-base", 3), {"cache": tmp_path / "home" / "affect"})]


def test_with_shared_labels_no_other_label_is_predicted(ravdess: PooledClips) -> None:
    shared = ravdess.where(np.isin(ravdess.emotion, [READOUT_CLASSES.index(x) for x in SHARED]))

    def says_calm(train: PooledClips, test: PooledClips, seed: int) -> np.ndarray:
        return oracle(train, test, seed) + 50 * (np.arange(8) == READOUT_CLASSES.index("calm"))

    (row,) = compare(Protocol("other corpus", "N", "R", (Split(shared, shared),), SHARED), says_calm, guess)
    assert row.classes == 6
    assert row.recall == 1.0


def test_calm_counts_as_neutral() -> None:
    probabilities = np.full((1, 8), 0.1)
    probabilities[0, READOUT_CLASSES.index("calm")] = 0.3
    folded = calm_as_neutral(probabilities)
    assert folded[0, READOUT_CLASSES.index("neutral")] == pytest.approx(0.4)
    assert folded[0, READOUT_CLASSES.index("calm")] == 0
    assert probabilities[0, READOUT_CLASSES.index("calm")] == 0.3  # what came in is left alone


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with gzip.open(folder / "manifest.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


CLIP = {
    "path": "a.ogg", "corpus": "ravdess", "split": "train", "speaker": "r1", "gender": "male",
    "emotion": "sad", "text": "Kids",
}  # fmt: skip


def test_only_the_corpora_of_people_are_read(tmp_path: Path) -> None:
    write_manifest(
        tmp_path, [CLIP, CLIP | {"corpus": "akishino"}, CLIP | {"path": "b.ogg", "emotion": "bored"}]
    )
    assert [row["path"] for row in read_manifest(tmp_path)] == ["a.ogg"]


def test_a_faulty_manifest_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest\.jsonl\.gz"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, [CLIP, {**CLIP, "speaker": ""}])
    with pytest.raises(DataError, match="row 2: no speaker"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, [CLIP | {"corpus": "akishino"}])
    with pytest.raises(DataError, match="no clips of ravdess or nemo"):
        read_manifest(tmp_path)
    path = tmp_path / "manifest.jsonl.gz"
    for row, fault in (("{", "row 2: is not JSON"), ("[]", "row 2: is not a JSON object")):
        path.write_bytes(gzip.compress(f"{json.dumps(CLIP)}\n{row}\n".encode()))
        with pytest.raises(DataError, match=fault):
            read_manifest(tmp_path)
    write_manifest(tmp_path, [CLIP])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path)


def test_two_processes_do_not_encode_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(tmp_path, [CLIP])
    (tmp_path / "config.json").write_text('{"d_model": 4}')
    monkeypatch.setattr("harken.training.readout_clips._fingerprint", lambda *_: "0")
    with (
        FileLock(tmp_path / "views-0.lock"),
        pytest.raises(DataError, match="another process encodes people's clips into"),
    ):
        pooled_clips(tmp_path, tmp_path, (2,), tmp_path)
