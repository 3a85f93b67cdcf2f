"""Making a view of an image, for training and for evaluation."""

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.color import (
    from_planes,
    has_size,
    image_sizes,
    to_planes,
)
from tf_simclr.data.augment.crop import center_crop_boxes, whole_boxes
from tf_simclr.data.augment.framing import (
    ORIGINAL_FRAMING,
    WHOLE_IMAGE_SIZE,
    Framing,
)
from tf_simclr.data.augment.keys import view_keys
from tf_simclr.data.augment.make import draw, draw_boxes, make_views
from tf_simclr.data.augment.resize import (
    crop_and_resize_image,
    crop_and_resize_planes,
)


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


def evaluation_view(
    images: tf.Tensor, image_size: int, framing: Framing = ORIGINAL_FRAMING
) -> tf.Tensor:
    """The view that a model is evaluated on, by default the original's.

    An image that has the right size already stays as it is. Otherwise, above
    32 pixels, the central 87.5 % of the image are resized; up to 32 pixels
    (CIFAR) the whole image is.

    Args:
      images: (B, H, W, 3), uint8 or float32 in [0, 1].
      image_size: S, the side of the view.
      framing: what is seen of an image instead, and how it is shrunk.

    Returns:
      float32 (B, S, S, 3) in [0, 1].
    """
    planes = to_planes(images)
    if not has_size(planes, image_size):
        if not framing.crops_as_original:
            images = tf.image.convert_image_dtype(images, tf.float32)
            views = _framed(images, image_size, framing)
            return tf.clip_by_value(views, 0.0, 1.0)
        boxes = _evaluation_boxes(*image_sizes(planes), image_size, framing)
        planes = crop_and_resize_planes(planes, boxes, image_size, image_size)
    return from_planes(tf.clip_by_value(planes, 0.0, 1.0))


def evaluation_image(
    image: tf.Tensor, image_size: int, framing: Framing = ORIGINAL_FRAMING
) -> tf.Tensor:
    """`evaluation_view` of one image of any size.

    Args:
      image: uint8 (H, W, 3), such as `decode_image` returns.
      image_size: S, the side of the view.
      framing: as of `evaluation_view`.

    Returns:
      float32 (S, S, 3) in [0, 1].
    """
    height, width = tf.unstack(tf.shape(image)[:2])

    def resized() -> tf.Tensor:
        if not framing.crops_as_original:
            pixels = tf.cast(image, tf.float32)[tf.newaxis]
            return _framed(pixels, image_size, framing)[0] * (1 / 255)
        boxes = _evaluation_boxes(
            height[None], width[None], image_size, framing
        )
        box = tf.cast(boxes[0], tf.int32)
        return crop_and_resize_image(image, box, image_size) * (1 / 255)

    view = tf.cond(
        (height == image_size) & (width == image_size),
        lambda: tf.image.convert_image_dtype(image, tf.float32),
        resized,
    )
    view = tf.ensure_shape(view, (image_size, image_size, 3))
    return tf.clip_by_value(view, 0.0, 1.0)


def _framed(images: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    """Views (N, S, S, C) of images float32 (N, H, W, C) of one size."""
    if framing.crop == "pad":
        return framing.padded(images, size)
    height, width = tf.unstack(tf.shape(images)[1:3])
    boxes = _evaluation_boxes(height[None], width[None], size, framing)
    y, x, box_height, box_width = tf.unstack(tf.cast(boxes[0], tf.int32))
    crops = images[:, y : y + box_height, x : x + box_width]
    views = framing.resize(crops, size, size)
    return tf.ensure_shape(views, (None, size, size, None))


def _evaluation_boxes(
    heights: tf.Tensor,
    widths: tf.Tensor,
    image_size: int,
    framing: Framing,
) -> tf.Tensor:
    """Boxes that evaluation sees: float32 (B, 4)."""
    if framing.crop == "center" and image_size > WHOLE_IMAGE_SIZE:
        return center_crop_boxes(heights, widths, image_size, image_size)
    return whole_boxes(heights, widths)
