"""The parts of the report's page that show images."""

import html

from tf_simclr.evaluation.classification_report import Calibration
from tf_simclr.evaluation.confusion import f1, precision, recall
from tf_simclr.report.charts import color_of, point_chart
from tf_simclr.report.evaluation_charts import short
from tf_simclr.report.markup import picture, section, table
from tf_simclr.report.pipeline_data import PipelineData
from tf_simclr.report.squares import (
    MOST_CLASSES,
    confusion_chart,
    reliability_chart,
)

# More classes than this have no legend.
_LEGEND = 20


def views_section(data: PipelineData) -> str:
    """The views that pretraining compares."""
    rows = []
    for index, row in enumerate(data.views, start=1):
        name = f"view {index}"
        rows.append(f"<span>{name}</span>")
        rows += [picture(image, name) for image in row]
    columns = data.views.shape[1]
    return section(
        "What pretraining sees",
        "Two random views of each image. The network learns to tell, without"
        " any label, which belong together.",
        f'<div class="card views" style="--columns: {columns}">'
        f"{''.join(rows)}</div>",
    )


def planes_section(data: PipelineData) -> str:
    """Features in the plane."""
    names = data.student.report.class_names
    cards = [
        f'<div class="card"><h3>{html.escape(title)}</h3>'
        f"{point_chart(title, plane.points, data.plane_labels, names)}</div>"
        for title, plane in data.planes.items()
    ]
    method = next(iter(data.planes.values())).method
    classes = ""
    if len(names) <= _LEGEND:
        classes = "".join(
            f'<li><i class="spot {_swatch(index, len(names))}"></i>'
            f"{html.escape(short(name))}</li>"
            for index, name in enumerate(names)
        )
        classes = f'<ul class="legend">{classes}</ul>'
    return section(
        "What the features know",
        f"The encoder's features of {len(data.plane_labels):,} evaluation"
        f" images, mapped to the plane ({method}) and colored by class; the"
        " classes had no part in the map.",
        f'{classes}<div class="two">{"".join(cards)}</div>',
    )


def suspicious_section(data: PipelineData) -> str:
    """Labels that the others contradict most; '' for none."""
    if data.suspicious is None:
        return ""
    captions, pictures, count = data.suspicious
    figures = [
        f"<figure>{picture(image, caption)}"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, image in zip(captions, pictures, strict=True)
    ]
    return section(
        "Labels that look wrong",
        f"Of the labels, {count:,} differ from what the others say along the"
        " pretrained features (suspicious_labels.csv); of these they are"
        " surest. A wrong label, or an unusual image.",
        f'<div class="card mistakes">{"".join(figures)}</div>',
    )


def mistakes_section(data: PipelineData) -> str:
    """The images that the student is most wrong about."""
    found = data.student.report
    names = found.class_names
    figures = [
        f"<figure>{picture(image, names[mistake.label])}<figcaption>"
        f"<b>{html.escape(short(names[mistake.label]))}</b> taken for"
        f" <b>{html.escape(short(names[mistake.prediction]))}</b><br>"
        f"{100 * mistake.confidence:.0f} % sure</figcaption></figure>"
        for image, mistake in zip(data.mistakes, found.mistakes, strict=True)
    ]
    wrong = found.count - int(found.classes.hits.sum())
    words = (
        f"{wrong:,} of {found.count:,} evaluation images are wrong; these the"
        " student is surest of."
    )
    if not figures:
        words = "The student makes none on the evaluation images."
    return section(
        "Worst mistakes",
        words,
        f'<div class="card mistakes">{"".join(figures)}</div>'
        if figures
        else "",
    )


def calibration_section(data: PipelineData) -> str:
    """Confused classes, and the reliability of confidence."""
    found = data.student.report
    counts, names = found.classes, [short(n, 8) for n in found.class_names]
    cards = []
    if len(names) <= MOST_CLASSES:
        chart = confusion_chart(
            "Confusion matrix", found.confusions.matrix(), names
        )
        rows = [
            [name, f"{p:.3f}", f"{r:.3f}", f"{f:.3f}", f"{n:,}"]
            for name, p, r, f, n in zip(
                found.class_names,
                precision(counts),
                recall(counts),
                f1(counts),
                counts.present,
                strict=True,
            )
        ]
        head = ["class", "precision", "recall", "F1", "images"]
        cards += [
            f'<div class="card"><h3>Confusion</h3>{chart}</div>',
            f'<div class="card"><h3>Classes</h3>{table(head, rows)}</div>',
        ]
    if found.calibration is not None:
        cards.append(_reliability_card(found.calibration))
    return section(
        "The student, class by class",
        "",
        f'<div class="two">{"".join(cards)}</div>',
    )


def _reliability_card(calibration: Calibration) -> str:
    panels = {
        "as it is": calibration.before,
        f"at temperature {calibration.temperature:.2f}": calibration.after,
    }
    charts = "".join(
        f"<figure>{reliability_chart(title, bins)}<figcaption>{title}:"
        f" calibration error {100 * bins.error:.1f} %</figcaption></figure>"
        for title, bins in panels.items()
    )
    return (
        '<div class="card wide"><h3>Accuracy by confidence</h3>'
        f'<div class="panels">{charts}<p class="note">Bars are the accuracy of'
        " the images in each range of confidence, dots their mean confidence;"
        " on the dashed line the two agree. Dividing the logits by a"
        " temperature changes no prediction, only how sure the student is of"
        f" it. It was fitted on {calibration.fitted_on:,} evaluation images;"
        f" what is shown are the other {calibration.measured_on:,}.</p>"
        "</div></div>"
    )


def _swatch(index: int, count: int) -> str:
    return color_of(index, count)["class_"]
