"""A render whose workers never come to an end, to be killed: run as `waiting_render.py DIALOGUES OUT`.

Each worker says on standard output that it has begun to speak, and waits for ever.
"""

import os
import sys
import threading
from pathlib import Path

from harken.data.render import render


class Waiting:
    """A voice that never gets a word out."""

    sample_rate = 24_000

    def __init__(self, name):
        self.name = name

    def speak(self, text, style):
        os.write(1, b"speaking\n")  # whole, beside another worker's
        threading.Event().wait()


if __name__ == "__main__":
    render({"mine": Path(sys.argv[1])}, Path(sys.argv[2]), workers=2, open_voice=Waiting)
