"""The three stages in order, beside the supervised baseline; one table."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from tf_simclr.config.consistency import CONSISTENCY_METHOD
from tf_simclr.config.flat import (
    from_flat,
    options,
    parse_overrides,
    shell_command,
)
from tf_simclr.config.run import Config
from tf_simclr.config.zoo import ZOO
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import NO_SCORE
from tf_simclr.files import read_json, write_json
from tf_simclr.labels.approximate_neighbours import check_search
from tf_simclr.labels.label_book import LABELS_FOLDER
from tf_simclr.labels.suspicious import SUSPICIOUS_FILE, write_suspicious
from tf_simclr.labels.typed_labels import has_label_rows
from tf_simclr.methods.registry import method_of
from tf_simclr.metrics import TOP_1
from tf_simclr.modes.carried import CarriedLabels, carry_labels
from tf_simclr.modes.evaluate import evaluate
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.overruled_flags import overruled_lines
from tf_simclr.modes.pipeline_labels import (
    PipelineLabels,
    choose_pipeline_labels,
    features_path,
    fitted,
    pipeline_labels,
    stand_in,
    write_pretrained_features,
)
from tf_simclr.modes.pipeline_report import as_it_ran, write_report
from tf_simclr.modes.planned import (
    Planned,
    check_planned,
    planned_finetuning,
    planned_pretraining,
)
from tf_simclr.modes.prepare import (
    prepare_job,
    stage_images,
    write_image_files,
)
from tf_simclr.progress import say
from tf_simclr.report.evaluation_files import EVALUATION_FILE
from tf_simclr.report.pipeline_recall import is_unequal
from tf_simclr.report.pipeline_text import result_table
from tf_simclr.signals import TrainingFailed
from tf_simclr.storage.staged import with_local_inputs
from tf_simclr.training.run_dir import RunDirectory, check_writable

_PIPELINE_FLAGS = tuple(
    option.field.name for option in options() if option.group == "pipeline"
)
# What a part's string may not hold -> why.
_REFUSED = {
    **dict.fromkeys(
        ("mode", "train_mode", "model_dir"),
        "which the pipeline sets for each of its parts: leave it out",
    ),
    **dict.fromkeys(
        (*_PIPELINE_FLAGS, "flagfile", "undefok"),
        "which is for the whole pipeline: give it outside the string",
    ),
}


@dataclasses.dataclass(frozen=True)
class _Part:
    """One run of the pipeline, in a sub-folder of its own.

    Attributes:
      name: of the sub-folder; `NAME_flags` holds its flags.
      stage: which stage it runs.
      result: its key in `result.json`; '' for the pretraining.
      title: its row in the table.
      presets: flags that make it what it is.
      checkpoint: the part whose weights it starts from.
      teacher: the part that it learns from.
    """

    name: str
    stage: str
    result: str
    title: str
    presets: dict[str, Any]
    checkpoint: str = ""
    teacher: str = ""


def _parts(config: Config) -> list[_Part]:
    parts = [
        _Part("pretrain", "pretrain", "", "", {"export": False}),
        _Part(
            "supervised",
            "finetune",
            "supervised_top_1",
            "supervised only",
            {"from_scratch": True, "export": False},
        ),
        _Part(
            "linear",
            "finetune",
            "linear_top_1",
            "linear evaluation",
            {
                "fine_tune_after_block": 4,
                "ft_proj_selector": 0,
                # Linear evaluation learns its own.
                "keep_head": False,
                "export": False,
            },
            checkpoint="pretrain",
        ),
        _Part(
            "finetune",
            "finetune",
            "finetuned_top_1",
            "fine-tuned (teacher)",
            {},
            checkpoint="pretrain",
        ),
    ]
    teacher = "finetune"
    if config.pipeline.consistency:
        parts.append(
            _Part(
                "consistency",
                "finetune",
                "consistency_top_1",
                "consistency training",
                {"method": CONSISTENCY_METHOD, "keep_head": True},
                checkpoint=teacher,
            )
        )
        teacher = "consistency"
    if config.pipeline.self_distill:
        parts.append(
            _Part(
                "self_distill",
                "distill",
                "self_distilled_top_1",
                "self-distilled",
                # The paper's temperature for a teacher that was fine-tuned.
                {"distillation_temperature": 0.1},
                checkpoint="pretrain",
                teacher=teacher,
            )
        )
        teacher = "self_distill"
    parts.append(
        _Part(
            "distill",
            "distill",
            "distilled_top_1",
            "distilled student",
            {},
            teacher=teacher,
        )
    )
    return parts


def pipeline(config: Config) -> dict[str, Any]:
    """Runs all stages in sub-folders of `model_dir`, continuing where an
    earlier run stopped, and ends with a table of their test accuracies.

    Every part is checked before the first one starts.

    Returns:
      What `result.json` holds.

    Raises:
      UserError: a part cannot be run, or the directory holds another run.
        TrainingFailed: a part ends without a score.
    """
    # Also those of a part that is left out.
    for flag in _PIPELINE_FLAGS:
        if flag.endswith("_flags"):
            from_flat(_own_flags(config, flag), config)
    check_search(config.objective.neighbour_search)
    root = RunDirectory(config.run.model_dir)
    check_writable(root.path)
    _refuse_other_run(root)
    labels = pipeline_labels(config)
    parts = _parts(config)
    if labels is not None:
        parts = _parts_with(parts, labels)
    configs = {part.name: _part_config(config, part, labels) for part in parts}
    for part in parts:
        if labels is not None and labels.missing and part.name != "pretrain":
            continue
        try:
            _check_part(part, configs, labels)
            if labels is None:
                configs[part.name] = _fitted(configs[part.name], None, part)
        except UserError as error:
            raise UserError(
                f"{part.name}: {error} (Flags of this part alone are those in"
                f" --{part.name}_flags; they win over the others.)"
            ) from error
    strings = {x.name: _own_flags(config, f"{x.name}_flags") for x in parts}
    for line in overruled_lines(config, strings):
        say(line)
    with root.locked():
        return _run_parts(config, root, parts, configs, labels)


def _parts_with(parts: list[_Part], labels: PipelineLabels) -> list[_Part]:
    """The parts to run; without a score, only those that lead to the
    student."""
    compared = () if labels.scored else ("supervised", "linear")
    return [part for part in parts if part.name not in compared]


def _check_part(
    part: _Part, configs: Mapping[str, Config], labels: PipelineLabels | None
) -> None:
    config = configs[part.name]
    config.check()
    if labels is not None and not has_label_rows(labels.table):
        config = stand_in(config, labels)
    config = fitted(config, labels)
    if part.stage == "pretrain":
        planned_pretraining(config)
    if part.checkpoint:
        check_planned(config, _planned(part.checkpoint, configs))
    job = prepare_job(config, method_of(config))
    evaluation = job.splits.evaluation
    scored = evaluation is not None and evaluation.has_labels
    if not scored and labels is None:
        raise UserError(
            f"--dataset={config.data.dataset} has no labelled images to"
            " evaluate on, which the pipeline's table needs: name a split"
            " with --eval_split, or cut one off with --eval_fraction=0.2."
        )


def _planned(name: str, configs: Mapping[str, Config]) -> Planned:
    """The network that a part will write."""
    found = planned_pretraining(configs["pretrain"])
    if name == "pretrain":
        return found
    return planned_finetuning(configs[name], found)


def _run_parts(
    config: Config,
    root: RunDirectory,
    parts: list[_Part],
    configs: dict[str, Config],
    labels: PipelineLabels | None,
) -> dict[str, Any]:
    # Once for all parts.
    write_image_files(config, stage_images(config))
    scored = labels is None or labels.scored
    scores = {}
    for part in parts:
        if labels is not None:
            configs[part.name] = _fitted(configs[part.name], labels, part)
        if configs[part.name].labels.features == features_path(config):
            write_pretrained_features(config)
        found = run_stage(configs[part.name])
        if (
            part.name == "pretrain"
            and labels is not None
            and not choose_pipeline_labels(config, labels)
        ):
            return found
        if part.result and scored:
            if TOP_1.name not in found:
                raise TrainingFailed(f"{part.name}: {NO_SCORE}.")
            scores[part.result] = found[TOP_1.name]
            _examine_again(configs[part.name])
    result = _result(root, parts, scores, configs["finetune"])
    if labels is not None:
        result["label_choice"] = labels.in_words(config)
    carried = _carried(root, configs, result)
    write_json(root.file("result.json"), result)
    if not scored:
        estimate = result.get("carried_estimate")
        if estimate is not None:
            say(
                f"{estimate:.1%} of the labels follow from the others: an"
                " estimate of the accuracy"
            )
        say(f"The student, without a score: {root.file(parts[-1].name)}")
        _say_use(root)
        return result
    titles = {part.name: part.title for part in parts}
    data = write_report(root, titles, configs, result, carried)
    table = result_table(data, macro_f1=is_unequal(data))
    say(f"\n{table}\n\nReport: {root.file('report.html')}")
    _say_use(root)
    return result


def _say_use(root: RunDirectory) -> None:
    words = ["--mode=predict", f"--checkpoint={root.file('distill')}"]
    say("Classify images by the student:")
    say(shell_command([*words, "--images=FOLDER", "--model_dir=runs/found"]))


def _fitted(
    config: Config, labels: PipelineLabels | None, part: _Part
) -> Config:
    found = fitted(config, labels)
    wanted = config.optimizer.train_batch_size
    batch = found.optimizer.train_batch_size
    if batch != wanted:
        say(
            f"{part.name}: batches of {batch}, all images that it trains on;"
            f" --train_batch_size={wanted} is more"
        )
    return found


def _carried(
    root: RunDirectory, configs: dict[str, Config], result: dict[str, Any]
) -> CarriedLabels | None:
    """Carries the labels along the pretrained features, and adds their
    accuracy to the result."""
    found = carry_labels(
        as_it_ran(configs["pretrain"]),
        as_it_ran(configs["finetune"]),
        root.file(LABELS_FOLDER),
    )
    if found is None:
        return None
    if found.report is not None:
        result["carried_top_1"] = found.report.scores["top_1"].value
    if found.estimate is not None:
        result["carried_estimate"] = found.estimate
    if len(found.spent) > 1:
        result["labels_spent"] = [dataclasses.asdict(x) for x in found.spent]
    path = root.file(SUSPICIOUS_FILE)
    write_suspicious(path, found.suspicious, found.images)
    if found.suspicious:
        sure = ""
        if found.estimate is not None:
            # Features that tell little contradict right labels, too.
            sure = f", by features that confirm {found.estimate:.0%} of all"
        say(f"{path}: {len(found.suspicious)} labels that look wrong{sure}")
    return found


def _own_flags(config: Config, flag: str) -> dict[str, Any]:
    """The flags in a part's string."""
    return parse_overrides(getattr(config.pipeline, flag), flag, _REFUSED)


def _part_config(
    config: Config, part: _Part, labels: PipelineLabels | None = None
) -> Config:
    """The common flags, then the part's presets, then its own flags."""
    folder = os.path.join(config.run.model_dir, part.name)
    flag = f"{part.name}_flags"
    own = _own_flags(config, flag)
    values = {"mode": part.stage, "model_dir": folder, **part.presets, **own}
    common = ZOO.get(config.model.model)
    if (
        common
        and "model" not in own
        and not own.keys().isdisjoint(common.flags)
    ):
        # This part's network is another one.
        values["model"] = None
    for key in ("checkpoint", "teacher"):
        source = getattr(part, key)
        if source and key in own:
            raise UserError(
                f"--{flag} may not hold --{key}: in a pipeline it is"
                f" '{source}'. Received: {own[key]}"
            )
        if source:
            values[key] = os.path.join(config.run.model_dir, source)
        elif part.stage != "pretrain" and key not in own:
            # One that is given is what the pretraining starts from.
            values[key] = None
    if labels is not None and part.stage == "pretrain":
        # Of images that nobody has chosen, no label is read.
        values.setdefault("lineareval_while_pretraining", False)
    elif labels is not None:
        values["label_ids"] = labels.table
    found = from_flat(values, config)
    objective = found.objective
    if (
        part.teacher
        and objective.propagate_labels != "off"
        and objective.propagate_along == "pretrained"
    ):
        found = from_flat({"features": features_path(config)}, found)
    # The part may name images or labels of its own, on object storage, too.
    found = with_local_inputs(found)
    # The other flags are those of all parts.
    return dataclasses.replace(found, shared=found.given - own.keys())


def _examine_again(config: Config) -> None:
    """Evaluates a finished part that has left no `evaluation.json`."""
    if not os.path.exists(os.path.join(config.run.model_dir, EVALUATION_FILE)):
        evaluate(from_flat({"mode": "eval", "checkpoint": None}, config))


def _refuse_other_run(root: RunDirectory) -> None:
    if root.read_config() is not None:
        raise UserError(
            f"--model_dir={root.path} holds the run of a single stage. Choose"
            " a new directory for the pipeline."
        )


def _result(
    root: RunDirectory,
    parts: list[_Part],
    scores: dict[str, float],
    config: Config,
) -> dict[str, Any]:
    labels = read_json(os.path.join(root.path, "finetune", "labels.json"))
    return {
        **scores,
        "teacher_parameters": _parameters(root, parts[-1].teacher),
        "student_parameters": _parameters(root, "distill"),
        "labels_per_class": config.data.labels_per_class,
        "label_seed": config.data.label_seed,
        "labels": labels["count"],
    }


def _parameters(root: RunDirectory, part: str) -> int:
    record = RunDirectory(root.file(part)).read_config()
    return record.derived.parameters
