"""The interface of logging services, and a run that uses one.

A service is told what `metrics.jsonl` is told, beside it and not instead: a
training never depends on one. Adding one takes a file with a class like those
of `mlflow.py`, and a line in `LOGGERS`.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tf_simclr.errors import UserError
from tf_simclr.files import read_json, write_json
from tf_simclr.progress import say
from tf_simclr.training.run_dir import RunDirectory

# What `--logger` takes: the module of this package, its class, and the package
# that it needs.
LOGGERS = {
    "mlflow": ("tf_simclr.loggers.mlflow", "MlflowLogger", "mlflow"),
    "wandb": ("tf_simclr.loggers.wandb", "WandbLogger", "wandb"),
}
# The services' names of a run that goes on later are kept in its folder.
IDS_FILE = "loggers.json"

Params = Mapping[str, Any]
Values = Mapping[str, float]


class RunLogger(Protocol):
    """A run of a service.

    Attributes:
      id: names it there, for a run that is continued.
    """

    id: str

    def log(self, step: int, values: Values) -> None:
        """Adds points to the curves.

        Args:
          step: of the training.
          values: by name, such as `train/total_loss`; finite.
        """

    def close(self, result: Values, *, finished: bool) -> None:
        """Ends the run.

        Args:
          result: the last scores, by name.
          finished: False if it failed or was stopped.
        """


def check_logger(name: str) -> None:
    """Refuses a service whose package is missing.

    Args:
      name: `none`, or one of `LOGGERS`.

    Raises:
      UserError: says what to install.
    """
    if name == "none":
        return
    _, _, package = LOGGERS[name]
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"--logger={name} needs a package that is not installed: pip"
            f" install {package}"
        )


@contextlib.contextmanager
def followed(
    name: str, run_dir: RunDirectory, stage: str, params: Params
) -> Iterator["FollowedDirectory | RunDirectory"]:
    """The directory of a run, whose metrics also go to a service.

    Args:
      name: `none`, or one of `LOGGERS`.
      run_dir: of the run, which exists.
      stage: which it is, for the title.
      params: the flags.

    Yields:
      The directory to log to.

    Raises:
      UserError: the service cannot be reached at the start. Later it only
        costs a notice, and the rest of its curves.
    """
    if name == "none":
        yield run_dir
        return
    module, class_name, _ = LOGGERS[name]
    path = run_dir.file(IDS_FILE)
    ids = read_json(path) if os.path.exists(path) else {}
    title = f"{os.path.basename(os.path.abspath(run_dir.path))} ({stage})"
    try:
        make = getattr(importlib.import_module(module), class_name)
        logger = make(title, run_dir.path, params, ids.get(name))
    except Exception as error:
        # Their libraries raise what they like.
        raise UserError(
            f"--logger={name} cannot start a run: {_line(error)}. Mend that,"
            " or leave the flag out."
        ) from error
    write_json(path, {**ids, name: logger.id})
    told = FollowedDirectory(run_dir.path, _Careful(logger, name))
    finished = False
    try:
        yield told
        finished = True
    finally:
        path = run_dir.file("result.json")
        result = read_json(path) if finished and os.path.exists(path) else {}
        told.logger.close(_numbers("eval", result), finished=finished)


@dataclasses.dataclass(frozen=True)
class FollowedDirectory(RunDirectory):
    """A `model_dir` whose metrics also go to a service.

    Attributes:
      path: of the directory.
      logger: of the service.
    """

    logger: RunLogger

    def append_metrics(
        self, step: int, epoch: float, split: str, metrics: dict[str, float]
    ) -> None:
        """Adds one line to `metrics.jsonl`, and its numbers to the service."""
        super().append_metrics(step, epoch, split, metrics)
        values = {"epoch": epoch, **_numbers(split, metrics)}
        self.logger.log(step, values)


class _Careful:
    """A logger whose failures are printed and do not end the run."""

    def __init__(self, logger: RunLogger, name: str):
        self.id = logger.id
        self._logger: RunLogger | None = logger
        self._name = name

    def log(self, step: int, values: Values) -> None:
        with self._noticed():
            if self._logger is not None:
                self._logger.log(step, values)

    def close(self, result: Values, *, finished: bool) -> None:
        with self._noticed():
            if self._logger is not None:
                self._logger.close(result, finished=finished)

    @contextlib.contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._logger = None
            say(
                f"notice     --logger={self._name} has failed and is told"
                f" nothing more: {_line(error)}"
            )


def _numbers(split: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers, by names such as `train/total_loss`."""
    return {
        name if "/" in name else f"{split}/{name}": float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float)
        and name != "global_step"
        and math.isfinite(value)
    }


def as_text(value: Any, most: int) -> str:
    """A flag's value for a service that takes texts.

    Args:
      value: of the flag.
      most: characters that it takes.
    """
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[:most]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
