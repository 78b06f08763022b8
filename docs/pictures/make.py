"""The pictures of the page: open a server's page in Chromium, drop samples on it, and photograph it.

    harken serve &
    python docs/pictures/make.py http://127.0.0.1:8998/

What is on the pictures is what that server heard and said. From the checkout, with Chromium on PATH.
"""

import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from conftest import CHROMIUM, Browser  # noqa: E402

SAID = ("made-1-dog", "made-6-party", "made-2-exam")
WIDE, PHONE = (1200, 900), (390, 844)
STATED = "[...document.querySelectorAll('.why')].filter(why => why.textContent.startsWith('You seem')).length"


def photograph(browser: Browser, name: str, size: tuple[int, int], colours: str) -> None:
    """Write docs/pictures/NAME.png."""
    width, height = size
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1.5,
        mobile=size == PHONE,
    )  # fmt: skip
    browser.value("document.getElementById('end').scrollIntoView({ block: 'end' }) ?? true")
    browser.value("new Promise(done => setTimeout(() => done(true), 1200))")  # colours fade in
    shot = browser.ask("Page.captureScreenshot", format="png")["data"]
    (Path(__file__).parent / f"{name}.png").write_bytes(base64.b64decode(shot))


def say(browser: Any, example: str, number: int) -> None:
    """Drop a recording, and wait until it is answered and the reply has been heard."""
    sound = base64.b64encode((ROOT / "docs" / "samples" / f"{example}.question.ogg").read_bytes()).decode()
    browser.value(f"""(() => {{
      const bytes = Uint8Array.from(atob("{sound}"), c => c.charCodeAt(0)), dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], "{example}.ogg", {{ type: "audio/ogg" }}));
      return document.body.dispatchEvent(new DragEvent("drop", {{ dataTransfer, bubbles: true }}));
    }})()""")
    browser.until(f"{STATED} === {number} && document.body.dataset.state === 'idle'")


def main(arguments: Sequence[str]) -> None:
    (url,) = arguments
    assert CHROMIUM is not None, "there is no Chromium on PATH"
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(CHROMIUM, Path(profile))
        try:
            browser.open(url)
            photograph(browser, "page-welcome", WIDE, "light")
            for number, example in enumerate(SAID, 1):
                say(browser, example, number)
            photograph(browser, "page-light", WIDE, "light")
            photograph(browser, "page-dark", WIDE, "dark")
            photograph(browser, "page-phone", PHONE, "light")
        finally:
            browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
