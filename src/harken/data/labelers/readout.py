"""The default labeler: Harken's own affect readout on a frozen speech encoder.

It ships with Harken and was trained on people that no evaluation hears (its card says on whom). Another
readout may be named by the folder of trained parts that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from harken.affect.labels import GENDERS, heard_scores
from harken.audio.io import Recording
from harken.audio.windows import windows
from harken.data.labelers.base import Reading, check_frozen, check_pin, rounded, sha256_of
from harken.errors import HarkenError
from harken.recipes import Frozen


class Readout(Frozen):
    """Harken's affect readout."""

    kind: Literal["readout"] = "readout"
    trained: Path | None = None
    """A folder of trained parts; None takes those of `mini`, which ship with Harken."""
    revision: str | None = None
    """What the weights' hash begins with; others are refused."""


class ReadoutLabeler:
    """Encoder and readout, frozen."""

    def __init__(self, config: Readout) -> None:
        import torch

        from harken.checkpoint import READOUT, shipped, stored_recipe
        from harken.model.affect_readout import load_readout
        from harken.model.encoder import load_encoder
        from harken.weights.store import ensure

        folder = config.trained or shipped("mini")
        check_frozen(folder)
        recipe = stored_recipe(folder)
        encoder = ensure(recipe.listen.encoder)
        self.name = f"harken-readout-{recipe.name}"
        self.revision = sha256_of(folder / READOUT, *sorted(encoder.glob("*.safetensors")))[:12]
        check_pin(self.name, self.revision, config.revision)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._encoder = load_encoder(encoder, recipe.listen).to(self._device)
        self._readout = load_readout(folder / READOUT).to(self._device)

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        return [self._read(recording) for recording in recordings]

    def _read(self, recording: Recording) -> Reading:
        """Windows of up to 30 s, averaged by their lengths."""
        import torch

        from harken.audio.features import active_frames, log_mel

        parts = windows(recording.samples)
        shares = torch.tensor([float(part.stop - part.start) for part in parts])
        with torch.inference_mode():
            heard = []
            for part in parts:
                mel = torch.from_numpy(log_mel(recording.samples[part]))[None].to(self._device)
                heard.append(self._readout(*self._encoder(mel), active_frames(mel)))
            emotions = torch.cat([h.emotion_logits.softmax(-1) for h in heard]).cpu()  # (windows, 8)
            genders = torch.cat([h.gender_logits.softmax(-1) for h in heard]).cpu()  # (windows, 2)
        shares = shares / shares.sum()
        scores = heard_scores((shares @ emotions).tolist())
        gender = (shares @ genders).tolist()
        best = max(range(len(GENDERS)), key=lambda i: gender[i])
        return Reading(rounded(scores), GENDERS[best], round(gender[best], 4))
