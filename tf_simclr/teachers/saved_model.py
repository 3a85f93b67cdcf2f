"""Teachers from any SavedModel: TensorFlow's, Keras's, TensorFlow Hub's."""

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError, at_most
from tf_simclr.teachers.foreign import ForeignModel, ForeignSource
from tf_simclr.teachers.outputs import chosen_output

SAVED_MODEL_FILE = "saved_model.pb"
_USUAL = "serving_default"
_SHOWN = 8


class _Signature(ForeignModel):
    def __init__(self, function: Any, asked: str, where: str):
        self._function = function
        inputs = function.structured_input_signature[1]
        if len(inputs) != 1:
            raise UserError(
                f"{where} has a signature of {len(inputs)} inputs, not one of"
                " images alone: name another by --teacher_signature. Received:"
                f" {at_most(_SHOWN, sorted(inputs))}"
            )
        ((self._name, spec),) = inputs.items()
        self.dtype, self.image_size = _images(spec, where)
        names = list(function.structured_outputs)
        self._output = chosen_output(names, asked, where)

    def answers(self, images: tf.Tensor) -> tf.Tensor:
        return self._function(**{self._name: images})[self._output]


class _Callable(ForeignModel):
    """A module without signatures, as TensorFlow Hub has them."""

    image_size = None
    dtype = tf.float32

    def __init__(self, module: Any, asked: str, where: str):
        # It is kept, since it holds the variables.
        self._module, self._asked, self._where = module, asked, where

    def answers(self, images: tf.Tensor) -> tf.Tensor:
        found = self._module(images)
        if not isinstance(found, Mapping):
            return found
        return found[chosen_output(list(found), self._asked, self._where)]


class SavedModelSource(ForeignSource):
    """The folder of a SavedModel."""

    def __init__(self, path: str, config: Config):
        super().__init__(path, config)
        self._teacher = config.teacher

    def load(self) -> ForeignModel:
        """The signature that --teacher_signature names, or the usual one."""
        try:
            loaded = tf.saved_model.load(self.path)
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{self._where} cannot be read as a SavedModel: {error}"
            ) from error
        # Its signatures alone do not keep it.
        self._loaded = loaded
        asked, output = (
            self._teacher.teacher_signature,
            self._teacher.teacher_output,
        )
        there = dict(loaded.signatures)
        if not there and not asked and callable(loaded):
            return _Callable(loaded, output, self._where)
        name = asked or (_USUAL if _USUAL in there else "")
        if not name and len(there) == 1:
            (name,) = there
        if name not in there:
            raise UserError(
                f"{self._where} has no signature"
                f" '{asked or _USUAL}': name one by --teacher_signature."
                f" There are: {at_most(_SHOWN, sorted(there)) or 'none'}"
            )
        return _Signature(there[name], output, self._where)


def is_saved_model(path: str) -> bool:
    """True for a folder that holds a SavedModel."""
    return os.path.exists(os.path.join(path, SAVED_MODEL_FILE))


def _images(spec: tf.TensorSpec, where: str) -> tuple[tf.DType, int | None]:
    """Dtype and side of the images that a signature takes."""
    if spec.dtype == tf.string:
        raise UserError(
            f"{where} has a signature that takes encoded files, and a student's"
            " crops are none: name one that takes images by"
            " --teacher_signature."
        )
    if spec.shape.rank is None:
        return spec.dtype, None
    if spec.shape.rank != 4 or spec.shape[3] not in (None, 3):
        raise UserError(
            f"{where} has a signature that takes no images (n, height, width,"
            " 3): name another by --teacher_signature. Received:"
            f" {tuple(spec.shape)}"
        )
    return spec.dtype, square_side(spec.shape[1], spec.shape[2], where)


def square_side(
    height: int | None, width: int | None, where: str
) -> int | None:
    """The side of the images that a model takes; None: any.

    Args:
      height, width: as the model has them; None: any.
      where: names the model in messages.

    Raises:
      UserError: they are not square.
    """
    if height != width:
        raise UserError(
            f"{where} takes images of {height} x {width} pixels, and crops are"
            " square: export it for a square, or for any size."
        )
    return height
