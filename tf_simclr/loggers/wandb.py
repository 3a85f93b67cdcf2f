"""Weights & Biases: its environment variables say where to (`WANDB_PROJECT`,
and `WANDB_MODE=offline` for no network)."""

import os
import uuid

import wandb

from tf_simclr.loggers.base import Params, Values

_PROJECT = "tf_simclr"


class WandbLogger:
    """A run of Weights & Biases, with the flags as its configuration.

    Args:
      title: its name.
      folder: of the run, where its files go.
      params: the flags.
      known: the id of the run to go on with.

    Attributes:
      id: of the run.
    """

    def __init__(
        self, title: str, folder: str, params: Params, known: str | None
    ):
        self.id = known or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=self.id,
            resume="allow",
            name=title,
            dir=folder,
            config={"model_dir": folder, **params},
            settings=wandb.Settings(silent=True),
        )
        # Its own steps never go back, as those of a resumed run do.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Values) -> None:
        """Adds points to the curves.

        Args:
          step: of the training.
          values: by name.
        """
        self._run.log({"step": step, **values})

    def close(self, result: Values, *, finished: bool) -> None:
        """Ends the run.

        Args:
          result: the last scores, which become its summary.
          finished: whether it went through.
        """
        self._run.summary.update(result)
        self._run.finish(exit_code=0 if finished else 1)
