"""Forms of one convolution and of its gradients, compared.

    python benchmarks/speed/convolutions.py --output=runs/convolutions

For each shape of map and both number formats: what TensorFlow does itself
("native"), images side by side, and matrix products (of shifted maps for the
kernel's gradient, of patches otherwise). Shapes are those of ResNet-18 at
32x32 (512 views), of the digits recipe's networks and of ResNet-50 at 224.
The least of each row is marked; `tf_simclr/models/small_maps.py` takes its
limits from here. Milliseconds, medians of --repeats; the results go to
OUTPUT.json and OUTPUT.md.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

from benchmarks.lib.hardware import as_line, hardware
from benchmarks.lib.results import write_results
from tf_simclr.models import small_maps

# (images, side of the map that comes in, channels in, out, kernel, stride).
SHAPES = {
    "ResNet-18 at 32": [
        (512, 32, 64, 64, 3, 1),
        (512, 34, 64, 128, 3, 2),
        (512, 16, 128, 128, 3, 1),
        (512, 18, 128, 256, 3, 2),
        (512, 8, 256, 256, 3, 1),
        (512, 10, 256, 512, 3, 2),
        (512, 4, 512, 512, 3, 1),
        (512, 32, 64, 128, 1, 2),
        (512, 16, 128, 256, 1, 2),
        (512, 8, 256, 512, 1, 2),
    ],
    "digits": [
        (256, 12, 16, 16, 3, 1),
        (256, 6, 32, 32, 3, 1),
        (256, 3, 64, 64, 3, 1),
        (256, 2, 128, 128, 3, 1),
        (128, 3, 32, 32, 3, 1),
        (128, 2, 64, 64, 3, 1),
    ],
    "ResNet-50 at 224": [
        (32, 56, 64, 64, 3, 1),
        (32, 28, 128, 128, 3, 1),
        (32, 14, 256, 256, 3, 1),
        (32, 7, 512, 512, 3, 1),
        (32, 56, 64, 256, 1, 1),
        (32, 28, 512, 128, 1, 1),
        (32, 14, 1024, 256, 1, 1),
        (32, 7, 2048, 512, 1, 1),
        (32, 7, 512, 2048, 1, 1),
    ],
}
Form = Callable[..., tf.Tensor]


def forms(shape: tuple[int, ...]) -> dict[str, dict[str, Form]]:
    """{result: {form: function of inputs, kernel, upstream gradient}}."""
    images, _, channels, outputs, size, strides = shape
    padding = "SAME" if strides == 1 else "VALID"

    def wide(count: int) -> dict[str, Form]:
        def forward(inputs, kernel, upstream):
            row = small_maps._side_by_side(inputs, count)
            row = tf.nn.conv2d(row, kernel, strides, padding)
            return small_maps._apart(row, count)

        def to_inputs(inputs, kernel, upstream):
            return small_maps._to_inputs(
                inputs, kernel, upstream, strides, padding, count
            )

        return {"forward": forward, "to inputs": to_inputs}

    def native_to_kernel(*tensors):
        return small_maps._native_to_kernel(*tensors, strides, padding)

    def products(*tensors):
        return small_maps._by_products(*tensors, strides, padding)

    def wide_to_kernel(inputs, kernel, upstream):
        return small_maps._native_to_kernel(
            small_maps._side_by_side(inputs, 16),
            kernel,
            small_maps._side_by_side(upstream, 16),
            strides,
            padding,
        )

    def patches(inputs, kernel, upstream):
        seen = tf.image.extract_patches(
            inputs,
            [1, size, size, 1],
            [1, strides, strides, 1],
            [1, 1, 1, 1],
            padding,
        )
        product = tf.matmul(
            tf.reshape(seen, [-1, size * size * channels]),
            tf.reshape(kernel, [-1, outputs]),
        )
        return tf.reshape(product, upstream.shape)

    native = wide(1)
    found = {
        "forward": {"native": native["forward"], "products": patches},
        "to inputs": {"native": native["to inputs"]},
        "to kernel": {"native": native_to_kernel, "products": products},
    }
    if (size, strides) == (3, 1) and images % 16 == 0:
        for result, form in wide(16).items():
            found[result]["side by side"] = form
        found["to kernel"]["side by side"] = wide_to_kernel
    return found


def milliseconds(form: Form, tensors: list[tf.Tensor], repeats: int) -> float:
    """Median time of one form."""
    function = tf.function(form)
    for _ in range(2):
        function(*tensors)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(*tensors)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def measure(shape: tuple[int, ...], dtype: tf.DType, repeats: int) -> dict:
    """{result: {form: milliseconds}} of one shape."""
    images, side, channels, outputs, size, strides = shape
    small = side if strides == 1 else (side - size) // strides + 1

    def random(*sizes: int) -> tf.Tensor:
        return tf.cast(tf.random.stateless_normal(sizes, [0, 0]), dtype)

    tensors = [
        random(images, side, side, channels),
        random(size, size, channels, outputs),
        random(images, small, small, outputs),
    ]
    return {
        result: {
            name: milliseconds(form, tensors, repeats)
            for name, form in candidates.items()
        }
        for result, candidates in forms(shape).items()
    }


def as_markdown(results: list[dict], machine: dict) -> str:
    """All results as one table."""
    columns = [
        (result, form)
        for result in ("forward", "to inputs", "to kernel")
        for form in ("native", "side by side", "products")
        if (result, form) != ("to inputs", "products")
    ]
    lines = ["# Convolutions, milliseconds", "", as_line(machine), ""]
    lines.append(
        "| network | map | channels | kernel | numbers | "
        + " | ".join(f"{result}, {form}" for result, form in columns)
        + " |"
    )
    lines.append("|---|---|---|---|---|" + "---:|" * len(columns))
    for row in results:
        images, side, channels, outputs, size, strides = row["shape"]
        cells = []
        for result, form in columns:
            found = row["milliseconds"][result]
            text = f"{found[form]:.2f}" if form in found else ""
            least = form in found and found[form] == min(found.values())
            cells.append(f"**{text}**" if least else text)
        lines.append(
            f"| {row['network']} | {images} x {side}x{side} |"
            f" {channels} to {outputs} | {size}x{size} / {strides} |"
            f" {row['dtype']} | " + " | ".join(cells) + " |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures all shapes and writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--networks", nargs="*", default=list(SHAPES))
    parser.add_argument("--dtypes", nargs="*", default=["bfloat16", "float32"])
    parser.add_argument("--output", default="runs/convolutions")
    arguments = parser.parse_args()
    results = []
    for network in arguments.networks:
        for dtype in arguments.dtypes:
            for shape in SHAPES[network]:
                found = measure(shape, tf.as_dtype(dtype), arguments.repeats)
                results.append(
                    {
                        "network": network,
                        "shape": shape,
                        "dtype": dtype,
                        "milliseconds": found,
                    }
                )
    machine = hardware()
    text = as_markdown(results, machine)
    write_results(
        arguments.output, {"hardware": machine, "results": results}, text
    )
    print(text)


if __name__ == "__main__":
    main()
