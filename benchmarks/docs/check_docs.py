"""Comparison of the figures in README and docs with the stored measurements.

    python benchmarks/docs/check_docs.py          exits with 1 at any difference
    python benchmarks/docs/check_docs.py --write  writes them anew

What benchmarks found lies in `benchmarks/results/`, as they wrote it. A table
of measurements stands between two comments of Markdown, a figure in a sentence
before one, and a recipe's header holds a sentence (`doc_figures.py` makes all
three from the results):

    <!-- table: digits -->
    | method | ... |
    <!-- end -->

    Seed 0 took 245<!-- digits.seconds --> s.

A table with a column of numbers that has no such comment is an error, too,
unless a test derives it.
"""

import argparse
import difflib
import pathlib
import re
import sys
from collections.abc import Callable, Mapping

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.docs.doc_figures import FIGURES, SENTENCES, TABLES
from benchmarks.lib.paths import ROOT

# Tables that tests derive anew: test_scaling.py and test_zoo.py.
TESTED = ("docs/scaling.md", "docs/zoo.md")
_TABLE = re.compile(r"<!-- table: ([\w.]+) -->\n(.*?)<!-- end -->", re.DOTALL)
_FIGURE = re.compile(r"(-?[\d,]+(?:\.\d+)?)<!-- ([\w.]+) -->")
_NUMBERS = re.compile(r"^\|.*---:\|$", re.MULTILINE)


def pages() -> dict[str, str]:
    """{path from the repository's root: text} of README and docs."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def rewritten(
    text: str,
    tables: Mapping[str, Callable[[], str]],
    figures: Mapping[str, Callable[[], float]],
) -> str:
    """The page with its tables and figures made anew.

    A figure keeps its number of decimals. KeyError names what is unknown.
    """

    def table(match: re.Match) -> str:
        name = match[1]
        return f"<!-- table: {name} -->\n{tables[name]()}\n<!-- end -->"

    def figure(match: re.Match) -> str:
        shown, name = match.groups()
        digits = len(shown.partition(".")[2])
        # What rounds to zero has no sign.
        value = round(figures[name](), digits) + 0.0
        return f"{value:,.{digits}f}<!-- {name} -->"

    return _FIGURE.sub(figure, _TABLE.sub(table, text))


def unmarked_tables(text: str) -> list[str]:
    """The heads of tables with numbers that nothing derives."""
    rest = _TABLE.sub("", text)
    return [
        rest[: match.start()].splitlines()[-1]
        for match in _NUMBERS.finditer(rest)
    ]


def missing_sentences() -> list[str]:
    """Sentences of recipes' headers that do not stand there."""
    found = []
    for path, sentences in SENTENCES.items():
        text = " ".join((ROOT / path).read_text().replace("\n#", "\n").split())
        found += [
            f"{path} lacks: {sentence()}"
            for sentence in sentences
            if sentence() not in text
        ]
    return found


def problems() -> list[str]:
    """Everything that is wrong, a line or a comparison each."""
    found = missing_sentences()
    for path, text in pages().items():
        right = rewritten(text, TABLES, FIGURES)
        found += difflib.unified_diff(
            text.splitlines(),
            right.splitlines(),
            f"{path}, as it is",
            f"{path}, as measured",
            n=0,
            lineterm="",
        )
        if path not in TESTED:
            found += [
                f"{path}: nothing derives the table {head}"
                for head in unmarked_tables(text)
            ]
    return found


def main() -> int:
    """Checks, or writes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        for path, text in pages().items():
            (ROOT / path).write_text(rewritten(text, TABLES, FIGURES))
    found = problems()
    print("\n".join(found) if found else "README and docs agree.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
