"""`report.md`: a pipeline in tables."""

from tf_simclr.config.command import shell_command
from tf_simclr.report.card import run_facts
from tf_simclr.report.evaluation_text import interval_note, interval_text
from tf_simclr.report.overlap_notes import overlap_notes
from tf_simclr.report.pipeline_data import PipelineData, StageData


def pipeline_text(data: PipelineData) -> str:
    """Markdown."""
    student = data.student
    names = list(run_facts(student.record))
    return (
        "\n\n".join(
            [
                f"# {data.dataset}: {data.result['labels']:,} labels",
                result_table(data.scored),
                labels_note(data),
                *(f"**{note}**" for note in overlap_notes(data.stages)),
                interval_note(student.examination),
                "Curves, pictures and maps: [report.html](report.html). Class"
                " tables and calibration: "
                + ", ".join(
                    f"[{stage.name}]({stage.name}/evaluation.md)"
                    for stage in data.scored
                )
                + ".",
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


def result_table(stages: list[StageData]) -> str:
    """The accuracies with their intervals, and the networks' sizes."""
    lines = [
        f"| {'method':<22} | test accuracy | {'95 % interval':>16} |"
        f" {'parameters':>12} |",
        f"|{'-' * 24}|--------------:|{'-' * 17}:|{'-' * 13}:|",
    ]
    for stage in stages:
        lines.append(
            f"| {stage.title:<22} | {stage.top_1.value:>13.4f} |"
            f" {interval_text(stage.top_1)} | {stage.parameters:>12,} |"
        )
    return "\n".join(lines)


def labels_note(data: PipelineData) -> str:
    """What the stages learnt from."""
    result = data.result
    per_class = result["labels_per_class"] or "all"
    return (
        f"Labels per class {per_class}, label seed {result['label_seed']}. The"
        f" student has {result['student_parameters']:,} parameters, its teacher"
        f" {result['teacher_parameters']:,}."
    )


def _facts(data: PipelineData, names: list[str]) -> str:
    head = ["", *(stage.name for stage in data.stages)]
    facts = [run_facts(stage.record) for stage in data.stages]
    rows = [[name, *(fact[name] for fact in facts)] for name in names]
    return "\n".join(
        f"| {' | '.join(cells)} |"
        for cells in [head, ["---"] * len(head), *rows]
    )
