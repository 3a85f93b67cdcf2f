"""How a view is made from an image: for training and for evaluation."""

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.views.affine import AFFINE_UNIFORMS, random_affine
from tf_simclr.data.views.blur import BLUR_UNIFORMS, random_blur
from tf_simclr.data.views.color import (
    JITTER_UNIFORMS,
    color_jitter,
    random_grayscale,
)
from tf_simclr.data.views.crop import (
    center_crop_boxes,
    crop_uniform_count,
    random_crop_boxes,
)
from tf_simclr.data.views.flip import draw_flips, mirror
from tf_simclr.data.views.keys import Stream, uniforms, view_keys
from tf_simclr.data.views.planes import from_planes, to_planes
from tf_simclr.data.views.resize import crop_and_resize_planes

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
    planes = to_planes(images)
    first, second = (
        _training_planes(
            planes, view_keys(seed, epochs, ids, view), config, image_size
        )
        for view in (0, 1)
    )
    return from_planes(first), from_planes(second)


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
    return from_planes(_training_planes(planes, keys, config, image_size))


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
    heights, widths = _sizes(planes)
    if not _has_size(planes, image_size):
        if image_size > _WHOLE_IMAGE_SIZE:
            boxes = center_crop_boxes(heights, widths, image_size, image_size)
        else:
            boxes = _whole_boxes(heights, widths)
        planes = crop_and_resize_planes(planes, boxes, image_size, image_size)
    return from_planes(tf.clip_by_value(planes, 0.0, 1.0))


def _training_planes(
    planes: tf.Tensor, keys: tf.Tensor, config: AugmentConfig, image_size: int
) -> tf.Tensor:
    """`training_view` from planes (B, 3, H, W) to planes (B, 3, S, S)."""
    planes = _spatial(planes, keys, config, image_size)
    if config.color_jitter_strength > 0:
        planes = color_jitter(
            planes,
            uniforms(keys, Stream.COLOR_JITTER, JITTER_UNIFORMS),
            config.color_jitter_strength,
            config.color_jitter_probability,
            config.brightness,
        )
        planes = random_grayscale(
            planes,
            uniforms(keys, Stream.GRAYSCALE, 1),
            config.grayscale_probability,
        )
    planes = tf.clip_by_value(planes, 0.0, 1.0)
    if config.use_blur:
        planes = random_blur(
            planes,
            uniforms(keys, Stream.BLUR, BLUR_UNIFORMS),
            config.blur_probability,
            config.blur_sigma,
        )
    return planes


def _spatial(
    planes: tf.Tensor, keys: tf.Tensor, config: AugmentConfig, image_size: int
) -> tf.Tensor:
    """Crop and resize, flip, affine: planes (B, 3, S, S), not clipped."""
    flips = None
    if config.flip_probability > 0:
        draws = uniforms(keys, Stream.FLIP, 1)
        flips = draw_flips(draws, config.flip_probability)
    if config.crop_min_area < 1 or not _has_size(planes, image_size):
        boxes = _training_boxes(planes, keys, config.crop_min_area)
        planes = crop_and_resize_planes(
            planes, boxes, image_size, image_size, flips
        )
    elif flips is not None:
        planes = mirror(planes, flips)
    if config.has_affine:
        images = random_affine(
            from_planes(planes),
            uniforms(keys, Stream.AFFINE, AFFINE_UNIFORMS),
            config.rotate_degrees,
            config.shear_degrees,
            config.translate_fraction,
        )
        planes = to_planes(images)
    return tf.ensure_shape(planes, (None, 3, image_size, image_size))


def _training_boxes(
    planes: tf.Tensor, keys: tf.Tensor, min_area: float
) -> tf.Tensor:
    """Random boxes with a square target, or whole images if min_area is 1."""
    heights, widths = _sizes(planes)
    if min_area == 1:
        return _whole_boxes(heights, widths)
    draws = uniforms(keys, Stream.CROP, crop_uniform_count(min_area))
    return random_crop_boxes(draws, heights, widths, min_area, aspect=1.0)


def _sizes(planes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Heights and widths, float32 (B,) each, of images of one size."""
    batch, _, height, width = tf.unstack(tf.shape(planes))
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    return tf.fill([batch], height), tf.fill([batch], width)


def _whole_boxes(heights: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
    """Boxes (B, 4) that cover the images."""
    zeros = tf.zeros_like(heights)
    return tf.stack([zeros, zeros, heights, widths], axis=1)


def _has_size(planes: tf.Tensor, image_size: int) -> bool:
    """Whether planes are known to be image_size x image_size already."""
    return tuple(planes.shape[2:]) == (image_size, image_size)
