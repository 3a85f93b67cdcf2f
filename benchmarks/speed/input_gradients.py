"""The gradient of a convolution by its inputs, in oneDNN's form and flipped.

    python benchmarks/speed/input_gradients.py

For layers of ResNets in float32, milliseconds of the convolution itself, of
its gradient by the inputs as TensorFlow computes it, and of the same sums as a
convolution with the flipped kernel (`models/small_maps.py`): medians of several
repeats, the forms in turn. Prints a table, and writes it with all figures as
OUTPUT.json.
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.results import this_command, write_results

# Images, side, channels in and out, size of the kernel.
SHAPES = (
    (256, 12, 16, 16, 3),
    (256, 6, 32, 32, 3),
    (256, 3, 64, 64, 3),
    (256, 2, 128, 128, 3),
    (128, 32, 64, 64, 3),
    (128, 16, 128, 128, 3),
    (128, 8, 256, 256, 3),
    (128, 4, 512, 512, 3),
    (16, 56, 64, 64, 3),
    (16, 56, 64, 256, 1),
    (32, 14, 1024, 256, 1),
    (32, 7, 512, 2048, 1),
)
FORMS = ("convolution", "native", "flipped")


def forms(shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Functions that compute one layer in each form, once."""
    import tensorflow as tf

    images, side, channels, outputs, size = shape
    inputs = tf.random.normal([images, side, side, channels])
    upstream = tf.random.normal([images, side, side, outputs])
    kernel = tf.random.normal([size, size, channels, outputs])

    @tf.function
    def convolution():
        return tf.nn.conv2d(inputs, kernel, 1, "SAME")

    @tf.function
    def native():
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=inputs.shape,
            filter=kernel,
            out_backprop=upstream,
            strides=[1] * 4,
            padding="SAME",
        )

    @tf.function
    def flipped():
        back = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
        return tf.nn.conv2d(upstream, back, 1, "SAME")

    return dict(zip(FORMS, (convolution, native, flipped), strict=True))


def measure(shape: tuple[int, ...], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each form, `repeats` times."""
    functions = forms(shape)
    for function in functions.values():
        function()
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            function().numpy()
            found[name].append(1000 * (time.perf_counter() - started))
    return found


def table(results: list[dict]) -> str:
    """Markdown: a row for each layer."""
    lines = [
        "| map | channels | kernel | layer | gradient | flipped | times |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in results:
        _, side, channels, outputs, size = row["shape"]
        medians = [statistics.median(row["milliseconds"][n]) for n in FORMS]
        cells = " | ".join(f"{value:.1f}" for value in medians)
        lines.append(
            f"| {side}x{side} | {channels} to {outputs} | {size}x{size} |"
            f" {cells} | {medians[1] / medians[2]:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", default="runs/input_gradients.json")
    arguments = parser.parse_args()
    results = [
        {"shape": shape, "milliseconds": measure(shape, arguments.repeats)}
        for shape in SHAPES
    ]
    record = {
        "command": this_command(),
        "hardware": hardware(),
        "results": results,
    }
    write_results(arguments.output, record, table(results))
    print(table(results))


if __name__ == "__main__":
    main()
