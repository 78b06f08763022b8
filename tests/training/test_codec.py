"""The codec's data on disk, and its training, on sounds that are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harken.audio.pitch import Prosody
from harken.errors import DataError
from harken.model.units.encoder import Analysed
from harken.model.units.mel_decoder import MelDecoder, MelDecoderSizes
from harken.model.units.tokenizer import TokenizerSizes, UnitTokenizer
from harken.recipes import Recipe
from harken.training import codec_clips
from harken.training.codec import CodecConfig, CodecStudent, CodecTask, train_codec
from harken.training.codec_clips import CodecClips, features
from harken.training.schedule import Schedule
from harken.training.stage_modules import codec_module

LAYERS, WIDTH = (0, 1), 8


def clip(name: str, seconds: float, split: str = "train", voice: str = "anna") -> Any:
    """A clip whose sound says its own length; all that is made of it follows from that."""
    return SimpleNamespace(
        id=name, text="a", lang="en", role="reply", split=split, voice=voice,
        samples=lambda rate: np.full(int(rate * seconds), 0.1, np.float32),
    )  # fmt: skip


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CodecClips:
    def analyse(_: object, samples: np.ndarray, layers: tuple[int, ...]) -> Analysed:
        frames = -(-samples.size // 320)
        shape = np.sin(np.arange(frames) / 3).astype(np.float32)
        states = torch.from_numpy(shape)[:, None, None].expand(-1, len(layers), WIDTH)
        states = states * torch.linspace(-1, 1, WIDTH)
        pitch = np.log(200) + 0.3 * shape
        return Analysed(
            states, Prosody(pitch, np.ones(frames, np.float32), np.full(frames, -20.0, np.float32))
        )

    monkeypatch.setattr(codec_clips, "analyse", analyse)
    return CodecClips(tmp_path / "clips", LAYERS, WIDTH)


def student() -> CodecStudent:
    torch.manual_seed(0)
    tokenizer = UnitTokenizer(TokenizerSizes(WIDTH, LAYERS, 20, 1, 2, levels=(5, 5)), 22050 / 1024)
    sizes = MelDecoderSizes(code=2, voices=2, voice=4, width=24, layers=2, frame_width=24, frame_layers=1)
    return CodecStudent(tokenizer, MelDecoder(sizes))


def test_clips_are_analysed_once_and_stand_where_their_lines_say(clips: CodecClips) -> None:
    first, second = clip("one", 1.0), clip("two", 0.5, voice="ben")
    assert [c.id for c in clips.add([first], None)] == ["one"]
    assert [c.id for c in clips.add([first, second], None)] == ["two"]
    again = CodecClips(clips.folder, LAYERS, WIDTH)
    assert [(c.id, c.start, c.frames, c.mel_start, c.mel_frames) for c in again.clips] == [
        ("one", 0, 50, 0, 87),
        ("two", 50, 25, 87, 44),
    ]
    batch = again.batch(again.clips)
    assert batch.states.shape == (2, 50, 2, WIDTH) and batch.valid.sum(1).tolist() == [50, 25]
    assert batch.mel.shape == (2, 87, 80) and batch.voices == ["anna", "ben"]
    assert batch.states[1, 24, 0, 0] == pytest.approx(-np.sin(24 / 3), abs=1e-3)


def test_a_batch_stands_on_the_default_device(clips: CodecClips) -> None:
    list(clips.add([clip("one", 1.0), clip("two", 0.5)], None))
    with torch.device("meta"):
        batch = clips.batch(clips.clips)
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 5 and {tensor.device.type for tensor in tensors} == {"meta"}


def test_what_is_no_longer_there_is_handed_out_to_nobody(clips: CodecClips) -> None:
    list(clips.add([clip("one", 1.0), clip("two", 0.5), clip("three", 0.5)], None))
    clips.keep([clip("three", 0.5, "dev"), clip("one", 1.0)])
    assert [(c.id, c.split) for c in clips.clips] == [("one", "train"), ("three", "dev")]
    assert clips.batch(clips.clips).mel_frames.tolist() == [87, 44]


def test_a_half_written_clip_is_analysed_anew(clips: CodecClips) -> None:
    list(clips.add([clip("one", 1.0)], None))
    for name in ("states.f16", "prosody.f32", "mel.f16"):
        with (clips.folder / name).open("ab") as file:
            file.write(b"half of a clip that was interrupted")
    with (clips.folder / codec_clips.INDEX).open("a") as index:
        index.write('{"id": "two", "te')
    again = CodecClips(clips.folder, LAYERS, WIDTH)
    assert [c.id for c in again.add([clip("one", 1.0), clip("two", 0.5)], None)] == ["two"]
    assert again.batch(again.clips).states[1, 3, 1, -1] == pytest.approx(np.sin(3 / 3), abs=1e-3)


def test_a_voices_pitch_is_the_mean_over_its_training_clips(clips: CodecClips) -> None:
    list(clips.add([clip("one", 1.0), clip("two", 2.0), clip("dev", 1.0, "dev", "cleo")], None))
    assert clips.mean_log_pitch().keys() == {"anna"}
    assert clips.mean_log_pitch()["anna"] == pytest.approx(np.log(200), abs=0.05)


def test_features_are_those_of_the_encoder(clips: CodecClips) -> None:
    kept = torch.tensor([[[np.log(220.0), 1.0, -20.0], [np.log(100.0), 0.2, -60.0]]])
    expected = Prosody(*kept[0].numpy().T).features(float(np.log(110.0)))
    assert torch.allclose(features(kept, torch.tensor([np.log(110.0)]))[0], torch.from_numpy(expected))


def test_it_learns_what_it_hears_and_goes_on_where_it_stopped(clips: CodecClips, tmp_path: Path) -> None:
    list(clips.add([clip(str(n), 0.6 + 0.1 * n) for n in range(4)], None))
    config = CodecConfig(Schedule(steps=60, rates=(("*", 3e-2),), warmup=2, save_every=20), batch_s=4.0)
    task = CodecTask(student(), clips, clips.mean_log_pitch(), config)
    before = {key: float(value) for key, value in task.at(0, torch.float32).items()}
    train_codec(task, tmp_path / "out", torch.float32)
    after = {key: float(value) for key, value in task.at(0, torch.float32).items()}
    assert after["mel"] < 0.5 * before["mel"] and after["pitch"] < 0.7 * before["pitch"]
    assert after["heard"] < before["heard"]

    half = replace(config, schedule=replace(config.schedule, steps=20))
    stopped = CodecTask(student(), clips, clips.mean_log_pitch(), half)
    assert len(stopped.batches) >= 1
    whole = CodecTask(student(), clips, clips.mean_log_pitch(), config)
    train_codec(whole, tmp_path / "out", torch.float32)  # all steps stand: only read back
    for one, other in zip(task.student.parameters(), whole.student.parameters(), strict=True):
        assert torch.equal(one, other)


def test_two_steps_move_the_whole_codec(
    recipe: Recipe, clips: CodecClips, tmp_path: Path, trains_what_is_told: Any
) -> None:
    pytest.importorskip("peft")
    listen = recipe.listen.model_copy(update={"encoder_width": WIDTH, "encoder_heads": 2})
    recipe = recipe.model_copy(update={"listen": listen})
    list(clips.add([clip("one", 1.0), clip("two", 1.0, voice="ben")], None))
    torch.manual_seed(0)
    module = codec_module(recipe, 2)

    def train(config: CodecConfig) -> None:
        task = CodecTask(module, clips, clips.mean_log_pitch(), config)
        train_codec(task, tmp_path / "out", torch.float32)

    moved = trains_what_is_told("codec", recipe, CodecConfig(), "codec.", module, train)
    assert moved == {name for name, _ in module.named_parameters()}


def test_no_speech_to_train_on_is_refused(clips: CodecClips) -> None:
    list(clips.add([clip("dev", 1.0, "dev")], None))
    with pytest.raises(DataError, match="no speech of split train"):
        CodecTask(student(), clips, {"anna": 5.0}, CodecConfig())
