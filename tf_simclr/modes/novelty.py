"""Novelty measured from the images of a stage."""

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.novelty import KEPT, USUAL, Novelty, novelty_of
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.methods.base import Method
from tf_simclr.methods.job import Job


def measure_novelty(job: Job, method: Method) -> Novelty | None:
    """Features of some training images, and how far evaluation images are.

    Args:
      job: names the images.
      method: its network has the weights that are meant.

    Returns:
      None without a classifier that is a result: nothing is predicted then.
    """
    network = method.network
    train, evaluation = job.splits.train, job.splits.evaluation
    if job.stage == "pretrain" or not network.architecture.num_classes:
        return None
    if len(train) < 2:
        return None
    data = job.config.data
    predict = Predictor(
        network,
        ["features"],
        image_size=data.image_size,
        batch_size=data.eval_batch_size,
    )

    def features(images: ImageSet, count: int) -> np.ndarray:
        return predict(images.evenly(count))["features"]

    known = features(train, KEPT)
    usual = known[:0]
    if evaluation is not None and len(evaluation):
        usual = features(evaluation, USUAL)
    if not (np.isfinite(known).all() and np.isfinite(usual).all()):
        return None
    return novelty_of(known, usual)
