"""Writing a finished run or a checkpoint for others to use."""

from tf_simclr.config.run import Config
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits, open_dataset
from tf_simclr.errors import UserError
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.prepare import index_folders, say_notices
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.training.same_run import same_run
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.onnx_export import check_onnx, export_onnx
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.export.small_runtimes import Images
from tf_simclr.weights.export.tflite_export import export_tflite

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
        data = _open_data(loaded)
        path = export_tflite(
            source,
            folder,
            output.quantize,
            _representative(loaded, data, output.quantize),
            _compared(data),
            keep=keep,
        )
    elif output.export_format == "onnx":
        path = export_onnx(
            source, folder, _compared(_open_data(loaded)), keep=keep
        )
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


def _open_data(loaded: LoadedNetwork) -> Splits | str:
    """The images of the run, or the reason that they cannot be opened."""
    config, stored = loaded.config, loaded.stored
    if stored.record is None and "dataset" not in config.given:
        return "no --dataset is given"
    try:
        check_stored_images(config, stored)
        splits = open_dataset(config.data, index_folders(config))
    except UserError as error:
        return str(error)
    say_notices(config, splits.notices)
    return splits


def _compared(data: Splits | str) -> ImageSet | None:
    """Images to compare an export with its network on."""
    if isinstance(data, str):
        say(f"notice     the export is not compared on image files: {data}")
        return None
    return data.train if data.evaluation is None else data.evaluation


def _representative(
    loaded: LoadedNetwork, data: Splits | str, quantize: str
) -> Images:
    """Evaluation views of some training images.

    Raises:
      UserError: int8 numbers need them, and they cannot be opened.
    """
    if quantize == "none":
        return ()
    if isinstance(data, str):
        if quantize != "int8":
            return ()
        raise UserError(
            "--quantize=int8 takes the ranges of its numbers from training"
            " images, which cannot be opened: name them by --dataset, or use"
            f" --quantize=float16. {data}"
        )
    chosen = data.train.evenly(_REPRESENTATIVE)
    with naming_bad_images(chosen):
        batches = evaluation_batches(chosen, 1, loaded.config.data.image_size)
        return [batch["image"].numpy() for batch in batches]
