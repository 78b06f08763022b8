"""Think: the language model's bottom layers, shared by text and speech.

What it gives is the shared hidden state of GOAT-SLM: Write turns it into text, Speak into speech units.
"""

from __future__ import annotations

from harken.model.layer_stack import LayerStack


class Think(LayerStack):
    """Embeddings (B, T, D) -> shared hidden states (B, T, D)."""
