"""Orders of images, by formula; and streams put in order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr import keras_compat
from tf_simclr.data.sources.image_set import UNLABELLED
from tf_simclr.data.sources.pixels import on_host

# Separate the orders' random numbers from any other use of the seed.
_ORDER_STREAM, _TURN_STREAM, _CLASS_STREAM = 0x5EED, 0x5EED1, 0x5EED2
_UNLABELLED_STREAM = 0x5EED3

# Sample positions -> (epochs, indices), all int64 of one shape (n,).
Locate = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def sample_order(
    num_examples: int, seed: int, batch_size: int, start: int, stop: int
) -> tf.data.Dataset:
    """`batches_of` `every_image`."""
    locate = every_image(num_examples, seed)
    return batches_of(locate, batch_size, start, stop)


def batches_of(
    locate: Locate, batch_size: int, start: int, stop: int
) -> tf.data.Dataset:
    """Batches of (epoch, index) for sample positions start ... stop - 1.

    Args:
      locate: which image stands at a position, from `every_image` or
        `every_class`.
      batch_size: positions per batch; (stop - start) should be a multiple.
      start, stop: range of positions.

    Returns:
      A dataset of (epochs, indices), each int64 (batch_size,).
    """

    def positions(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return locate(
            start + batch * batch_size + tf.range(batch_size, dtype=tf.int64)
        )

    # One element per batch, so that a batch is what can be asked for alone.
    return tf.data.Dataset.range((stop - start) // batch_size).map(positions)


def every_image(
    num_examples: int, seed: int, stream: int = _ORDER_STREAM
) -> Locate:
    """An order in which every image comes once in an epoch.

    Position p belongs to epoch p // num_examples. The order is a pure function
    of the seed and the position, so that a resumed run sees what the
    undisturbed one would have seen, and batches run on across the ends of
    epochs, as the original's do.

    Args:
      num_examples: N.
      seed: chooses the permutations.
      stream: keeps orders of one seed apart.

    Returns:
      A function of positions, int64 (n,).
    """

    def locate(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        epochs = positions // num_examples
        seeds = _seeds(seed, epochs, stream)
        indices = keras_compat.shuffled_index(
            positions % num_examples,
            seed=seeds,
            max_index=tf.fill(
                tf.shape(epochs), tf.constant(num_examples - 1, tf.int64)
            ),
        )
        return epochs, indices

    return locate


def every_class(labels: np.ndarray, seed: int) -> Locate:
    """An order in which every class comes once in a turn.

    C classes have images. Each C positions from a multiple of C on are a turn:
    one image of each class, in an order of the turn's own. A class goes
    through its images as `every_image` does, in passes of its own, so that
    none comes twice before all have come. The epoch is the number of the
    class's pass: an image that comes again is augmented anew. All follows from
    seed and position alone.

    Args:
      labels: int (N,), -1 where unknown; those images never come.
      seed: chooses the permutations.

    Returns:
      A function of positions, int64 (n,).
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    # By class, and within one as they are listed.
    members = labelled[np.argsort(labels[labelled], kind="stable")]
    names, starts, sizes = np.unique(
        labels[members], return_index=True, return_counts=True
    )
    count = len(names)
    members, names, starts, sizes = (
        on_host(np.asarray(values, np.int64))
        for values in (members, names, starts, sizes)
    )

    def locate(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        turns = positions // count
        which = keras_compat.shuffled_index(
            positions % count,
            seed=_seeds(seed, turns, _TURN_STREAM),
            max_index=tf.fill(
                tf.shape(turns), tf.constant(count - 1, tf.int64)
            ),
        )
        size = tf.gather(sizes, which)
        passes = turns // size
        # By the class's number, which other classes do not change.
        streams = _CLASS_STREAM + tf.gather(names, which)
        places = keras_compat.shuffled_index(
            turns % size,
            seed=_seeds(seed, passes, streams),
            max_index=size - 1,
        )
        return passes, tf.gather(members, tf.gather(starts, which) + places)

    return locate


def both_kinds(
    labels: np.ndarray, seed: int, ratio: int, balanced: bool = False
) -> Locate:
    """The order of labelled and unlabelled images in turns.

    Of each 1 + ratio positions from a multiple of 1 + ratio on, the first has
    a labelled image and the others have unlabelled ones. Each kind comes as
    `every_image` would have it alone, in epochs of its own: however few labels
    there are, they come as often.

    Args:
      labels: int (N,), -1 where unknown; of both kinds there is an image.
      seed: chooses the permutations.
      ratio: unlabelled images for each labelled one, at least 1.
      balanced: whether labelled images come as in `every_class`.

    Returns:
      A function of positions, int64 (n,).
    """
    known = np.flatnonzero(labels != UNLABELLED)
    others = np.flatnonzero(labels == UNLABELLED)
    locate_known = every_image(len(known), seed)
    locate_other = every_image(len(others), seed, _UNLABELLED_STREAM)
    known, others = (
        on_host(np.asarray(places, np.int64)) for places in (known, others)
    )
    if balanced:
        locate_known = every_class(labels, seed)

    def locate(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        turns, places = positions // (1 + ratio), positions % (1 + ratio)
        epochs, indices = locate_known(turns)
        if not balanced:
            indices = tf.gather(known, indices)
        # Of a labelled position, any: it is not taken.
        other = turns * ratio + tf.maximum(places - 1, 0)
        other_epochs, other_indices = locate_other(other)
        first = places == 0
        return tf.where(first, epochs, other_epochs), tf.where(
            first, indices, tf.gather(others, other_indices)
        )

    return locate


def _seeds(seed: int, epochs: tf.Tensor, stream: int | tf.Tensor) -> tf.Tensor:
    """The seeds of a permutation for each epoch: uint32 (n, 3)."""
    streams = stream
    if not tf.is_tensor(stream):
        streams = tf.fill(tf.shape(epochs), tf.constant(stream, tf.int64))
    seeds = [
        tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)),
        epochs,
        streams,
    ]
    return tf.cast(tf.stack(seeds, axis=1), tf.uint32)


# Elements that a missing one is waited for. A wait costs memory: this many
# elements at most are held meanwhile.
PATIENCE = 128

Element = Any


def in_order(
    numbered: tf.data.Dataset,
    compute: Callable[[tf.Tensor], Element],
    patience: int = PATIENCE,
) -> tf.data.Dataset:
    """The elements 0, 1, 2, ... without end, each once.

    Elements that come early are kept until it is their turn, without a copy.
    One that has not come when `patience` younger ones have is given up and
    computed here; should it still come, it is dropped. What comes out does
    not depend on the order of what goes in, nor on what is missing.

    Args:
      numbered: (int64 number, element) pairs without end, in about ascending
        order. Its iterator is made here.
      compute: the element of a number, for use in a graph.
      patience: how many younger elements to wait for.
    """
    structure = numbered.element_spec[1]
    parts = tf.nest.flatten(structure)
    arrivals = iter(numbered)
    # Twice as many places as are waited for: an arrival may be far ahead.
    places = 2 * patience

    def turn(state: tuple, wanted: tf.Tensor) -> tuple[tuple, Element]:
        place = _place(wanted, places)

        def waiting(newest: tf.Tensor, held: tf.Tensor, _) -> tf.Tensor:
            return tf.logical_and(
                held[place] != wanted, newest < wanted + patience
            )

        def receive(newest: tf.Tensor, held: tf.Tensor, store: tuple) -> tuple:
            number, element = next(arrivals)
            at = _place(number, places)

            def keep() -> tuple:
                return (
                    tf.tensor_scatter_nd_update(held, [[at]], [number]),
                    _put(store, at, tf.nest.flatten(element)),
                )

            useful = tf.logical_and(number >= wanted, number < wanted + places)
            held, store = tf.cond(useful, keep, lambda: (held, store))
            return tf.maximum(newest, number), held, store

        newest, held, store = tf.while_loop(waiting, receive, state)
        found = tf.cond(
            held[place] == wanted,
            lambda: _get(store, place, parts),
            lambda: tf.nest.flatten(compute(wanted)),
        )
        for tensor, part in zip(found, parts, strict=True):
            tensor.set_shape(part.shape)
        # Its memory is given back.
        store = _put(store, place, [tf.zeros([0], p.dtype) for p in parts])
        return (newest, held, store), tf.nest.pack_sequence_as(structure, found)

    nothing = tf.constant(-1, tf.int64)
    store = tuple(
        keras_compat.new_tensor_list(places, part.dtype) for part in parts
    )
    return tf.data.Dataset.counter().scan(
        (nothing, tf.fill([places], nothing), store), turn
    )


def _place(number: tf.Tensor, places: int) -> tf.Tensor:
    return tf.cast(number % places, tf.int32)


def _put(store: tuple, place: tf.Tensor, values: list[tf.Tensor]) -> tuple:
    return tuple(
        keras_compat.set_in_tensor_list(held, place, value)
        for held, value in zip(store, values, strict=True)
    )


def _get(
    store: tuple, place: tf.Tensor, parts: list[tf.TensorSpec]
) -> list[tf.Tensor]:
    return [
        keras_compat.get_from_tensor_list(held, place, part.dtype)
        for held, part in zip(store, parts, strict=True)
    ]
