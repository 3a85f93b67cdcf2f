"""Notes on runs of a pipeline that were scored on images they had seen."""

from collections.abc import Sequence

from tf_simclr.data.overlap import overlap_notice
from tf_simclr.report.pipeline_data import StageData


def overlap_notes(stages: Sequence[StageData]) -> list[str]:
    """Returns one line per notice, with the names of its runs before it."""
    names: dict[str, list[str]] = {}
    for stage in stages:
        notice = overlap_notice(stage.record)
        if notice:
            names.setdefault(notice, []).append(stage.name)
    return [f"{', '.join(found)}: {notice}." for notice, found in names.items()]
