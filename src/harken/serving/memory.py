"""What Python's collector looks at, and what goes back to the system when the last session has left."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """What is there now is not looked at by the collector meanwhile: half a million objects, of libraries
    mostly, over which it would hold up every thread for half a second, in the middle of a reply.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back() -> None:
    """Collect what nobody holds, and have the C library return what it keeps for later; where it is not
    glibc, which alone has a call for that, only the first."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
