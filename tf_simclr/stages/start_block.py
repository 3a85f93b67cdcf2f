"""The block that says what a stage will run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.training.devices import describe, device_kinds

if TYPE_CHECKING:
    from tf_simclr.stages.context import StageContext


def start_block(
    context: "StageContext", notes: Sequence[str], trained: int, total: int
) -> str:
    """Data, training, steps, peak learning rate and devices of a stage.

    Args:
      context: the stage.
      notes: further lines.
      trained, total: numbers of parameters.
    """
    data, plan = context.config.data, context.plan
    optimizer, subset = context.config.optimizer, context.subset
    evaluation = context.splits.evaluation
    labelled = "no labels"
    if subset is not None:
        labelled = (
            f"{len(subset)} labelled in {len(subset.class_names)} classes"
            f" (smallest {subset.smallest_class()})"
        )
    seen = context.overlap.notice() if context.overlap else ""
    tested = "none"
    if evaluation and evaluation.has_labels:
        tested = f"{evaluation_sample(evaluation, data).text} to evaluate on"
    elif evaluation:
        tested = (
            f"none of the {len(evaluation)} images of {evaluation.name} has a"
            " label to score with"
        )
    batch = optimizer.train_batch_size
    epochs = plan.total_steps * batch / len(context.images)
    arithmetic = str(context.precision)
    if context.config.train.tf32 and "GPU" in device_kinds(context.strategy):
        arithmetic += ", TF32"
    return "\n".join(
        [
            f"--- {context.stage}: {context.run_dir.path}",
            f"  data       {data.dataset} at {data.image_size}x"
            f"{data.image_size}: {len(context.images)} images to train on,"
            f" {labelled}; {tested}",
            f"  training   {trained:,} of {total:,} parameters,"
            f" {optimizer.optimizer}",
            f"  steps      {plan.total_steps} ({epochs:.1f} epochs) of batch"
            f" {batch}, warm-up {plan.warmup_steps}",
            f"  peak lr    {plan.equation}",
            *([f"  notice     {plan.notice}"] if plan.notice else []),
            f"  devices    {describe(context.strategy)}, {arithmetic}",
            *([f"  overlap    {seen}"] if seen else []),
            *(f"  {note}" for note in notes),
        ]
    )
