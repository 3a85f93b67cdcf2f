"""The final evaluation of a run in TensorBoard."""

import os
from collections.abc import Mapping

import tensorflow as tf

from tf_simclr.training.summaries.charts import (
    CHANCE,
    EVALUATION,
    Chart,
    chance_levels,
    chart_of,
)


def write_final_evaluation(
    model_dir: str,
    step: int,
    scores: Mapping[str, float],
    chance: Mapping[str, float],
    pictures: Mapping[str, bytes],
    text: str,
) -> None:
    """Adds scores, pictures and a text to a run's curves.

    Args:
      model_dir: of the run.
      step: which the scores are of.
      scores: by the names of `metrics.jsonl`.
      chance: what a network that knows nothing scores, by these names.
      pictures: {title: PNG}.
      text: markdown that sums the run up; '' for none.
    """
    charts = {
        chart_of(name): value
        for name, value in scores.items()
        if name != "global_step"
    }
    for tag, level in chance_levels(chance).items():
        if tag in {chart.tag for chart in charts}:
            charts[Chart(CHANCE, tag)] = level
    for run in sorted({EVALUATION} | {chart.run for chart in charts}):
        writer = tf.summary.create_file_writer(os.path.join(model_dir, run))
        with writer.as_default(step):
            for chart, value in charts.items():
                if chart.run == run:
                    tf.summary.scalar(chart.tag, value)
            if run == EVALUATION:
                for title, data in pictures.items():
                    image = tf.io.decode_png(data, channels=3)
                    tf.summary.image(title, image[tf.newaxis])
                if text:
                    tf.summary.text("card", text)
        writer.close()
