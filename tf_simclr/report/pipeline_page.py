"""`report.html`: a pipeline on one page that needs nothing else."""

import html

from tf_simclr.config.flat import shell_command
from tf_simclr.report.charts import Bar, bar_chart
from tf_simclr.report.curves import stage_charts
from tf_simclr.report.evaluation_text import (
    evaluated,
    interval_note,
    score_text,
)
from tf_simclr.report.markup import legend, page, section, table
from tf_simclr.report.pipeline_data import PipelineData, StageData
from tf_simclr.report.pipeline_pictures import (
    calibration_section,
    mistakes_section,
    planes_section,
    suspicious_section,
    views_section,
)
from tf_simclr.report.pipeline_recall import is_unequal, recall_section
from tf_simclr.report.pipeline_spent import spent_section
from tf_simclr.report.pipeline_text import overlap_notes, run_facts, score_notes

_BASELINE = "supervised"


def pipeline_page(data: PipelineData) -> str:
    """HTML with its style, charts and pictures inside, and no script."""
    body = "\n".join(
        [
            _header(data),
            recall_section(data),
            _result_section(data),
            spent_section(data),
            _curves_section(data),
            views_section(data),
            planes_section(data),
            mistakes_section(data),
            suspicious_section(data),
            calibration_section(data),
            _commands_section(data),
            _facts_section(data),
        ]
    )
    return page(f"{data.dataset}: {data.result['labels']:,} labels", body)


def _header(data: PipelineData) -> str:
    result, student = data.result, data.student
    images = data.stages[0].record.derived.train_images
    classes = len(student.report.class_names)
    best = max(data.scored, key=lambda stage: stage.top_1.value)
    baseline = _baseline(data)
    smaller = result["teacher_parameters"] / result["student_parameters"]
    unseen = "images" if overlap_notes(data.stages) else "others"
    lede = (
        f"Trained on <strong>{images:,}</strong> images, of which"
        f" <strong>{result['labels']:,}</strong> have a label"
        f" ({classes} classes), and scored on"
        f" <strong>{evaluated(student.report)}</strong> {unseen}."
    )
    tiles = [(baseline.title, _percent(baseline), "")]
    if best is not student:
        tiles.append((best.title, _percent(best), ""))
    if is_unequal(data):
        score = student.report.scores["macro_f1"]
        tiles.append((f"macro-F1, {student.title}", f"{score.value:.3f}", ""))
    tiles += [
        (student.title, _percent(student), " chief"),
        ("smaller than its teacher", f"{smaller:.1f}×", ""),
    ]
    return (
        '<header>\n<p class="eyebrow">Pretrain · fine-tune · distill</p>\n'
        f"<h1>{html.escape(data.dataset)} with {result['labels']:,} labels"
        f'</h1>\n<p class="lede">{lede}</p>\n</header>\n'
        '<div class="tiles">'
        + "".join(
            f'<div class="card tile{style}"><b>{value}</b>'
            f"<span>{html.escape(name)}</span></div>"
            for name, value, style in tiles
        )
        + "</div>"
    )


def _result_section(data: PipelineData) -> str:
    bars = [
        Bar(stage.title, stage.top_1, _bar_style(stage, data))
        for stage in data.scored
    ]
    chance = 1.0 / len(data.student.report.class_names)
    rows = [
        [
            stage.title,
            f"{100 * stage.top_1.value:.2f} %",
            f"{100 * stage.top_1.low:.1f} to {100 * stage.top_1.high:.1f} %",
            f"{stage.report.scores['macro_f1'].value:.4f}",
            score_text(stage.report.scores["cohen_kappa"].value),
            f"{stage.parameters:,}",
        ]
        for stage in data.scored
    ]
    seen = "".join(
        f'<p class="note"><strong>{html.escape(note)}</strong></p>'
        for note in score_notes(data.stages)
    )
    title = f"{data.split} accuracy"
    head = ["method", title, "95 % interval", "macro-F1"]
    head += ["Cohen's κ", "parameters"]
    return section(
        "Result",
        "",
        f'<div class="card">{bar_chart(title, bars, chance)}'
        f'<p class="note">Dashed: chance.'
        f" {interval_note(data.student.report)}</p>{seen}"
        f'<div class="scroll">{table(head, rows, chief=len(rows) - 1)}</div>'
        "</div>",
    )


def _curves_section(data: PipelineData) -> str:
    cards = []
    for stage in data.stages:
        figures = "".join(
            f"<figure>{legend(chart.legend)}{chart.svg}</figure>"
            for chart in stage_charts(stage)
        )
        name = html.escape(stage.title or "pretraining")
        cards.append(f'<div class="card"><h3>{name}</h3>{figures}</div>')
    return section(
        "How it learnt",
        "Of training batches, with the views that the network learns from"
        " (accuracies faint, and averaged over neighbouring steps); dots are"
        " scores of the evaluation images; dashed is chance.",
        f'<div class="stages">{"".join(cards)}</div>',
    )


def _commands_section(data: PipelineData) -> str:
    blocks = [
        f"<div><h3>{html.escape(stage.name)}</h3>"
        f"<pre>{html.escape(shell_command(stage.command))}</pre></div>"
        for stage in data.stages
    ]
    return section(
        "Commands",
        "What the pipeline ran, one stage at a time. A stage that has finished"
        " says so and does nothing.",
        f'<div class="card commands">{"".join(blocks)}</div>',
    )


def _facts_section(data: PipelineData) -> str:
    facts = {s.name: run_facts(s.record) for s in data.stages}
    names = list(facts[data.student.name])
    rows = [[name, *(fact[name] for fact in facts.values())] for name in names]
    content = table(["", *facts], rows)
    return section(
        "Facts", "", f'<div class="card facts scroll">{content}</div>'
    )


def _baseline(data: PipelineData) -> StageData:
    return next(s for s in data.scored if s.name == _BASELINE)


def _bar_style(stage: StageData, data: PipelineData) -> str:
    if stage.name == _BASELINE:
        return "base"
    return "c3" if stage is data.student else "c0"


def _percent(stage: StageData) -> str:
    return f"{100 * stage.top_1.value:.1f} %"
