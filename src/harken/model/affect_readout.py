"""The affect readout: how something was said and by whom, from a learned mix of the encoder's layers.

The last layer of a speech recogniser has mostly forgotten how the words were said; the layers below have not.
So each chosen layer is summarised over time (mean and standard deviation), in two views: over all frames, and
over the active ones alone, since how much silence surrounds the speech says more about a corpus than about a
speaker. Each view goes through a matrix of its own; what comes out, side by side, is the vector that the
heads read and that Listen projects into the core. How it is trained and calibrated is left to
`harken.training.readout`; what the labels are called, to `harken.affect.labels`.

Shapes: B clips, T frames (50 a second), S states a frame (the convolutional stem, then the encoder's layers),
D their width, L layers read, W = 2 views, P = 2 · L · D pooled values of a view, U units of a view,
V = W · U width of the vector, C emotions, G genders.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harken.affect.labels import GENDERS, READOUT_CLASSES

VIEWS = 2
"""All frames, and the active ones."""


@dataclass(frozen=True)
class AffectReadoutConfig:
    """Sizes of the readout. `layers` index the states: 0 is the stem, i the encoder's layer i."""

    n_layers: int = 7
    width: int = 512
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    curved: int = 64
    """Units of a view that go through GELU."""
    straight: int = 0
    """Units of a view that stay as they are; they follow the curved ones."""
    classes: tuple[str, ...] = READOUT_CLASSES
    genders: tuple[str, ...] = GENDERS

    def __post_init__(self) -> None:
        if not self.layers or not all(0 <= layer < self.n_layers for layer in self.layers):
            raise ValueError(f"layers {self.layers} are not among the {self.n_layers} states of a frame")

    @property
    def pooled(self) -> int:
        """P: mean and standard deviation of every layer read."""
        return 2 * len(self.layers) * self.width

    @property
    def units(self) -> int:
        """U."""
        return self.curved + self.straight

    @property
    def vector(self) -> int:
        """V."""
        return VIEWS * self.units

    def build(self) -> AffectReadout:
        return AffectReadout(self)


class AffectReading(NamedTuple):
    """What is read off a batch of clips. Softmax of `emotion_logits` is calibrated."""

    emotion_logits: Tensor  # (B, C), in the order of the config's classes
    gender_logits: Tensor  # (B, G), in the order of the config's genders
    vector: Tensor  # (B, V)


class AffectReadout(nn.Module):
    """Encoder states -> emotions, gender, and the vector they were read from."""

    pooled_mean: Tensor  # (W, P)
    pooled_std: Tensor  # (W, P)
    temperature: Tensor  # ()

    def __init__(self, config: AffectReadoutConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("pooled_mean", torch.zeros(VIEWS, config.pooled))
        self.register_buffer("pooled_std", torch.ones(VIEWS, config.pooled))
        self.register_buffer("temperature", torch.ones(()))
        self.mix = nn.ModuleList(nn.Linear(config.pooled, config.units) for _ in range(VIEWS))
        self.emotion = nn.Linear(config.vector, len(config.classes))
        self.gender = nn.Linear(config.vector, len(config.genders))
        for mix in self.mix:
            assert isinstance(mix, nn.Linear)
            nn.init.normal_(mix.weight, std=config.pooled**-0.5)  # standardised in, so near 1 out

    def forward(self, states: Tensor, valid: Tensor, active: Tensor) -> AffectReading:
        """Read clips of unequal length.

        Args:
            states: (B, T, S, D) hidden states of all the encoder's layers.
            valid: (B, T) bool, the frames that are not padding; at least one a clip.
            active: (B, T) bool, the valid frames in which somebody speaks (`audio.features.active_frames`).
        """
        if states.shape[2:] != (self.config.n_layers, self.config.width):
            wanted = (self.config.n_layers, self.config.width)
            raise ValueError(f"the readout reads states of {wanted}, not of {tuple(states.shape[2:])}")
        chosen = (
            states if len(self.config.layers) == states.shape[2] else states[:, :, list(self.config.layers)]
        )
        return self.read(views(chosen, valid, active).flatten(2))

    def read(self, pooled: Tensor) -> AffectReading:
        """Pooled layers (B, W, P), as `views` gives them, flattened -> the reading."""
        scaled = (pooled - self.pooled_mean) / self.pooled_std
        mixed = torch.stack([mix(scaled[:, i]) for i, mix in enumerate(self.mix)], dim=1)  # (B, W, U)
        curved, straight = mixed.split([self.config.curved, self.config.straight], dim=-1)
        vector = torch.cat([nn.functional.gelu(curved), straight], dim=-1).flatten(1)  # (B, V)
        return AffectReading(self.emotion(vector) / self.temperature, self.gender(vector), vector)


def views(states: Tensor, valid: Tensor, active: Tensor) -> Tensor:
    """(B, T, L, D) and two masks (B, T) -> (B, W, L, 2D): all frames pooled, and the active ones."""
    return torch.stack([pool(states, valid), pool(states, active & valid)], dim=1)


def pool(states: Tensor, valid: Tensor) -> Tensor:
    """(B, T, L, D) and (B, T) bool -> (B, L, 2D): mean and standard deviation over valid frames, float32."""
    weight = valid[:, :, None, None].float()
    count = weight.sum(1).clamp_min(1)  # (B, 1, 1)
    mean = (states.float() * weight).sum(1) / count
    spread = ((states.float() - mean[:, None]).square() * weight).sum(1) / (count - 1).clamp_min(1)
    return torch.cat([mean, spread.sqrt()], dim=-1)


def save_readout(readout: AffectReadout, path: Path) -> None:
    """Write the readout as safetensors, its config in the file's metadata; renamed when whole.

    Matrices are float16. The rest stays float32: some pooled values lie a hundred standard deviations from
    zero, where float16 would round the deviation away.
    """
    from safetensors.torch import save_file

    tensors = {
        name: (tensor.half() if name.endswith("weight") else tensor).contiguous()
        for name, tensor in readout.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(tensors, unfinished, {"config": json.dumps(dataclasses.asdict(readout.config))})
    unfinished.replace(path)


def load_readout(path: Path) -> AffectReadout:
    """Read what `save_readout` wrote: float32, frozen, in evaluation mode."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        described: dict[str, Any] = json.loads(file.metadata()["config"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    for name, value in described.items():
        described[name] = tuple(value) if isinstance(value, list) else value  # JSON has no tuples
    readout = AffectReadoutConfig(**described).build()
    readout.load_state_dict(tensors)
    return readout.requires_grad_(False).eval()
