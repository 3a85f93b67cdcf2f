"""The images of a split that an evaluation scores."""

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet, id_hashes
from tf_simclr.evaluation.predict import names_of

_SALT = "evaluation"


@dataclasses.dataclass(frozen=True)
class EvaluationSample:
    """The images of a split that are scored.

    Attributes:
      images: the images that are scored, all labelled, in the split's order.
      total: how many images the split has.
    """

    images: ImageSet
    total: int

    @property
    def text(self) -> str:
        """Words such as '1,000 of 50,000', or '50,000' where all are scored."""
        return of_total(len(self.images), self.total)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Equal for the same images with the same classes, in any order.

        Scores of other images cannot be compared.

        Returns:
          `images`: their number; `digest`: of ids and class names.
        """
        labels = self.images.labels
        names = names_of(self.images.class_names, labels.max(initial=-1) + 1)
        pairs = zip(self.images.ids, labels.tolist(), strict=True)
        # Names of files cannot hold a zero.
        lines = sorted(f"{name}\0{names[label]}" for name, label in pairs)
        digest = hashlib.blake2b("\0\0".join(lines).encode(), digest_size=8)
        return {"images": len(self.images), "digest": digest.hexdigest()}


def evaluation_sample(images: ImageSet, config: DataConfig) -> EvaluationSample:
    """All labelled images or, with `--eval_steps`, some from all over.

    Which ones depends on ids alone: neither on the order of the
    images, which may be sorted by class, nor on a seed of the run.

    Args:
      images: the evaluation split.
      config: `eval_steps` batches of `eval_batch_size` are scored.
    """
    limit = config.eval_steps * config.eval_batch_size or len(images)
    chosen = labelled_sample(images, limit)
    every = len(chosen) == len(images)
    return EvaluationSample(
        images if every else images.take(chosen), len(images)
    )


def labelled_sample(images: ImageSet, limit: int) -> np.ndarray:
    """Ascending positions (n,) of n <= `limit` labelled images, drawn by id."""
    labelled = np.flatnonzero(images.labels != UNLABELLED)
    if len(labelled) <= limit:
        return labelled
    hashes = id_hashes((images.ids[index] for index in labelled), _SALT)
    return np.sort(labelled[np.argsort(hashes, kind="stable")[:limit]])


def of_total(count: int, total: int) -> str:
    """Words such as '3 of 7', or '7' where both are."""
    return f"{count:,}" if count == total else f"{count:,} of {total:,}"
