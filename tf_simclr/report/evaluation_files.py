"""Files of an evaluation beside `result.json`."""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.drawing import drawing
from tf_simclr.evaluation.classification_report import (
    ClassificationReport,
    Mistake,
)
from tf_simclr.evaluation.report_json import to_json
from tf_simclr.files import replacing, write_json, write_text
from tf_simclr.report.evaluation_charts import short
from tf_simclr.report.evaluation_text import evaluation_text
from tf_simclr.report.figures import (
    confusion_figure,
    picture_grid,
    reliability_figure,
)

EVALUATION_FILE = "evaluation.json"
# The largest side of a picture.
_SIDE = 224
# Rows of the confusion matrix that a picture can show.
_CELLS = 600


def write_evaluation(
    folder: str,
    heading: str,
    scores: Mapping[str, float],
    report: ClassificationReport | None,
    images: ImageSet,
    image_size: int,
    notes: Sequence[str] = (),
    labels: Mapping[str, int] | None = None,
) -> Callable[[], dict[str, bytes]]:
    """Writes `evaluation.md` and, of a classifier, `evaluation.json`.

    Args:
      folder: where the files go; it exists.
      heading: what was evaluated on what.
      scores: what `result.json` holds.
      report: of the classifier; None where there is none.
      images: what was evaluated on.
      image_size: side of the evaluation view.
      notes: what a reader of the scores must know, in Markdown.
      labels: {class: labelled training images}; None where unknown or equal.

    Returns:
      A function that draws `confusion.png`, `reliability.png` and
      `mistakes.png`, as far as that works, puts them into `evaluation.md`, and
      returns {title: PNG} of them.
    """

    def write(files: Mapping[str, str]) -> None:
        text = evaluation_text(heading, scores, report, files, notes, labels)
        write_text(os.path.join(folder, "evaluation.md"), text)

    def draw() -> dict[str, bytes]:
        if report is None:
            return {}
        pictures, files = draw_evaluation(report, images, image_size), {}
        for title, data in pictures.items():
            files[title] = f"{title.split()[-1]}.png"
            with (
                replacing(os.path.join(folder, files[title])) as name,
                open(name, "wb") as file,
            ):
                file.write(data)
        write(files)
        return pictures

    write({})
    if report is not None:
        write_json(os.path.join(folder, EVALUATION_FILE), to_json(report))
    return draw


def draw_evaluation(
    report: ClassificationReport, images: ImageSet, image_size: int
) -> dict[str, bytes]:
    """{title: PNG} of confusion, reliability and the worst mistakes."""
    names = report.class_names
    confusions = report.confusions
    group = -(-confusions.num_classes // _CELLS)
    matrix = confusions.grouped(group).matrix()
    pictures = {}
    with drawing("confusion.png"):
        pictures["confusion"] = confusion_figure(matrix, names, group)
    calibration = report.calibration
    if calibration is not None:
        with drawing("reliability.png"):
            pictures["reliability"] = reliability_figure(
                calibration.before, calibration.after
            )
    mistakes = report.mistakes
    if mistakes:
        shown = mistake_pictures(report.mistake_ids, images, image_size)
        captions = [mistake_caption(mistake, names) for mistake in mistakes]
        with drawing("mistakes.png"):
            pictures["worst mistakes"] = picture_grid(shown, captions)
    return pictures


def mistake_pictures(
    ids: Sequence[str], images: ImageSet, image_size: int
) -> np.ndarray:
    """The evaluation views of mistaken images, float32 (n, s, s, 3)."""
    places = {name: place for place, name in enumerate(images.ids)}
    chosen = images.take(np.array([places[name] for name in ids]))
    size = min(image_size, _SIDE)
    batch = next(iter(evaluation_batches(chosen, len(ids), size)))
    return batch["image"].numpy()


def mistake_caption(mistake: Mistake, names: tuple[str, ...]) -> str:
    """Words such as '7 taken for 1 (98 %)'."""
    label, called = (
        short(names[mistake.label]),
        short(names[mistake.prediction]),
    )
    return f"{label} taken for {called} ({100 * mistake.confidence:.0f} %)"
