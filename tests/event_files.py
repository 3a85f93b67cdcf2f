"""Contents of TensorBoard's files."""

import pathlib

import tensorflow as tf


def read(folder: pathlib.Path) -> dict[str, list[tuple[int, object]]]:
    """{tag: [(step, value)]} of a folder's event files, in their order.

    Scalars are floats, everything else its `Summary.Value`.
    """
    found: dict[str, list[tuple[int, object]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                content = value
                if plugin == "scalars":
                    content = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append((event.step, content))
    return found


def size(folder: pathlib.Path) -> int:
    """Bytes of all event files in a run's folder."""
    paths = folder.rglob("events.out.tfevents.*")
    return sum(path.stat().st_size for path in paths)
