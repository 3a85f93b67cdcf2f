"""Features of the training images, from wherever a flag says."""

import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from tf_simclr.config.run import Config
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_images
from tf_simclr.evaluation.feature_file import (
    FeatureFile,
    features_of,
    open_features,
)
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.files import replacing
from tf_simclr.modes.embed import FEATURES_FILE
from tf_simclr.modes.loaded import load_network
from tf_simclr.modes.prepare import index_folders, say_notices
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.progress import Counter, say

# Without a network: so many principal components of thumbnails of so many
# pixels a side, found from so many images.
_COMPONENTS, _SIDE, _SAMPLE = 64, 16, 10_000


@dataclasses.dataclass(frozen=True)
class ImageFeatures:
    """The training images with their features.

    Attributes:
      images: in the order of the data set.
      features: (N, d) floats, which may be memory-mapped.
      source: what the features are of, for a person; two equal ones are of
        the same weights.
      config: with the data flags of the run whose features they are.
    """

    images: ImageSet
    features: np.ndarray
    source: str
    config: Config


def image_features(config: Config, known_source: str = "") -> ImageFeatures:
    """Opens the training images of `config` and finds their features.

    They are those of --features, of the network in --checkpoint, or principal
    components of thumbnails, and are left in `features.npz` of `model_dir`.

    Args:
      config: names them.
      known_source: of what that file holds features already; '' if it is not
        there.

    Raises:
      UserError: images, weights or features cannot be used.
    """
    path = os.path.join(config.run.model_dir, FEATURES_FILE)
    if config.labels.features:
        images = _open(config)
        source = os.path.abspath(config.labels.features)
        features = features_of(config.labels.features, images.ids)
        parts = _parts(features)
    elif config.objective.checkpoint:
        loaded = load_network(config)
        config = loaded.config
        check_stored_images(config, loaded.stored)
        images = _open(config)
        stored = loaded.stored
        source = _source_of(stored.path, stored.step)
        predict = Predictor(
            loaded.network,
            ["features"],
            image_size=loaded.image_size(images),
            batch_size=config.data.eval_batch_size,
        )
        parts = (found["features"] for _, found in predict.stream(images))
    else:
        images = _open(config)
        source = "thumbnails"
        say(
            "without --checkpoint, images are compared by their thumbnails,"
            " which say little about what they show: pretrain first for far"
            " better choices"
        )
        parts = _thumbnails(images, config.data.eval_batch_size)
    if source == known_source:
        ids, features = open_features(path)
        if ids == images.ids:
            return ImageFeatures(images, features, source, config)
    _write(path, images, parts)
    _, features = open_features(path)
    return ImageFeatures(images, features, source, config)


def _source_of(path: str, step: int) -> str:
    """Names weights, so that others in their place have another name."""
    path = os.path.abspath(path)
    index = f"{path}.index"
    written = os.stat(index if os.path.exists(index) else path).st_mtime_ns
    return f"{path}, step {step}, written {written}"


def _open(config: Config) -> ImageSet:
    images, notices = open_images(
        config.data, config.data.train_split, index_folders(config)
    )
    say_notices(config, notices)
    return images


def _parts(features: np.ndarray) -> Iterator[np.ndarray]:
    step = 16_384
    return (features[at : at + step] for at in range(0, len(features), step))


def _thumbnails(images: ImageSet, batch_size: int) -> Iterator[np.ndarray]:
    from sklearn.decomposition import PCA

    def rows(some: ImageSet) -> Iterator[np.ndarray]:
        for batch in evaluation_batches(some, batch_size, _SIDE):
            yield batch["image"].numpy().reshape(len(batch["label"]), -1)

    places = np.random.default_rng(0).permutation(len(images))[:_SAMPLE]
    sample = np.concatenate(list(rows(images.take(np.sort(places)))))
    count = min(_COMPONENTS, *sample.shape)
    model = PCA(count, random_state=0).fit(sample)
    return (model.transform(part).astype(np.float32) for part in rows(images))


def _write(path: str, images: ImageSet, parts: Iterator[np.ndarray]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    id_type = f"U{max(map(len, images.ids))}"
    start, counter = 0, Counter(len(images))
    with replacing(path) as temporary:
        file = FeatureFile(os.path.dirname(temporary), len(images))
        for part in parts:
            stop = start + len(part)
            ids = np.array(images.ids[start:stop], id_type)
            file.append({"ids": ids, "features": part})
            counter.add(len(part))
            start = stop
        file.pack(temporary)
