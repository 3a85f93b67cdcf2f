"""README and docs say what was measured, and a wrong number is seen."""

import re

import pytest
import tiny

from benchmarks.docs import check_docs

TABLES = {"one": lambda: "| a |\n|---:|\n| 1 |"}
PAGE = """# Page

<!-- table: one -->
| a |
|---:|
| 1 |
<!-- end -->
"""


def test_the_pages_agree_with_the_results():
    assert check_docs.problems() == []


def programs() -> set[str]:
    """Paths, from the repository's root, of what is to be run."""
    return {
        str(path.relative_to(tiny.ROOT))
        for path in (tiny.ROOT / "benchmarks").rglob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }


def test_the_index_names_every_program_and_no_other():
    index = (tiny.ROOT / "benchmarks" / "README.md").read_text()
    named = re.findall(r"`python (benchmarks/\S+\.py)", index)
    assert sorted(named) == sorted(programs())
    kept = set(re.findall(r"`(results/\w+\.jsonl?)`", index))
    stored = (tiny.ROOT / "benchmarks" / "results").iterdir()
    assert kept == {f"results/{path.name}" for path in stored}


def test_commands_of_docs_and_recipes_name_programs_that_exist():
    pages = [tiny.ROOT / "README.md"]
    pages += [*(tiny.ROOT / "docs").glob("*.md")]
    pages += [*(tiny.ROOT / "flags").glob("*.cfg")]
    named = {
        name
        for page in pages
        for name in re.findall(r"benchmarks/[\w/]+\.py", page.read_text())
    }
    assert len(named) > 10
    for name in named:
        assert (tiny.ROOT / name).is_file(), name


def test_a_recipe_that_says_another_score_is_named(monkeypatch):
    sentences = {"flags/digits.cfg": [lambda: "distilled student 0.123"]}
    monkeypatch.setattr(check_docs, "SENTENCES", sentences)
    assert check_docs.missing_sentences() == [
        "flags/digits.cfg lacks: distilled student 0.123"
    ]


def test_another_number_in_a_table_is_seen_and_mended():
    assert check_docs.rewritten(PAGE, TABLES, {}) == PAGE
    wrong = PAGE.replace("| 1 |", "| 2 |")
    assert wrong != PAGE
    assert check_docs.rewritten(wrong, TABLES, {}) == PAGE
    with pytest.raises(KeyError, match="two"):
        check_docs.rewritten(PAGE.replace("one", "two"), TABLES, {})


@pytest.mark.parametrize(
    "shown, right",
    [
        ("1,235", "1,235"),
        ("1,234.6", "1,234.6"),
        ("1,234.5", "1,234.6"),
        ("7.12", "1,234.56"),
    ],
)
def test_a_figure_in_a_sentence_is_compared_as_it_is_rounded(shown, right):
    figures = {"a.time": lambda: 1234.56}
    text = "It took {}<!-- a.time --> s, for 3 images."
    found = check_docs.rewritten(text.format(shown), {}, figures)
    assert found == text.format(right)


def test_a_figure_below_zero_keeps_one_sign():
    text = "It leads by 0.5<!-- a.lead --> points."
    for value, shown in ((-1.25, "-1.2"), (1.25, "1.2"), (-0.01, "0.0")):
        text = check_docs.rewritten(
            text, {}, {"a.lead": lambda value=value: value}
        )
        assert text == f"It leads by {shown}<!-- a.lead --> points."


def test_a_table_of_numbers_that_nothing_derives_is_named():
    assert check_docs.unmarked_tables(PAGE) == []
    bare = PAGE.replace("<!-- end -->", "").replace("<!-- table: one -->", "")
    assert check_docs.unmarked_tables(bare) == ["| a |"]
    assert check_docs.unmarked_tables("| a |\n|---|\n| b |") == []
