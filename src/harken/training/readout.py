"""Training the affect readout on people's emotional speech, from pooled encoder states.

Recipe, for each view (all frames, active frames): the pooled values are scaled and brought onto their
principal components; several small networks of one hidden layer, each from its own start, learn there (mixup,
smoothed labels, dropout, gender as a second task), and a linear path beside them. Then everything, components
included, is folded into one `AffectReadout` whose logits are the views' mean; and one temperature is fitted
on speakers that trained nothing. A fit takes seconds on one core.
Recordings and their encoding are left to `harken.training.readout_clips`, figures against the probe to
`harken.evaluation.affect`.

Shapes: N clips, P pooled values, K components, M networks, H hidden units of each, U = M · H + O units of
a view, B clips a batch, O outputs (the emotions, then the genders).
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harken.checkpoint import READOUT
from harken.errors import DataError
from harken.evaluation.statistics import expected_calibration_error, unweighted_average_recall
from harken.model.affect_readout import AffectReadout, AffectReadoutConfig, save_readout
from harken.training.readout_clips import PooledClips, pooled_clips
from harken.training.readout_linear import LinearTraining, fit_linear

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadoutTraining:
    """How a readout is trained."""

    components: int = 320
    whitening: float = 0.0
    """Components are divided by their standard deviation to this power: 0 leaves them, 1 makes all equal."""
    members: int = 4
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    dropout_in: float = 0.3
    dropout_hidden: float = 0.3
    label_smoothing: float = 0.1
    mixup: float = 0.3
    """Both parameters of the beta distribution that a clip's share in a mixture is drawn from."""
    gender_weight: float = 0.3
    rarest_class_weight: float = 3.0
    """Emotions weigh in inverse to their frequency, up to this."""
    linear: LinearTraining = field(default_factory=LinearTraining)


@dataclass(frozen=True)
class ReadoutScores:
    """How a readout does on clips of speakers that it was not trained on."""

    clips: int
    recall: float  # unweighted average over the classes that occur
    gender_accuracy: float
    calibration_error: float
    calibration_error_before: float  # at a temperature of 1


@dataclass(frozen=True)
class Components:
    """A linear map of pooled values: (x - mean) / std @ axes."""

    mean: Tensor  # (P,)
    std: Tensor  # (P,)
    axes: Tensor  # (P, K)

    def of(self, pooled: Tensor) -> Tensor:
        """(N, P) -> (N, K)."""
        return (pooled - self.mean) / self.std @ self.axes


class Ensemble(nn.Module):
    """M networks of one hidden layer, side by side; the first outputs are emotions, the others genders."""

    def __init__(
        self, members: int, inputs: int, hidden: int, outputs: int, training: ReadoutTraining
    ) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.randn(members, inputs, hidden) * inputs**-0.5)
        self.into_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.out = nn.Parameter(torch.randn(members, hidden, outputs) * hidden**-0.5)
        self.out_bias = nn.Parameter(torch.zeros(members, 1, outputs))
        self.dropout_in = nn.Dropout(training.dropout_in)
        self.dropout_hidden = nn.Dropout(training.dropout_hidden)

    def forward(self, scores: Tensor) -> Tensor:
        """(M, B, K) -> (M, B, O)."""
        hidden = nn.functional.gelu(self.dropout_in(scores) @ self.into + self.into_bias)
        logits: Tensor = self.dropout_hidden(hidden) @ self.out + self.out_bias
        return logits


@dataclass(frozen=True)
class View:
    """One fitted view: logits are `heads` of the curved and straight units that `into` gives."""

    mean: Tensor  # (P,)
    std: Tensor  # (P,)
    into: Tensor  # (U, P)
    into_bias: Tensor  # (U,)
    heads: Tensor  # (O, U)
    heads_bias: Tensor  # (O,)


def readout_config(whisper: Path) -> AffectReadoutConfig:
    """The readout of a Whisper model in transformers' layout: of all states but the last, normalised one."""
    described = json.loads((whisper / "config.json").read_text())
    return encoder_readout(described["encoder_layers"], described["d_model"])


def encoder_readout(depth: int, width: int) -> AffectReadoutConfig:
    """The readout of a speech encoder of so many layers, before it is fitted."""
    return AffectReadoutConfig(n_layers=depth + 1, width=width, layers=tuple(range(depth)))


def fitted(config: AffectReadoutConfig) -> AffectReadoutConfig:
    """The same with the units of the linear path: one for each output."""
    return dataclasses.replace(config, straight=len(config.classes) + len(config.genders))


def fit_readout(
    clips: PooledClips,
    config: AffectReadoutConfig | None = None,
    training: ReadoutTraining | None = None,
    seed: int = 0,
) -> AffectReadout:
    """Train on all the clips given; the temperature is left at 1. Frozen, in evaluation mode."""
    config, training = config or AffectReadoutConfig(), training or ReadoutTraining()
    views = []
    with torch.random.fork_rng():
        for view in torch.from_numpy(clips.pooled).flatten(2).unbind(1):  # (N, P) each
            torch.manual_seed(seed)
            views.append(_fit_view(view, clips, config, training))
        return _joined(views, config)


def _fit_view(
    pooled: Tensor, clips: PooledClips, config: AffectReadoutConfig, training: ReadoutTraining
) -> View:
    """Networks on components, and the linear path beside them."""
    components = principal_components(pooled, training)
    inputs = components.axes.shape[1]
    hidden, outputs = config.curved // training.members, len(config.classes) + len(config.genders)
    ensemble = Ensemble(training.members, inputs, hidden, outputs, training)
    _fit(ensemble, components.of(pooled), clips, config, training)
    targets = torch.from_numpy(clips.emotion), torch.from_numpy(clips.gender)
    counts = len(config.classes), len(config.genders)
    below = sum(layer < training.linear.first_layer for layer in config.layers) * 2 * config.width
    scaled = (pooled - components.mean) / components.std
    linear = fit_linear(scaled, targets, counts, below, training.linear)
    with torch.no_grad():
        share = training.linear.share
        curved = (components.axes @ ensemble.into).transpose(1, 2).flatten(0, 1)  # (M · H, P)
        heads = ensemble.out.flatten(0, 1).T / training.members  # (O, M · H)
        return View(
            components.mean,
            components.std,
            torch.cat([curved, linear.weight]),
            torch.cat([ensemble.into_bias.flatten(), linear.bias]),
            torch.cat([(1 - share) * heads, share * torch.eye(outputs)], dim=1),
            (1 - share) * ensemble.out_bias.mean((0, 1)),
        )


@torch.no_grad()
def _joined(views: list[View], config: AffectReadoutConfig) -> AffectReadout:
    """The views as one readout: their units side by side, its logits their mean."""
    classes, outputs = len(config.classes), len(config.classes) + len(config.genders)
    readout = fitted(dataclasses.replace(config, curved=len(views[0].into) - outputs)).build()
    readout.pooled_mean.copy_(torch.stack([view.mean for view in views]))
    readout.pooled_std.copy_(torch.stack([view.std for view in views]))
    for mix, view in zip(readout.mix, views, strict=True):
        assert isinstance(mix, nn.Linear)
        mix.weight.copy_(view.into)
        mix.bias.copy_(view.into_bias)
    heads = torch.cat([view.heads for view in views], dim=1) / len(views)
    bias = torch.stack([view.heads_bias for view in views]).mean(0)
    for head, rows in ((readout.emotion, slice(classes)), (readout.gender, slice(classes, None))):
        head.weight.copy_(heads[rows])
        head.bias.copy_(bias[rows])
    return readout.requires_grad_(False).eval()


def principal_components(pooled: Tensor, training: ReadoutTraining) -> Components:
    """The main axes of the scaled pooled values (N, P), partly whitened, the scores' mean square being 1."""
    mean, std = pooled.mean(0), pooled.std(0).clamp_min(1e-4)
    scaled = (pooled - mean) / std
    wanted = min(training.components, len(pooled) - 1, pooled.shape[1])
    _, _, axes = torch.svd_lowrank(scaled, min(wanted + 32, *scaled.shape), niter=3)
    axes = axes[:, :wanted]
    axes = axes / (scaled @ axes).std(0) ** training.whitening
    return Components(mean, std, axes / (scaled @ axes).square().mean().sqrt())


def calibrate(logits: Tensor, truth: Tensor) -> float:
    """The temperature, 0.1 to 10, under which logits (N, C) make the true classes (N,) likeliest."""
    candidates = torch.logspace(-1, 1, 401)
    losses = torch.stack([nn.functional.cross_entropy(logits / value, truth) for value in candidates])
    return float(candidates[losses.argmin()])


@torch.no_grad()
def read_clips(readout: AffectReadout, clips: PooledClips) -> tuple[Tensor, Tensor]:
    """Emotion logits (N, C) and gender logits (N, G) of pooled clips."""
    reading = readout.read(torch.from_numpy(clips.pooled).flatten(2))
    return reading.emotion_logits, reading.gender_logits


def score(readout: AffectReadout, clips: PooledClips) -> ReadoutScores:
    """Judge a calibrated readout on clips of other speakers."""
    emotion, gender = read_clips(readout, clips)
    before = emotion * readout.temperature
    return ReadoutScores(
        clips=len(clips),
        recall=unweighted_average_recall(clips.emotion, emotion.argmax(-1).numpy()),
        gender_accuracy=float((gender.argmax(-1).numpy() == clips.gender).mean()),
        calibration_error=expected_calibration_error(emotion.softmax(-1).numpy(), clips.emotion),
        calibration_error_before=expected_calibration_error(before.softmax(-1).numpy(), clips.emotion),
    )


def train_readout(data: Path, whisper: Path, out: Path, cache: Path) -> dict[str, ReadoutScores]:
    """Train the readout that ships: on the train speakers of every corpus, calibrated on the dev speakers.

    Args:
        data: a folder of emotional speech (manifest.jsonl.gz and tars; see `readout_clips`).
        whisper: a Whisper model in transformers' layout.
        out: the folder that gets `affect_readout.safetensors`.
        cache: a folder for the clips' pooled states.

    Returns:
        Scores on the dev speakers, by corpus, and on `all` of them.

    Raises: DataError where there is nobody to train or to calibrate on.
    """
    config = readout_config(whisper)
    clips = pooled_clips(data, whisper, config.layers, cache)
    train, dev = clips.where(clips.split == "train"), clips.where(clips.split == "dev")
    for split, part in (("train", train), ("dev", dev)):
        if not len(part):
            raise DataError(
                f"{data} has no clip of split {split}", "give its manifest speakers of both splits"
            )
    log.info("training on %d clips of %d speakers", len(train), len(np.unique(train.speaker)))
    readout = fit_readout(train, config)
    logits, _ = read_clips(readout, dev)
    readout.temperature.fill_(calibrate(logits, torch.from_numpy(dev.emotion)))
    save_readout(readout, out / READOUT)
    parts = {str(name): dev.where(dev.corpus == name) for name in np.unique(dev.corpus)} | {"all": dev}
    return {name: score(readout, part) for name, part in parts.items()}


def _fit(
    ensemble: Ensemble,
    scores: Tensor,
    clips: PooledClips,
    config: AffectReadoutConfig,
    training: ReadoutTraining,
) -> None:
    """Train the networks in place on component scores (N, K), each on batches of its own."""
    optimizer = torch.optim.AdamW(
        ensemble.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.steps, pct_start=0.1
    )
    emotion, gender = _targets(clips, config, training)
    shares = torch.distributions.Beta(training.mixup, training.mixup)
    members, classes = len(ensemble.into), len(config.classes)
    ensemble.train()
    for _ in range(training.steps):
        rows = torch.randint(len(scores), (members, training.batch))
        share = shares.sample((members, training.batch, 1))
        x, y, g = (_mixed(part[rows], share) for part in (scores, emotion, gender))
        logits = ensemble(x)
        loss = -(y * logits[..., :classes].log_softmax(-1)).sum(-1)
        loss = loss - training.gender_weight * (g * logits[..., classes:].log_softmax(-1)).sum(-1)
        optimizer.zero_grad()
        loss.mean(-1).sum().backward()  # a sum over members: each learns as if alone
        optimizer.step()
        schedule.step()
    ensemble.eval()


def _mixed(batch: Tensor, share: Tensor) -> Tensor:
    """(M, B, ·): each clip's share of itself, the rest from its neighbour in the batch."""
    return share * batch + (1 - share) * batch.roll(1, dims=1)


def _targets(
    clips: PooledClips, config: AffectReadoutConfig, training: ReadoutTraining
) -> tuple[Tensor, Tensor]:
    """Emotions (N, C), smoothed and weighted by rarity, and genders (N, G)."""
    classes = len(config.classes)
    emotion = nn.functional.one_hot(torch.from_numpy(clips.emotion), classes).float()
    rarity = (len(clips) / classes / emotion.sum(0).clamp_min(1)).clamp_max(training.rarest_class_weight)
    smooth = emotion * (1 - training.label_smoothing) + training.label_smoothing / classes
    gender = nn.functional.one_hot(torch.from_numpy(clips.gender), len(config.genders)).float()
    return smooth * rarity, gender
