"""The HParams tab of TensorBoard: one row per run."""

from typing import Any

import tensorflow as tf

from tf_simclr.config.flat import options
from tf_simclr.metrics import KNN, TOP_1, TOP_5
from tf_simclr.training.run_record import RunRecord

_SCORES = (TOP_1, TOP_5, KNN)


def hyperparameters(record: RunRecord) -> dict[str, Any]:
    """The columns of a run, which are those of every run.

    What a flag describes is taken from the architecture: a run that starts
    from weights has theirs.
    """
    architecture = record.architecture.to_json()
    columns = {"stage": record.stage}
    for option in options():
        name, described = option.field.name, option.role["describes"]
        if option.role["hparam"] and described:
            columns[described] = architecture.get(described)
        elif option.role["hparam"]:
            columns[name] = record.config.get(name)
    return {
        name: "" if value is None else value for name, value in columns.items()
    }


def write_hyperparameters(record: RunRecord, name: str) -> None:
    """Writes a run's row, with the default writer.

    Args:
      record: that of the run.
      name: of the row.
    """
    from tensorboard.plugins.hparams import api

    columns = hyperparameters(record)
    metrics = [
        api.Metric(score.chart.tag, score.chart.run, score.title)
        for score in _SCORES
    ]
    api.hparams_config([api.HParam(column) for column in columns], metrics)
    api.hparams(columns, trial_id=name)


def write_session_end() -> None:
    """Marks the run as ended, with the default writer."""
    from tensorboard.plugins.hparams import api_pb2, summary

    end = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    tf.summary.experimental.write_raw_pb(end.SerializeToString(), step=0)
