"""Headless Chromium, as a user's browser."""

import base64
import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The page as somebody with a dark desktop sees it.
DARK = ("--blink-settings=preferredColorScheme=0",)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_SECONDS = 120


def find() -> str | None:
    """The browser's path; None where there is none."""
    found = map(shutil.which, NAMES)
    return next((path for path in found if path), None)


def screenshot(
    url: str,
    picture: pathlib.Path,
    *,
    size: tuple[int, int] = (1200, 1600),
    flags: Sequence[str] = (),
) -> None:
    """Writes a PNG of a page."""
    width, height = size
    _run(
        url,
        [f"--screenshot={picture}", f"--window-size={width},{height}", *flags],
    )


def document(url: str, flags: Sequence[str] = ()) -> str:
    """The page's HTML, after its scripts have run."""
    return _run(url, ["--dump-dom", *flags])


def _run(url: str, arguments: Sequence[str]) -> str:
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            [
                find(),
                *_FLAGS,
                f"--user-data-dir={profile}",
                *arguments,
                url,
            ],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        ).stdout


# Keys as WebDriver (https://www.w3.org/TR/webdriver2/#keyboard-actions) writes
# them.
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Shift": "\ue008"}
KEYS |= {"Tab": "\ue004", "Down": "\ue015", "Left": "\ue012", "Right": "\ue014"}
_DRIVER = "chromedriver"


def can_drive() -> bool:
    """True if a browser can be made to press keys."""
    return find() is not None and shutil.which(_DRIVER) is not None


class Driven:
    """A browser that is told what to do, by WebDriver.

    Args:
      address: of the session.
    """

    def __init__(self, address: str):
        self._address = address

    def open(self, url: str) -> None:
        """Loads a page."""
        self._post("url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function's body in the page."""
        return self._post(
            "execute/sync", {"script": script, "args": list(arguments)}
        )

    def wait(self, script: str, *arguments: Any, seconds: float = 20) -> Any:
        """The first true value of a function's body in the page."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script, *arguments)):
            if time.monotonic() > deadline:
                text = self.run("return document.body.innerText")
                raise AssertionError(f"never true: {script}\n{text}")
            time.sleep(0.03)
        return found

    def press(self, *keys: str, shift: bool = False) -> None:
        """Presses keys, one after another: letters, or names of `KEYS`."""
        held = KEYS["Shift"]
        actions = [{"type": "keyDown", "value": held}] if shift else []
        for key in keys:
            value = KEYS.get(key, key)
            actions.append({"type": "keyDown", "value": value})
            actions.append({"type": "keyUp", "value": value})
        if shift:
            actions.append({"type": "keyUp", "value": held})
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self._post("actions", {"actions": [source]})

    def resize(self, width: int, height: int) -> None:
        """Gives the page this size."""
        self._post(
            "chromium/send_command_and_get_result",
            {
                "cmd": "Emulation.setDeviceMetricsOverride",
                "params": {
                    "width": width,
                    "height": height,
                    "deviceScaleFactor": 1,
                    "mobile": False,
                },
            },
        )

    def new_tab(self) -> str:
        """Opens a tab beside this one; returns its name for `to_tab`."""
        return self._post("window/new", {"type": "tab"})["handle"]

    def tab(self) -> str:
        """The name of this tab."""
        return self._send("GET", "window")

    def to_tab(self, name: str) -> None:
        """Goes on in another tab."""
        self._post("window", {"handle": name})

    def messages(self) -> list[str]:
        """Errors on the page's console, since last asked."""
        found = self._post("se/log", {"type": "browser"})
        return [each["message"] for each in found]

    def screenshot(self, picture: pathlib.Path) -> None:
        """Writes a PNG of what can be seen."""
        picture.write_bytes(base64.b64decode(self._send("GET", "screenshot")))

    def _post(self, command: str, value: Any) -> Any:
        return self._send("POST", command, value)

    def _send(self, method: str, command: str, value: Any = None) -> Any:
        return _send(method, f"{self._address}/{command}", value)


@contextlib.contextmanager
def driven(flags: Sequence[str] = ()) -> Iterator[Driven]:
    """Starts a browser that can be told what to do."""
    with tempfile.TemporaryDirectory() as profile:
        driver = subprocess.Popen(
            [_DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True
        )
        try:
            address = ""
            while not address:
                line = driver.stdout.readline()
                if "started successfully on port" in line:
                    port = line.rsplit(" ", 1)[1].strip().rstrip(".")
                    address = f"http://127.0.0.1:{port}/session"
            options = {
                "binary": find(),
                "args": [*_FLAGS, f"--user-data-dir={profile}", *flags],
            }
            wanted = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "SEVERE"},
            }
            capabilities = {"capabilities": {"alwaysMatch": wanted}}
            started = _send("POST", address, capabilities)
            address += f"/{started['sessionId']}"
            try:
                yield Driven(address)
            finally:
                _send("DELETE", address)
        finally:
            driver.terminate()
            driver.communicate()


def _send(method: str, address: str, value: Any = None) -> Any:
    request = urllib.request.Request(
        address,
        None if value is None else json.dumps(value).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:600]) from error
