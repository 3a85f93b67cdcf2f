"""Writing a finished run or a checkpoint for others to use."""

from tf_simclr.config.run import Config
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.open import open_images
from tf_simclr.errors import UserError
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.prepare import index_folders, say_notices
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.training.same_run import same_run
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.export.small_runtimes import (
    Images,
    check_onnx,
    export_onnx,
    export_tflite,
)

# Training images that the ranges of int8 numbers are taken from.
_REPRESENTATIVE = 200


def export(config: Config) -> str:
    """Exports `--checkpoint`, or the run in `model_dir`, to
    `model_dir/FORMAT/STEP`.

    Returns:
      The export's path.
    """
    run_dir = RunDirectory(config.run.model_dir)
    check_writable(run_dir.path)
    output = config.output
    if output.export_format == "onnx":
        check_onnx()
    loaded = load_network(config)
    source = loaded.exportable()
    name = output.export_format
    if output.quantize != "none":
        name = f"{name}_{output.quantize}"
    folder = run_dir.file(name)
    _check_free(run_dir, folder, source)
    keep = config.compat.keep_hub_module_max
    if output.export_format == "tflite":
        images = _representative(loaded) if output.quantize == "int8" else None
        path = export_tflite(source, folder, output.quantize, images, keep=keep)
    elif output.export_format == "onnx":
        path = export_onnx(source, folder, keep=keep)
    else:
        path = export_saved_model(
            source, folder, keep=keep, new_process=output.verify_export
        )
    say(f"Exported to {path}")
    return path


def _check_free(run_dir: RunDirectory, folder: str, source: Exportable) -> None:
    there = run_dir.read_config()
    if there is not None and not same_run(there, source.record):
        raise UserError(
            f"--model_dir={run_dir.path} is in use: it holds another run."
            " Choose a new directory for the export."
        )
    ExportFolder(folder, source.record).check()


def _representative(loaded: LoadedNetwork) -> Images:
    """Evaluation views of some training images, evenly from all of them."""
    data = loaded.config.data
    check_stored_images(loaded.config, loaded.stored)
    images, notices = open_images(
        data, data.train_split, index_folders(loaded.config)
    )
    say_notices(loaded.config, notices)
    step = max(1, len(images) // _REPRESENTATIVE)
    chosen = images.take(range(0, len(images), step))
    with naming_bad_images(chosen):
        batches = evaluation_batches(chosen, 1, data.image_size)
        return [batch["image"].numpy() for batch in batches]
