"""Files that an evaluation writes, at a run's end or on its own."""

from collections.abc import Callable, Mapping, Sequence

from tf_simclr.errors import at_most
from tf_simclr.evaluation.classification_report import classification_report
from tf_simclr.evaluation.evaluate import Evaluation
from tf_simclr.progress import say
from tf_simclr.report.evaluation_files import write_evaluation
from tf_simclr.report.pipeline_text import run_card
from tf_simclr.training.pictures import write_final_evaluation
from tf_simclr.training.run_dir import RunDirectory

# Classes that are named, if no image is classified as they are.
_NAMED = 10
_ARITHMETIC = "Computed in float32, as exports compute."


def leave_scores(
    run_dir: RunDirectory,
    name: str,
    scores: Mapping[str, float],
    evaluation: Evaluation,
    image_size: int,
    warnings: Sequence[str] = (),
    labels: Mapping[str, int] | None = None,
) -> Callable[[], None]:
    """Writes the files of an evaluation.

    Args:
      run_dir: where they go; the directory exists.
      name: what was evaluated.
      scores: what `result.json` will hold.
      evaluation: the network's answers, and which images they are to.
      image_size: side of the evaluation view.
      warnings: what makes the scores too good, such as images that were
        trained on; '' is none.
      labels: {class: labelled training images}; None where unknown or equal.

    Returns:
      A function that draws its pictures and adds it to TensorBoard's curves,
      to be called when all that matters more is written.
    """
    found, sample = evaluation.predictions, evaluation.sample
    report = classification_report(found) if found is not None else None
    images = sample.images
    heading = f"{name} on {sample.text} images of {images.name}"
    if len(images) < sample.total:
        say(f"Scored: {heading}.")
    missed = report.classes_never_predicted if report is not None else []
    if missed:
        say(f"No image was classified as {at_most(_NAMED, missed)}.")
    notes = [_ARITHMETIC, *(f"**{text}**" for text in warnings if text)]
    draw = write_evaluation(
        run_dir.path,
        heading,
        scores,
        report,
        images,
        image_size,
        notes,
        labels,
    )

    def show() -> None:
        record = run_dir.read_config()
        card, chance = "", {}
        if record is not None:
            card = run_card(record, scores)
            chance = record.derived.chance or {}
        write_final_evaluation(
            run_dir.path,
            int(scores["global_step"]),
            scores,
            chance,
            draw(),
            card,
        )

    return show
