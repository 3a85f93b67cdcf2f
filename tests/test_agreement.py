"""Agreement of two models, in numbers worked out by hand."""

import numpy as np
import pytest

from tf_simclr.weights.export.agreement import agreement


def pairs(name, *rows):
    for one, other in rows:
        yield {name: np.array([one])}, {name: np.array([other])}


def test_classifiers_agree_on_classes():
    found = agreement(
        pairs(
            "probabilities",
            ([0.7, 0.3], [0.6, 0.4]),
            ([0.2, 0.8], [0.55, 0.45]),
            ([0.5, 0.5], [0.5, 0.5]),
            ([0.1, 0.9], [0.0, 1.0]),
        )
    )
    assert (found.images, found.same) == (4, 0.75)
    assert found.difference == pytest.approx(0.35)
    assert found.text == (
        "4 images: the same class for 75.0%, probabilities at most 0.35 apart"
    )


def test_encoders_agree_on_directions():
    found = agreement(
        pairs(
            "features",
            ([1.0, 0.0], [3.0, 0.0]),
            ([1.0, 0.0], [0.0, 2.0]),
            ([0.0, 0.0], [0.0, 0.0]),
        )
    )
    assert found.same == pytest.approx(1 / 3)
    assert "cosine similarity 0.3333" in found.text


def test_it_ends_in_time():
    rows = pairs("features", *[([1.0], [1.0])] * 9)
    assert agreement(rows, seconds=-1.0).images == 1
    assert len(list(rows)) == 8, "the rest was computed"
    assert agreement(iter(())) is None
