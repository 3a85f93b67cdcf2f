"""The step of ResNet-18 at 32x32 as it would be written straight down.

    python benchmarks/speed/against/unfused_float32.py

Our own network in float32, but with TensorFlow's convolutions throughout,
batch norm formed from moments by single operations, and views made image by
image by the graph of `benchmarks/lib/per_image_views.py`. From end to end;
prints `pairs/s: X` per repeat.
"""

import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))

from benchmarks.lib.pretraining_step import configuration, pretraining
from benchmarks.lib.timing import add_timing_options, print_rates
from tf_simclr import process


def write_down_straight() -> None:
    """Makes every batch norm of this process one of single operations, and
    every convolution TensorFlow's own."""
    import tensorflow as tf

    from tf_simclr.models import layers
    from tf_simclr.models.batch_norm import BatchNorm

    layers.convolve = tf.nn.conv2d

    def unfused(self, inputs, training):
        return self._plain(inputs, training, local=True)

    BatchNorm._fused = unfused


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--flags",
        default="--resnet_depth=18 --image_size=32 --train_batch_size=256"
        " --learning_rate=1 --weight_decay=1e-4 --temperature=0.5",
    )
    add_timing_options(parser)
    arguments = parser.parse_args()
    process.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from benchmarks.lib.per_image_views import per_image_dataset
    from tf_simclr.training.step import make_replica_step

    write_down_straight()
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(f"{arguments.flags} --precision=float32", folder)
        _, task = pretraining(config)
        with np.load(f"{folder}/images.npz") as archive:
            images = archive["x_train"]
    views = per_image_dataset(images, config.data.image_size, task.batch_size)
    iterator = iter(views)
    step = make_replica_step(task.method)

    @tf.function
    def take(count: tf.Tensor) -> tf.Tensor:
        losses = tf.constant(0.0)
        for _ in tf.range(count):
            first, second = next(iterator)
            losses += step({"view1": first, "view2": second})["total_loss"]
        return losses

    print_rates(
        lambda count: float(take(tf.constant(count))),
        arguments.steps,
        arguments.repeats,
        task.batch_size,
    )


if __name__ == "__main__":
    main()
