"""What a unit codec is: speech to units, and units to sound piece by piece. The codecs are beside this.

Shapes: N samples, U units, K codebooks (usually 1), B rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class UnitEncoder(Protocol):
    """Speech -> units."""

    @property
    def units_hz(self) -> float:
        """Units a second."""
        ...

    @property
    def vocabulary(self) -> tuple[int, ...]:
        """How many units each of the K codebooks has."""
        ...

    @property
    def codec_sha256(self) -> str:
        """Of the weights that decide what a unit means: only units of one hash go together."""
        ...

    def encode(self, wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.integer]:
        """(N,) samples -> units (U, K)."""
        ...


class UnitDecoder(Protocol):
    """Units -> sound, as a stream: a state for rows of unequal length, which `step` takes and gives."""

    @property
    def units_hz(self) -> float: ...

    @property
    def vocabulary(self) -> tuple[int, ...]: ...

    @property
    def codec_sha256(self) -> str: ...

    @property
    def sample_rate(self) -> int:
        """Hz of what is made."""
        ...

    @property
    def lookahead_units(self) -> int:
        """How many units after its own a sample depends on: `step` holds back as many at least, more where it
        waits for whole pieces."""
        ...

    @property
    def voices(self) -> tuple[str, ...]:
        """The names that `init_state` takes."""
        ...

    def init_state(self, voices: list[str]) -> Any:
        """A row a voice. Raises InputError for a voice that there is not."""
        ...

    def step(self, state: Any, units: Tensor, lengths: Tensor) -> tuple[list[Tensor], Any]:
        """Take more units and give the sound that they settle.

        Args: units (B, U) int64, of which the first `lengths` (B,) of each row count.

        Returns: samples (N,) of each row, and the new state.

        Raises InputError for a unit that the codec does not have.
        """
        ...

    def flush(self, state: Any, units: Tensor, lengths: Tensor) -> list[Tensor]:
        """Take the last units, if there are more, and give all the sound that is not out yet.

        Args, returns and errors: as of `step`.
        """
        ...
