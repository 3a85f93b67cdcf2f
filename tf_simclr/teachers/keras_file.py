"""Teachers from `.keras` and `.h5` files, of Keras 3 and of Keras 2."""

import json
import zipfile
from typing import Any

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.teachers.foreign import ForeignModel, ForeignSource
from tf_simclr.teachers.outputs import chosen_output
from tf_simclr.teachers.saved_model import square_side

ENDINGS = (".keras", ".h5", ".hdf5")


class _KerasModel(ForeignModel):
    dtype = tf.float32

    def __init__(self, model: Any, asked: str, where: str):
        self._model = model
        shape = model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
            raise UserError(
                f"{where} takes no images (n, height, width, 3). Received:"
                f" {shape}"
            )
        self.image_size = square_side(shape[1], shape[2], where)
        names = list(model.output_names)
        self._place = names.index(chosen_output(names, asked, where))

    def answers(self, images: tf.Tensor) -> tf.Tensor:
        found = self._model(images, training=False)
        parts = tf.nest.flatten(found)
        return parts[self._place]


class KerasSource(ForeignSource):
    """A file that Keras wrote."""

    def __init__(self, path: str, config: Config):
        super().__init__(path, config)
        self._teacher = config.teacher

    def load(self) -> ForeignModel:
        """The model, by the Keras that wrote it."""
        try:
            if _is_of_keras_2(self.path):
                import tf_keras as keras
            else:
                import keras
            model = keras.models.load_model(self.path, compile=False)
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            ImportError,
            zipfile.BadZipFile,
        ) as error:
            raise UserError(
                f"{self._where} cannot be read as a Keras model:"
                f" {str(error).splitlines()[0]}"
            ) from error
        return _KerasModel(model, self._teacher.teacher_output, self._where)


def _is_of_keras_2(path: str) -> bool:
    """True if TensorFlow's earlier Keras wrote a file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read("metadata.json"))
        return str(facts.get("keras_version", "")).startswith("2.")
    import h5py

    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "2.")
    if isinstance(version, bytes):
        version = version.decode()
    return version.startswith("2.")
