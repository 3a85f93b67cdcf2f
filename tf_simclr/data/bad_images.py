"""Images that cannot be read: refused, left out, or named by a failed step."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.scan import first_bad_image
from tf_simclr.data.sources.source import Source
from tf_simclr.errors import DataFailed, UserError, at_most

# Names in one message; more are counted.
_SHOWN = 1000


def check_bad_images(source: Source, dataset: str, config: DataConfig) -> None:
    """Refuses a source with bad images, or with too many of them.

    Args:
      source: was scanned, or at least listed.
      dataset: names it in error messages.
      config: `bad_images` and `bad_images_max_share`.

    Raises:
      UserError: names every bad image (up to a thousand).
    """
    bad, total = source.bad, len(source)
    if not bad:
        return
    if len(bad) == total and set(bad.values()) == {"does not exist"}:
        first = next(iter(source.splits.values()))
        raise UserError(
            f"None of the {total} images that {dataset} names exists, such as"
            f" {first.pixels.path(0)}: paths are relative to the folder that"
            " the list lies in."
        )
    if config.bad_images == "fail":
        raise UserError(
            f"{len(bad)} of the {total} images of {dataset} cannot be read:"
            f" {_names(bad)}. Mend or remove them, or leave them out with"
            " --bad_images=skip."
        )
    if len(bad) > config.bad_images_max_share * total:
        raise UserError(
            f"{len(bad)} of the {total} images of {dataset} cannot be read,"
            " more than the share that may be skipped,"
            f" --bad_images_max_share={config.bad_images_max_share:g}:"
            f" {_names(bad)}."
        )


def without_bad_images(source: Source) -> dict[str, ImageSet]:
    """The splits without their bad images; without splits of nothing else."""
    if not source.bad:
        return dict(source.splits)
    kept = {}
    for split, images in source.splits.items():
        good = np.array([name not in source.bad for name in images.ids])
        if good.all():
            kept[split] = images
        elif good.any():
            kept[split] = images.take(np.flatnonzero(good))
    return kept


def _names(bad: Mapping[str, str]) -> str:
    problems = [f"{name} {why}" for name, why in bad.items()]
    return at_most(_SHOWN, problems, separator="; ", before_rest="; and ")


# What reading and decoding end in; devices out of memory do not.
_READ_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def naming_bad_images(*image_sets: ImageSet | None) -> Iterator[None]:
    """Looks for a bad image when the block fails.

    Decoding operations do not say which image they fail on, and saying it
    for every image would cost every image something; so the images are
    looked at once more, only then.

    Args:
      image_sets: the images that the block reads.

    Raises:
      DataFailed: names an image that can no longer be read.
    """
    try:
        yield
    except _READ_ERRORS as error:
        for images in image_sets:
            if images is None or isinstance(images.pixels, ArrayPixels):
                continue
            found = first_bad_image(images)
            if found is not None:
                raise DataFailed(
                    f"{' '.join(found)}. Mend it and give the same command"
                    " again; a run in training continues from its last"
                    " checkpoint."
                ) from error
        raise
