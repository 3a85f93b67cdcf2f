"""Measurements of single steps, at no cost to the others."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.losses.queue import as_columns
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.optimizers.lars import LARS


def network_parts(network: SimCLRNetwork) -> dict[str, list[tf.Variable]]:
    """{part: its trainable variables}: groups of the encoder, and heads.

    Parts without trainable variables, such as frozen ones, are left out.
    """
    layers = dict(network.encoder.parts())
    layers["projection_head"] = network.projection_head
    if network.classifier is not None:
        layers["classifier"] = network.classifier
    variables = {
        name: layer.trainable_variables for name, layer in layers.items()
    }
    return {name: found for name, found in variables.items() if found}


class StepProbe:
    """Keeps tensors of one step, and the size of its gradients.

    The host names a step by `aim`; the others compute nothing for it. What it
    keeps stays on the device until `read`. On several devices its tensors are
    of the first one's share of the batch.

    Made in the scope of the strategy.

    Args:
      network: whose parts are told apart.
      trainable: the variables that have gradients.
      optimizer: updates them, and counts the steps.
      embeddings: shape of what `keep` gets, (2, n, d) for n images of both
        views; None: nothing is kept.
    """

    def __init__(
        self,
        network: SimCLRNetwork,
        trainable: Sequence[tf.Variable],
        optimizer: keras.optimizers.Optimizer,
        embeddings: Sequence[int] | None = None,
    ):
        self._trainable = trainable
        self._optimizer = optimizer
        place = {variable.ref(): i for i, variable in enumerate(trainable)}
        self._parts: dict[str, list[int]] = {}
        self._adapted: dict[str, list[int]] = {}
        for part, variables in network_parts(network).items():
            found = [place[v.ref()] for v in variables if v.ref() in place]
            if found:
                self._parts[part] = found
            adapted = [i for i in found if self._adapts(trainable[i])]
            if adapted:
                self._adapted[part] = adapted
        self._aim = tf.Variable(-1, trainable=False, dtype=tf.int64)
        figures = len(self._parts) + len(self._adapted)
        self._figures = _storage([figures])
        self._kept = self._ids = None
        if embeddings is not None:
            self._kept = _storage(embeddings)
            self._ids = _storage([embeddings[1], 2])

    def aim(self, steps: int) -> None:
        """Chooses the last of the next `steps` steps."""
        self._aim.assign(self._optimizer.iterations + steps)

    def keep(
        self,
        views: tuple[tf.Tensor, tf.Tensor] | None,
        ids: tf.Tensor | None,
    ) -> None:
        """Within a step, on a replica: keeps the first rows of both views'
        embeddings, (n, d) each, and of the images' numbers, int64 (n,)."""
        if self._kept is None or views is None or ids is None:
            return
        rows = self._kept.shape[1]
        self._store(
            self._kept, lambda: tf.stack([view[:rows] for view in views])
        )
        self._store(self._ids, lambda: as_columns(ids[:rows]))

    def look_at(self, gradients: Sequence[tf.Tensor]) -> None:
        """Within a step, on a replica, before the update: measures gradients.

        Args:
          gradients: of the whole batch's loss, in the shapes of `trainable`.
        """
        self._store(self._figures, lambda: self._measure(gradients))

    def gradients(self) -> dict[str, float]:
        """{chart: figure}: gradient norms of the network's parts and, under
        LARS, the median trust ratios of their kernels."""
        names = [f"gradient_norm/{part}" for part in self._parts]
        names += [f"trust_ratio/{part}" for part in self._adapted]
        figures = self._figures.read_value().numpy()
        return {n: float(v) for n, v in zip(names, figures, strict=True)}

    def embeddings(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Embeddings that were kept, (2, n, d), and (n, 2), equal for equal
        images; None if nothing is."""
        if self._kept is None:
            return None
        kept, ids = (v.read_value().numpy() for v in (self._kept, self._ids))
        return kept, ids

    def _store(self, storage: tf.Variable, value) -> None:
        # The optimizer has not counted this step yet.
        chosen = tf.equal(self._optimizer.iterations + 1, self._aim)

        def store() -> tf.Tensor:
            storage.assign(value())
            return tf.constant(True)

        tf.cond(chosen, store, lambda: tf.constant(False))

    def _adapts(self, variable: tf.Variable) -> bool:
        optimizer = self._optimizer
        return isinstance(optimizer, LARS) and optimizer.adapts(variable)

    def _measure(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        norms = [
            tf.linalg.global_norm([gradients[i] for i in indices])
            for indices in self._parts.values()
        ]
        ratios = [
            _median(
                [
                    self._optimizer.ratio_of(gradients[i], self._trainable[i])
                    for i in indices
                ]
            )
            for indices in self._adapted.values()
        ]
        return tf.stack(norms + ratios)


def _median(values: Sequence[tf.Tensor]) -> tf.Tensor:
    # A kernel without a gradient, such as all behind a scale that starts at
    # zero, has a huge ratio and would be all that a mean shows.
    return tf.sort(tf.stack(values))[len(values) // 2]


def _storage(shape: Sequence[int]) -> tf.Variable:
    # Every replica writes its own; the first one's is read.
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
