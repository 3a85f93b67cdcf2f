"""Writing a SavedModel of a finished run or a checkpoint."""

from tf_simclr.config.run import Config
from tf_simclr.stages.loaded import load_network
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.weights.export import export_saved_model


def export(config: Config) -> str:
    """Exports `--checkpoint`, or the run in `model_dir`, to
    `model_dir/saved_model/STEP`.

    Returns:
      The SavedModel's path.
    """
    run_dir = RunDirectory(config.run.model_dir)
    check_writable(run_dir.path)
    loaded = load_network(config)
    path = export_saved_model(
        loaded.network,
        loaded.config.data.image_size,
        run_dir.file("saved_model"),
        loaded.stored.step,
        config.compat.keep_hub_module_max,
    )
    say(f"Exported to {path}")
    return path
