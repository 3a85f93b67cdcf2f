"""SimCLR: NT-Xent on the projections of two views (paper, section 3)."""

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.methods.base import Metrics, Outputs
from tf_simclr.methods.job import Job
from tf_simclr.methods.memory import ContrastMemory, make_memory
from tf_simclr.methods.pretraining import Pretraining, both_views
from tf_simclr.metrics import Chart, Metric, declare

# The mean over anchors, comparable with ln(2N - 1) whatever the reduction: the
# level of equal similarities to the 2N - 1 other views and the memory.
CONTRAST_LOSS = declare(
    Metric(
        "contrast_loss",
        Chart("", "loss/contrastive"),
        "contrastive loss",
        report="loss",
        progress="loss {value:.3f} (chance {chance:.3f})",
        chance=lambda method: math.log(method.compared),
    )
)
# Accuracy and entropy look at the N second views of the batch only, as the
# original release does: 1 / N and ln N.
CONTRAST_ACC = declare(
    Metric(
        "contrast_acc",
        Chart("", "accuracy/contrastive"),
        "contrastive",
        report="accuracy",
        style="c2",
        progress="contrastive accuracy {value:.1%}",
        chance=lambda method: 1.0 / method.batch_size,
    )
)
CONTRAST_ENTROPY = declare(
    Metric(
        "contrast_entropy",
        Chart("", "similarity/entropy"),
        chance=lambda method: math.log(method.batch_size),
    )
)


class SimCLR(Pretraining):
    """Pulls the views of an image together and all others apart.

    With `--memory_size` the contrast examples come from a moving average of
    the network and reach back over past batches.
    """

    contrast_metrics = (CONTRAST_LOSS, CONTRAST_ACC, CONTRAST_ENTROPY)
    shown = (CONTRAST_LOSS, CONTRAST_ACC)

    def __init__(self, job: Job):
        self._memory: ContrastMemory | None = None
        super().__init__(job)
        objective = job.config.objective
        if objective.memory_size:
            self._memory = make_memory(job, self.network)
            self.notes.append(
                f"memory     {objective.memory_size} past embeddings, momentum"
                f" {objective.memory_momentum:g}"
            )

    @property
    def compared(self) -> int:
        """Views that an anchor is compared with, once the memory is full.

        All images count as different: where a batch or the memory holds one
        again, fewer views are compared and the true levels are a little lower.
        """
        return 2 * self.batch_size - 1 + self.job.config.objective.memory_size

    def describe(self) -> list[str]:
        """The loss with its temperature and level of chance."""
        objective = self.job.config.objective
        others = "2N-1+memory" if objective.memory_size else "2N-1"
        return [
            f"loss       NT-Xent, temperature {objective.temperature:g}, chance"
            f" level ln({others}) = {math.log(self.compared):.3f}"
        ]

    def targets(self, batch: Batch) -> Outputs:
        """The average's projections of both views, where there is one."""
        if self._memory is None:
            return {}
        first, second = self._memory.embed(both_views(batch))
        return {"key1": first, "key2": second}

    def contrast(
        self, batch: Batch, outputs: Outputs
    ) -> tuple[tf.Tensor, Metrics]:
        """NT-Xent over the global batch and the memory: a scalar."""
        config = self.job.config.objective
        # Made by hand, a batch may not say which images it holds.
        ids = batch.get("index")
        compared = {}
        if self._memory:
            compared = self._memory.compare(
                outputs["key1"], outputs["key2"], ids
            )
        found = nt_xent(
            outputs["projection1"],
            outputs["projection2"],
            config.temperature,
            config.hidden_norm,
            ids=ids,
            **compared,
        )
        views = 2.0 if config.contrastive_reduction == "sum_of_views" else 1.0
        return views * found.loss, {
            CONTRAST_LOSS.name: found.loss,
            CONTRAST_ACC.name: found.accuracy,
            CONTRAST_ENTROPY.name: found.entropy,
        }

    def after_step(self) -> None:
        """Moves the average towards the network."""
        if self._memory:
            self._memory.follow()

    @property
    def state(self) -> Mapping[str, Any]:
        """The memory's."""
        return self._memory.state if self._memory else {}
