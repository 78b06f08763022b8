"""Memory that a rush of sessions took goes back to the system when the last of them has left."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what nobody holds, and have the C library return what it keeps for later; where it is not
    glibc, which alone has a call for that, only the first."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
