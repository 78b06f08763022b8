"""A worker process whose parent dies ends at once: nothing is written behind the back of who goes on.

What workers do, and how they are started, is left to the engines and to `harken.data.render`.
"""

from __future__ import annotations

import os
from multiprocessing import connection, parent_process
from threading import Thread


def end_with_parent() -> None:
    """In a process that `multiprocessing` started: from now on it ends with the one that started it."""
    parent = parent_process()
    assert parent is not None, "only called in a child"

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()
