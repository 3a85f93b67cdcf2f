"""Waiting time for a click on the page of --mode=label.

    python benchmarks/speed/label_clicks.py --output=runs/label_clicks

A folder of many images, 10,000 of which are to be labelled and have a label
already, is served as `--mode=label` serves it, guesses included. Then a client
on the same machine gives single images another class, with a short pause after
each answer, and measures from request to answer: the journal's line on the
disk included. Milliseconds; the results go to OUTPUT.json and OUTPUT.md.
"""

import argparse
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np

from benchmarks.lib.hardware import as_line, hardware
from benchmarks.lib.results import write_results
from tf_simclr.data.sources.image_set import image_set_of_array
from tf_simclr.labels.guide import Guide
from tf_simclr.labels.label_book import JOURNAL_FILE, open_book
from tf_simclr.labels.page.pictures import Pictures
from tf_simclr.labels.page.server import LabelApp, listen, serving
from tf_simclr.labels.page.session import Session, ToLabel

CLASSES, DIMENSIONS = 10, 128


def write_journal(folder: str, ids: list[str]) -> None:
    """Labels for images, as if a person had given them."""
    with open(os.path.join(folder, JOURNAL_FILE), "w") as file:
        for number, name in enumerate(ids, start=1):
            event = {"event": number, "do": "label", "images": [name]}
            event["class"] = f"class {number % CLASSES}"
            file.write(json.dumps(event) + "\n")


def clicks(address: str, count: int, pause: float, images: int) -> list[float]:
    """Milliseconds of each click, in order."""
    url = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc)
    headers = {
        "Content-Type": "application/json",
        "Origin": f"http://{url.netloc}",
    }
    places = np.random.default_rng(0).choice(images, count, replace=False)
    found = []
    for number, place in enumerate(places.tolist()):
        time.sleep(pause)
        asked = {"index": place, "version": place + 1}
        name = f"class {number % CLASSES}"
        body = json.dumps({"images": [asked], "class": name})
        started = time.perf_counter()
        connection.request("POST", f"{url.path}label", body, headers)
        answer = connection.getresponse()
        answer.read()
        found.append(1e3 * (time.perf_counter() - started))
        if answer.status != 200:
            raise RuntimeError(f"answered {answer.status}")
    return found


def measure(options: argparse.Namespace) -> dict:
    """The times of all clicks, and their median and maximum."""
    rng = np.random.default_rng(0)
    images = image_set_of_array(
        rng.integers(0, 256, (options.images, 8, 8, 3), dtype=np.uint8)
    )
    features = rng.normal(size=(options.images, DIMENSIONS))
    to_label = [ToLabel(n, n // 10, "any") for n in range(options.labels)]
    # Beside the results, since the disk is part of the time.
    place = pathlib.Path(options.output).parent
    place.mkdir(parents=True, exist_ok=True)
    listening = listen(0)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        write_journal(folder, list(images.ids[: options.labels]))
        with open_book(folder) as book:
            guide = Guide(features, [each.place for each in to_label])
            session = Session(images, to_label, book, guide)
            port = listening.getsockname()[1]
            app = LabelApp(session, Pictures(images), port)
            with serving(app, listening):
                times = clicks(
                    app.address, options.clicks, options.pause, options.labels
                )
            session.close()
    return {
        "labels": options.labels,
        "images": options.images,
        "pause_seconds": options.pause,
        "clicks": len(times),
        "median_ms": round(statistics.median(times), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "maximum_ms": round(max(times), 2),
    }


def to_markdown(results: dict) -> str:
    """The results as a table."""
    found = results["result"]
    return "\n".join(
        [
            "| labels | images | clicks | median | 95 % below | maximum |",
            "|---:|---:|---:|---:|---:|---:|",
            f"| {found['labels']:,} | {found['images']:,} | {found['clicks']} |"
            f" {found['median_ms']:.1f} ms | {found['p95_ms']:.1f} ms |"
            f" {found['maximum_ms']:.1f} ms |",
            "",
            f"On {as_line(results['hardware'])}.",
            "",
        ]
    )


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds")
    parser.add_argument("--output", default="runs/label_clicks")
    options = parser.parse_args()
    results = {"result": measure(options), "hardware": hardware()}
    write_results(options.output, results, to_markdown(results))
    print(to_markdown(results))


if __name__ == "__main__":
    main()
