"""Headless Chromium, as a user's browser."""

import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

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
