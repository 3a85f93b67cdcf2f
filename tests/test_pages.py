"""Links of README and the manual lead somewhere; README is a front page."""

import ast
import re
import shlex

import pytest
import tiny

from tf_simclr import cli

README = tiny.ROOT / "README.md"
PAGES = [
    README,
    tiny.ROOT / "CONTRIBUTING.md",
    tiny.ROOT / "CHANGELOG.md",
    tiny.ROOT / "benchmarks" / "README.md",
    *sorted((tiny.ROOT / "docs").glob("*.md")),
]
LONGEST_SENTENCE = 35
MOST_LINES = 220


def prose(text):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """As GitHub and MkDocs make them of headings."""
    heads = re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()) for head in heads]
    return {head.replace(" ", "-") for head in plain}


def lost_links(page):
    found = []
    text = re.sub(r"`[^`\n]*`", "", prose(page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            found.append(target)
    return found


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(tiny.ROOT))
)
def test_links_lead_somewhere(page):
    assert lost_links(page) == []


def test_a_lost_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](#one-head) [b](#two) [c](none.md#x)\n")
    assert lost_links(page) == ["#two", "none.md#x"]


def sentences(text):
    text = re.sub(
        r"<!--.*?-->|^[|#].*$|!?\[|\]\([^)]*\)", "", prose(text), flags=re.M
    )
    for block in re.split(r"\n\s*\n|^- ", text, flags=re.MULTILINE):
        yield from re.split(r"(?<=[.:;?])\s+", " ".join(block.split()))


def test_readme_is_a_front_page():
    text = README.read_text()
    assert len(text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(tiny.ROOT))
)
def test_no_sentence_is_long(page):
    found = sentences(page.read_text())
    assert [s for s in found if len(s.split()) > LONGEST_SENTENCE] == []


def test_every_page_of_the_manual_opens_with_a_title():
    for page in (tiny.ROOT / "docs").glob("*.md"):
        assert page.read_text().startswith("# "), page


@pytest.mark.parametrize(
    "term",
    [
        *("self-supervised", "semi-supervised", "gradient checkpointing"),
        *("gradient accumulation", "momentum encoder", "linear probe"),
        *("data augmentation", "label propagation", "distillation"),
    ],
)
def test_the_words_of_the_field_are_found(term):
    whole = " ".join(
        re.sub(r"\s+", " ", page.read_text().lower()) for page in PAGES
    )
    assert term in whole


def commands(page):
    """The arguments of each command of the page that runs this program."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
        started = ""
        for line in block.replace("\\\n", " ").splitlines():
            started += line + "\n"
            try:
                words = shlex.split(started, comments=True)
            except ValueError:
                # A quotation that goes on in the next line.
                continue
            started = ""
            for name in ("run.py", "tf-simclr"):
                if name in words:
                    yield words[words.index(name) + 1 :]


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(tiny.ROOT))
)
def test_commands_are_taken(page, monkeypatch):
    monkeypatch.chdir(tiny.ROOT)
    for arguments in commands(page):
        if "..." in arguments:
            continue
        config = cli.parse_config(["run.py", *arguments])
        # Slurm would set what that one asks for.
        if config is not None and "--cluster=slurm" not in arguments:
            config.check()


def test_commands_are_found():
    found = [arguments for page in PAGES for arguments in commands(page)]
    assert len(found) > 40
    assert ["--recipe=digits"] in found


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(tiny.ROOT))
)
def test_python_of_a_page_is_python(page):
    text = page.read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(block)
