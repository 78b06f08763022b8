"""The Whisper encoder, run on the real length of a recording and giving every layer's states.

Whisper pads each recording to 30 s; a spoken turn is 2 to 10 s, so running on the real length saves most of
the time. Words read the last layer, affect a learned mix of the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harken.model.pretrained import check_sizes, read_config
from harken.recipes import ListenConfig

SIZES = {
    "encoder_width": "d_model",
    "encoder_layers": "encoder_layers",
    "encoder_heads": "encoder_attention_heads",
    "encoder_feed_forward_width": "encoder_ffn_dim",
}
"""What a recipe says of its encoder -> what transformers calls that."""


class SpeechEncoder(nn.Module):
    """Log-mel features, 100 frames a second -> the hidden states of all encoder layers, 50 a second."""

    def __init__(self, whisper_encoder: Any) -> None:
        """Args: whisper_encoder: transformers' WhisperEncoder."""
        super().__init__()
        self.whisper = whisper_encoder

    @property
    def width(self) -> int:
        return int(self.whisper.config.d_model)

    @property
    def layers(self) -> int:
        return int(self.whisper.config.encoder_layers)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Encode up to 30 s a row, all of one length.

        Args:
            mel: (B, 80, 2T) log-mel features, 100 a second.

        Returns:
            states: (B, T, L + 1, D): the convolutional stem, then each layer; the last one is normalised.
            valid: (B, T) bool, all of them, as what reads the states takes it.
        """
        whisper = self.whisper
        hidden = nn.functional.gelu(whisper.conv1(mel))
        hidden = nn.functional.gelu(whisper.conv2(hidden)).transpose(1, 2)  # (B, T, D)
        hidden = hidden + whisper.embed_positions.weight[: hidden.shape[1]]
        states = [hidden]
        for layer in whisper.layers:
            output = layer(hidden, None)
            hidden = output[0] if isinstance(output, tuple) else output
            states.append(hidden)
        states[-1] = whisper.layer_norm(states[-1])
        valid = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        return torch.stack(states, dim=2), valid


def load_encoder(folder: Path, config: ListenConfig | None = None) -> SpeechEncoder:
    """Load the encoder of a Whisper model in transformers' layout; float32, frozen, in evaluation mode.

    Args: config: the recipe's; None takes any sizes.

    Raises: RecipeError where there is none, or it is not of the recipe's sizes.
    """
    from transformers import WhisperModel

    there = read_config(folder)
    if config:
        check_sizes("listen", folder, {o: getattr(there, t, None) for o, t in SIZES.items()}, config)
    encoder = SpeechEncoder(WhisperModel.from_pretrained(folder, dtype=torch.float32).encoder)
    return encoder.requires_grad_(False).eval()


def new_encoder(config: ListenConfig) -> SpeechEncoder:
    """An encoder of the recipe's sizes with random weights; under `torch.device("meta")` with none at all."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    sizes = {theirs: getattr(config, ours) for ours, theirs in SIZES.items()}
    return SpeechEncoder(WhisperEncoder(WhisperConfig(**sizes)))
