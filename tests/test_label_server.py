"""The labelling page's server: what it answers, and whom it refuses."""

import io
import json
import socket
import urllib.request

import label_folder
import numpy as np
import pictures
import pytest
from PIL import Image
from test_label_book import HOSTILE
from werkzeug.test import Client

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.open import open_images
from tf_simclr.errors import UserError
from tf_simclr.labels.guide import Guide
from tf_simclr.labels.label_book import open_book, read_labels
from tf_simclr.labels.page.pictures import LARGE, SMALL, Pictures
from tf_simclr.labels.page.server import LabelApp, listen, serving
from tf_simclr.labels.page.session import Session, ToLabel

PORT = 8765
TOKEN = "secret-token"
HOST = f"127.0.0.1:{PORT}"


class Page:
    """A browser tab, as far as the server sees it."""

    def __init__(self, app):
        self._client = Client(app)

    def get(self, path, *, host=HOST, token=TOKEN, **options):
        return self._client.get(
            f"/{token}/{path}", headers={"Host": host}, **options
        )

    def post(self, path, value=None, *, token=TOKEN, raw=None, **headers):
        headers = {
            "Host": HOST,
            "Origin": f"http://{HOST}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): each for name, each in headers.items()},
        }
        data = json.dumps(value) if raw is None else raw
        headers = {name: each for name, each in headers.items() if each}
        return self._client.post(f"/{token}/{path}", data=data, headers=headers)

    def label(self, index, name, version=0):
        images = [{"index": index, "version": version}]
        return self.post("label", {"images": images, "class": name})


class Served:
    """A session on its folder, and a page."""

    def __init__(self, folder, images, book):
        to_label = [ToLabel(place, place % 3, "typical") for place in range(9)]
        guide = Guide(label_folder.features_of(len(images)), [])
        self.folder, self.book, self.ended = folder, book, []
        self.session = Session(images, to_label, book, guide, ["red"])
        self.app = LabelApp(
            self.session,
            Pictures(images),
            PORT,
            lambda: self.ended.append(True),
            TOKEN,
        )
        self.page = Page(self.app)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return label_folder.tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def served(tmp_path, images):
    with open_book(str(tmp_path)) as book:
        served = Served(tmp_path, images, book)
        yield served
        served.session.close()


def test_the_page_and_its_files(served):
    for name, kind in (
        ("", "text/html"),
        ("page.css", "text/css"),
        ("page.js", "text/javascript"),
    ):
        answer = served.page.get(name)
        assert answer.status_code == 200
        assert answer.mimetype == kind
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    html = served.page.get("").get_data(as_text=True)
    assert "<style" not in html
    assert "style=" not in html
    assert "http" not in html.replace('http-equiv"', "")


def test_state_look_and_group(served):
    state = served.page.get("state").get_json()
    assert [image["index"] for image in state["images"]] == list(range(9))
    assert state["news"]["classes"] == [["red", 0]]
    assert (state["news"]["labelled"], state["news"]["total"]) == (0, 9)
    look = served.page.get("look?image=4").get_json()
    assert look["image"]["index"] == 4
    assert look["guess"] is None
    assert {image["index"] % 3 for image in look["neighbours"]} == {1}
    assert len(look["neighbours"]) == 6
    group = served.page.get("group?image=4").get_json()["images"]
    assert [image["index"] for image in group[:3]] == [4, 1, 7]
    assert len({image["index"] for image in group}) == 24


def test_a_label_is_stored_and_guesses_follow(served):
    for index, name in enumerate(("red", "green", "blue")):
        answer = served.page.label(index, name)
        assert answer.status_code == 200
        assert read_labels(str(served.folder)).popitem()[1] == name
        [image] = answer.get_json()["images"]
        assert (image["label"], image["version"]) == (name, index + 1)
    assert answer.get_json()["news"]["labelled"] == 3
    assert served.session.wait(20)
    look = served.page.get("look?image=7").get_json()
    assert look["guess"]["class"] == "green"
    assert look["guess"]["confidence"] > 0.5
    for index in range(3, 6):
        served.page.label(index, ("red", "green", "blue")[index % 3])
    assert served.session.wait(20)
    [estimate] = served.page.get("state").get_json()["news"]["estimates"]
    assert 5 <= estimate["labels"] <= 6
    assert estimate["low"] <= estimate["accuracy"] <= estimate["high"]


def test_many_images_get_one_class(served):
    images = [{"index": index, "version": 0} for index in (1, 4, 20)]
    answer = served.page.post("label", {"images": images, "class": "green"})
    assert len(answer.get_json()["images"]) == 3
    assert list(read_labels(str(served.folder)).values()) == ["green"] * 3
    assert served.book.events == 1


def test_an_older_version_is_answered_with_the_present(served):
    served.page.label(3, "red")
    answer = served.page.label(3, "blue")
    assert answer.status_code == 409
    body = answer.get_json()
    assert "another tab" in body["error"]
    assert [image["label"] for image in body["images"]] == ["red"]
    version = body["images"][0]["version"]
    assert served.page.label(3, "blue", version).status_code == 200
    # The first event is no longer the last one of this image.
    assert served.page.post("undo", {"event": 1}).status_code == 409
    assert served.page.post("undo", {"event": 2}).status_code == 200
    assert list(read_labels(str(served.folder)).values()) == ["red"]


def test_leaving_out_and_back(served):
    images = [{"index": 2, "version": 0}]
    answer = served.page.post("exclude", {"images": images}).get_json()
    assert answer["images"][0]["excluded"]
    assert answer["news"]["excluded"] == 1
    answer = served.page.post("undo", {"event": answer["event"]}).get_json()
    assert not answer["images"][0]["excluded"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_they_were(served, name):
    assert served.page.post("class", {"class": name}).status_code == 200
    answer = served.page.label(0, f" {name} ")
    assert answer.get_json()["images"][0]["label"] == name
    assert answer.mimetype == "application/json"
    assert [name, 1] in answer.get_json()["news"]["classes"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\0", None, 7, ["a"]])
def test_other_names_are_refused_in_a_sentence(served, name):
    for answer in (
        served.page.label(0, name),
        served.page.post("class", {"class": name}),
    ):
        assert answer.status_code == 400
        assert "name" in answer.get_json()["error"]
    assert served.book.events == 0


def test_whoever_has_no_token_gets_nothing(served):
    for token in ("", "x", TOKEN[:-1], f"{TOKEN}x", "\u00e4", "..", "%00"):
        for path in ("", "state", "page.js", "large?image=0"):
            answer = served.page.get(path, token=token)
            assert answer.status_code == 403, (token, path)
        answer = served.page.post("class", {"class": "a"}, token=token)
        assert answer.status_code == 403
    assert served.book.events == 0


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1"]
)
def test_another_host_name_is_refused(served, host):
    assert served.page.get("state", host=host).status_code == 403
    answer = served.page.post(
        "class", {"class": "a"}, Host=host, Origin=f"http://{host}"
    )
    assert answer.status_code == 403
    assert served.book.events == 0
    assert served.page.get("", host=f"localhost:{PORT}").status_code == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", f"https://{HOST}"]
)
def test_another_origin_changes_nothing(served, origin):
    answer = served.page.post("class", {"class": "a"}, Origin=origin)
    assert answer.status_code == 403
    assert served.book.events == 0


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded"]
)
def test_a_form_changes_nothing(served, kind):
    answer = served.page.post("class", {"class": "a"}, Content_Type=kind)
    assert answer.status_code == 415
    assert served.book.events == 0


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc/passwd",
        "server.py",
        "page.html/../server.py",
        "%2e%2e/server.py",
        "//etc/passwd",
        "labels.jsonl",
    ],
)
def test_no_path_leads_to_a_file(served, path):
    assert served.page.get(path).status_code in (403, 404)


@pytest.mark.parametrize(
    "number",
    ["-1", "24", "1e3", "0x1", "../x", "", "9" * 30, "\u0663", "1%00", " 1"],
)
def test_images_are_numbers_of_the_data_set(served, number):
    for what in ("large", "small", "look", "group"):
        answer = served.page.get(f"{what}?image={number}")
        assert answer.status_code == 400, what


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        [],
        {},
        ["a"],
        [{}],
        [{"index": 24, "version": 0}],
        [{"index": -1, "version": 0}],
        [{"index": 0}],
        [{"index": True, "version": 0}],
        [{"index": 0.0, "version": 0}],
        [{"index": "0", "version": 0}],
        [{"index": 0, "version": 0}] * 1001,
    ],
)
def test_malformed_images_are_refused(served, malformed):
    answer = served.page.post("label", {"images": malformed, "class": "a"})
    assert answer.status_code == 400
    assert served.book.events == 0


@pytest.mark.parametrize("raw", ["", "{", "[]", "7", "[" * 100_000, "\xff"])
def test_malformed_json_is_refused(served, raw):
    assert served.page.post("label", raw=raw).status_code == 400


def test_large_requests_and_other_methods_are_refused(served):
    raw = json.dumps({"class": "x" * 2**20})
    assert served.page.post("class", raw=raw).status_code == 413
    assert served.page.post("nothing", {}).status_code == 404
    for method in ("put", "delete", "options"):
        answer = getattr(served.page._client, method)(
            f"/{TOKEN}/state", headers={"Host": HOST}
        )
        assert answer.status_code == 405


def test_a_full_disk_is_told(served, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tf_simclr.labels.label_book.os.fsync", full)
    answer = served.page.label(0, "red")
    assert answer.status_code == 500
    assert "No space left" in answer.get_json()["error"]
    assert served.book.labels() == {}


def test_done_is_answered_first(served):
    answer = served.page.post("done", {})
    assert answer.status_code == 200
    answer.close()
    assert served.ended


def test_small_pictures_keep_their_pixels(served, images):
    answer = served.page.get("large?image=5")
    assert answer.mimetype == "image/png"
    found = np.asarray(Image.open(io.BytesIO(answer.data)))
    np.testing.assert_array_equal(found, images.pixels.array[5])


def test_files_are_decoded_as_in_training_and_shrunk(tmp_path):
    wide = pictures.tile(0).repeat(30, axis=0).repeat(40, axis=1)
    Image.fromarray(wide).save(tmp_path / "wide.jpg", quality=95)
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.fromarray(wide[:90, :120]).save(tmp_path / "turn.jpg", exif=sideways)
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    clear.save(tmp_path / "zclear.png")
    data = DataConfig(dataset=str(tmp_path), alpha="white", image_size=32)
    images, _ = open_images(data, "train")
    shown = Pictures(images)
    places = {name: place for place, name in enumerate(images.ids)}

    def opened(name, side):
        data, kind = shown.encoded(places[name], side)
        return Image.open(io.BytesIO(data)), kind

    picture, kind = opened("wide.jpg", LARGE)
    assert (picture.size, kind) == ((800, 500), "image/jpeg")
    assert opened("wide.jpg", SMALL)[0].size == (240, 150)
    assert opened("turn.jpg", LARGE)[0].size == (90, 120)
    picture, kind = opened("zclear.png", LARGE)
    assert (picture.getpixel((5, 5)), kind) == ((255,) * 3, "image/png")


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port={port} cannot be used"):
            listen(port)


def test_over_the_network(served):
    listening = listen(0)
    port = listening.getsockname()[1]
    app = LabelApp(served.session, None, port)
    with serving(app, listening):
        with urllib.request.urlopen(f"{app.address}state") as answer:
            assert json.load(answer)["news"]["total"] == 9
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/x/")
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(app.address)
