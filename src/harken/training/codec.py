"""The unit codec learns: speech -> units -> the same speech, in the voice that is named.

What comes out of units has to be the mel spectrogram and the pitch that went in; and, from each unit alone,
what the speech encoder heard there, so that units tell words apart. The voice is given, so that units need
not carry it. The vocoder is as it was pretrained.

Shapes: B rows, T encoder frames, U units, F = 4 U mel frames, M mel bands, L layers, E encoder width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.audio.pitch import VOICED
from harken.audio.vocoder_mel import SILENCE
from harken.errors import DataError
from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder
from harken.model.units.tokenizer import FRAMES_PER_S, UnitTokenizer, average_over_units
from harken.training.callbacks import usual
from harken.training.codec_clips import CodecBatch, CodecClip, CodecClips, features
from harken.training.examples import batch_at
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.saving import identity
from harken.training.schedule import Schedule
from harken.training.world import ALONE, World


@dataclass(frozen=True)
class CodecConfig:
    """How long, in what batches, and what counts how much."""

    schedule: Schedule = Schedule(
        steps=4000, rates=(("*", 1e-3),), warmup=200, evaluate_every=500, save_every=200
    )
    batch_s: float = 60.0
    heard_weight: float = 0.5
    pitch_weight: float = 0.5
    voicing_weight: float = 0.1


class CodecStudent(nn.Module):
    """What is trained, under one roof; `heard` is for training alone."""

    def __init__(self, tokenizer: UnitTokenizer, decoder: MelDecoder) -> None:
        super().__init__()
        self.tokenizer, self.decoder = tokenizer, decoder
        sizes = tokenizer.sizes
        heard = len(sizes.encoder_layers) * sizes.encoder_width
        self.heard = nn.Sequential(nn.Linear(len(sizes.levels), 512), nn.GELU(), nn.Linear(512, heard))


class CodecTask:
    """Batches of clips, and what is lost on them."""

    def __init__(
        self, student: CodecStudent, clips: CodecClips, pitch: Mapping[str, float], config: CodecConfig
    ) -> None:
        """Args: pitch: mean log pitch of each voice, in the order of the decoder's table.

        Raises DataError where there is nothing to train on.
        """
        self.student, self.clips, self.config, self.pitch = student, clips, config, dict(pitch)
        self.voices = {voice: number for number, voice in enumerate(self.pitch)}
        train_clips = [clip for clip in clips.clips if clip.split == "train"]
        if not train_clips:
            raise DataError("there is no speech of split train to learn a codec from", "render some first")
        self.batches = batches_of(train_clips, config.batch_s)

    def clips_at(self, number: int) -> list[CodecClip]:
        """Of a batch."""
        return self.batches[batch_at(self.config.schedule.seed, number, len(self.batches))]

    def at(self, number: int, precision: torch.dtype) -> Losses:
        """Losses of a batch."""
        clips = self.clips_at(number)
        audio_s = torch.tensor(sum(clip.seconds for clip in clips))
        return self.losses(self.clips.batch(clips), precision) | {"audio_s": audio_s}

    def losses(self, batch: CodecBatch, precision: torch.dtype) -> dict[str, Tensor]:
        """How far what is rebuilt from units is from what was there."""
        units = -(-batch.mel_frames // FRAMES_PER_UNIT)  # (B,)
        count = int(units.max())
        valid = torch.arange(count)[None] < units[:, None]  # (B, U)
        voices = torch.tensor([self.voices.get(voice, 0) for voice in batch.voices])
        means = torch.tensor([self.mean_pitch(batch, row) for row in range(len(batch.voices))])
        student = self.student
        with autocast(student, precision):
            codes = student.tokenizer(batch.states, features(batch.prosody, means), batch.valid, count)
            mel, manner = student.decoder(codes, voices, valid)
            heard = student.heard(codes)
        frames = valid.repeat_interleave(FRAMES_PER_UNIT, dim=1)  # (B, F)
        target = F.pad(batch.mel, (0, 0, 0, frames.shape[1] - batch.mel.shape[1]), value=SILENCE)
        of_mel = (mel.float() - target).abs().mean(-1)[frames].mean()
        of_heard = heard_loss(student.tokenizer, heard.float(), batch, count)
        of_pitch, of_voicing = self._manner_losses(manner.float(), batch, means, frames)
        config = self.config
        return {
            "loss": of_mel
            + config.heard_weight * of_heard
            + config.pitch_weight * of_pitch
            + config.voicing_weight * of_voicing,
            "mel": of_mel,
            "heard": of_heard,
            "pitch": of_pitch,
            "voicing": of_voicing,
        }

    def mean_pitch(self, batch: CodecBatch, row: int) -> float:
        """The mean log pitch of a row's voice; of a voice that is not known, of the row."""
        known = self.pitch.get(batch.voices[row])
        if known is not None:
            return known
        pitch, voicing, _ = batch.prosody[row].T
        voiced = (voicing >= VOICED) & batch.valid[row]
        return float(pitch[voiced].mean()) if bool(voiced.any()) else float(np.log(160.0))

    def _manner_losses(
        self, manner: Tensor, batch: CodecBatch, means: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pitch in octaves over voiced frames, and voicing; manner (B, F, 2)."""
        step = FRAMES_PER_S / (self.frames_hz)
        at = ((torch.arange(frames.shape[1]) + 0.5) * step - 0.5).round().long()
        at = at.clamp(0, batch.prosody.shape[1] - 1)
        pitch, voicing, _ = batch.prosody[:, at].unbind(-1)  # (B, F)
        voiced = (voicing >= VOICED) & frames
        octaves = (pitch - means[:, None]) / np.log(2.0)
        of_pitch = (manner[..., 0] - octaves).abs()[voiced].mean() if voiced.any() else manner.sum() * 0
        of_voicing = F.binary_cross_entropy_with_logits(
            manner[..., 1][frames], (voicing >= VOICED).float()[frames]
        )
        return of_pitch, of_voicing

    @property
    def frames_hz(self) -> float:
        """Mel frames a second."""
        return FRAMES_PER_S / self.student.tokenizer.frames_per_unit * FRAMES_PER_UNIT


def heard_loss(tokenizer: UnitTokenizer, heard: Tensor, batch: CodecBatch, count: int) -> Tensor:
    """How far (B, U, L * E) is from what the encoder heard in each unit's stretch."""
    states = tokenizer.norm(batch.states).flatten(2) * batch.valid[..., None]
    target, covered = average_over_units(states, batch.valid, tokenizer.frames_per_unit, count)
    return (heard - target).square().mean(-1)[covered].mean()


def batches_of(clips: Sequence[CodecClip], batch_s: float) -> list[list[CodecClip]]:
    """Clips of like length together, up to `batch_s` seconds with padding."""
    batches: list[list[CodecClip]] = []
    for clip in sorted(clips, key=lambda c: (c.frames, c.id)):
        if not batches or (len(batches[-1]) + 1) * clip.seconds > batch_s:
            batches.append([])
        batches[-1].append(clip)
    return batches


def train_codec(task: CodecTask, out: Path, precision: torch.dtype, world: World = ALONE) -> None:
    """Train tokenizer and decoder, in place; checkpoints and measurements go to `out`."""
    config = task.config
    ids = [clip.id for batch in task.batches for clip in batch]
    whose = identity("codec", config, pitch=task.pitch, clips=ids)
    objective = Objective(
        task.student,
        lambda number: task.at(number, precision),
        lambda number: [clip.id for clip in task.clips_at(number)],
    )
    train(objective, config.schedule, out, whose, usual(on_dev(task, most=80)), world)


@torch.no_grad()
def quiet_unit(task: CodecTask, batches: int = 20) -> int:
    """The unit of silence: the most frequent one where clips begin."""
    first: list[Tensor] = []
    tokenizer = task.student.tokenizer
    with torch.device(next(tokenizer.parameters()).device):
        for numbers in task.batches[-batches:]:
            batch = task.clips.batch(numbers)
            means = torch.tensor([task.mean_pitch(batch, row) for row in range(len(batch.voices))])
            count = int(-(-batch.mel_frames.max() // FRAMES_PER_UNIT))
            codes = tokenizer(batch.states, features(batch.prosody, means), batch.valid, count)  # (B, U, K)
            first.append(tokenizer.quantise.units(codes[:, :3]).flatten())
    return int(torch.cat(first).bincount().argmax())


def on_dev(task: CodecTask, most: int) -> Callable[[], dict[str, float]]:
    """A measurement for the loop: losses on up to `most` dev clips in the reply's voice, and how many of the
    codebook's units they use."""
    dev = [c for c in task.clips.clips if c.split == "dev" and c.role == "reply"][:most]

    def measure() -> dict[str, float]:
        rows = [task.losses(task.clips.batch(batch), torch.float32) for batch in batches_of(dev, 60.0)]
        return {key: float(np.mean([float(row[key]) for row in rows])) for key in rows[0]} if rows else {}

    return measure
