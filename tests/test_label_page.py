"""The labelling page in a browser, by its keys."""

import browser
import label_folder
import pytest
from test_label_book import HOSTILE

from tf_simclr.labels.guide import Guide
from tf_simclr.labels.label_book import open_book
from tf_simclr.labels.page.pictures import Pictures
from tf_simclr.labels.page.server import LabelApp, listen, serving
from tf_simclr.labels.page.session import Session, ToLabel

pytestmark = pytest.mark.skipif(
    not browser.can_drive(), reason="no Chromium with a driver on this machine"
)
NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def chromium():
    with browser.driven() as driven:
        yield driven


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return label_folder.tiny_images(tmp_path_factory.mktemp("images"))


class Desk:
    """The page, opened, and what lies behind it."""

    def __init__(self, tab, session, book, app, ids, done):
        self.tab, self.session, self.book = tab, session, book
        self.app, self.ids, self.done = app, ids, done

    def shown(self):
        """The id of the image that is shown."""
        return self.text("#name")

    def text(self, selector):
        script = "return document.querySelector(arguments[0]).textContent"
        return self.tab.run(script, selector)

    def until(self, script, *arguments):
        return self.tab.wait(f"return {script}", *arguments)

    def until_shown(self, place):
        """Waits until an image is shown, and all about it was fetched."""
        self.until(
            "page.current?.id === arguments[0] && !page.busy &&"
            " document.querySelector('#neighbours img') !== null",
            self.ids[place],
        )

    def until_guessed(self):
        """Waits until a guess stands ready that Enter confirms."""
        assert self.session.wait(20)
        self.until(
            "!document.querySelector('#guess').hidden &&"
            " performance.now() - page.guessAt > SETTLE_MS"
        )

    def labels(self):
        found = self.book.labels()
        return {self.ids.index(name): label for name, label in found.items()}


@pytest.fixture
def desk(chromium, images, tmp_path):
    done = []
    to_label = [ToLabel(place, place % 3, "typical") for place in range(9)]
    listening = listen(0)
    port = listening.getsockname()[1]
    with open_book(str(tmp_path)) as book:
        guide = Guide(label_folder.features_of(len(images)), [])
        session = Session(images, to_label, book, guide, NAMES)
        app = LabelApp(
            session, Pictures(images), port, lambda: done.append(True)
        )
        with serving(app, listening):
            chromium.open(app.address)
            desk = Desk(chromium, session, book, app, images.ids, done)
            desk.until_shown(0)
            yield desk
            # Refused answers are told there, too.
            problems = [
                text for text in chromium.messages() if "409" not in text
            ]
            chromium.open("about:blank")
        session.close()
        assert not problems


def test_number_keys_label_and_undo_takes_back(desk):
    desk.tab.press("1")
    desk.until_shown(1)
    desk.tab.press("2")
    desk.until_shown(2)
    assert desk.labels() == {0: "red", 1: "green"}
    assert desk.text("#counter") == "2 of 9 labelled"
    assert "s an image" in desk.text("#pace")
    desk.tab.press("u")
    desk.until_shown(1)
    assert desk.labels() == {0: "red"}
    desk.tab.press("u")
    desk.until_shown(0)
    assert desk.labels() == {}
    # A class that does not exist.
    desk.tab.press("9")
    assert desk.labels() == {}


def test_enter_confirms_the_guess(desk):
    for place, key in enumerate("123"):
        desk.until_shown(place)
        desk.tab.press(key)
    desk.until_shown(3)
    desk.until_guessed()
    assert desk.text("#guess-name") == "red"
    assert desk.text("#confidence").endswith("sure")
    desk.tab.press("Enter")
    desk.until_shown(4)
    assert desk.labels()[3] == "red"
    for place in range(4, 9):
        desk.until_shown(place)
        desk.until_guessed()
        desk.tab.press("Enter")
    desk.until("document.body.innerText.includes('All of these images are')")
    assert desk.labels() == {place: NAMES[place % 3] for place in range(9)}
    assert desk.text("#counter") == "9 of 9 labelled: all done"
    assert desk.session.wait(20)
    desk.until("document.querySelector('#curve svg') !== null")
    assert "95 % interval" in desk.text("#estimate-text")


def test_skipped_images_come_again_and_others_are_left_out(desk):
    desk.tab.press("s")
    desk.until_shown(1)
    desk.tab.press("x")
    desk.until_shown(2)
    assert desk.book.excluded() == {desk.ids[1]}
    for place in range(2, 9):
        desk.until_shown(place)
        desk.tab.press("1")
    desk.until_shown(0)
    desk.tab.press("Right")
    desk.until_shown(1)
    assert desk.text("#present") == "Left out: not one of these."
    desk.tab.press("Left")
    desk.until_shown(0)


def test_classes_are_searched_and_made(desk):
    desk.tab.press("/", *"bl", "Enter")
    desk.until_shown(1)
    assert desk.labels() == {0: "blue"}
    # It begins like another, and is one of its own.
    desk.tab.press("/", *"bl")
    desk.tab.press("Enter", shift=True)
    desk.until_shown(2)
    assert desk.labels()[1] == "bl"
    # Letters in the field are no keys.
    desk.tab.press("/", *"sux1", "Escape")
    desk.until("document.activeElement.id === 'main'")
    assert desk.shown() == desk.ids[2]
    desk.tab.press("/", "g", "Down", "Enter")
    desk.until_shown(3)
    assert desk.labels()[2] == "green"


def test_a_group_gets_a_class_without_the_odd_ones(desk):
    desk.tab.press("g")
    desk.until("page.group !== null && page.group.length === 24")
    assert desk.text("#group-count").startswith("24 of 24")
    # All but the first ten: those of the cluster, then the most similar.
    desk.tab.run(
        "document.querySelectorAll('#group-pictures button')"
        ".forEach((button, at) => at < 8 || button.click())"
    )
    desk.tab.press(" ")
    desk.until("page.group[0].out")
    assert desk.text("#group-count").startswith("7 of 24")
    desk.tab.press("1")
    desk.until_shown(1)
    found = desk.labels()
    assert len(found) == 7
    assert {place % 3 for place in found} == {0}
    assert 0 not in found
    assert desk.book.events == 1
    desk.tab.press("u")
    desk.until("document.querySelector('#present').hidden")
    desk.until("!page.busy")
    assert desk.labels() == {}


def test_no_tab_overwrites_another(desk):
    first = desk.tab.tab()
    second = desk.tab.new_tab()
    desk.tab.to_tab(second)
    desk.tab.open(desk.app.address)
    desk.until_shown(0)
    desk.tab.to_tab(first)
    # It asks for news every now and then; here it has not yet.
    desk.tab.run("page.over = true")
    desk.tab.to_tab(second)
    desk.tab.press("1")
    desk.until_shown(1)
    desk.tab.run("window.close()")
    desk.tab.to_tab(first)
    desk.tab.run("page.over = false")
    if desk.tab.run("return page.current.label === null"):
        desk.tab.press("2")
        desk.until("document.body.innerText.includes('in another tab')")
    assert desk.labels() == {0: "red"}
    desk.until("page.current.label === 'red'")
    assert desk.text("#present") == "Labelled: red"
    desk.tab.press("2")
    desk.until("page.current.label === null")
    assert desk.labels() == {0: "green"}


def test_hostile_names_are_text(desk):
    desk.tab.run("window.alert = () => { window.harmed = true; }")
    for name in HOSTILE:
        desk.tab.run(
            "document.querySelector('#search').value = arguments[0];"
            "document.querySelector('#search').focus()",
            name,
        )
        before = desk.book.events
        desk.tab.press("Enter", shift=True)
        desk.until(f"page.events > {before} && !page.busy")
        desk.until("page.current.label === null || page.news.labelled === 9")
    assert sorted(desk.labels().values()) == sorted(HOSTILE)
    shown = desk.tab.run(
        "return [...document.querySelectorAll('#classes bdi')]"
        ".map((each) => each.textContent)"
    )
    assert shown == [*NAMES, *HOSTILE]
    assert not desk.tab.run("return window.harmed === true")
    pictures = desk.tab.run(
        "return [...document.images].map((each) => each.src)"
    )
    assert all(each.startswith(desk.app.address) for each in pictures)
    # Nothing is wider than the page, however long a name is.
    for width in (1200, 400):
        desk.tab.resize(width, 800)
        wide = desk.tab.run("return document.documentElement.scrollWidth")
        assert wide <= width


def test_a_server_that_has_gone_is_told(desk):
    desk.tab.run("fetch = () => Promise.reject(new TypeError('gone'))")
    desk.tab.press("1")
    desk.until("document.body.innerText.includes('does not answer')")
    assert desk.shown() == desk.ids[0]
    assert desk.labels() == {}


def test_tiny_images_have_hard_edges_and_everything_has_a_name(desk):
    desk.until("document.querySelector('#picture').naturalWidth === 8")
    style = "getComputedStyle(document.querySelector('#picture'))"
    assert desk.until(f"{style}.imageRendering") == "pixelated"
    assert desk.tab.run(
        "return [...document.images].every((each) => each.alt) &&"
        " [...document.querySelectorAll('button')]"
        ".filter((each) => each.offsetParent)"
        ".every((each) => each.textContent.trim() || each.title)"
    )
    # The keyboard's place can be seen.
    desk.tab.press("Tab")
    focus = "getComputedStyle(document.activeElement)"
    assert desk.until(f"{focus}.outlineStyle") == "solid"


def test_done_ends_the_work(desk):
    desk.tab.run("document.querySelector('#done').click()")
    desk.until(
        "document.body.innerText.startsWith('Label images') &&"
        " document.body.innerText.includes('You can close this page')"
    )
    assert desk.done == [True]
