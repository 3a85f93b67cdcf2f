"""The notebooks run from top to bottom, with small settings."""

import json
import pathlib

import nbformat
import pytest
import tiny
from nbclient import NotebookClient

NOTEBOOKS = tiny.ROOT / "notebooks"
# Behind the cell of parameters: a network that is soon traced, a few steps.
SMALL = """
from tf_simclr.models import resnet

resnet.ARCHITECTURES[18] = (False, (0, 0, 0, 1))
WIDTH = STUDENT_WIDTH = 0.05
BATCH = 32
"""
EPOCHS = {
    "own_images": """
IMAGES_PER_CLASS, TEST_IMAGES_PER_CLASS = 12, 2
PRETRAIN_EPOCHS = FINETUNE_EPOCHS = DISTILL_EPOCHS = 1
""",
    "research": """
SEEDS = (0,)
EPOCHS = LINEAR_EPOCHS = EVAL_EVERY = 1
""",
}
_LARGEST = 200 * 1024


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_all_notebooks_are_run_here():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(EPOCHS)


@pytest.mark.parametrize("name", EPOCHS)
def test_stored_notebooks_are_small_and_have_no_errors(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.stat().st_size < _LARGEST
    outputs = [
        output
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    assert not any(output["output_type"] == "error" for output in outputs)
    # Where and how fast it ran says nothing to others.
    assert not any(output["output_type"] == "stream" for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", EPOCHS)
def test_notebooks_run(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PYTHONPATH", str(tiny.ROOT))
    # As in the environment of a user.
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = read(name)
    [place] = [
        index
        for index, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    small = nbformat.v4.new_code_cell(SMALL + EPOCHS[name])
    notebook.cells.insert(place + 1, small)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    pictures = sum(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert pictures == {"own_images": 3, "research": 1}[name]
    assert pathlib.Path(tmp_path / "runs").is_dir()
