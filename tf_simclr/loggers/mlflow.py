"""MLflow: `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say where to."""

import os
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tf_simclr.loggers.base import Params, Values, as_text

_EXPERIMENT = "tf_simclr"
# What MLflow's server takes at a time, and of a value.
_AT_ONCE, _LONGEST = 100, 500


class MlflowLogger:
    """A run of MLflow, with the flags as its parameters.

    Args:
      title: its name.
      folder: of the run; a tag.
      params: the flags.
      known: the id of the run to go on with.

    Attributes:
      id: of the run.
    """

    def __init__(
        self, title: str, folder: str, params: Params, known: str | None
    ):
        self._client = MlflowClient()
        if known is not None:
            self.id = known
            self._client.update_run(known, status="RUNNING")
            return
        run = self._client.create_run(
            self._experiment(), tags={"model_dir": folder}, run_name=title
        )
        self.id = run.info.run_id
        texts = [
            Param(name, as_text(value, _LONGEST))
            for name, value in params.items()
        ]
        for start in range(0, len(texts), _AT_ONCE):
            self._client.log_batch(
                self.id, params=texts[start : start + _AT_ONCE]
            )

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        return self._client.create_experiment(name)

    def log(self, step: int, values: Values) -> None:
        """Adds points to the curves.

        Args:
          step: of the training.
          values: by name.
        """
        now = int(time.time() * 1000)
        points = [
            Metric(name, value, now, step) for name, value in values.items()
        ]
        self._client.log_batch(self.id, metrics=points)

    def close(self, result: Values, *, finished: bool) -> None:
        """Ends the run; its scores are among the curves already.

        Args:
          result: the last scores.
          finished: whether it went through.
        """
        status = "FINISHED" if finished else "FAILED"
        self._client.set_terminated(self.id, status)
