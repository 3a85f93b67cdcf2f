"""The site of the manual is built from its pages, and needs no network."""

import html
import os
import re
import subprocess
import sys

import pytest
import tiny

from tf_simclr.config.flat import options


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Its folder; building it warns of nothing."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"]
        + [f"--site-dir={folder}"],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site):
    pages = {path.stem for path in (tiny.ROOT / "docs").glob("*.md")}
    made = {path.stem for path in site.glob("*.html")}
    assert made >= pages | {"index", "flags", "api"}
    for path in site.glob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?://[^"]*)"',
            path.read_text(),
        )
        assert loaded == [], path.name


def test_every_flag_has_its_row(site):
    text = (site / "flags.html").read_text()
    for option in options():
        assert f"<code>--{option.field.name}</code>" in text


def test_functions_of_the_library_have_their_docstrings(site):
    text = (site / "api.html").read_text()
    for name in (
        *("library.pretrain", "library.load", "losses.nt_xent.nt_xent"),
        *("data.views", "optimizers.lars.lars_update"),
    ):
        assert f'id="tf_simclr.{name}"' in text
    assert "Raises:" in text and "Attributes:" in text


def test_the_search_knows_the_words_of_the_field(site):
    index = (site / "search" / "search_index.json").read_text().lower()
    assert "gradient checkpointing" in index
    assert "momentum encoder" in index


def test_code_stays_as_it_is(site):
    page = re.sub(r"<[^>]*>", "", (site / "index.html").read_text())
    assert '["serving_bytes"](image_bytes=files)' in html.unescape(page)
