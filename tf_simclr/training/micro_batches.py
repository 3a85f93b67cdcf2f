"""A batch that a device takes a few images at a time, with exact gradients.

A loss that compares images with each other needs all of their embeddings at
once, but not all of what led to them. So every micro-batch is embedded
without a gradient; the loss of the whole batch gives the gradient of each
embedding; and every micro-batch is embedded again, now with a tape, through
which that gradient flows back (Gao et al., arXiv 2101.06983). A loss that is
a sum over images needs one pass.

Batch norm sees a micro-batch at a time, the same one in both passes, and
moves its statistics in the pass with the tape: once per image and step.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.models.batch_norm import keeping_statistics
from tf_simclr.training.objective import Metrics, Objective, Rows
from tf_simclr.training.update import Gradients, Scale, Views, check_reached


@dataclasses.dataclass(frozen=True)
class MicroBatches:
    """Gradients and metrics of a batch that comes in parts.

    The loops over the parts stand outside of the replicas' functions, since
    from inside of a loop replicas cannot talk to each other (as global batch
    norm does).

    Attributes:
      objective: the loss.
      trainable: what it is differentiated by.
      scale: a factor on the loss.
      views: makes the views of a part, as far as its input has not.
      passes: K, the number of parts.
      metric_names: what the objective measures.
      on_replicas: (function, args) -> its results on every replica.
    """

    objective: Objective
    trainable: Sequence[tf.Variable]
    scale: Scale
    views: Views
    passes: int
    metric_names: Sequence[str]
    on_replicas: Callable[..., Any]

    def __call__(self, batch: Batch) -> tuple[Gradients, Metrics]:
        """Takes a batch whose tensors have shape (K, m, ...)."""
        if self.objective.compares_images:
            return self._two_passes(batch)
        return self._one_pass(batch)

    def _one_pass(self, batch: Batch) -> tuple[Gradients, Metrics]:
        batch, *sums = self.on_replicas(self._begin_sums, (batch,))
        return self._loop(
            0,
            lambda index, *sums: self.on_replicas(
                self._add_part, (batch, index, *sums)
            ),
            tuple(sums),
        )

    def _two_passes(self, batch: Batch) -> tuple[Gradients, Metrics]:
        batch, *rows = self.on_replicas(self._embed_first, (batch,))
        rows = self._loop(
            1,
            lambda index, *rows: self.on_replicas(
                self._embed_next, (batch, index, *rows)
            ),
            tuple(rows),
        )
        by_rows, gradients, metrics = self.on_replicas(
            self._score, (batch, *rows)
        )
        (gradients,) = self._loop(
            0,
            lambda index, gradients: (
                self.on_replicas(
                    self._add_rows, (batch, index, by_rows, gradients)
                ),
            ),
            (gradients,),
        )
        return gradients, metrics

    def _loop(
        self, start: int, body: Callable[..., tuple], state: tuple
    ) -> tuple:
        """body(index, *state) -> state, for the parts from `start` on."""
        _, *state = tf.while_loop(
            lambda index, *_: index < self.passes,
            lambda index, *state: (index + 1, *body(index, *state)),
            (tf.constant(start), *state),
            parallel_iterations=1,
        )
        return tuple(state)

    # What follows runs on one replica.

    def _begin_sums(self, batch: Batch) -> tuple[Batch, Gradients, Metrics]:
        decay, gradients = self._decay()
        metrics = dict.fromkeys(self.metric_names, tf.zeros([]))
        metrics |= {"weight_decay": decay, "total_loss": decay}
        return self.objective.prepare(batch), self._filled(gradients), metrics

    def _add_part(
        self,
        batch: Batch,
        index: tf.Tensor,
        gradients: Gradients,
        metrics: Metrics,
    ) -> tuple[Gradients, Metrics]:
        part = self._part(batch, index)
        with tf.GradientTape() as tape:
            rows = self.objective.forward(part)
            references = self.objective.references(part)
            loss, found = self.objective.loss(part, {**rows, **references})
            scaled = loss * self.scale()
        added = self._added(gradients, tape.gradient(scaled, self.trainable))
        found = {"total_loss": loss, **found}
        sums = {name: metrics[name] + value for name, value in found.items()}
        return added, {**metrics, **sums}

    def _embed_first(self, batch: Batch) -> tuple[Batch, Rows, Rows]:
        """Embeds the first part, and makes room for all."""
        batch = self.objective.prepare(batch)

        def first_of_all(row: tf.Tensor) -> tf.Tensor:
            behind = [[0, self.passes - 1], *[[0, 0]] * row.shape.rank]
            return tf.pad(row[tf.newaxis], behind)

        rows = self._embed(self._part(batch, 0))
        return batch, *tf.nest.map_structure(first_of_all, rows)

    def _embed_next(
        self, batch: Batch, index: tf.Tensor, rows: Rows, references: Rows
    ) -> tuple[Rows, Rows]:
        def put(so_far: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_update(
                so_far, [[index]], row[tf.newaxis]
            )

        embedded = self._embed(self._part(batch, index))
        return tf.nest.map_structure(put, (rows, references), embedded)

    def _embed(self, part: Batch) -> tuple[Rows, Rows]:
        with keeping_statistics():
            rows = self.objective.forward(part)
        with tf.control_dependencies(list(rows.values())):
            return rows, self.objective.references(part)

    def _score(
        self, batch: Batch, rows: Rows, references: Rows
    ) -> tuple[Rows, Gradients, Metrics]:
        """The whole batch's loss, by its rows and by the decayed weights."""
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss, metrics = self.objective.loss(
                _joined(batch), _joined({**rows, **references})
            )
            scaled = loss * self.scale()
        by_rows = tape.gradient(
            scaled, rows, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        _, metrics = self.objective.with_decay(loss, metrics)
        return by_rows, self._filled(self._decay()[1]), metrics

    def _add_rows(
        self,
        batch: Batch,
        index: tf.Tensor,
        by_rows: Rows,
        gradients: Gradients,
    ) -> Gradients:
        part = self._part(batch, index)
        with tf.GradientTape() as tape:
            rows = self.objective.forward(part)
        found = tape.gradient(
            list(rows.values()),
            self.trainable,
            output_gradients=[by_rows[name][index] for name in rows],
        )
        return self._added(gradients, found)

    def _part(self, batch: Batch, index: tf.Tensor | int) -> Batch:
        """Part `index` of a batch (K, m, ...), with its views."""
        part = tf.nest.map_structure(lambda value: value[index], batch)
        return {**part, **self.views(part)}

    def _decay(self) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """The weight decay and its gradients, None where it has none."""
        with tf.GradientTape() as tape:
            decay = self.objective.decay()
            scaled = decay * self.scale()
        return decay, tape.gradient(scaled, self.trainable)

    def _filled(self, gradients: Sequence[tf.Tensor | None]) -> Gradients:
        return [
            tf.zeros(variable.shape) if gradient is None else gradient
            for variable, gradient in zip(
                self.trainable, gradients, strict=True
            )
        ]

    def _added(
        self, sums: Gradients, gradients: Sequence[tf.Tensor | None]
    ) -> Gradients:
        # A variable that only the decay reaches is fine, none is not.
        reached = [
            by_decay if by_loss is None else by_loss
            for by_loss, by_decay in zip(
                gradients, self._decay()[1], strict=True
            )
        ]
        check_reached(self.trainable, reached)
        return [
            total if gradient is None else total + gradient
            for total, gradient in zip(sums, gradients, strict=True)
        ]


def _joined(rows: Any) -> Any:
    """(K, m, ...) -> (K * m, ...)."""
    return tf.nest.map_structure(
        lambda value: tf.reshape(value, [-1, *value.shape[2:]]), rows
    )
