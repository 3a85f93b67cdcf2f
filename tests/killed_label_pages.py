"""Kills the real labelling server at random moments; prints what was lost.

    python tests/killed_label_pages.py FOLDER KILLS

FOLDER is one of `label_folder`, as often as need be killed and started anew.
Clients label images all the while. Every label that was answered must be in
the journal when its server is gone.
"""

import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.lib.forked_run import fork, load_program
from tf_simclr.labels.label_book import JOURNAL_FILE, read_labels

CLIENTS = 3
# Seconds from the first answer to the kill, at most.
LONGEST = 0.3
PATIENCE = 120


class Client(threading.Thread):
    """Labels images of its own, one after another, until the server is gone.

    Attributes:
      answered: (event, id, class) of what the server said that it stored.
    """

    def __init__(self, address: str, images: list[int], versions: dict):
        super().__init__(daemon=True)
        self._url = urllib.parse.urlsplit(address)
        self._images, self._versions = images, versions
        self.answered: list[tuple[int, str, str]] = []

    def run(self) -> None:
        """Until the connection breaks."""
        connection = http.client.HTTPConnection(self._url.netloc, timeout=20)
        headers = {
            "Content-Type": "application/json",
            "Origin": f"http://{self._url.netloc}",
        }
        path = f"{self._url.path}label"
        try:
            for number in itertools.count():
                image = self._images[number % len(self._images)]
                name = f"class {random.randrange(5)}"
                version = self._versions[image]
                asked = {"index": image, "version": version}
                body = json.dumps({"images": [asked], "class": name})
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                found = json.load(answer)
                assert answer.status == 200, found
                [state] = found["images"]
                self._versions[image] = state["version"]
                self.answered.append((found["event"], state["id"], name))
        except (OSError, http.client.HTTPException, ValueError):
            return


def address_in(log: pathlib.Path) -> str:
    """Waits for the address that a server prints."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = log.read_text() if log.exists() else ""
        for line in text.splitlines():
            if line.startswith("Label the images at "):
                return line.rsplit(" ", 1)[1]
        time.sleep(0.01)
    raise TimeoutError(text)


def once(folder: pathlib.Path, log: pathlib.Path) -> tuple[int, list[str]]:
    """Starts, labels, kills: how many were answered, and what is wrong."""
    process = fork(["run.py", "--mode=label", f"--model_dir={folder}"], 1, log)
    try:
        address = address_in(log)
        url = urllib.parse.urlsplit(address)
        connection = http.client.HTTPConnection(url.netloc, timeout=20)
        connection.request("GET", f"{url.path}state")
        images = json.load(connection.getresponse())["images"]
        versions = {each["index"]: each["version"] for each in images}
        clients = [
            Client(address, list(versions)[start::CLIENTS], versions)
            for start in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        while not any(client.answered for client in clients):
            time.sleep(0.001)
        time.sleep(random.uniform(0, LONGEST))
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    for client in clients:
        client.join()
    answered = sorted(x for client in clients for x in client.answered)
    return len(answered), missing(folder, answered)


def missing(
    folder: pathlib.Path, answered: list[tuple[int, str, str]]
) -> list[str]:
    """Answered labels that the journal does not hold."""
    # Raises if it is damaged.
    labels = read_labels(str(folder))
    data = (folder / JOURNAL_FILE).read_bytes()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    stored = {event["event"]: event for event in map(json.loads, lines)}
    lost = [
        f"{number}: {name}"
        for number, image, name in answered
        if stored.get(number, {}).get("images") != [image]
        or stored[number]["class"] != name
    ]
    return lost + [f"no label: {x}" for _, x, _ in answered if x not in labels]


def main() -> None:
    """Prints {"kills", "answered", "torn", "lost"}."""
    folder, kills = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    random.seed(0)
    load_program()
    from tf_simclr.modes import label  # noqa: F401

    answered, torn, lost = 0, 0, []
    for number in range(kills):
        count, wrong = once(folder, folder / f"log-{number}.txt")
        answered, lost = answered + count, lost + wrong
        torn += not (folder / JOURNAL_FILE).read_bytes().endswith(b"\n")
    found = {"kills": kills, "answered": answered, "torn": torn, "lost": lost}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
