"""Images, their labels, and the batches that training takes."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def views(
    images: Any,
    *,
    image_size: int,
    batch_size: int,
    steps: int | None = None,
    augment: Any = None,
    seed: int = 0,
    contrastive: bool = True,
) -> "tf.data.Dataset":
    """Training batches of augmented views, for a loop of one's own.

    They are the batches of a run with the same seed, augmentation and number
    of steps, except that a run hides the labels outside its labelled subset.

    Args:
      images: what `--dataset` takes (a folder, an .npz or .csv file, `digits`,
        ...), whose training split is read; or an `ImageSet`; or an array
        (N, H, W, 3), uint8 or floats in [0, 1].
      image_size: side of a view in pixels.
      batch_size: images per batch.
      steps: how many batches; None: one epoch, its rest dropped.
      augment: an `AugmentConfig`; None: the defaults of pretraining.
      seed: keys order and augmentation.
      contrastive: True for two views, `view1` and `view2`; False for one,
        `image`.

    Returns:
      A dataset of {view: float32 (batch_size, image_size, image_size, 3) in
      [0, 1], `label`: int32 (batch_size,), -1 where unknown, `index`: int64
      (batch_size,), equal for equal images}.

    Raises:
      UserError: there are no such images, or fewer than a batch holds.
      DataFailed: an image cannot be read.
    """
    from tf_simclr.config.augment import AugmentConfig
    from tf_simclr.config.data import DataConfig
    from tf_simclr.data.array_batches import keep_decoded
    from tf_simclr.data.bad_images import naming_bad_images
    from tf_simclr.data.batches import TrainingBatches
    from tf_simclr.data.same_image import with_equal_found
    from tf_simclr.data.sources.image_set import ImageSet, image_set_of_array
    from tf_simclr.data.sources.open import open_dataset
    from tf_simclr.errors import UserError

    if not isinstance(images, ImageSet):
        if hasattr(images, "__array__"):
            images = image_set_of_array(images)
        else:
            config = DataConfig(
                dataset=os.fspath(images), image_size=image_size
            )
            images = open_dataset(config).train
    if batch_size > len(images):
        raise UserError(
            f"batch_size must be at most the {len(images)} images there are."
            f" Received: {batch_size}"
        )
    if contrastive:
        # Before they are decoded: an image file is known by where it lies.
        images = with_equal_found(images)
    with naming_bad_images(images):
        images = keep_decoded(images, wanted=False)
    batches = TrainingBatches(
        images,
        augment or AugmentConfig(),
        image_size,
        seed,
        contrastive=contrastive,
    )
    count = len(images) // batch_size if steps is None else steps
    return batches.dataset(batch_size, 0, count).map(batches.views)
