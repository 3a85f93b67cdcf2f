"""The README's picture: the top of a pipeline's report.html.

    python benchmarks/docs/screenshot_report.py runs/digits docs/report.png

opens the report in headless Chromium, takes a screenshot and writes it with
few colors, so that it stays small. `--dark` takes the dark page, `--height`
more or less of it.
"""

import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

import browser

WIDTH, HEIGHT = 1100, 1660
# A palette is enough for a page of few tints.
COLORS = 256


def main() -> None:
    """Takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="of --mode=pipeline")
    parser.add_argument("picture", type=pathlib.Path, help="PNG to write")
    parser.add_argument("--height", type=int, default=HEIGHT)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    from PIL import Image

    page = (arguments.run / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as folder:
        taken = pathlib.Path(folder) / "page.png"
        browser.screenshot(
            page,
            taken,
            size=(WIDTH, arguments.height),
            flags=browser.DARK if arguments.dark else (),
        )
        with Image.open(taken) as image:
            small = image.convert("RGB").quantize(COLORS, dither=0)
    small.save(arguments.picture, optimize=True)
    size = arguments.picture.stat().st_size
    print(f"{arguments.picture}: {small.width}x{small.height}, {size:,} bytes")


if __name__ == "__main__":
    main()
