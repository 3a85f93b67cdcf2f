"""`report.md`: a pipeline in tables; a run in a few lines."""

from collections.abc import Iterable, Mapping, Sequence

from tf_simclr.config.flat import shell_command
from tf_simclr.labels.suspicious import SUSPICIOUS_FILE
from tf_simclr.markdown import literal
from tf_simclr.report.evaluation_text import interval_note, interval_text
from tf_simclr.report.pipeline_data import PipelineData, StageData
from tf_simclr.report.pipeline_recall import recall_text
from tf_simclr.report.pipeline_spent import spent_text
from tf_simclr.training.run_record import RunRecord


def run_facts(record: RunRecord) -> dict[str, str]:
    """{title: text} of a run, from what its `config.json` holds."""
    dataset, derived, config = record.dataset, record.derived, record.config
    batch = config["train_batch_size"]
    epochs = derived.total_steps * batch / derived.train_images
    return {
        "data": f"{dataset.name} at {dataset.image_size} pixels",
        "images": f"{derived.train_images:,}",
        "labels": f"{record.labels.count:,}",
        "network": record.architecture.summary,
        "parameters": f"{derived.parameters:,}",
        "trained": f"{derived.trained_parameters:,}",
        "optimizer": f"{config['optimizer']}, peak learning rate"
        f" {derived.peak_learning_rate:.4g}",
        "steps": f"{derived.total_steps:,} of batch {batch}"
        f" ({epochs:.0f} epochs)",
        "devices": f"{derived.devices}, {config['precision']}",
        "seeds": f"{config['seed']} (training), {config['label_seed']}"
        " (labels)",
        "versions": ", ".join(
            f"{name} {version}" for name, version in record.versions.items()
        ),
    }


def run_card(record: RunRecord, scores: Mapping[str, float]) -> str:
    """Markdown."""
    rows = [f"| {name} | {text} |" for name, text in run_facts(record).items()]
    rows += [f"| {name} | {value:.6g} |" for name, value in scores.items()]
    seen, selected = record.overlap_notice, record.selection_notice
    rows += [f"| overlap | {seen} |"] if seen else []
    rows += [f"| selection | {selected} |"] if selected else []
    return "\n".join([f"| {record.stage} | |", "|---|---|", *rows]) + "\n"


def overlap_notes(stages: Sequence[StageData]) -> list[str]:
    """Returns one line per notice on images that were trained on, with the
    names of its runs before it."""
    return _notes((stage, stage.record.overlap_notice) for stage in stages)


def score_notes(stages: Sequence[StageData]) -> list[str]:
    """Notes of `overlap_notes`, and notes on images whose scores chose
    weights."""
    chosen = ((stage, stage.record.selection_notice) for stage in stages)
    return overlap_notes(stages) + _notes(chosen)


def _notes(notices: Iterable[tuple[StageData, str]]) -> list[str]:
    names: dict[str, list[str]] = {}
    for stage, notice in notices:
        if notice:
            names.setdefault(notice, []).append(stage.name)
    return [f"{', '.join(found)}: {notice}." for notice, found in names.items()]


def pipeline_text(data: PipelineData) -> str:
    """Markdown."""
    student, recalls = data.student, recall_text(data)
    spent = spent_text(data)
    names = list(run_facts(student.record))
    return (
        "\n\n".join(
            [
                f"# {literal(data.dataset)}: {data.result['labels']:,} labels",
                *([recalls] if recalls else []),
                result_table(data, macro_f1=bool(recalls)),
                labels_note(data),
                *carried_notes(data),
                *(f"**{note}**" for note in score_notes(data.stages)),
                interval_note(student.report),
                "Curves, pictures and maps: [report.html](report.html). Class"
                " tables and calibration: "
                + ", ".join(
                    f"[{stage.name}]({stage.name}/evaluation.md)"
                    for stage in data.evaluated
                )
                + ".",
                *([spent] if spent else []),
                "## Commands",
                "Each runs one stage on its own; the pipeline ran these.",
                *(
                    f"```bash\n{shell_command(stage.command)}\n```"
                    for stage in data.stages
                ),
                "## Facts",
                _facts(data, names),
            ]
        )
        + "\n"
    )


def result_table(data: PipelineData, *, macro_f1: bool = False) -> str:
    """The accuracies with their intervals, and the networks' sizes.

    Args:
      data: one row for each of what was scored.
      macro_f1: whether there is a column of it.
    """
    title = f"{data.split} accuracy"
    width = max(len(title), 6)
    lines = [
        f"| {'method':<22} | {title} | {'95 % interval':>16} |"
        + " macro-F1 |" * macro_f1
        + f" {'parameters':>12} |",
        f"|{'-' * 24}|{'-' * (width + 1)}:|{'-' * 17}:|"
        + f"{'-' * 9}:|" * macro_f1
        + f"{'-' * 13}:|",
    ]
    for stage in data.scored:
        score = stage.report.scores["macro_f1"]
        lines.append(
            f"| {stage.title:<22} | {stage.top_1.value:>{width}.4f} |"
            f" {interval_text(stage.top_1)} |"
            + f" {score.value:>8.4f} |" * macro_f1
            + f" {stage.parameters:>12,} |"
        )
    return "\n".join(lines)


def labels_note(data: PipelineData) -> str:
    """The labels that the stages learnt from, in words."""
    result = data.result
    drawn = f"Labels per class {result['labels_per_class'] or 'all'}"
    if result.get("label_choice"):
        drawn = f"{result['labels']} labels, {result['label_choice']}"
    return (
        f"{drawn}, label seed {result['label_seed']}. The"
        f" student has {result['student_parameters']:,} parameters, its teacher"
        f" {result['teacher_parameters']:,}."
    )


def carried_notes(data: PipelineData) -> list[str]:
    """Sentences about labels that are carried along features."""
    found, estimate = [], data.result.get("carried_estimate")
    if estimate is not None:
        found.append(
            f"Of the labels, {estimate:.1%} follow from the others along the"
            " pretrained features: an estimate of the accuracy that needs no"
            " further label."
        )
    if data.suspicious is not None:
        count = data.suspicious[-1]
        found.append(
            f"Labels that the others contradict ({SUSPICIOUS_FILE}): {count}."
        )
    return found


def _facts(data: PipelineData, names: list[str]) -> str:
    head = ["", *(stage.name for stage in data.stages)]
    facts = [run_facts(stage.record) for stage in data.stages]
    rows = [[name, *(fact[name] for fact in facts)] for name in names]
    return "\n".join(
        f"| {' | '.join(cells)} |"
        for cells in [head, ["---"] * len(head), *rows]
    )
