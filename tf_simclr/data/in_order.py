"""A stream that came out of order, with gaps, put in order and filled."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

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
        tf.raw_ops.TensorListReserve(
            element_shape=-1, num_elements=places, element_dtype=part.dtype
        )
        for part in parts
    )
    return tf.data.Dataset.counter().scan(
        (nothing, tf.fill([places], nothing), store), turn
    )


def _place(number: tf.Tensor, places: int) -> tf.Tensor:
    return tf.cast(number % places, tf.int32)


def _put(store: tuple, place: tf.Tensor, values: list[tf.Tensor]) -> tuple:
    return tuple(
        tf.raw_ops.TensorListSetItem(input_handle=held, index=place, item=value)
        for held, value in zip(store, values, strict=True)
    )


def _get(
    store: tuple, place: tf.Tensor, parts: list[tf.TensorSpec]
) -> list[tf.Tensor]:
    return [
        tf.raw_ops.TensorListGetItem(
            input_handle=held,
            index=place,
            element_shape=-1,
            element_dtype=part.dtype,
        )
        for held, part in zip(store, parts, strict=True)
    ]
