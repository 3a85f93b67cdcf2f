"""What a network is scored with."""

import types

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.evaluation import evaluate


class Eyes:
    """Features that are the classes; notes what it sees."""

    seen: list[ImageSet] = []

    def __init__(self, network, names, **_):
        pass

    def __call__(self, images: ImageSet) -> dict[str, np.ndarray]:
        self.seen.append(images)
        features = np.eye(4, dtype=np.float32)[images.labels]
        return {"final_avg_pool": features, "label": images.labels}


def sorted_by_class(count: int) -> ImageSet:
    labels = np.sort(np.arange(count) % 4).astype(np.int32)
    ids = tuple(map(str, range(count)))
    pixels = ArrayPixels(np.zeros([count, 2, 2, 3], np.uint8))
    return ImageSet("train", pixels, labels, tuple("abcd"), ids)


def test_neighbours_are_of_all_classes(monkeypatch):
    monkeypatch.setattr(evaluate, "Predictor", Eyes)
    monkeypatch.setattr(evaluate, "MAX_REFERENCES", 100)
    evaluator = evaluate.pretraining_evaluator(
        types.SimpleNamespace(classifier=None),
        sorted_by_class(40),
        sorted_by_class(1000),
        DataConfig(eval_steps=1, eval_batch_size=20),
    )
    assert evaluator() == {"eval/knn_top_1_accuracy": 1.0}
    # --eval_steps is for what is scored, not for what it is compared with.
    assert [len(images) for images in Eyes.seen] == [20, 100]
