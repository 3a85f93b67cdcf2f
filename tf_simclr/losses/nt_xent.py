"""The contrastive loss: normalised temperature-scaled cross-entropy."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_simclr.losses.nt_xent_blocks import (
    Compared,
    automatic_block_rows,
    blocked_sums,
)
from tf_simclr.losses.queue import as_columns, from_columns, same_image

# Guards the norm of an all-zero embedding, as tf.math.l2_normalize does.
NORM_EPSILON = 1e-12


class NTXent(NamedTuple):
    """The loss of one replica's anchors and what is measured beside it.

    Attributes:
      loss: scalar, mean over the replica's 2n anchors (SimCLR, equation 1).
      accuracy: share of first-view anchors whose positive has the highest
        logit among the second views, as the original reports it.
      entropy: mean entropy of those softmaxes, in nats.
      logits: (n, N) scaled similarities of first to second views; None where
        they do not exist at once.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor
    entropy: tf.Tensor
    logits: tf.Tensor | None


def nt_xent(
    view1: tf.Tensor,
    view2: tf.Tensor,
    temperature: float = 0.1,
    normalize: bool = True,
    *,
    keys: tuple[tf.Tensor, tf.Tensor] | None = None,
    queue: tuple[tf.Tensor, tf.Tensor] | None = None,
    ids: tf.Tensor | None = None,
    queue_ids: tf.Tensor | None = None,
    block_rows: int | None = None,
) -> NTXent:
    """NT-Xent over the global batch (SimCLR, arXiv 2002.05709, equation 1).

    Under a `tf.distribute` strategy each replica's n anchors are compared
    with the embeddings of all replicas, gradients included; the mean of the
    replicas' losses is the loss of the global batch.

    Args:
      view1: (n, d) projections of the first views.
      view2: (n, d) projections of the second views of the same images.
      temperature: divides the similarities; above 0.
      normalize: whether similarities are cosines (else inner products).
      keys: what the anchors are compared with instead of each other: both
        views' projections by another network, (n, d) each. The positive is
        then the other view's key; no gradient reaches them.
      queue: embeddings of past images as further negatives, (K, d), embedded
        already, and a bool (K,) that tells which rows hold one.
      ids: int64 (n,), equal for equal images. The other appearances of an
        anchor's image, in this batch and in the queue, then count neither as
        positives nor as negatives. None: all images are taken as different,
        as the original release does.
      queue_ids: int64 (K,), of the queue's images; -1 where unknown. Read
        where `ids` are given.
      block_rows: how many anchors of a view are compared at a time; None: as
        many as keep the similarities in bounds. The figures are the same.

    Returns:
      `NTXent`; everything is computed in float32.
    """
    anchors1 = embed(view1, normalize)
    anchors2 = embed(view2, normalize)
    count = tf.shape(anchors1)[0]
    compared = (anchors1, anchors2)
    if keys is not None:
        compared = tuple(embed(key, normalize) for key in keys)
        compared = tuple(tf.stop_gradient(key) for key in compared)
    numbers = [] if ids is None else [ids]
    all1, all2, found, offset = gather_batch(*compared, numbers)
    all_ids = found[0] if found else None
    positives = offset + tf.range(count)
    rows = anchors1.shape[0]
    if rows is not None:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        past = 0 if queue is None else queue[0].shape[0]
        block_rows = block_rows or automatic_block_rows(
            rows, 2 * rows * replicas + past
        )
        if block_rows < rows:
            return _in_blocks(
                (anchors1, anchors2),
                (all1, all2),
                queue,
                positives,
                temperature,
                block_rows,
                learn_compared=keys is None,
                ids=None if ids is None else (ids, all_ids, queue_ids),
            )
    return _at_once(
        (anchors1, anchors2),
        (all1, all2),
        queue,
        positives,
        temperature,
        ids=None if ids is None else (ids, all_ids, queue_ids),
    )


def _at_once(
    anchors: tuple[tf.Tensor, tf.Tensor],
    compared: tuple[tf.Tensor, tf.Tensor],
    queue: tuple[tf.Tensor, tf.Tensor] | None,
    positives: tf.Tensor,
    temperature: float,
    ids: tuple[tf.Tensor, tf.Tensor, tf.Tensor | None] | None,
) -> NTXent:
    """`nt_xent` of embeddings, all similarities at once."""
    (anchors1, anchors2), (all1, all2) = anchors, compared
    self_mask = tf.one_hot(
        positives, tf.shape(all1)[0], on_value=True, off_value=False
    )
    # The anchor's own view, and other appearances of its image.
    own_mask, again = self_mask, None
    if ids is not None:
        own_mask = tf.logical_or(self_mask, same_image(*ids[:2]))
        again = tf.logical_and(own_mask, tf.logical_not(self_mask))

    def similarities(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return tf.matmul(queries, keys, transpose_b=True) / temperature

    def without(mask: tf.Tensor | None, logits: tf.Tensor) -> tf.Tensor:
        return (
            logits if mask is None else tf.where(mask, logits.dtype.min, logits)
        )

    logits_12 = without(again, similarities(anchors1, all2))
    logits_21 = without(again, similarities(anchors2, all1))
    logits_11 = without(own_mask, similarities(anchors1, all1))
    logits_22 = without(own_mask, similarities(anchors2, all2))

    def past(anchors: tf.Tensor) -> list[tf.Tensor]:
        if queue is None:
            return []
        rows, filled = queue
        logits = similarities(anchors, tf.stop_gradient(rows))
        if ids is not None and ids[2] is not None:
            logits = without(same_image(ids[0], ids[2]), logits)
        return [tf.where(filled, logits, logits.dtype.min)]

    def cross_entropy(*logits: tf.Tensor) -> tf.Tensor:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=positives, logits=tf.concat(logits, axis=1)
        )
        return tf.reduce_mean(losses)

    loss = 0.5 * (
        cross_entropy(logits_12, logits_11, *past(anchors1))
        + cross_entropy(logits_21, logits_22, *past(anchors2))
    )
    hits = tf.equal(
        tf.argmax(logits_12, axis=1, output_type=tf.int32), positives
    )
    log_probabilities = tf.nn.log_softmax(logits_12)
    entropy = -tf.reduce_sum(
        tf.exp(log_probabilities) * log_probabilities, axis=1
    )
    return NTXent(
        loss=loss,
        accuracy=tf.reduce_mean(tf.cast(hits, tf.float32)),
        entropy=tf.reduce_mean(entropy),
        logits=logits_12,
    )


def _in_blocks(
    anchors: tuple[tf.Tensor, tf.Tensor],
    compared: tuple[tf.Tensor, tf.Tensor],
    queue: tuple[tf.Tensor, tf.Tensor] | None,
    positives: tf.Tensor,
    temperature: float,
    block_rows: int,
    learn_compared: bool,
    ids: tuple[tf.Tensor, tf.Tensor, tf.Tensor | None] | None,
) -> NTXent:
    """`nt_xent` of embeddings, a block of anchors at a time."""
    rows, dim = anchors[0].shape
    if queue is None:
        queue = (tf.zeros([0, dim]), tf.zeros([0], tf.bool))
    first, second = (
        blocked_sums(
            anchors[view],
            Compared(compared[1 - view], compared[view], *queue),
            positives,
            temperature,
            block_rows,
            learn_compared,
            ids,
        )
        for view in (0, 1)
    )
    return NTXent(
        loss=(first.loss + second.loss) / (2 * rows),
        accuracy=first.hits / rows,
        entropy=first.entropy / rows,
        logits=None,
    )


def embed(projections: tf.Tensor, normalize: bool) -> tf.Tensor:
    """Projections (n, d) in float32, on the unit sphere if `normalize`."""
    projections = tf.cast(projections, tf.float32)
    if normalize:
        return tf.math.l2_normalize(projections, axis=1, epsilon=NORM_EPSILON)
    return projections


def gather_batch(
    embeddings1: tf.Tensor,
    embeddings2: tf.Tensor,
    numbers: Sequence[tf.Tensor] = (),
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
    """All replicas' shares of a batch, gradients included.

    Args:
      embeddings1, embeddings2: (n, d) of this replica, of both views.
      numbers: int64 (n,) each, from 0 to 2^48 - 1, what else is known of the
        images.

    Returns:
      Embeddings (N, d) and numbers (N,) of all replicas, and this replica's
      first row among them.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return embeddings1, embeddings2, list(numbers), tf.constant(0)
    # Side by side: one collective operation instead of several.
    parts = [embeddings1, embeddings2, *map(as_columns, numbers)]
    gathered = tf.split(
        context.all_gather(tf.concat(parts, axis=1), axis=0),
        [part.shape[1] for part in parts],
        axis=1,
    )
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    offset = replica * tf.shape(embeddings1)[0]
    return (
        gathered[0],
        gathered[1],
        [from_columns(columns) for columns in gathered[2:]],
        offset,
    )
