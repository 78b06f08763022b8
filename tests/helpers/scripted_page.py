"""What tests do to the page, and see of it, while a scripted server answers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from scripted_realtime import Said, ScriptedServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAD = Said(
    "I got the job, but <b>my dad</b> isn't here to see it.",
    "sad",
    {"sad": 0.6, "happy": 0.3, "neutral": 0.08, "fear": 0.02},
    "He would be proud of you.",
    "<b>my dad</b> isn't here",
    reply_s=0.4,
)
HAPPY = Said("We had cake.", "happy", {"happy": 0.9, "neutral": 0.1}, "How lovely!", reply_s=0.4)
FAKE_MICROPHONE = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    f"--use-file-for-fake-audio-capture={EXAMPLES / 'sad.wav'}",
)


def texts(browser: Any, selector: str) -> list[str]:
    """What every element says."""
    found = (
        f"[...document.querySelectorAll({selector!r})].map(one => one.textContent.replaceAll('\\u202f', ' '))"
    )
    return [str(text) for text in browser.value(found)]


def count(selector: str) -> str:
    return f"document.querySelectorAll({selector!r}).length"


def state(name: str) -> str:
    return f"document.body.dataset.state === {name!r}"


def key(browser: Any, kind: str, name: str = " ") -> None:
    browser.ask("Input.dispatchKeyEvent", type=kind, key=name, text=name if kind == "keyDown" else "")


def until_sent(browser: Any, server: ScriptedServer, samples: int) -> None:
    """Wait until so many samples have come in all."""
    while server.samples < samples:
        next_frame(browser)


def next_frame(browser: Any) -> None:
    """Wait for what is on its way."""
    browser.value("new Promise(done => requestAnimationFrame(() => done(true)))")


def drop(browser: Any, sound: bytes, name: str = "said.wav") -> None:
    """Drop a file on the page."""
    browser.value(f"""(() => {{
      const bytes = Uint8Array.from(atob("{base64.b64encode(sound).decode()}"), c => c.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], "{name}", {{ type: "audio/wav" }}));
      for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, {{ dataTransfer, bubbles: true, cancelable: true }}));
      return true;
    }})()""")


def faultless(browser: Any, server: ScriptedServer) -> None:
    """Nothing went wrong on the page, and it asked nobody else."""
    assert browser.told("Runtime.exceptionThrown", "Log.entryAdded") == []
    asked = {sent["request"]["url"] for sent in browser.told("Network.requestWillBeSent")}
    assert all(address.startswith((server.address, "data:", "blob:", "about:")) for address in asked)
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "a phone shows it whole"
