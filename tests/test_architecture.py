"""Rules for the source as a whole: imports, sizes, docstrings, names."""

import ast
import pathlib
import re
import statistics

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted((ROOT / "tf_simclr").rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in FILES
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: pathlib.Path) -> set[str]:
    """The modules of this package that a module imports when it is."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found & MODULES.keys()


def test_no_module_imports_one_that_imports_it():
    left = {name: imported(path) for name, path in MODULES.items()}
    while left:
        leaves = {
            name for name, needs in left.items() if not needs & left.keys()
        }
        assert leaves, f"a cycle among {sorted(left)}"
        for name in leaves:
            del left[name]


def test_functions_fit_on_a_screen():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, FUNCTIONS)
        and node.end_lineno - node.lineno + 1 > 80
    ]
    assert not long


def test_files_are_neither_crumbs_nor_loaves():
    lines = [len(path.read_text().splitlines()) for path in FILES]
    # Packages that hold nothing but their title.
    lines = [count for count in lines if count > 1]
    assert 120 <= statistics.median(lines) <= 200
    assert max(lines) <= 500


def public(path: pathlib.Path):
    """(name, node, whether it is a method) of what a user may call."""
    for node in tree(path).body:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        if node.name.startswith("_"):
            continue
        yield node.name, node, False
        parts = node.body if isinstance(node, ast.ClassDef) else []
        for part in parts:
            if isinstance(part, FUNCTIONS) and not part.name.startswith("_"):
                yield f"{node.name}.{part.name}", part, True


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_docstrings_name_what_is_raised(path):
    assert ast.get_docstring(tree(path))
    for name, node, method in public(path):
        text = ast.get_docstring(node)
        assert text, name
        raises = any(
            isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call)
            for part in ast.walk(node)
        )
        if raises and not method and isinstance(node, FUNCTIONS):
            assert "Raises" in text, name


# `(B, H, W, 3)`, `(n,)`, "a scalar", "of the same shape" and the like.
_PART = r"(?:\d*[A-Za-z][\w ./*+-]*|\d+|\.\.\.)"
_SHAPE = re.compile(rf"\({_PART}(?:, ?{_PART})*,?\)|scalar|\bshape")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_docstrings_name_the_shapes_of_arrays(path):
    for name, node, _ in public(path):
        if not isinstance(node, FUNCTIONS):
            continue
        taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        hints = [arg.annotation for arg in taken] + [node.returns]
        text = " ".join(ast.unparse(hint) for hint in hints if hint)
        if re.search(r"tf\.Tensor\b|np\.ndarray", text):
            assert _SHAPE.search(ast.get_docstring(node)), name


def test_docstrings_open_with_a_noun_or_a_verb():
    """A reader who skims them sees what each thing is."""
    riddle = re.compile(
        r"(What|Whether|Which|How|Where|Why|Those|That of|Such as|If|When)\b"
    )
    kinds = (*FUNCTIONS, ast.ClassDef, ast.Module)
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for folder in ("tf_simclr", "benchmarks", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, kinds)
        and riddle.match(text := ast.get_docstring(node) or "")
    ]
    assert not found


def test_the_page_names_files_that_exist():
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## One pretraining step in fifteen files")[1]
    names = re.findall(r"^\| `(\S+\.py)` \|", section.split("\n## ")[0], re.M)
    assert len(names) == 15
    for name in names:
        assert (ROOT / "tf_simclr" / name).is_file(), name


def test_the_method_of_the_page_is_one():
    page = (ROOT / "docs" / "architecture.md").read_text()
    [code] = re.findall(r"```python\n(import tensorflow.*?)```", page, re.S)
    from tf_simclr.methods.base import Method

    names: dict = {}
    exec(code, names)
    assert issubclass(names["Alike"], Method)
    assert names["DISTANCE"] in names["Alike"].metrics
