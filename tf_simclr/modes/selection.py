"""Choice of the checkpoint that a stage ends with, by its evaluations."""

from typing import Any

import tensorflow as tf

from tf_simclr import manifests
from tf_simclr.data.imbalance import are_unequal, counts_of
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.methods.base import Method
from tf_simclr.methods.job import Job
from tf_simclr.metrics import BEST_BY, KNN, MACRO_F1, TOP_1, Metric
from tf_simclr.progress import say
from tf_simclr.training.best import Selection
from tf_simclr.training.checkpoints import read_network
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.run_record import selected_on_scored

_NAMED = {"accuracy": TOP_1, "macro_f1": MACRO_F1, "knn": KNN}


def selection_of(
    job: Job, method: Method, evaluator: Evaluator | None
) -> Selection:
    """The comparison of a stage's evaluations, and what it decides.

    Args:
      job: the stage.
      method: what is trained.
      evaluator: scores it; None where there is nothing to score it on.

    Raises:
      UserError: the flags ask for a score that there will not be.
    """
    config = job.config
    flags, evaluates = config.selection, config.train.eval_every_epochs > 0
    if evaluator is None:
        _refuse_without_scores(job, evaluates)
    if evaluator is None or not evaluates:
        return Selection()
    metrics = _metrics(job, evaluator)
    needs_classifier = KNN not in metrics
    if needs_classifier and method.network.classifier is None:
        raise UserError(
            f"--best_metric={flags.best_metric} is a score of the online"
            " classifier, which this pretraining does not have: take knn."
        )
    return Selection(
        by=tuple(metric.name for metric in metrics),
        scored_on=evaluator.sample.identity,
        patience=flags.early_stop_evals,
        exports_best=flags.export_checkpoint == "best",
    )


def _refuse_without_scores(job: Job, evaluates: bool) -> None:
    flags = job.config.selection
    asked = {
        "--export_checkpoint=best": flags.export_checkpoint == "best",
        f"--early_stop_evals={flags.early_stop_evals}": (
            flags.early_stop_evals > 0
        ),
    }
    for text, wanted in asked.items():
        if wanted and evaluates:
            raise UserError(
                f"{text} needs scores, and --dataset={job.config.data.dataset}"
                " has no labelled images to evaluate on: name a split with"
                " --eval_split, or cut one off with --eval_fraction=0.2."
            )


def _metrics(job: Job, evaluator: Evaluator) -> tuple[Metric, ...]:
    name = job.config.selection.best_metric
    if name != "auto":
        return (_NAMED[name],)
    if job.stage == "pretrain":
        return BEST_BY
    scored = counts_of(evaluator.sample.images.labels)
    unequal = job.unequal_labels is not None or are_unequal(scored)
    return (MACRO_F1,) if unequal else (TOP_1,)


def selection_notes(selection: Selection, split: str) -> list[str]:
    """Lines for the announcement of a run, where scores decide something.

    Args:
      selection: of the run.
      split: the name of the images that are scored.
    """
    if not selection.decides:
        return []
    does = [
        *["exports the best checkpoint"] * selection.exports_best,
        *[f"stops after {selection.patience} evaluations without a better one"]
        * bool(selection.patience),
    ]
    return [
        f"selection  {' and '.join(does)}, by {' or '.join(selection.by)};"
        f" {selected_on_scored(split)}"
    ]


def choose_checkpoint(
    run_dir: RunDirectory, network: tf.Module, last: int, selection: Selection
) -> int:
    """Gives the network the weights that are scored and exported.

    Args:
      run_dir: of the run, which has saved step `last`.
      network: has the weights of that step.
      last: the step that the training reached.
      selection: what the run asked for.

    Returns:
      The step of these weights.
    """
    if not selection.exports_best:
        return last
    best = manifests.best_scored(run_dir.checkpoints)
    if best is None:
        say("No evaluation has a finite score: the last checkpoint is taken.")
        return last
    if best.step != last:
        read_network(run_dir, best.step, network)
    shown = "".join(f"{n} {v:.4f}" for n, v in best.score.items())
    say(
        f"The best checkpoint is that of step {best.step} ({shown}); the last"
        f" is that of step {last}."
    )
    return best.step


def selection_facts(
    run_dir: RunDirectory,
    selection: Selection,
    split: str,
    *,
    step: int,
    trained: int,
    planned: int,
) -> dict[str, Any] | None:
    """The part `selection` of `result.json`; None where no score decided.

    Args:
      run_dir: of the run.
      selection: what the run asked for.
      split: the name of the images that were scored.
      step: of the weights that are scored and exported.
      trained: the step that the training reached.
      planned: the step that it would have reached at most.
    """
    if not selection.decides:
        return None
    score = {}
    if step in manifests.manifest_steps(run_dir.checkpoints):
        score = manifests.read_manifest(run_dir.checkpoints, step).score
    return {
        "export_checkpoint": "best" if selection.exports_best else "last",
        "checkpoint": f"checkpoints/ckpt-{step}",
        "score": score,
        "chosen_on": split,
        "trained_steps": trained,
        "planned_steps": planned,
        "stopped_early": trained < planned,
    }
