"""Python API: stages as functions, and their networks read back.

Options have the names of the command line's flags. Whatever is given as a
keyword wins over the same option of a `Config`.
"""

import collections
import contextlib
import csv
import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from tf_simclr.config.flat import from_flat, options, suggestions
from tf_simclr.config.reading import check_read
from tf_simclr.config.run import Config
from tf_simclr.data.sources.given_images import Images, image_set_of
from tf_simclr.errors import UserError, at_most
from tf_simclr.evaluation.predict import Predictor, names_of
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.modes.evaluate import evaluate as run_evaluation
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.export import export as run_export
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.pipeline import pipeline as run_pipeline
from tf_simclr.modes.suggest import write_suggestion
from tf_simclr.progress import Counter, say
from tf_simclr.storage.addresses import address_of, is_address
from tf_simclr.storage.objects import names_in
from tf_simclr.storage.staged import with_local_files, with_local_inputs

_Found = TypeVar("_Found")
# Classes in a summary; the rest is counted.
_SHOWN = 10


@dataclasses.dataclass(frozen=True, repr=False)
class Predictions:
    """Output of a classifier for N images and C classes.

    Attributes:
      ids: N paths, or row numbers of an array.
      classes: N names, the most probable class of each image.
      probabilities: float32 (N, C), in the order of `Model.classes`.
      logits: float32 (N, C).
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        counts = collections.Counter(self.classes).most_common()
        named = [f"{count} {name}" for name, count in counts]
        return f"Predictions of {len(self)} images: {at_most(_SHOWN, named)}"


@dataclasses.dataclass(frozen=True)
class Suggested:
    """An image to label.

    Attributes:
      path: its id, of a file the path below the data set's folder.
      cluster: number of its cluster of features; -1 for none.
      reason: words for why it was chosen.
    """

    path: str
    cluster: int
    reason: str


class Model:
    """A trained network, with what it takes to give it images.

    Attributes:
      network: the Keras model in float32. A call takes images (N, S, S, 3) in
        [0, 1] and returns `NetworkOutputs`.
      path: the checkpoint or export that holds its weights.
      classes: C names; empty without a classifier.
      image_size: S, side of the images that the network takes, in pixels.
      record: contents of the run's `config.json`; None for weights of the
        original release.
    """

    def __init__(self, loaded: LoadedNetwork):
        stored, data = loaded.stored, loaded.config.data
        self.network: SimCLRNetwork = loaded.network
        self.path = stored.path
        self.classes: tuple[str, ...] = ()
        if loaded.network.classifier is not None:
            count = loaded.network.architecture.num_classes
            self.classes = names_of(stored.class_names, count)
        self.image_size: int = data.image_size
        self.record = stored.record
        self._batch_size = data.eval_batch_size
        source = loaded.exportable()
        self._how, self._framing = source.decoding, source.framing
        self._predictors: dict[str, Predictor] = {}

    def __repr__(self) -> str:
        return (
            f"Model({self.path!r}, image_size={self.image_size},"
            f" classes={len(self.classes)})"
        )

    def embed(self, images: Images, output: str = "features") -> np.ndarray:
        """Computes the features of images.

        Images are cropped and resized as in evaluation. Files are read batch
        by batch, so that memory grows with the returned array alone.

        Args:
          images: the path of an image or of a folder of images, several paths
            of images, or an array (N, H, W, 3) or (H, W, 3): uint8, or floats
            in [0, 1], which are rounded to uint8. Images of a folder are
            sorted by name.
          output: `features` (pooled output of the encoder), `projection`
            (last layer of the projection head) or `logits`.

        Returns:
          float32 (N, d), in the order of the images.

        Raises:
          UserError: there is no image, an array has another shape or range,
            or the network does not have this output.
          DataFailed: an image cannot be read.
        """
        return self._outputs(images, output)[1]

    def predict(self, images: Images) -> Predictions:
        """Classifies images.

        Args:
          images: as for `embed`.

        Raises:
          UserError: the network has no classifier, there is no image, or an
            array has another shape or range.
          DataFailed: an image cannot be read.
        """
        if not self.classes:
            raise UserError(
                f"The weights in {self.path} have learned no classes, as"
                " predictions need: fine-tune them first."
            )
        ids, logits = self._outputs(images, "logits")
        # In float32, as exports compute.
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        best = logits.argmax(axis=1)
        return Predictions(
            ids=ids,
            classes=tuple(self.classes[index] for index in best),
            probabilities=shifted / shifted.sum(axis=1, keepdims=True),
            logits=logits,
        )

    def _outputs(
        self, images: Images, name: str
    ) -> tuple[tuple[str, ...], np.ndarray]:
        """Ids of the images, and (N, d) of an output."""
        self._check(name)
        image_set = image_set_of(images).shown(self._how, self._framing)
        if name not in self._predictors:
            self._predictors[name] = Predictor(
                self.network,
                [name],
                image_size=self.image_size,
                batch_size=self._batch_size,
            )
        parts, counter = [], Counter(len(image_set))
        for _, outputs in self._predictors[name].stream(image_set):
            parts.append(outputs[name])
            counter.add(len(outputs[name]))
        return image_set.ids, np.concatenate(parts)

    def _check(self, name: str) -> None:
        names = ["features"]
        if self.network.architecture.kept_head_layers:
            names.append("projection")
        names += ["logits"] * bool(self.classes)
        if name not in names:
            raise UserError(
                f"The network's outputs are {', '.join(names)}. Received:"
                f" {name}"
            )


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
      path: absolute path of its directory, the `model_dir`, or its address on
        object storage.
      metrics: contents of its `result.json`, such as
        `eval/label_top_1_accuracy`.
    """

    path: str
    metrics: Mapping[str, Any]

    @functools.cached_property
    def model(self) -> Model:
        """The trained network; of a pipeline, the distilled student."""
        if "global_step" in self.metrics:
            return load(self.path)
        return load(os.path.join(self.path, "distill"))

    @property
    def network(self) -> SimCLRNetwork:
        """The Keras model of `model`."""
        return self.model.network

    @property
    def files(self) -> dict[str, str]:
        """{name: path} of the files and folders in the directory."""
        listed = names_in if is_address(self.path) else os.listdir
        names = sorted(listed(self.path))
        return {name: os.path.join(self.path, name) for name in names}


def _told_shortly(function: Callable[..., _Found]) -> Callable[..., _Found]:
    """Decorates a function whose user errors name no line in here: their
    message says what to mend, and where it was noticed says nothing."""

    @functools.wraps(function)
    def told(*arguments: Any, **keywords: Any) -> _Found:
        try:
            return function(*arguments, **keywords)
        except UserError as error:
            raise error.with_traceback(None) from None

    return told


@_told_shortly
def pretrain(config: Config | None = None, **flags: Any) -> Result:
    """Pretrains an encoder without labels (SimCLRv2 paper, section 3).

    A call with the same `model_dir` continues an interrupted run, and returns
    the result of a finished one. `method` may also be a subclass of
    `tf_simclr.methods.pretraining.Pretraining` from an importable module.

    Args:
      config: the configuration; its `mode` is not read.
      flags: options by the names of their flags; they win over `config`.

    Raises:
      UserError: an unknown option, an option or data that cannot be used, or
        `model_dir` holds another run.
      TrainingFailed: the loss is not finite.
      DataFailed: an image cannot be read.
      Interrupted: SIGINT or SIGTERM stopped the run, whose state is saved.
    """
    return _train(run_stage, "pretrain", config, flags)


@_told_shortly
def finetune(config: Config | None = None, **flags: Any) -> Result:
    """Trains a classifier on the labelled images.

    Starts from `checkpoint`, or from random weights with `from_scratch=True`.
    Arguments and errors are those of `pretrain`.
    """
    return _train(run_stage, "finetune", config, flags)


@_told_shortly
def distill(config: Config | None = None, **flags: Any) -> Result:
    """Trains a student on the predictions of `teacher`, with all images.

    Arguments and errors are those of `pretrain`.
    """
    return _train(run_stage, "distill", config, flags)


@_told_shortly
def pipeline(config: Config | None = None, **flags: Any) -> Result:
    """Runs all stages and the supervised baseline, in sub-folders.

    Options of one stage go into strings, such as
    `finetune_flags="--train_epochs=60"`. Arguments and errors are those of
    `pretrain`.
    """
    return _train(run_pipeline, "pipeline", config, flags)


@_told_shortly
def suggest(config: Config | None = None, **flags: Any) -> list[Suggested]:
    """Chooses the images to label next, as `--mode=suggest` does.

    By the features of `checkpoint`, or of `features`. `to_label.csv` and the
    rest that `--mode=label` needs stay in `model_dir`; a later call with the
    same `model_dir` knows the labels of its `labels.csv`.

    Args:
      config: the configuration; its `mode` is not read.
      flags: options by the names of their flags, such as `label_budget`; they
        win over `config`.

    Returns:
      One for each image, in the order of the file.

    Raises:
      UserError: images, weights or features cannot be used, or every image
        has a label.
      DataFailed: an image cannot be read.
    """
    config = _complete(_config("suggest", config), _checked(flags, "suggest"))
    return with_local_files(_suggested, config)


def _suggested(config: Config) -> list[Suggested]:
    path = write_suggestion(config)
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Suggested(row["path"], int(row["cluster"]), row["reason"])
            for row in csv.DictReader(file)
        ]


@_told_shortly
def load(path: str | os.PathLike, **flags: Any) -> Model:
    """Reads a trained network.

    Args:
      path: a run, a checkpoint such as `RUN/checkpoints/ckpt-100`, the folder
        of an exported SavedModel, or weights of the original release.
      flags: options by the names of their flags, such as `image_size` or
        `eval_batch_size`, the number of images that `embed` takes at a time.

    Raises:
      UserError: there are no weights, or an option contradicts them.
    """
    flags = _checked(flags, "embed", checkpoint=os.fspath(path), model_dir=None)
    config = from_flat(flags)
    check_read(config)
    return Model(load_network(with_local_inputs(config)))


@_told_shortly
def evaluate(
    path: str | os.PathLike,
    *,
    model_dir: str | os.PathLike | None = None,
    **flags: Any,
) -> dict[str, float]:
    """Scores a network: a classifier by its accuracy and calibration, a
    pretrained encoder by its nearest neighbours and online classifier.

    Args:
      path: as for `load`.
      model_dir: directory for `result.json`, `evaluation.md` and what belongs
        to them; None keeps no files.
      flags: options by the names of their flags. Those of the data are the
        run's own where they are not given.

    Returns:
      {metric: value}, such as `eval/label_top_1_accuracy`.

    Raises:
      UserError: no weights, no labelled images to evaluate on, or `model_dir`
        holds another run.
      DataFailed: an image cannot be read.
    """
    with contextlib.ExitStack() as stack:
        if model_dir is None:
            model_dir = stack.enter_context(tempfile.TemporaryDirectory())
        flags = _checked(
            flags, "eval", checkpoint=os.fspath(path), model_dir=model_dir
        )
        return with_local_files(run_evaluation, _complete(None, flags))


@_told_shortly
def export(
    path: str | os.PathLike, model_dir: str | os.PathLike, **flags: Any
) -> str:
    """Exports a network as a SavedModel, TFLite or ONNX file.

    Args:
      path: as for `load`.
      model_dir: directory for the export: the run itself, or one that holds no
        other run.
      flags: options by the names of their flags, such as
        `export_format="tflite"`.

    Returns:
      Path of the export, `MODEL_DIR/FORMAT/STEP`.

    Raises:
      UserError: no weights, or `model_dir` holds another run.
      ExportFailed: the export does not compute what the network does.
    """
    flags = _checked(
        flags, "export", checkpoint=os.fspath(path), model_dir=model_dir
    )
    return address_of(with_local_files(run_export, _complete(None, flags)))


def _train(
    function: Callable[[Config], dict[str, float]],
    mode: str,
    config: Config | None,
    flags: Mapping[str, Any],
) -> Result:
    config = _complete(_config(mode, config), _checked(flags, mode))
    metrics = with_local_files(function, config)
    path = config.run.model_dir
    return Result(path if is_address(path) else os.path.abspath(path), metrics)


def _config(mode: str, config: Config | None) -> Config | None:
    """The first argument of a function, if it can be one."""
    if not isinstance(config, Config | None):
        raise UserError(
            f"The first argument of {mode} is a Config; options by their names"
            f" are keywords, such as {mode}(image_size=32). Received:"
            f" {config!r}"
        )
    return config


def _complete(config: Config | None, flags: Mapping[str, Any]) -> Config:
    """The configuration of a mode that writes, checked."""
    config = from_flat(flags, config)
    config.check()
    if config.ignored:
        say(config.ignored)
    return config


def _checked(
    flags: Mapping[str, Any], mode: str, **arguments: Any
) -> dict[str, Any]:
    """Keywords as values of options.

    Args:
      flags: the keywords.
      mode: what the called function does.
      arguments: options that are arguments of that function; None: an option
        that it does not have.

    Raises:
      UserError: an unknown option, or one that the function sets itself.
    """
    set_here = {"mode": mode, **arguments}
    known = {option.field.name for option in options()}
    for name, value in flags.items():
        if name not in known:
            close = suggestions(name, known)
            meant = f" Did you mean {', '.join(close)}?" if close else ""
            raise UserError(f"There is no option {name!r}.{meant}")
        if name in set_here and value != set_here[name]:
            raise UserError(
                f"The called function sets {name} itself: leave it out."
                f" Received: {value!r}"
            )
    values = {**flags, **set_here}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """A value as a flag holds it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    return value
