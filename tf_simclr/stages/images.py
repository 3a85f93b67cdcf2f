"""The images of a stage, and where their index is kept."""

import os

from tf_simclr.config.run import Config
from tf_simclr.data.sources.open import Splits, open_dataset


def index_folders(config: Config) -> list[str]:
    """Where the index of the images may lie.

    In the run's own folder, in that of the pipeline it is part of, or in
    those of the runs it starts from: all are likely to have the same images.
    """
    model_dir = os.path.abspath(config.run.model_dir)
    folders = [model_dir, os.path.dirname(model_dir)]
    for path in (config.objective.checkpoint, config.objective.teacher):
        if path:
            # A run, or a checkpoint in its sub-folder.
            folders += [path, os.path.dirname(os.path.dirname(path))]
    return [os.path.abspath(folder) for folder in folders]


def stage_images(config: Config, *, training: bool = True) -> Splits:
    """Opens the images that the data flags name; writes nothing.

    Args:
      config: names them.
      training: False leaves the training images out.

    Raises:
      UserError: they cannot be opened.
    """
    return open_dataset(
        config.data,
        index_folders(config),
        training=training,
        asked_to_evaluate="eval_split" in config.given,
    )


def write_image_files(config: Config, splits: Splits) -> None:
    """Writes what a run's folder holds about its images: an index, unless
    its pipeline has one, and the list of bad images."""
    folder = os.path.abspath(config.run.model_dir)
    splits.write(folder, [folder, os.path.dirname(folder)])
