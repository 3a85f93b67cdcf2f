"""Common parts of exports for ONNX and TFLite: the functions they compute,
their comparison with the network, and their description.

Beside the model, which gives vectors and is not trained, lies one that makes
its images from pixels of any size, and `preprocess.py`, which reads files for
both.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.data.augment.policy import evaluation_image
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.errors import UserError
from tf_simclr.files import write_text
from tf_simclr.progress import say
from tf_simclr.weights.export.agreement import (
    LEAST,
    Agreement,
    agreement_on_files,
)
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.export.hub_module import HubModule, make_hub_module
from tf_simclr.weights.export.model_card import CARD_FILE, model_card
from tf_simclr.weights.export.portable_view import portable_view
from tf_simclr.weights.export.preprocess_script import (
    SCRIPT_FILE,
    preprocess_script,
)
from tf_simclr.weights.export.saved_model import LABELS_FILE, write_labels
from tf_simclr.weights.export.verify import TOLERANCE, compare

# What one message of Protocol Buffers, one buffer of TFLite may hold.
_LARGEST = 2**31
# Evaluation views, each float32 (1, S, S, 3).
Images = Sequence[np.ndarray]
# An array -> outputs, by name.
Model = Callable[[np.ndarray], Mapping[str, np.ndarray]]
OUTPUTS = ("features", "projection", "logits", "probabilities")


def vector_function(source: Exportable) -> tuple[HubModule, Any]:
    """The module, and a function from float32 `images` (N, S, S, 3) in
    [0, 1], made by the evaluation view, to those of `OUTPUTS` there are."""
    module = make_hub_module(source)
    size = source.image_size

    def vectors(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = module.functions.outputs(images)
        # Identities keep apart what is one tensor under two names.
        return {
            name: tf.identity(outputs[name])
            for name in OUTPUTS
            if name in outputs
        }

    spec = tf.TensorSpec([None, size, size, 3], tf.float32, "images")
    return module, tf.function(vectors, input_signature=[spec])


def view_function(source: Exportable) -> Any:
    """A function from uint8 `pixels` (N, H, W, 3) of any size to `images`,
    the evaluation view float32 (N, S, S, 3) in [0, 1]."""

    def view(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        size = source.image_size
        return {"images": portable_view(pixels, size, source.framing)}

    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")
    return tf.function(view, input_signature=[spec], autograph=False)


def probe_images(source: Exportable) -> np.ndarray:
    """Random images (n, S, S, 3) to compare runtimes on."""
    size = source.image_size
    return np.random.default_rng(0).random((3, size, size, 3), np.float32)


def check_size(source: Exportable, export_format: str) -> None:
    """Refuses a network that is too large for a model's one file.

    Raises:
      UserError: names both sizes, and the ways out.
    """
    size = 4 * source.network.count_params()
    if size > _LARGEST:
        raise UserError(
            f"--export_format={export_format} writes files of at most"
            f" {_LARGEST / 2**30:.0f} GiB, and this network takes"
            f" {size / 2**30:.1f} GiB: distill it into a smaller one, or leave"
            " the flag out for a SavedModel."
        )


def compare_vectors(
    source: Exportable,
    partial: str,
    function: Any,
    load: Callable[[str], Model],
    name: str,
    tolerance: float = TOLERANCE,
) -> None:
    """Compares a model's outputs with the network's, on random images."""
    path, images = os.path.join(partial, name), probe_images(source)
    expected = function(tf.constant(images))
    compare(
        {key: value.numpy() for key, value in expected.items()},
        load(path)(images),
        path,
        tolerance,
    )


def compare_views(
    source: Exportable, partial: str, load: Callable[[str], Model], name: str
) -> None:
    """Compares views with evaluation's, of images larger and smaller."""
    path, size = os.path.join(partial, name), source.image_size
    model, random = load(path), np.random.default_rng(0)
    for shape in ((3 * size + 1, 2 * size), (size - size // 3, size)):
        pixels = random.integers(0, 256, (*shape, 3), np.uint8)
        view = evaluation_image(tf.constant(pixels), size, source.framing)
        found = model(pixels[np.newaxis])
        compare({"images": view.numpy()[np.newaxis]}, found, path)


def describe(
    source: Exportable,
    partial: str,
    export_format: str,
    module: HubModule,
    images: ImageSet | None,
    lines: list[str],
) -> None:
    """Writes class names, `preprocess.py` and the card, which has `lines` and
    how far that script leads to the network's own answers."""
    if source.class_names:
        write_labels(os.path.join(partial, LABELS_FILE), source)
    script = preprocess_script(source, export_format)
    write_text(os.path.join(partial, SCRIPT_FILE), script)
    if images is not None:
        found = agreement_on_files(module.functions, partial, images)
        what = f"{SCRIPT_FILE} and TensorFlow, split {images.name}"
        lines = [*lines, said(what, found)]
    card = model_card(source, export_format, lines)
    write_text(os.path.join(partial, CARD_FILE), card)


def said(what: str, found: Agreement | None) -> str:
    """Prints the agreement of two models, and returns that line."""
    line = f"{what}: {found.text if found else 'no image can be read'}"
    say(line)
    if found and found.same < LEAST:
        say(
            f"notice     {found.same:.1%} is less than {LEAST:.0%}: score the"
            " exported model before you use it"
        )
    return line
