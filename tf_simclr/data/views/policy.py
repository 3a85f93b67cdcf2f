"""How a view is made from an image: for training and for evaluation."""

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.views.color import (
    from_planes,
    has_size,
    image_sizes,
    to_planes,
)
from tf_simclr.data.views.crop import center_crop_boxes, whole_boxes
from tf_simclr.data.views.keys import view_keys
from tf_simclr.data.views.make import draw, draw_boxes, make_views
from tf_simclr.data.views.resize import (
    crop_and_resize_image,
    crop_and_resize_planes,
)

# Images up to this size are evaluated whole (CIFAR), larger ones cropped.
_WHOLE_IMAGE_SIZE = 32


def two_views(
    images: tf.Tensor,
    epochs: tf.Tensor,
    ids: tf.Tensor,
    seed: int,
    config: AugmentConfig,
    image_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two random views of every image, for contrastive learning.

    Args:
      images: (B, H, W, 3), uint8 or float32 in [0, 1].
      epochs: int64 (B,), the pass over the data that each image belongs to.
      ids: int64 (B,), which image of the data set each one is.
      seed: the run's seed.
      config: which parts of the augmentation are on, and how strong.
      image_size: S, the side of the views.

    Returns:
      Two float32 tensors (B, S, S, 3) in [0, 1].
    """
    first, second = (
        training_view(
            images, view_keys(seed, epochs, ids, view), config, image_size
        )
        for view in (0, 1)
    )
    return first, second


def training_view(
    images: tf.Tensor, keys: tf.Tensor, config: AugmentConfig, image_size: int
) -> tf.Tensor:
    """One random view of every image.

    Crop and resize, flip, affine, color jitter, grayscale, clip, blur: the
    original release's order. The affine part is an addition. A part that is
    switched off costs nothing.

    Args:
      images: (B, H, W, 3), uint8 or float32 in [0, 1].
      keys: uint64 (B,), from `view_keys`.
      config: which parts of the augmentation are on, and how strong.
      image_size: S, the side of the view.

    Returns:
      float32 (B, S, S, 3) in [0, 1].
    """
    planes = to_planes(images)
    boxes = draw_boxes(keys, *image_sizes(planes), config.crop_min_area)
    return make_views(planes, boxes, draw(keys, config), config, image_size)


def evaluation_view(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """The view that a model is evaluated on, as in the original release.

    An image that has the right size already stays as it is. Otherwise, above
    32 pixels, the central 87.5 % of the image are resized; up to 32 pixels
    (CIFAR) the whole image is.

    Args:
      images: (B, H, W, 3), uint8 or float32 in [0, 1].
      image_size: S, the side of the view.

    Returns:
      float32 (B, S, S, 3) in [0, 1].
    """
    planes = to_planes(images)
    if not has_size(planes, image_size):
        boxes = _evaluation_boxes(*image_sizes(planes), image_size)
        planes = crop_and_resize_planes(planes, boxes, image_size, image_size)
    return from_planes(tf.clip_by_value(planes, 0.0, 1.0))


def evaluation_image(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """`evaluation_view` of one image of any size.

    Args:
      image: uint8 (H, W, 3), such as `decode_image` returns.
      image_size: S, the side of the view.

    Returns:
      float32 (S, S, 3) in [0, 1].
    """
    height, width = tf.unstack(tf.shape(image)[:2])

    def resized() -> tf.Tensor:
        boxes = _evaluation_boxes(height[None], width[None], image_size)
        box = tf.cast(boxes[0], tf.int32)
        return crop_and_resize_image(image, box, image_size) * (1 / 255)

    view = tf.cond(
        (height == image_size) & (width == image_size),
        lambda: tf.image.convert_image_dtype(image, tf.float32),
        resized,
    )
    view = tf.ensure_shape(view, (image_size, image_size, 3))
    return tf.clip_by_value(view, 0.0, 1.0)


def _evaluation_boxes(
    heights: tf.Tensor, widths: tf.Tensor, image_size: int
) -> tf.Tensor:
    """What of each image is evaluated: float32 (B, 4)."""
    if image_size > _WHOLE_IMAGE_SIZE:
        return center_crop_boxes(heights, widths, image_size, image_size)
    return whole_boxes(heights, widths)
