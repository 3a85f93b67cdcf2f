"""Teachers from ONNX files, which onnxruntime computes on the host."""

import importlib.util

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.methods.job import Job
from tf_simclr.teachers.foreign import (
    ForeignModel,
    ForeignSource,
    ForeignTeacher,
)
from tf_simclr.teachers.outputs import chosen_output
from tf_simclr.teachers.saved_model import square_side

ENDING = ".onnx"
_DTYPES = {
    "tensor(float)": tf.float32,
    "tensor(float16)": tf.float16,
    "tensor(double)": tf.float64,
    "tensor(uint8)": tf.uint8,
}


class _OnnxModel(ForeignModel):
    def __init__(self, path: str, asked: str, where: str):
        import onnxruntime

        self._session = onnxruntime.InferenceSession(
            path, providers=onnxruntime.get_available_providers()
        )
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = {put.name: put.shape for put in inputs}
            raise UserError(
                f"{where} does not take images alone, (n, height, width, 3) or"
                f" (n, 3, height, width). Received: {found}"
            )
        (put,) = inputs
        if put.type not in _DTYPES:
            raise UserError(
                f"{where} takes images of type {put.type}; export it for"
                " float32."
            )
        self._name, self.dtype = put.name, _DTYPES[put.type]
        # Names of free axes are strings.
        rows, *axes = (n if isinstance(n, int) else None for n in put.shape)
        self._rows = rows
        self._channels_first = axes[0] == 3 and axes[2] != 3
        if not self._channels_first and axes[2] not in (3, None):
            raise UserError(
                f"{where} takes images without three channels. Received:"
                f" {put.shape}"
            )
        sides = axes[1:] if self._channels_first else axes[:2]
        self.image_size = square_side(*sides, where)
        names = [output.name for output in self._session.get_outputs()]
        self._output = chosen_output(names, asked, where)

    def answers(self, images: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(
            self._run, [images], tf.float32, stateful=False
        )
        found.set_shape((images.shape[0], None))
        return found

    def _run(self, images: np.ndarray) -> np.ndarray:
        if self._channels_first:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        rows = self._rows or len(images)
        parts = []
        for start in range(0, len(images), rows):
            part = images[start : start + rows]
            # A model of a fixed batch takes no smaller one.
            missing = rows - len(part)
            part = np.pad(part, [(0, missing), *[(0, 0)] * 3])
            (found,) = self._session.run([self._output], {self._name: part})
            parts.append(found[: rows - missing])
        return np.concatenate(parts).astype(np.float32)


class OnnxSource(ForeignSource):
    """An ONNX file.

    Raises:
      UserError: onnxruntime is not installed, or its classes have no names.
    """

    def __init__(self, path: str, config: Config):
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError(
                f"--teacher={path} needs a package that is not installed: pip"
                " install onnxruntime"
            )
        super().__init__(path, config)
        self._teacher = config.teacher

    def load(self) -> ForeignModel:
        """A session of onnxruntime."""
        try:
            return _OnnxModel(
                self.path, self._teacher.teacher_output, self._where
            )
        except UserError:
            raise
        except Exception as error:  # onnxruntime's own have no base class.
            raise UserError(
                f"{self._where} cannot be read as an ONNX model:"
                f" {str(error).splitlines()[0]}"
            ) from error

    def build(self, job: Job) -> ForeignTeacher:
        """Refuses to be compiled, since it is computed on the host."""
        if job.config.train.jit_compile:
            raise UserError(
                f"{self._where} is computed by onnxruntime, which XLA cannot"
                " compile: leave --jit_compile out."
            )
        return super().build(job)
