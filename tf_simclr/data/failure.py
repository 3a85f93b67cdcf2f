"""From an error of a TensorFlow operation to the image that caused it."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.scan import first_bad_image
from tf_simclr.errors import DataFailed

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
