"""NT-Xent a block of anchors at a time, for batches of thousands.

The similarities of 2N anchors to all 2N embeddings, and the softmaxes and
their gradients, take 16 N^2 floats and more if they exist at once. Here a
block of anchors meets all embeddings, adds to the loss and to its gradient,
and is forgotten: the arithmetic is the same, none of it is done twice, and
the room is that of one block.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_simclr.losses.queue import same_image

# Logits that exist at once: 64 MiB of float32.
_LOGITS_AT_ONCE = 2**24


class Compared(NamedTuple):
    """Embeddings that the anchors of one view are compared with.

    Attributes:
      other: (N, d) embeddings of the other view; holds the positives.
      same: (N, d) embeddings of the anchors' own view.
      past: (K, d) embeddings of past images.
      filled: bool (K,), which rows of `past` hold one.
    """

    other: tf.Tensor
    same: tf.Tensor
    past: tf.Tensor
    filled: tf.Tensor


class Sums(NamedTuple):
    """Sums over all anchors: cross-entropy, found positives and entropy.

    The latter two are those of the softmaxes over `Compared.other` alone.
    """

    loss: tf.Tensor
    hits: tf.Tensor
    entropy: tf.Tensor


def automatic_block_rows(rows: int, columns: int) -> int:
    """Number of anchors that fit into one block; at most `rows`.

    Args:
      rows: anchors of one view.
      columns: embeddings that each is compared with.
    """
    return min(rows, max(1, _LOGITS_AT_ONCE // columns))


def blocked_sums(
    anchors: tf.Tensor,
    compared: Compared,
    positives: tf.Tensor,
    temperature: float,
    block_rows: int,
    learn_compared: bool,
    ids: tuple[tf.Tensor, tf.Tensor, tf.Tensor | None] | None = None,
) -> Sums:
    """The sums over one view's anchors.

    Args:
      anchors: float32 (n, d); n is static.
      compared: all that they are compared with.
      positives: int32 (n,), the row in `compared.other` of each anchor's
        positive, and in `compared.same` of itself.
      temperature: divides the similarities.
      block_rows: anchors at a time.
      learn_compared: whether gradients flow into `compared.other` and
        `compared.same`, too. `compared.past` never gets any.
      ids: int64 of the anchors (n,), of `compared.other` (N,) and, if known,
        of `compared.past` (K,), equal for equal images: their other
        appearances are left out. None: all images are different.
    """
    count = anchors.shape[0]
    blocks = -(-count // block_rows)
    padding = blocks * block_rows - count

    def cut(rows: tf.Tensor) -> tf.Tensor:
        pads = [[0, padding], *[[0, 0]] * (rows.shape.rank - 1)]
        return tf.reshape(
            tf.pad(rows, pads), [blocks, block_rows, *rows.shape[1:]]
        )

    counted, positives = cut(tf.ones([count])), cut(positives)
    cut_ids = None if ids is None else cut(ids[0])

    def block_ids(index: tf.Tensor):
        return None if ids is None else (cut_ids[index], *ids[1:])

    @tf.custom_gradient
    def compute(anchors: tf.Tensor, other: tf.Tensor, same: tf.Tensor):
        now = compared._replace(other=other, same=same)
        cut_anchors = cut(anchors)

        def block(index: tf.Tensor) -> tuple[tf.Tensor, Sums, tf.Tensor]:
            part = cut_anchors[index]
            at = positives[index], counted[index], temperature
            return part, *_block(part, now, *at, block_ids(index))

        return _summed_up(block, blocks, block_rows, now, count, learn_compared)

    return Sums(*compute(anchors, compared.other, compared.same))


def _summed_up(
    block: Callable[[tf.Tensor], tuple[tf.Tensor, Sums, tf.Tensor]],
    blocks: int,
    block_rows: int,
    compared: Compared,
    count: int,
    learn_compared: bool,
) -> tuple[tuple[tf.Tensor, ...], Callable]:
    """The sums over all blocks, and the function of their gradient.

    Args:
      block: number of a block -> its anchors (b, d) and what `_block` returns.
      blocks, block_rows: how many blocks of how many anchors.
      compared: what they are compared with.
      count: anchors in all blocks, without those that only fill the last up.
      learn_compared: as in `blocked_sums`.
    """
    width, dim = tf.shape(compared.other)[0], compared.other.shape[1]

    def body(index, sums, by_anchors, by_other, by_same):
        part, found, slopes = block(index)
        parts = tf.split(
            slopes, [width, width, tf.shape(compared.past)[0]], axis=1
        )
        by_part = tf.add_n(
            [
                tf.matmul(slope, examples)
                for slope, examples in zip(parts, compared[:3], strict=True)
            ]
        )
        if learn_compared:
            by_other += tf.matmul(parts[0], part, transpose_a=True)
            by_same += tf.matmul(parts[1], part, transpose_a=True)
        sums = [total + new for total, new in zip(sums, found, strict=True)]
        by_anchors = by_anchors.write(index, by_part)
        return index + 1, sums, by_anchors, by_other, by_same

    rows = tf.TensorArray(tf.float32, blocks, element_shape=[block_rows, dim])
    _, sums, by_anchors, by_other, by_same = tf.while_loop(
        lambda index, *_: index < blocks,
        body,
        (
            tf.constant(0),
            [tf.zeros([])] * 3,
            rows,
            tf.zeros_like(compared.other),
            tf.zeros_like(compared.same),
        ),
        parallel_iterations=1,
    )
    by_anchors = by_anchors.concat()[:count]

    def gradient(by_loss: tf.Tensor, *_: tf.Tensor):
        # Found positives are counted, and the entropy is only shown.
        return by_loss * by_anchors, by_loss * by_other, by_loss * by_same

    return tuple(sums), gradient


def _block(
    anchors: tf.Tensor,
    compared: Compared,
    positives: tf.Tensor,
    counted: tf.Tensor,
    temperature: float,
    ids: tuple[tf.Tensor, tf.Tensor, tf.Tensor | None] | None,
) -> tuple[Sums, tf.Tensor]:
    """One block's sums, and the slope of its loss by anchor x similarity.

    Args:
      anchors: (b, d).
      compared: what they are compared with.
      positives: (b,).
      counted: float32 (b,), 0 for anchors that only fill the block up.
      temperature: divides the similarities.
      ids: as `blocked_sums` takes them, of this block's anchors.
    """

    def logits(examples: tf.Tensor) -> tf.Tensor:
        return tf.matmul(anchors, examples, transpose_b=True) / temperature

    lowest = tf.float32.min
    other = logits(compared.other)
    is_positive = tf.one_hot(
        positives, tf.shape(other)[1], on_value=True, off_value=False
    )
    own, past = is_positive, logits(compared.past)
    if ids is not None:
        own = tf.logical_or(is_positive, same_image(ids[0], ids[1]))
        again = tf.logical_and(own, tf.logical_not(is_positive))
        other = tf.where(again, lowest, other)
        if ids[2] is not None:
            past = tf.where(same_image(ids[0], ids[2]), lowest, past)
    all_logits = tf.concat(
        [
            other,
            tf.where(own, lowest, logits(compared.same)),
            tf.where(compared.filled, past, lowest),
        ],
        axis=1,
    )
    log_sums = tf.reduce_logsumexp(all_logits, axis=1)
    positive = tf.gather(other, positives, batch_dims=1)
    hits = tf.equal(tf.argmax(other, axis=1, output_type=tf.int32), positives)
    log_shares = tf.nn.log_softmax(other)
    entropy = -tf.reduce_sum(tf.exp(log_shares) * log_shares, axis=1)
    sums = Sums(
        loss=tf.reduce_sum((log_sums - positive) * counted),
        hits=tf.reduce_sum(tf.cast(hits, tf.float32) * counted),
        entropy=tf.reduce_sum(entropy * counted),
    )
    slopes = tf.exp(all_logits - log_sums[:, tf.newaxis])
    behind = tf.shape(all_logits)[1] - tf.shape(other)[1]
    slopes -= tf.pad(tf.cast(is_positive, tf.float32), [[0, 0], [0, behind]])
    return sums, slopes * (counted / temperature)[:, tf.newaxis]
