"""What the unit codec learns from, computed once and kept on disk: encoder states, prosody and mel frames.

Three flat files, a row a frame, and one line a clip that says where its frames lie. Caching is resumable:
clips that stand are skipped, and half-written tails are cut off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from harken.audio.pitch import VOICED, Prosody
from harken.audio.vocoder_mel import MEL_BANDS, SAMPLE_RATE_HZ, vocoder_mel
from harken.data.speech import Clip
from harken.model.encoder import SpeechEncoder
from harken.model.units.encoder import SAMPLE_RATE_HZ as HEARD_HZ
from harken.model.units.encoder import analyse
from harken.training.states import complete_rows

INDEX = "index.jsonl"
_PROSODY = 3  # log pitch, voicing, loudness


@dataclass(frozen=True)
class CodecClip:
    """Where one clip's frames lie, and who speaks."""

    id: str
    text: str
    lang: str
    role: str
    split: str
    voice: str
    seconds: float
    start: int
    frames: int  # of states and prosody, 50 a second
    mel_start: int
    mel_frames: int


@dataclass
class CodecBatch:
    """Clips of one step, padded at the end."""

    states: Tensor  # (B, T, L, E)
    prosody: Tensor  # (B, T, 3): log pitch, voicing, loudness in dB
    valid: Tensor  # (B, T) bool
    mel: Tensor  # (B, F, M)
    mel_frames: Tensor  # (B,)
    voices: list[str]


class CodecClips:
    """A folder of analysed clips; opens with what is there."""

    def __init__(self, folder: Path, layers: tuple[int, ...], width: int) -> None:
        """Args: layers: which states of the encoder are kept, of `width` each."""
        self.folder, self.layers, self.width = folder, layers, width
        self.clips = [CodecClip(**row) for row in complete_rows(folder / INDEX)]
        self._columns = {
            "states.f16": (np.float16, len(layers) * width),
            "prosody.f32": (np.float32, _PROSODY),
            "mel.f16": (np.float16, MEL_BANDS),
        }

    def missing(self, clips: Sequence[Clip]) -> list[Clip]:
        """The clips that are not there yet."""
        have = {clip.id for clip in self.clips}
        return [clip for clip in clips if clip.id not in have]

    def keep(self, clips: Sequence[Clip]) -> None:
        """Hand out these alone of what stands on disk, in place, told as they are now."""
        now = {clip.id: clip for clip in clips}
        self.clips = [
            replace(row, text=clip.text, lang=clip.lang, role=clip.role, split=clip.split, voice=clip.voice)
            for row in self.clips
            if (clip := now.get(row.id))
        ]

    def add(self, clips: Sequence[Clip], encoder: SpeechEncoder) -> Iterator[CodecClip]:
        """Analyse the clips that are not there yet, one by one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"), (self.folder / INDEX).open("a") as index:
            self.clips = [CodecClip(**row) for row in complete_rows(self.folder / INDEX)]
            self._cut()
            for clip in self.missing(clips):
                row = self._analyse(clip, encoder)
                index.write(json.dumps(row.__dict__, ensure_ascii=False) + "\n")
                index.flush()
                self.clips.append(row)
                yield row

    def _ends(self) -> tuple[int, int]:
        """Frames of states and of mel that belong to clips."""
        return (
            max((c.start + c.frames for c in self.clips), default=0),
            max((c.mel_start + c.mel_frames for c in self.clips), default=0),
        )

    def _cut(self) -> None:
        """Drop what was written of a clip that has no line."""
        frames, mel = self._ends()
        for name, (kind, width) in self._columns.items():
            with (self.folder / name).open("ab") as file:
                file.truncate((mel if name.startswith("mel") else frames) * width * np.dtype(kind).itemsize)

    def _analyse(self, clip: Clip, encoder: SpeechEncoder) -> CodecClip:
        sound = clip.samples(SAMPLE_RATE_HZ)
        found = analyse(encoder, soxr.resample(sound, SAMPLE_RATE_HZ, HEARD_HZ), self.layers)
        mel = vocoder_mel(sound).numpy()
        columns = {
            "states.f16": found.states.flatten(1).numpy(),
            "prosody.f32": np.stack(found.prosody, axis=1),
            "mel.f16": mel,
        }
        start, mel_start = self._ends()
        for name, column in columns.items():
            with (self.folder / name).open("ab") as file:
                file.write(column.astype(self._columns[name][0]).tobytes())
        return CodecClip(
            clip.id, clip.text, clip.lang, clip.role, clip.split, clip.voice,
            round(sound.size / SAMPLE_RATE_HZ, 3), start, len(found.states), mel_start, len(mel),
        )  # fmt: skip

    def column(self, name: str) -> NDArray[np.floating]:
        """All rows of one of the files, mapped from disk."""
        kind, width = self._columns[name]
        rows = self._ends()[1 if name.startswith("mel") else 0]
        return np.memmap(self.folder / name, kind, "r", shape=(rows, width))

    def mean_log_pitch(self) -> dict[str, float]:
        """Voice -> mean over its voiced frames in training clips."""
        prosody, sums = self.column("prosody.f32"), dict[str, tuple[float, int]]()
        for clip in self.clips:
            if clip.split == "train":
                pitch, voicing, _ = prosody[clip.start : clip.start + clip.frames].T
                total, count = sums.get(clip.voice, (0.0, 0))
                voiced = voicing >= VOICED
                sums[clip.voice] = (total + float(pitch[voiced].sum()), count + int(voiced.sum()))
        return {voice: total / count for voice, (total, count) in sorted(sums.items()) if count}

    def batch(self, clips: Sequence[CodecClip]) -> CodecBatch:
        """Several clips side by side, on the default device."""
        device = torch.get_default_device()
        states, prosody, mel = (self.column(name) for name in self._columns)
        rows = [slice(c.start, c.start + c.frames) for c in clips]
        of_mel = [slice(c.mel_start, c.mel_start + c.mel_frames) for c in clips]

        def padded(column: NDArray[np.floating], parts: list[slice]) -> Tensor:
            found = [torch.from_numpy(column[part].astype(np.float32)) for part in parts]
            return pad_sequence(found, batch_first=True).to(device)

        counts = np.array([c.frames for c in clips])
        return CodecBatch(
            states=padded(states, rows).unflatten(2, (len(self.layers), self.width)),
            prosody=padded(prosody, rows),
            valid=torch.from_numpy(np.arange(counts.max()) < counts[:, None]).to(device),
            mel=padded(mel, of_mel),
            mel_frames=torch.tensor([c.mel_frames for c in clips], device=device),
            voices=[c.voice for c in clips],
        )


def features(prosody: Tensor, mean_log_pitch: Tensor) -> Tensor:
    """(B, T, 3) as kept, and each row's mean (B,), -> what a tokenizer reads; as `Prosody.features`."""
    rows = [
        torch.from_numpy(Prosody(*row.T.cpu().numpy()).features(float(mean)))
        for row, mean in zip(prosody, mean_log_pitch, strict=True)
    ]
    return torch.stack(rows).to(prosody.device)
