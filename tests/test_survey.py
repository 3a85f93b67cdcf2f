"""Counts of a scan, and their consequences."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
from PIL import Image

from tf_simclr.config import DataConfig
from tf_simclr.config.earlier import as_begun
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data.array_batches import decoded_images
from tf_simclr.data.decoding import Decoding
from tf_simclr.data.sources.look import Look
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import UserError
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.loaded import load_network
from tf_simclr.training.run_record import read_record


def test_a_survey_adds_up_and_is_stored():
    first = Survey.of(
        [Look("", 30, 60, 4000), Look("is empty"), Look("", 9, 9)]
    )
    second = Survey.of([Look("", 30, 30, 100, True)])
    total = first + second
    assert (total.deep, total.highest, total.transparent) == (2, 4000, 1)
    assert total.sides == {30: 2, 9: 1} and total.aspects == {20: 1, 10: 2}
    assert (total.median_side(), total.median_aspect()) == (30, 1)
    stored = json.loads(json.dumps(dataclasses.asdict(total)))
    assert Survey.from_json(stored) == total


@pytest.mark.parametrize(
    "highest, bits", [(255, 8), (256, 10), (4095, 12), (9000, 14), (65535, 16)]
)
def test_the_depth_is_that_of_the_largest_value(highest, bits):
    survey = Survey.of([Look("", 9, 9, 5), Look("", 9, 9, highest)])
    assert survey.decoding("black", "auto") == Decoding("black", bits)
    assert survey.decoding("white", "16").bits == 16
    assert f"up to {highest:,}, are read as {bits} bits" in str(
        survey.notices(Decoding("white", bits))
    )


def microscope(folder, highest=4000):
    """Ten images of 16 bits in two classes, none of them bright."""
    rng = np.random.default_rng(0)
    for number in range(10):
        values = rng.integers(0, highest, (9, 9), dtype=np.uint16)
        values[0, 0] = highest
        place = folder / ("ant", "bee")[number % 2] / f"{number}.png"
        place.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(values).save(place)
    return str(folder)


def test_a_folder_of_twelve_bits_is_not_black(tmp_path):
    folder = microscope(tmp_path / "cells")
    found = open_dataset(DataConfig(dataset=folder))
    assert any("read as 12 bits (--bit_depth): 10" in n for n in found.notices)
    image = next(iter(decoded_images(found.train))).numpy()
    assert image.max() == 4000 >> 4
    plain = open_dataset(DataConfig(dataset=folder, bit_depth="16"))
    assert next(iter(decoded_images(plain.train))).numpy().max() == 4000 >> 8


def test_arrays_of_wider_integers(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4000, (6, 9, 9), dtype=np.uint16)
    path = tmp_path / "cells.npz"
    np.savez(path, x_train=values, x_test=values[:2] // 100)
    found = open_dataset(DataConfig(dataset=str(path)))
    assert np.array_equal(found.train.pixels.array[..., 0], values >> 4)
    # The data set's range, not each part's own.
    assert found.evaluation.pixels.array.max() < 4
    assert any("read as 12 bits" in notice for notice in found.notices)
    upper = open_dataset(DataConfig(dataset=str(path), bit_depth="16"))
    assert np.array_equal(upper.train.pixels.array[..., 0], values >> 8)
    np.savez(path, x_train=values.astype(np.int64) - 9)
    with pytest.raises(UserError, match="Received: -9 to"):
        open_dataset(DataConfig(dataset=str(path)))
    # Bytes in a wider type are bytes.
    small = values.astype(np.int64) // 16
    np.savez(path, x_train=small)
    array = open_dataset(DataConfig(dataset=str(path))).train.pixels.array
    assert np.array_equal(array[..., 0], small)


def test_a_run_from_before_the_flags_goes_on_without_them():
    config = from_flat({"mode": "eval", "dataset": "digits"})
    assert (config.data.alpha, config.data.bit_depth) == ("white", "auto")
    begun = as_begun(config, {"dataset": "digits"})
    assert (begun.data.alpha, begun.data.bit_depth) == ("ignore", "16")
    assert begun.given == config.given
    assert as_begun(config, {"alpha": "white", "bit_depth": "auto"}) == config
    given = from_flat({"mode": "eval", "alpha": "black"})
    assert as_begun(given, {}).data.alpha == "black"


@pytest.mark.usefixtures("one_block")
def test_the_depth_of_a_run_is_that_of_what_reads_it(tmp_path):
    """Also where the images that are shown to it would have another one."""
    flags = {
        **parse_overrides(" ".join(tiny.FLAGS), "flags"),
        "dataset": microscope(tmp_path / "cells"),
        "model_dir": str(tmp_path / "run"),
        "train_steps": 1,
    }
    del flags["train_epochs"]
    run_stage(from_flat({**flags, "mode": "pretrain"}))
    record = read_record(str(tmp_path / "run"))
    assert (record.dataset.bits, record.config["bit_depth"]) == (12, "auto")
    dark = microscope(tmp_path / "dark", highest=200)
    asked = {
        "mode": "embed",
        "checkpoint": str(tmp_path / "run"),
        "model_dir": str(tmp_path / "features"),
        "dataset": dark,
    }
    loaded = load_network(from_flat(asked))
    assert loaded.config.data.bit_depth == "12"
    assert loaded.exportable().decoding == Decoding("white", 12)
    given = load_network(from_flat({**asked, "bit_depth": "8"}))
    assert given.exportable().decoding == Decoding("white", 8)
