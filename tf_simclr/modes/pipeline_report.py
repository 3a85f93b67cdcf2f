"""Collects what a pipeline's report shows, and writes it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_simclr.config.flat import command_words, from_flat, to_flat
from tf_simclr.config.run import Config
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.embedding_map import (
    thumbnail_size,
    thumbnails,
    write_projector,
)
from tf_simclr.evaluation.embeddings import FeaturePlane, feature_plane
from tf_simclr.evaluation.sample import labelled_sample
from tf_simclr.files import write_text
from tf_simclr.methods.registry import method_of
from tf_simclr.modes.carried import CarriedLabels, feature_predictor
from tf_simclr.modes.prepare import prepare_job
from tf_simclr.report.evaluation_charts import short
from tf_simclr.report.evaluation_files import mistake_pictures
from tf_simclr.report.pipeline_data import PipelineData, StageData, read_stage
from tf_simclr.report.pipeline_page import pipeline_page
from tf_simclr.report.pipeline_text import pipeline_text
from tf_simclr.training.pictures import sample_views
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.same_run import changed_flags

# Images in the map of features: more only overlap.
_MAPPED = 1000
# The row of labels carried along features; labels that look wrong and are
# shown.
CARRIED_TITLE, _DOUBTFUL = "labels carried along", 12


def write_report(
    root: RunDirectory,
    titles: Mapping[str, str],
    configs: Mapping[str, Config],
    result: dict[str, Any],
    carried: CarriedLabels | None = None,
) -> PipelineData:
    """Writes `report.md` and `report.html`.

    Args:
      root: the pipeline's directory; its parts have finished.
      titles: {part: its row in the table}, in the order in which they ran; ''
        for one that has no row.
      configs: {part: its configuration}.
      result: what the pipeline's `result.json` holds.
      carried: the labels along the pretrained features, where they are known.
    """
    configs = {name: as_it_ran(config) for name, config in configs.items()}
    stages = [
        read_stage(
            configs[name].run.model_dir,
            name,
            title,
            command_words(configs[name]),
        )
        for name, title in titles.items()
    ]
    pretrained, student = configs["pretrain"], configs[stages[-1].name]
    splits = prepare_job(pretrained, method_of(pretrained)).splits
    images = _mapped(splits.evaluation)
    data = PipelineData(
        stages=tuple(stages),
        result=result,
        views=_views(pretrained, splits.train),
        planes={
            "after pretraining, before any label": _plane(pretrained, images),
            "after fine-tuning": _plane(configs["finetune"], images),
        },
        plane_labels=images.labels,
        split=splits.evaluation.name,
        mistakes=_mistakes(student, stages[-1], splits.evaluation),
        carried=_carried_row(carried, stages[0]),
        suspicious=_suspicious(carried, student),
    )
    write_text(root.file("report.md"), pipeline_text(data))
    write_text(root.file("report.html"), pipeline_page(data))
    return data


def _carried_row(
    carried: CarriedLabels | None, pretrained: StageData
) -> StageData | None:
    if carried is None or carried.report is None:
        return None
    return dataclasses.replace(
        pretrained,
        name="carried",
        title=CARRIED_TITLE,
        metrics=[],
        report=carried.report,
        command=[],
    )


def _suspicious(
    carried: CarriedLabels | None, config: Config
) -> tuple[list[str], np.ndarray, int] | None:
    if carried is None or not carried.suspicious:
        return None
    images, shown = carried.images, carried.suspicious[:_DOUBTFUL]
    names = images.class_names
    captions = [
        f"{short(names[x.label])}, rather {short(names[x.likelier])}"
        for x in shown
    ]
    ids = [images.ids[x.place] for x in shown]
    pictures = mistake_pictures(ids, images, config.data.image_size)
    return captions, pictures, len(carried.suspicious)


def as_it_ran(config: Config) -> Config:
    """The configuration that a finished part ran with: what was changed since
    had no effect."""
    stored = RunDirectory(config.run.model_dir).read_config().config
    defaults = to_flat(Config())
    # Of the network a name of the zoo says no more than the other flags.
    changed = {
        name: stored[name]
        for name in changed_flags(stored, to_flat(config))
        if name != "model"
    }
    dropped = {x for x, value in changed.items() if value == defaults[x]}
    ran = from_flat(changed, config)
    return dataclasses.replace(ran, given=ran.given - dropped)


def _mapped(images: ImageSet) -> ImageSet:
    return images.take(labelled_sample(images, _MAPPED))


def _views(config: Config, images: ImageSet) -> np.ndarray:
    batches = TrainingBatches(
        images,
        config.augment,
        config.data.image_size,
        config.train.seed,
        contrastive=True,
    )
    return sample_views(batches).numpy()


def _plane(config: Config, images: ImageSet) -> FeaturePlane:
    """The features of a finished part's network in the plane.

    Writes them into the part's directory for TensorBoard's projector, too.
    """
    data = config.data
    predict = feature_predictor(config)
    side = thumbnail_size(len(images), data.image_size)
    features, pictures = [], []
    for views, found in predict.stream(images):
        features.append(found["features"])
        pictures.append(thumbnails(views, side))
    write_projector(
        config.run.model_dir,
        np.concatenate(features),
        np.concatenate(pictures),
        images.ids,
        [images.class_names[label] for label in images.labels],
    )
    return feature_plane(np.concatenate(features))


def _mistakes(
    config: Config, stage: StageData, images: ImageSet
) -> Sequence[np.ndarray]:
    ids = stage.report.mistake_ids
    return mistake_pictures(ids, images, config.data.image_size) if ids else []
