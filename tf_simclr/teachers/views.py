"""A student's crops as its teacher looks at them: size and range of values."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tf_simclr.methods.job import Job
from tf_simclr.teachers.base import Teacher

# Of torchvision's and timm's networks: mean and deviation of ImageNet.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
# Of tf_keras.applications' "caffe" networks, such as ResNet50 and VGG16: blue,
# green, red around these means of values up to 255.
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def _caffe(images: tf.Tensor) -> tf.Tensor:
    return images[..., ::-1] * 255.0 - _CAFFE_MEAN


# --teacher_range -> from [0, 1] to what the teacher was trained on.
RANGES = {
    "0_1": lambda images: images,
    "-1_1": lambda images: images * 2.0 - 1.0,
    "0_255": lambda images: images * 255.0,
    "imagenet": lambda images: (images - _IMAGENET_MEAN) / _IMAGENET_DEVIATION,
    "caffe": _caffe,
}


def largest_views(job: Job, teachers: Iterable[Teacher]) -> int:
    """Side of the crops that student and teachers share.

    Args:
      job: has the images, and the size of the student's.
      teachers: likewise.

    Returns:
      The largest side that anyone looks at; no larger than all images are,
      where that is known, for no detail is gained by it.
    """
    wanted = job.config.data.image_size
    asked = max([wanted, *(t.image_size or wanted for t in teachers)])
    size = job.images.pixels.size
    if size is not None:
        asked = min(asked, max(*size, wanted))
    return asked


def resized(images: tf.Tensor, size: int | None) -> tf.Tensor:
    """Square images of another size: bilinear, all pixels count.

    Two matrix products, on any device: TensorFlow's own kernel that looks at
    all pixels runs on the host alone.

    Args:
      images: float32 (n, S, S, 3).
      size: side of the result; None: S.

    Returns:
      float32 (n, size, size, 3), as `tf.image.resize(antialias=True)`.
    """
    side = images.shape[1]
    if size is None or size == side:
        return images
    weights = tf.constant(_weights(side, size))
    images = tf.einsum("or,nrcd->nocd", weights, images)
    return tf.einsum("oc,nrcd->nrod", weights, images)


def _weights(side: int, size: int) -> np.ndarray:
    """The matrix float32 (size, side) that resizes one axis."""
    scale = side / size
    # Half the width of the triangle that is laid over the pixels.
    reach = max(scale, 1.0)
    centers = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(side) + 0.5 - centers[:, None]) / reach
    weights = np.maximum(1.0 - distances, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
