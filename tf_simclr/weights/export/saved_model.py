"""A SavedModel that can be served and trained."""

import os
import tempfile

import tensorflow as tf

from tf_simclr.files import write_text
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.hub_module import make_hub_module
from tf_simclr.weights.export.model_card import CARD_FILE, model_card
from tf_simclr.weights.export.verify import verify_saved_model

# The class names, one per line, among the SavedModel's assets.
LABELS_FILE = "labels.txt"


def export_saved_model(
    source: Exportable,
    folder: str,
    *,
    keep: int = 1,
    in_place: bool = False,
    new_process: bool = False,
) -> str:
    """Writes `folder/STEP`, a reusable SavedModel (see `make_hub_module`).

    It is written under another name, loaded and compared with the network,
    and only then renamed: what stands under its name is whole.

    Args:
      source: the network and what is known about it.
      folder: usually `model_dir/saved_model`.
      keep: how many exports of the highest steps stay in the folder.
      in_place: whether `folder` lies in the `model_dir` of the run of
        `source`, which may have exports of an earlier step there.
      new_process: whether it is loaded in a process without this package
        instead of this one.

    Returns:
      The SavedModel's path.

    Raises:
      UserError: the folder is in use.
      ExportFailed: what was written does not compute what the network does.
    """
    exports = ExportFolder(folder, source.record, keep, in_place)
    exports.check()
    module = make_hub_module(source)
    with (
        tempfile.TemporaryDirectory() as assets,
        exports.writing(source.step, source.scores) as temporary,
    ):
        if source.class_names:
            labels = os.path.join(assets, LABELS_FILE)
            write_labels(labels, source)
            module.trackable.labels = tf.saved_model.Asset(labels)
        tf.saved_model.save(
            module.trackable,
            temporary,
            signatures=module.signatures,
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=True
            ),
        )
        if source.novelty is not None:
            source.novelty.write(temporary, source.step)
        write_text(
            os.path.join(temporary, CARD_FILE),
            model_card(source, "saved_model"),
        )
        verify_saved_model(
            temporary, module, source.image_size, new_process=new_process
        )
    return os.path.join(folder, str(source.step))


def write_labels(path: str, source: Exportable) -> None:
    """Writes the class names, one per line."""
    write_text(path, "".join(f"{name}\n" for name in source.class_names))
