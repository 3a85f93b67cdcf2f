"""The benchmark of what is done once for all images."""

import pathlib

import pytest

from benchmarks.speed import scale
from benchmarks.speed.suggest_scale import write_features


@pytest.mark.parametrize("case", ["index", "labels", "suggest", "evaluate"])
def test_cases_run_on_few_images(case, tmp_path):
    if case == "index":
        scale.write_folder(tmp_path, 200)
        found = sorted(p.name for p in (tmp_path / "images").iterdir())
        assert found == ["test", "train"]
    if case == "suggest":
        write_features(str(tmp_path / "features.npy"), 2000)
    # Ten labels of each of a hundred classes.
    scale.CASES[case](str(tmp_path), 2000 if case != "index" else 200)
    if case == "index":
        assert list(pathlib.Path(tmp_path, "run").glob("index-*"))


def test_a_table_has_a_row_for_each_case():
    runs = [
        {"case": "index", "images": 10, "seconds": 1.23, "memory_gib": 0.5},
        {"case": "index", "images": 1000, "seconds": 9.0, "memory_gib": 0.7},
        {"case": "labels", "images": 10, "seconds": 0.0, "memory_gib": 0.4},
    ]
    assert scale.table(runs).splitlines() == [
        "| what | 10 images | GiB | 1,000 images | GiB |",
        "|---|---:|---:|---:|---:|",
        "| index | 1.2 s | 0.5 | 9.0 s | 0.7 |",
        "| labels | 0.0 s | 0.4 | - | - |",
    ]
