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
from tf_simclr.methods.base import Method, Metrics, Outputs, with_decay
from tf_simclr.models.batch_norm import keeping_statistics
from tf_simclr.training.step_probe import StepProbe
from tf_simclr.training.update import Gradients, Scale, Views, check_reached


@dataclasses.dataclass(frozen=True)
class MicroBatches:
    """Gradients and metrics of a batch that comes in parts.

    The loops over the parts stand outside of the replicas' functions, since
    from inside of a loop replicas cannot talk to each other (as global batch
    norm does).

    Attributes:
      method: its loss is differentiated by its trainable variables.
      scale: a factor on the loss.
      views: makes the views of a part, as far as its input has not.
      parts: K, their number.
      on_replicas: (function, args) -> its results on every replica.
      probe: keeps the embeddings now and then.
    """

    method: Method
    scale: Scale
    views: Views
    parts: int
    on_replicas: Callable[..., Any]
    probe: StepProbe | None = None

    def __call__(self, batch: Batch) -> tuple[Gradients, Metrics]:
        """Takes a batch whose tensors have shape (K, m, ...)."""
        if self.method.compares_examples:
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
        batch, *outputs = self.on_replicas(self._embed_first, (batch,))
        outputs = self._loop(
            1,
            lambda index, *outputs: self.on_replicas(
                self._embed_next, (batch, index, *outputs)
            ),
            tuple(outputs),
        )
        by_outputs, gradients, metrics = self.on_replicas(
            self._score, (batch, *outputs)
        )
        (gradients,) = self._loop(
            0,
            lambda index, gradients: (
                self.on_replicas(
                    self._add_outputs, (batch, index, by_outputs, gradients)
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
            lambda index, *_: index < self.parts,
            lambda index, *state: (index + 1, *body(index, *state)),
            (tf.constant(start), *state),
            parallel_iterations=1,
        )
        return tuple(state)

    # What follows runs on one replica.

    def _begin_sums(self, batch: Batch) -> tuple[Batch, Gradients, Metrics]:
        decay, gradients = self._decay()
        names = [metric.name for metric in self.method.measured]
        metrics = dict.fromkeys(names, tf.zeros([]))
        metrics |= {"weight_decay": decay, "total_loss": decay}
        return self.method.prepare(batch), self._filled(gradients), metrics

    def _add_part(
        self,
        batch: Batch,
        index: tf.Tensor,
        gradients: Gradients,
        metrics: Metrics,
    ) -> tuple[Gradients, Metrics]:
        part = self._part(batch, index)
        with tf.GradientTape() as tape:
            outputs = self.method.forward(part)
            targets = self.method.targets(part)
            loss, found = self.method.loss(part, {**outputs, **targets})
            scaled = loss * self.scale()
        added = self._added(
            gradients, tape.gradient(scaled, self.method.trainable)
        )
        found = {"total_loss": loss, **found}
        sums = {name: metrics[name] + value for name, value in found.items()}
        return added, {**metrics, **sums}

    def _embed_first(self, batch: Batch) -> tuple[Batch, Outputs, Outputs]:
        """Embeds the first part, and makes room for all."""
        batch = self.method.prepare(batch)

        def first_of_all(output: tf.Tensor) -> tf.Tensor:
            behind = [[0, self.parts - 1], *[[0, 0]] * output.shape.rank]
            return tf.pad(output[tf.newaxis], behind)

        outputs = self._embed(self._part(batch, 0))
        return batch, *tf.nest.map_structure(first_of_all, outputs)

    def _embed_next(
        self, batch: Batch, index: tf.Tensor, outputs: Outputs, targets: Outputs
    ) -> tuple[Outputs, Outputs]:
        def put(so_far: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_update(
                so_far, [[index]], output[tf.newaxis]
            )

        embedded = self._embed(self._part(batch, index))
        return tf.nest.map_structure(put, (outputs, targets), embedded)

    def _embed(self, part: Batch) -> tuple[Outputs, Outputs]:
        with keeping_statistics():
            outputs = self.method.forward(part)
        with tf.control_dependencies(list(outputs.values())):
            return outputs, self.method.targets(part)

    def _score(
        self, batch: Batch, outputs: Outputs, targets: Outputs
    ) -> tuple[Outputs, Gradients, Metrics]:
        """The whole batch's loss, by its outputs and by the decayed weights."""
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            whole, everything = _joined(batch), _joined({**outputs, **targets})
            loss, metrics = self.method.loss(whole, everything)
            scaled = loss * self.scale()
        if self.probe is not None:
            self.probe.keep(
                self.method.embeddings(everything), whole.get("index")
            )
        by_outputs = tape.gradient(
            scaled, outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        _, metrics = with_decay(self.method, loss, metrics)
        return by_outputs, self._filled(self._decay()[1]), metrics

    def _add_outputs(
        self,
        batch: Batch,
        index: tf.Tensor,
        by_outputs: Outputs,
        gradients: Gradients,
    ) -> Gradients:
        part = self._part(batch, index)
        with tf.GradientTape() as tape:
            outputs = self.method.forward(part)
        found = tape.gradient(
            list(outputs.values()),
            self.method.trainable,
            output_gradients=[by_outputs[name][index] for name in outputs],
        )
        return self._added(gradients, found)

    def _part(self, batch: Batch, index: tf.Tensor | int) -> Batch:
        """Part `index` of a batch (K, m, ...), with its views."""
        part = tf.nest.map_structure(lambda value: value[index], batch)
        return {**part, **self.views(part)}

    def _decay(self) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """The weight decay and its gradients, None where it has none."""
        with tf.GradientTape() as tape:
            decay = self.method.decay()
            scaled = decay * self.scale()
        return decay, tape.gradient(scaled, self.method.trainable)

    def _filled(self, gradients: Sequence[tf.Tensor | None]) -> Gradients:
        return [
            tf.zeros(variable.shape) if gradient is None else gradient
            for variable, gradient in zip(
                self.method.trainable, gradients, strict=True
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
        check_reached(self.method.trainable, reached)
        return [
            total if gradient is None else total + gradient
            for total, gradient in zip(sums, gradients, strict=True)
        ]


def _joined(outputs: Any) -> Any:
    """(K, m, ...) -> (K * m, ...)."""
    return tf.nest.map_structure(
        lambda value: tf.reshape(value, [-1, *value.shape[2:]]), outputs
    )
