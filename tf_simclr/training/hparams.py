"""What TensorBoard's HParams tab shows: one row per run."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_simclr.metrics import KNN, TOP_1, TOP_5

# Besides the stage; every run writes the same columns.
_ARCHITECTURE = ("depth", "width_multiplier", "sk_ratio", "projection_dim")
_OPTIONS = (
    "dataset",
    "image_size",
    "labels_per_class",
    "label_fraction",
    "label_seed",
    "optimizer",
    "learning_rate",
    "learning_rate_scaling",
    "warmup_epochs",
    "weight_decay",
    "momentum",
    "train_batch_size",
    "train_epochs",
    "temperature",
    "distillation_temperature",
    "distillation_alpha",
    "fine_tune_after_block",
    "from_scratch",
    "crop_min_area",
    "color_jitter_strength",
    "precision",
    "seed",
)
_SCORES = (TOP_1, TOP_5, KNN)


def hyperparameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a run, from what its `config.json` holds."""
    columns = {
        "stage": record["stage"],
        **{name: record["architecture"][name] for name in _ARCHITECTURE},
        **{name: record["config"].get(name) for name in _OPTIONS},
    }
    return {
        name: "" if value is None else value for name, value in columns.items()
    }


def write_hyperparameters(record: Mapping[str, Any], name: str) -> None:
    """Writes a run's row, with the default writer.

    Args:
      record: what `config.json` holds.
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
