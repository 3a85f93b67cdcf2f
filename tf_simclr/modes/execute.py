"""Runs a stage: writes its files, trains, scores, exports."""

import dataclasses
import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_simclr.config.flat import to_flat
from tf_simclr.config.run import Config
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.decoding import AS_ORIGINAL
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import NO_SCORE, Evaluation, Evaluator
from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.files import read_json, write_json
from tf_simclr.loggers.base import followed
from tf_simclr.methods.base import Method
from tf_simclr.methods.job import Job
from tf_simclr.models.momentum import trainable_variables
from tf_simclr.modes.novelty import measure_novelty
from tf_simclr.modes.prepare import prepare, say_notices, write_image_files
from tf_simclr.modes.scores import leave_scores
from tf_simclr.modes.selection import (
    choose_checkpoint,
    selection_facts,
    selection_notes,
    selection_of,
)
from tf_simclr.progress import say, say_once
from tf_simclr.storage.addresses import address_of
from tf_simclr.training.best import (
    USUAL_SELECTION,
    EarlyStop,
    Selection,
    record_score,
)
from tf_simclr.training.devices import describe, device_kinds
from tf_simclr.training.failures import memory_explained
from tf_simclr.training.loop import train
from tf_simclr.training.run_dir import LABELS_FILE, RESULT_FILE, SELECTION
from tf_simclr.training.run_record import (
    DatasetRecord,
    DerivedRecord,
    LabelsRecord,
    RunRecord,
)
from tf_simclr.training.step import Task
from tf_simclr.training.step_probe import StepProbe
from tf_simclr.training.update import LossScale
from tf_simclr.training.weight_average import WeightAverage
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.stored import temperature_of

# Folder of a run's SavedModels.
EXPORTS = "saved_model"
# Images whose embeddings TensorBoard looks at: enough for its statistics.
_WATCHED = 256


def run_stage(config: Config) -> dict[str, float]:
    """Runs the stage that a configuration names.

    Returns:
      What its `result.json` holds.

    Raises:
      UserError: something cannot be used, or `model_dir` holds another run,
        or is in use.
    """
    method, job = prepare(config)
    return execute(job, method(job))


def execute(job: Job, method: Method) -> dict[str, float]:
    """Writes the run's files, trains, evaluates; returns the result.

    Args:
      job: images, devices and directory.
      method: what to train.

    Raises:
      UserError: `model_dir` holds another run, or is in use.
    """
    run_dir = job.run_dir
    trained, total = _count(method.trainable), _count(method.network.variables)
    record = _record(job, method, trained, total)
    labels = job.subset.to_json() if job.subset else None
    evaluator = method.evaluator()
    scored = job.config.evaluates_at_end and evaluator is not None
    selection = selection_of(job, method, evaluator)
    record = _with_selection(record, job, selection)
    finished = finished_result(job, scored=scored, selection=selection)
    # A finished pretraining serves any labels: only its probes saw some.
    serves = finished is not None and job.stage == "pretrain"
    changes = run_dir.check_usable(record, None if serves else labels)
    if finished is not None:
        _say_finished(job, finished, changes)
        return finished
    if job.config.output.export:
        continues = run_dir.read_config() is not None
        exports = run_dir.file(EXPORTS)
        ExportFolder(exports, record, in_place=continues).check()
    with run_dir.locked():
        # Another process may have written since the first look.
        changes = run_dir.check_usable(record, labels)
        run_dir.write_config(record)
        write_image_files(job.config, job.splits)
        if labels is not None:
            write_json(run_dir.file(LABELS_FILE), labels)
        begun = method.begin()
        notes = [*method.notes, *begun, *changes, *_memory_notes(job)]
        if evaluator is not None:
            split = evaluator.sample.images.name
            notes += selection_notes(selection, split)
        _announce(job, notes, trained, total)
        cluster = job.config.cluster if job.config.works_together else None
        alone = cluster is None or cluster.is_chief
        logger = job.config.output.logger if alone else "none"
        with followed(logger, run_dir, job.stage, record.config) as told:
            return _train_and_score(
                dataclasses.replace(job, run_dir=told),
                method,
                record,
                evaluator,
                scored,
                selection,
            )


def finished_result(
    job: Job, *, scored: bool, selection: Selection = USUAL_SELECTION
) -> dict[str, float] | None:
    """The result of a finished run of this stage in its directory.

    Args:
      job: the stage.
      scored: whether it must hold the scores of an evaluation.
      selection: how its evaluations are compared.

    Raises:
      UserError: the directory holds a pipeline.
    """
    path = job.run_dir.file(RESULT_FILE)
    if not os.path.exists(path):
        return None
    result = read_json(path)
    chosen = result.pop(SELECTION, {})
    if "global_step" not in result:
        raise UserError(
            f"--model_dir={job.run_dir.path} holds a pipeline, whose runs"
            " are in its sub-folders: choose a new directory."
        )
    step = int(result["global_step"])
    exported = job.run_dir.file(f"{EXPORTS}/{step}")
    if job.config.output.export and not os.path.exists(exported):
        # Stopped in its export, and was evaluated since.
        return None
    has_scores = any(name.startswith("eval/") for name in result)
    done = chosen.get("trained_steps", step) >= job.plan.total_steps or (
        chosen.get("stopped_early", False)
        and EarlyStop(job.run_dir, selection).exhausted()
    )
    return result if done and (has_scores or not scored) else None


def make_task(job: Job, method: Method) -> Task:
    """A method as this run's precision and memory want it."""
    config = job.config
    with job.strategy.scope():
        loss_scale = LossScale()
        shape = None
        if method.embedding_dim:
            replicas = job.strategy.num_replicas_in_sync
            rows = config.optimizer.train_batch_size // replicas
            shape = [2, min(rows, _WATCHED), method.embedding_dim]
        probe = StepProbe(
            method.network, method.trainable, method.optimizer, shape
        )
    state, average = {"loss_scale": loss_scale}, None
    if config.train.weight_ema:
        average = WeightAverage(
            trainable_variables(method.network),
            config.train.weight_ema,
            job.strategy,
        )
        state["weight_ema"] = average.state
    contrastive = "view1" in method.views
    # What `Config.check` refuses where it is asked for.
    compiled_parts = config.train.jit_compile and config.train.micro_batch_size
    augment = config.augment.placed(
        on_device=device_kinds(job.strategy) == {"GPU"} and not compiled_parts
    )
    return Task(
        method=method,
        batches=TrainingBatches(
            method.images,
            augment if contrastive else augment.supervised(),
            method.view_size,
            config.train.seed,
            contrastive=contrastive,
            balanced=method.balanced_batches,
            unlabeled_ratio=method.unlabeled_ratio,
            by_view=method.by_view,
        ),
        batch_size=config.optimizer.train_batch_size,
        num_micro_batches=job.num_micro_batches,
        loss_scale=loss_scale if job.precision.scales_loss else None,
        probe=probe,
        state=state,
        average=average,
    )


def _train_and_score(
    job: Job,
    method: Method,
    record: RunRecord,
    evaluator: Evaluator | None,
    scored: bool,
    selection: Selection,
) -> dict[str, float]:
    config, run_dir = job.config, job.run_dir
    during = evaluator if config.train.eval_every_epochs else None
    task = make_task(job, method)
    # Here, where the flags are those of a stage and not of a pipeline.
    with memory_explained(config), naming_bad_images(job.images):
        last = train(
            task,
            job.plan,
            config.train,
            run_dir,
            job.strategy,
            during,
            config.data.data_service,
            selection,
        )
    evaluation = _score(job, last, evaluator, selection) if scored else None
    step = choose_checkpoint(run_dir, method.network, last, selection)
    if scored and step != last:
        evaluation = evaluator()
    result = {"global_step": float(step)}
    found, show = ".", None
    if evaluation is not None:
        result |= evaluation.scores
        show = _leave(job, result, record, evaluation)
        found = f": {_in_words(result)}"
    say(f"{job.stage} done at step {step}{found}")
    if config.run.mode == "train_then_eval":  # As the original does.
        write_json(run_dir.file("flags.json"), to_flat(config))
    if config.output.export:
        fitted = {} if evaluation is None else temperature_of(run_dir.path)
        novelty = measure_novelty(job, method)
        if novelty is not None:
            novelty.write(run_dir.path, step)
        path = export_saved_model(
            Exportable(method.network, record, step, result | fitted, novelty),
            run_dir.file(EXPORTS),
            keep=config.compat.keep_hub_module_max,
            in_place=True,
        )
        say(f"Exported to {path}")
    split = evaluator.sample.images.name if evaluator else ""
    facts = selection_facts(
        run_dir,
        selection,
        split,
        step=step,
        trained=last,
        planned=job.plan.total_steps,
    )
    # After all else that counts, since it marks the run as finished.
    run_dir.write_result(result, facts)
    if show is not None:
        show()
    return result


def _score(
    job: Job, step: int, evaluator: Evaluator, selection: Selection
) -> Evaluation:
    """Scores the trained network, and notes that in its curves."""
    config, run_dir = job.config, job.run_dir
    evaluation = evaluator()
    result = {"global_step": float(step), **evaluation.scores}
    if config.train.eval_every_epochs:
        record_score(run_dir, step, evaluation.scores, selection)
    # A process that was killed here may have left this line.
    run_dir.drop_metrics(step, "eval")
    epoch = step * config.optimizer.train_batch_size / len(job.images)
    run_dir.append_metrics(step, epoch, "eval", result)
    return evaluation


def _leave(
    job: Job,
    result: dict[str, float],
    record: RunRecord,
    evaluation: Evaluation,
) -> Callable[[], None]:
    """Writes the files of the scores; returns a function that draws their
    pictures."""
    return leave_scores(
        job.run_dir,
        job.stage,
        result,
        evaluation,
        job.config.data.image_size,
        [record.overlap_notice, record.selection_notice],
        record.derived.unequal_labels,
    )


def _with_selection(
    record: RunRecord, job: Job, selection: Selection
) -> RunRecord:
    """Notes which images decide what the run ends with, if any do."""
    if not selection.decides:
        return record
    on = {
        "split": job.splits.evaluation.name,
        "of": dict(selection.scored_on),
    }
    derived = dataclasses.replace(record.derived, selected_on=on)
    return dataclasses.replace(record, derived=derived)


def _in_words(result: dict[str, float]) -> str:
    scores = [
        f"{name.removeprefix('eval/')} {value:.4f}"
        for name, value in result.items()
        if name != "global_step"
    ]
    return "  ".join(scores) or NO_SCORE


def _record(job: Job, method: Method, trained: int, total: int) -> RunRecord:
    """Contents of `config.json`."""
    data, labels = job.config.data, LabelsRecord(count=0)
    if job.subset is not None:
        labels = LabelsRecord(
            count=len(job.subset),
            labels_per_class=data.labels_per_class,
            label_fraction=data.label_fraction,
            label_seed=data.label_seed,
            label_ids=job.subset.digest() if data.label_ids else None,
        )
    derived = DerivedRecord(
        total_steps=job.plan.total_steps,
        warmup_steps=job.plan.warmup_steps,
        peak_learning_rate=job.plan.peak,
        train_images=len(job.images),
        parameters=total,
        trained_parameters=trained,
        devices=describe(job.strategy),
        precision=job.precision.policy,
        scored_in="float32",
        tf32=job.config.train.tf32,
        chance=method.chance(),
        overlap=job.overlap,
        unequal_labels=job.unequal_labels,
        shrunk_to=job.shrunk_to,
    )
    return RunRecord.of_run(
        job.config,
        job.stage,
        architecture=method.network.architecture,
        dataset=DatasetRecord(
            name=address_of(data.dataset),
            train_split=data.train_split,
            image_size=data.image_size,
            train_images=len(job.splits.train),
            ids=job.ids,
            content=job.content,
            class_names=tuple(method.class_names),
            bits=_bits(job),
        ),
        sources={
            flag: stored.fingerprint()
            for flag, stored in method.sources.items()
        },
        labels=labels,
        derived=derived,
    )


def _bits(job: Job) -> int | None:
    """The bits of 16-bit images that are used, where not the upper 8."""
    bits = job.splits.train.pixels.how.bits
    return None if bits == AS_ORIGINAL.bits else bits


def _memory_notes(job: Job) -> list[str]:
    train, notes = job.config.train, []
    if job.num_micro_batches > 1:
        notes.append(
            f"batch      {job.num_micro_batches} parts of"
            f" {train.micro_batch_size} images on each device; batch norm"
            " normalises one at a time"
        )
    if train.recompute:
        notes.append("recompute  residual blocks, for their gradients")
    if train.weight_ema:
        notes.append(
            "average    of the weights, which is scored, saved and exported:"
            f" decay {train.weight_ema:g}"
        )
    return notes


def _say_finished(
    job: Job, result: dict[str, float], changes: Sequence[str]
) -> None:
    total, scored = job.plan.total_steps, int(result["global_step"])
    chosen = job.run_dir.read_selection(scored)
    step = chosen.get("trained_steps", scored)
    beyond = f", beyond the {total} steps asked for" if step > total else ""
    if chosen.get("stopped_early"):
        beyond = f" of {total} (stopped early)"
    best = f"; its result is that of step {scored}" if scored != step else ""
    say(
        f"{job.run_dir.path}: {job.stage} has finished at step"
        f" {step}{beyond}{best}, nothing left to do."
    )
    for change in changes:
        say(f"Without effect, as it has finished: {change}")


def _announce(job: Job, notes: list[str], trained: int, total: int) -> None:
    say_notices(job.config, job.splits.notices)
    if job.subset is not None:
        say_once(job.subset.table(job.splits.train))
    say(start_block(job, notes, trained, total))


def start_block(
    job: Job, notes: Sequence[str], trained: int, total: int
) -> str:
    """Data, training, steps, peak learning rate and devices of a stage.

    Args:
      job: the stage.
      notes: further lines.
      trained, total: numbers of parameters.
    """
    data, plan = job.config.data, job.plan
    optimizer, subset = job.config.optimizer, job.subset
    evaluation = job.splits.evaluation
    labelled = "none labelled"
    if subset is not None:
        labelled = (
            f"{len(subset)} labelled in {len(subset.class_names)} classes"
            f" (smallest {subset.smallest_class()})"
        )
    seen = job.overlap.notice() if job.overlap else ""
    tested = "none to evaluate on"
    if evaluation and evaluation.has_labels:
        tested = f"{evaluation_sample(evaluation, data).text} to evaluate on"
    elif evaluation:
        tested = (
            f"none of the {len(evaluation)} images of {evaluation.name} has a"
            " label to score with"
        )
    batch = optimizer.train_batch_size
    length = f"{plan.total_steps * batch / len(job.images):.1f} epochs"
    if not job.config.train.train_steps:
        # The original's plan; of few images one step is an epoch.
        length = f"{job.config.train.train_epochs} epochs and one step"
    arithmetic = str(job.precision)
    if job.config.train.tf32 and "GPU" in device_kinds(job.strategy):
        arithmetic += ", TF32"
    return "\n".join(
        [
            f"--- {job.stage}: {address_of(job.run_dir.path)}",
            f"  data       {address_of(data.dataset)} at {data.image_size}x"
            f"{data.image_size}: {len(job.images)} images to train on,"
            f" {labelled}; {tested}",
            f"  training   {trained:,} of {total:,} parameters,"
            f" {optimizer.optimizer}",
            f"  steps      {plan.total_steps} ({length}) of batch"
            f" {batch}, warm-up {plan.warmup_steps}",
            f"  peak lr    {plan.equation}",
            *([f"  notice     {plan.notice}"] if plan.notice else []),
            f"  devices    {describe(job.strategy)}, {arithmetic}",
            *([f"  overlap    {seen}"] if seen else []),
            *(f"  {note}" for note in notes),
        ]
    )


def _count(variables: Sequence[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
