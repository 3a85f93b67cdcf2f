"""Tables of what `ablations.py` found."""

import contextlib
import statistics
from collections.abc import Iterable

from benchmarks.lib.ablation_studies import DATA, REFERENCES, TITLES, variants


def tables(scores: list[dict]) -> dict[str, str]:
    """{study: its table in Markdown, data sets beneath one another}.

    A cell is the mean over seeds and, in brackets, the mean and the standard
    deviation of its difference from the setting of `REFERENCES`, seed by seed:
    each seed draws other labels, which are easier or harder for all alike.
    """
    order = [(one.study, one.setting) for one in variants()]
    found = {}
    for study in TITLES:
        parts = []
        for data in DATA:
            lines = [
                line
                for line in scores
                if (line["study"], line["data"]) == (study, data)
                # An earlier version may have had others.
                and (study, line["setting"]) in order
            ]
            # Processes have written them as they ended.
            lines.sort(key=lambda x: order.index((x["study"], x["setting"])))
            if lines:
                parts.append(_table(lines, REFERENCES[study], data))
        if parts:
            found[study] = "\n\n".join(parts)
    return found


def _table(lines: list[dict], reference: dict[str, str], data: str) -> str:
    """Rows by the first axis, columns by the second, if there is one."""
    axes = list(lines[0]["setting"])
    order = [
        _ordered(dict.fromkeys(line["setting"][axis] for line in lines))
        for axis in axes
    ]
    columns = order[1] if len(axes) > 1 else ["accuracy"]
    start = axes[0] if len(axes) == 1 else f"{axes[0]} \\ {axes[1]}"
    made = [
        f"| {data}: {start} | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for row in order[0]:
        cells = []
        for column in columns:
            setting = dict(zip(axes, (row, column), strict=False))
            other = {**setting, **reference}
            # The reference itself has nothing to be compared with.
            compared = {} if other == setting else _seeds(lines, other)
            cells.append(cell(_seeds(lines, setting), compared))
        made.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(made)


def _seeds(lines: list[dict], setting: dict[str, str]) -> dict[int, float]:
    """{seed: score} of one setting."""
    return {
        line["seed"]: line["top_1"]
        for line in lines
        if line["setting"] == setting
    }


def cell(ours: dict[int, float], reference: dict[int, float]) -> str:
    """Mean accuracy, and its difference from the reference's, seed by seed.

    Args:
      ours: {seed: accuracy}; empty where nothing was run.
      reference: the same of what it is compared with; empty for nothing.
    """
    if not ours:
        return "-"
    mean = f"{statistics.mean(ours.values()):.3f}"
    leads = [ours[seed] - reference[seed] for seed in ours if seed in reference]
    if not leads:
        return mean
    spread = f" ± {statistics.stdev(leads):.3f}" if len(leads) > 1 else ""
    return f"{mean} ({statistics.mean(leads):+.3f}{spread})"


def _ordered(values: Iterable[str]) -> list[str]:
    """By number, where they are numbers."""

    def number(text: str) -> float:
        with contextlib.suppress(ValueError):
            return float(text)
        return float("inf")

    return sorted(values, key=number)
