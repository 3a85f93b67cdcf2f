"""The stages and their networks as functions, for Python and notebooks."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tf_simclr.config.flat import from_flat, options, suggestions
from tf_simclr.config.run import Config
from tf_simclr.data.sources.folder import walk
from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    image_set_of_array,
)
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.errors import UserError
from tf_simclr.evaluation.predict import Predictor, names_of
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.pipeline import pipeline as run_pipeline

# A path of an image or of a folder of images, several paths, or an array.
Images = str | os.PathLike | Iterable[str | os.PathLike] | np.ndarray
# Images at a time, where nobody says how many.
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a classifier says about images.

    Attributes:
      ids: N paths, or numbers of rows.
      classes: the likeliest class of each image, by name.
      probabilities: float32 (N, C).
      logits: float32 (N, C).
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class Model:
    """A network that was read back, and the view in which it sees images.

    Attributes:
      network: the Keras model, float32; call it with images (N, S, S, 3) in
        [0, 1] for `NetworkOutputs`.
      path: where its weights lie.
      classes: names of its classes; empty without a classifier.
      image_size: S, the side of the view in pixels.
      record: what the run's `config.json` holds; None where it is no run.
    """

    def __init__(self, loaded: LoadedNetwork):
        stored = loaded.stored
        self.network: SimCLRNetwork = loaded.network
        self.path = stored.path
        self.classes: tuple[str, ...] = ()
        if loaded.network.classifier is not None:
            count = loaded.network.architecture.num_classes
            self.classes = names_of(stored.class_names, count)
        self.image_size: int = loaded.config.data.image_size
        self.record = stored.record
        self._predictors: dict[tuple[str, ...], Predictor] = {}

    def embed(self, images: Images, output: str = "features") -> np.ndarray:
        """The features of images, in their order.

        Args:
          images: the path of an image or of a folder of images, several
            paths, or an array (N, H, W, 3) or (H, W, 3), uint8 or floats in
            [0, 1]. All are seen in the view of evaluation.
          output: `features` of the encoder, `projection` of the projection
            head, or `logits`.

        Returns:
          float32 (N, d).

        Raises:
          UserError: there is no image, or the network has no such output.
          DataFailed: an image cannot be read.
        """
        return self._outputs(images, output)[1][output]

    def predict(self, images: Images) -> Answers:
        """The classes of images, in their order.

        Args:
          images: as for `embed`.

        Raises:
          UserError: the network has no classifier, or there is no image.
          DataFailed: an image cannot be read.
        """
        if not self.classes:
            raise UserError(
                f"The weights in {self.path} have learned no classes, as"
                " predictions need: fine-tune them first."
            )
        ids, found = self._outputs(images, "logits")
        logits = found["logits"]
        # Of float32, as exports compute.
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        best = logits.argmax(axis=1)
        return Answers(
            ids=ids,
            classes=tuple(self.classes[index] for index in best),
            probabilities=shifted / shifted.sum(axis=1, keepdims=True),
            logits=logits,
        )

    def _outputs(
        self, images: Images, name: str
    ) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        image_set = _image_set(images)
        if (name,) not in self._predictors:
            self._check(name)
            self._predictors[name,] = Predictor(
                self.network,
                [name],
                image_size=self.image_size,
                batch_size=_BATCH,
            )
        return image_set.ids, self._predictors[name,](image_set)

    def _check(self, name: str) -> None:
        names = ["features", "projection"] + ["logits"] * bool(self.classes)
        if name not in names:
            raise UserError(
                f"The network's outputs are {', '.join(names)}. Received:"
                f" {name}"
            )


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
      path: its directory.
      metrics: what its `result.json` holds.
    """

    path: str
    metrics: Mapping[str, Any]

    @functools.cached_property
    def model(self) -> Model:
        """What it trained; of a pipeline, the distilled student."""
        student = os.path.join(self.path, "distill")
        return load(student if os.path.isdir(student) else self.path)

    @property
    def network(self) -> SimCLRNetwork:
        """The Keras model of `model`."""
        return self.model.network

    @property
    def files(self) -> dict[str, str]:
        """{name: path} of all that lies in the directory."""
        names = sorted(os.listdir(self.path))
        return {name: os.path.join(self.path, name) for name in names}


def pretrain(config: Config | None = None, **flags: Any) -> Result:
    """Trains an encoder without labels (paper, section 3), or goes on.

    Args:
      config: the configuration; its mode does not matter.
      flags: options by the names of their flags; they win over `config`.

    Raises:
      UserError: an option or the data cannot be used.
      TrainingFailed: the loss is not finite.
    """
    return _run(run_stage, "pretrain", config, flags)


def finetune(config: Config | None = None, **flags: Any) -> Result:
    """Trains a classifier on the few labels. Takes what `pretrain` takes.

    Raises:
      UserError: an option or the data cannot be used.
      TrainingFailed: the loss is not finite.
    """
    return _run(run_stage, "finetune", config, flags)


def distill(config: Config | None = None, **flags: Any) -> Result:
    """Trains a student on a teacher's answers. Takes what `pretrain` takes.

    Raises:
      UserError: an option or the data cannot be used.
      TrainingFailed: the loss is not finite.
    """
    return _run(run_stage, "distill", config, flags)


def pipeline(config: Config | None = None, **flags: Any) -> Result:
    """Runs all stages in sub-folders. Takes what `pretrain` takes.

    Raises:
      UserError: an option or the data cannot be used.
      TrainingFailed: a loss is not finite.
    """
    return _run(run_pipeline, "pipeline", config, flags)


def load(path: str | os.PathLike, **flags: Any) -> Model:
    """Reads a network back.

    Args:
      path: a run, a checkpoint, an export, or weights of the original release.
      flags: options by the names of their flags, such as `image_size`.

    Raises:
      UserError: there are no weights, or an option contradicts them.
    """
    values = {**flags, "mode": "embed", "checkpoint": os.fspath(path)}
    return Model(load_network(_with_flags(None, values)))


def _run(function, mode: str, config: Config | None, flags: dict) -> Result:
    config = _with_flags(config, {**flags, "mode": mode})
    config.check()
    found = function(config)
    return Result(os.path.abspath(config.run.model_dir), found)


def _with_flags(config: Config | None, flags: dict[str, Any]) -> Config:
    known = {option.field.name for option in options()}
    for name in flags:
        if name not in known:
            close = suggestions(name, known)
            meant = f" Did you mean {', '.join(close)}?" if close else ""
            raise UserError(f"There is no option {name!r}.{meant}")
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in flags.items()
    }
    return from_flat(plain, config)


def _image_set(images: Images) -> ImageSet:
    """Images from wherever they are, without labels."""
    if isinstance(images, str | os.PathLike):
        return _files(_paths(pathlib.Path(images)))
    if hasattr(images, "__array__") and not isinstance(images, list | tuple):
        return image_set_of_array(images)
    return _files([pathlib.Path(path) for path in images])


def _paths(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.is_dir():
        return [path]
    tree = walk(str(path))
    if not tree.images:
        raise UserError(tree.nothing_found())
    return sorted(
        path / folder / name
        for folder, names in tree.images.items()
        for name in names
    )


def _files(paths: list[pathlib.Path]) -> ImageSet:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        raise UserError(
            "Images are files, folders of images or arrays. Received:"
            f" {missing[0] if missing else 'none'}"
        )
    names = tuple(str(path) for path in paths)
    labels = np.full(len(names), UNLABELLED, np.int32)
    return ImageSet("images", FilePixels("", names), labels, (), names)
