"""Tables, figures and sentences of README, docs and recipes, from the results.

`check_docs.py` compares them with what stands there.
"""

import functools
import statistics
from collections.abc import Callable

import numpy as np

from benchmarks.accuracy import (
    any_teacher,
    carried_students,
    carried_ways,
    finetuning_probe,
    imbalance,
    label_efficiency,
    labels,
    losses,
    novelty,
    pretraining_probe,
)
from benchmarks.accuracy.digits import ROWS as DIGITS_ROWS
from benchmarks.accuracy.digits import consistency_table
from benchmarks.lib import ablation_tables
from benchmarks.lib.ablation_studies import DATA, TITLES
from benchmarks.lib.classical_baselines import METHODS as CLASSICAL
from benchmarks.lib.results import stored_results
from benchmarks.lib.spreads import median_and_range
from benchmarks.robustness import kill_test
from benchmarks.speed import (
    first_minutes,
    input_gradients,
    large_photos,
    memory,
    neighbour_search,
    roofline,
    scale,
    suggest_scale,
)


def digits_table(name: str = "digits") -> str:
    """Rows of `digits.py` for one label seed and for all."""
    runs = stored_results(name)["runs"]
    lines = [
        f"| method | label seed 0 | mean of {len(runs)} label seeds | sd |",
        "|---|---:|---:|---:|",
    ]
    sizes = {
        "finetuned_top_1": "teacher_parameters",
        "distilled_top_1": "student_parameters",
    }
    for key, title in DIGITS_ROWS.items():
        if key not in runs[0]:
            continue
        values = [run[key] for run in runs]
        size = f", {runs[0][sizes[key]]:,} parameters" if key in sizes else ""
        lines.append(
            f"| {title}{size} | {values[0]:.4f} | {np.mean(values):.4f} |"
            f" {np.std(values, ddof=1):.4f} |"
        )
    return "\n".join(lines)


def digits_consistency(part: str) -> str:
    """Studies of `digits.py` with consistency training beside without."""
    lines = stored_results("digits_consistency")
    return consistency_table([line for line in lines if line["part"] == part])


def consistency_gain(key: str) -> float:
    """Points of accuracy that consistency training adds to digits with one
    label per class.

    Args:
      key: of the row after it; before it is the fine-tuned network, or the
        student of it.
    """
    before = {"consistency_top_1": "finetuned_top_1"}
    means = [
        np.mean([run[key if with_it else before.get(key, key)] for run in runs])
        for line in stored_results("digits_consistency")
        if (line["part"], line["labels_per_class"]) == ("test", 1)
        for runs, with_it in [(line["runs"], line["consistency"] != "-")]
    ]
    return 100 * float(means[1] - means[0])


def digits_mean(key: str, name: str = "digits") -> float:
    """Of one row of `digits.py`."""
    return float(np.mean([run[key] for run in stored_results(name)["runs"]]))


def _rate(case: str, what: str) -> float:
    rates = stored_results("train_step")["cases"][f"R18 32px, {case}"]
    return statistics.median(rates["pairs_per_second"][what])


def _other(name: str) -> float:
    return statistics.median(stored_results("train_step")["against"][name])


def _share(case: str) -> float:
    """Of the rate of matrix products, that the bare step reaches."""
    found = stored_results("train_step")["cases"][f"R18 32px, {case}"]
    flops = _rate(case, "bare") * found["flops_per_pair"] * 1e-9
    return flops / statistics.median(found["product_gflops"])


def train_step_table() -> str:
    """Pairs per second of the step, beside other programs."""
    found = stored_results("train_step")
    lines = ["| program | bare step | end to end |", "|---|---:|---:|"]
    for case in ("mixed_bfloat16", "float32"):
        rates = found["cases"][f"R18 32px, {case}"]["pairs_per_second"]
        lines.append(
            f"| `--precision={case}` | {median_and_range(rates['bare'])},"
            f" {100 * _share(case):.0f} % of the rate of matrix products |"
            f" {median_and_range(rates['end_to_end'])} |"
        )
    for name, title, bare in (
        ("compiled", "PyTorch in bfloat16, compiled", True),
        ("eager", "PyTorch in bfloat16, eager", True),
        (
            "unfused",
            "our network in float32, convolutions, batch norm and views written"
            " straight down",
            False,
        ),
    ):
        rates = median_and_range(found["against"][name])
        cells = (rates, "") if bare else ("", rates)
        lines.append(f"| {title} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def original_step_table(results: str) -> str:
    """Pairs per second of the original's step and of ours.

    Args:
      results: name of the stored results.
    """
    found = stored_results(results)
    theirs = found["against"]
    columns = (("original, bare", "bare"), ("original", "end_to_end"))
    cells = [f"{median_and_range(theirs[key])} | 1.00" for key, _ in columns]
    lines = [
        "| program | bare step | ratio | end to end | ratio |",
        "|---|---:|---:|---:|---:|",
        f"| original release | {' | '.join(cells)} |",
    ]
    for case in found["cases"].values():
        ours = case["pairs_per_second"]
        cells = [
            f"{median_and_range(ours[key])} | {_ratio(ours[key], theirs[name])}"
            for name, key in columns
        ]
        lines.append(
            f"| `--precision={case['precision']}` | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _ratio(rates: list[float], others: list[float]) -> str:
    return f"{statistics.median(rates) / statistics.median(others):.2f}"


def original_speed(times: float) -> float:
    """GFLOP/s of our step at a multiple of the original's speed, on the
    machine with bfloat16 vectors."""
    found = stored_results("train_step_original_bf16")
    [flops] = {case["flops_per_pair"] for case in found["cases"].values()}
    return (
        times * statistics.median(found["against"]["original"]) * flops * 1e-9
    )


def product_speed(case: str) -> float:
    """GFLOP/s of matrix products on the same machine, in a number format."""
    found = stored_results("train_step_original_bf16")["cases"]
    return statistics.median(found[f"R18 32px, {case}"]["product_gflops"])


def gpu_table() -> str:
    """Pairs per second and memory of ResNet-50 on one GPU, by precision."""
    lines = [
        "| flags | bare step | end to end | peak memory, GiB |",
        "|---|---:|---:|---:|",
    ]
    for title, case in (
        ("(float32)", "float32"),
        ("`--tf32`", "float32, TF32"),
        ("`--precision=mixed_bfloat16`", "mixed_bfloat16"),
    ):
        found = stored_results("train_step_h200")["cases"][f"R50 224px, {case}"]
        rates = found["pairs_per_second"]
        whole = rates.get("end_to_end")
        lines.append(
            f"| {title} | {median_and_range(rates['bare'])} |"
            f" {median_and_range(whole) if whole else ''} |"
            f" {found['peak_bytes']['GPU:0'] / 2**30:.1f} |"
        )
    return "\n".join(lines)


def _h200_rate() -> float:
    """Measured pairs per second of the bare step in bfloat16."""
    cases = stored_results("train_step_h200")["cases"]
    rates = cases["R50 224px, mixed_bfloat16"]["pairs_per_second"]
    return statistics.median(rates["bare"])


def _h200_share() -> float:
    """Measured pairs per second as a share of the roofline's bound, in
    percent."""
    bounds = stored_results("roofline")["cases"]["R50 224px"]["bounds"]
    return 100 * _h200_rate() / bounds["H200"]["pairs_per_second"]


def _views(case: dict, name: str) -> float | None:
    pairs = case["pairs_per_second"].get(name)
    return statistics.median(pairs) if pairs else None


_VIEWS = {
    "per image": "a plain graph, image by image, without blur",
    "ours": "ours",
    "ours, no blur": "ours, without blur",
    "device": "host's part of `--augment_on=device`",
}
_SOURCES = {
    "folder": "a folder",
    "TFRecord": "TFRecord shards",
    "memory": "memory",
}


def views_table() -> str:
    """Pairs of views per second, and how often the plain graph's."""
    lines = [
        f"| views | {' | '.join(_VIEWS.values())} |",
        f"|---|{'---:|' * len(_VIEWS)}",
    ]
    for case in stored_results("input_pipeline")["cases"]:
        plain = _views(case, "per image")
        cells = [f"{plain:,.0f}"] + [
            f"{_views(case, name):,.0f} ({_views(case, name) / plain:.2f}x)"
            for name in list(_VIEWS)[1:]
        ]
        lines.append(
            f"| {case['size']} px, from {_SOURCES[case['source']]} |"
            f" {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _large_views() -> dict:
    """Measurements of views of 224 pixels from a folder."""
    [case] = [
        case
        for case in stored_results("input_pipeline")["cases"]
        if (case["size"], case["source"]) == (224, "folder")
    ]
    return case


def stage_cost(name: str) -> float:
    """Core-milliseconds of a stage for a pair of views of 224 pixels."""
    return statistics.median(_large_views()["core_ms"][name])


def views_ratio(name: str) -> float:
    """Ratio to the plain graph's rate, at 224 pixels from a folder."""
    case = _large_views()
    return _views(case, name) / _views(case, "per image")


PHOTOS = (
    "supervised_top_1",
    "linear_top_1",
    "finetuned_top_1",
    "distilled_top_1",
)


def photos(key: str) -> float:
    """Of the `result.json` of flags/photos.cfg."""
    return stored_results("photos")[key]


def kill_table() -> str:
    """Runs, kills and identical ends by stage and devices."""
    found = stored_results("kill_test")
    names = dict.fromkeys(result["case"] for result in found)
    cases = [
        kill_test.Case(stage, int(devices))
        for stage, _, devices in (name.partition("-") for name in names)
    ]
    order = list(kill_test.STAGES)
    cases.sort(key=lambda case: (order.index(case.stage), case.devices))
    return kill_test.table(cases, found)


def kills() -> int:
    """Of all runs."""
    return sum(len(result["kills"]) for result in stored_results("kill_test"))


def _convolution(found: dict[str, float]) -> str:
    names = {"products": "by products", "side by side": "side by side"}
    text = f"{found['native']:.1f}"
    best = min(found, key=found.__getitem__)
    return (
        text
        if best == "native"
        else f"{text}, {names[best]} **{found[best]:.1f}**"
    )


# The last group's of ResNet-18: 512 images of 4x4 pixels and 512 channels.
_LAST = [512, 4, 512, 512, 3, 1]


def _last_convolution(dtype: str, result: str, form: str) -> float:
    """Milliseconds of one of its three results."""
    [row] = [
        row
        for row in stored_results("convolutions")["results"]
        if (row["dtype"], row["shape"]) == (dtype, _LAST)
    ]
    return row["milliseconds"][result][form]


def convolutions_table() -> str:
    """Milliseconds of oneDNN's kernels, and of a form that wins."""
    results = ("forward", "to inputs", "to kernel")
    lines = [
        f"| map | channels | kernel | {' | '.join(results)} |",
        f"|---|---|---|{'---:|' * len(results)}",
    ]
    for row in stored_results("convolutions")["results"]:
        if row["dtype"] != "bfloat16":
            continue
        _, side, channels, outputs, size, strides = row["shape"]
        step = f" / {strides}" if strides > 1 else ""
        if strides > 1 and size > 1:
            # What is strided has been padded.
            side = ((side - size) // strides + 1) * strides
        cells = [_convolution(row["milliseconds"][name]) for name in results]
        lines.append(
            f"| {side}x{side} | {channels} to {outputs} | {size}x{size}{step} |"
            f" {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def efficiency(
    method: str, count: int, name: str = "label_efficiency"
) -> float:
    """Mean top-1 accuracy with `count` labels per class, over label seeds."""
    found = label_efficiency.collected(stored_results(name))
    return float(np.mean(found[method][count]))


def best_classical(count: int) -> float:
    """Accuracy of the best of the classical methods."""
    return max(efficiency(method, count) for method in CLASSICAL)


def _lead(method: str, other: Callable[[int], float], count: int) -> float:
    """By how many points a method leads."""
    return 100 * (efficiency(method, count) - other(count))


def ablation_minutes(data: str) -> float:
    """Of both cores, with --jobs=2."""
    lines = [
        line for line in stored_results("ablations") if line["data"] == data
    ]
    return sum(line["seconds"] for line in lines) / 60 / 2


def _ablation(study: str) -> Callable[[], str]:
    return lambda: ablation_tables.tables(stored_results("ablations"))[study]


def _carried(way: str, budget: int) -> float:
    return statistics.mean(
        run["spreading"]
        for run in stored_results("labels")["runs"]
        if (run["way"], run["budget"]) == (way, budget)
    )


def _labels(key: str, results: str = "labels") -> str:
    runs = stored_results(results)["runs"]
    return labels.table(runs, key, sorted({run["budget"] for run in runs}))


DIGITS_RESULTS = (
    *("digits", "digits_10", "digits_10_both", "digits_typiclust"),
    *("digits_10_typiclust", "digits_validation_kmeans"),
    "digits_validation_typiclust",
)
EFFICIENCY_COUNTS = (1, 4, 10, 40, 100)


def _student(
    count: int,
    consistency: str,
    targets: str,
    results: str = "consistency_test",
) -> float:
    """Accuracy of students of `count` labels per class on Fashion-MNIST, drawn
    class by class."""
    cell = ("class_balanced", count, consistency, targets)
    keys = ("choice", "labels_per_class", "consistency", "targets")
    return statistics.mean(
        line["accuracy"]["student"]
        for line in stored_results(results)
        if tuple(line[key] for key in keys) == cell
    )


def _gain(count: int, targets: str, results: str = "consistency_test") -> float:
    """Points that a student gains over that of the fine-tuned network, by
    consistency training and by what it learns."""
    plain = _student(count, "none", "network", results)
    return 100 * (_student(count, "adaptive", targets, results) - plain)


TABLES: dict[str, Callable[[], str]] = {
    "digits": digits_table,
    "digits_balanced": lambda: digits_table("digits_balanced"),
    "digits_consistency.validation": lambda: digits_consistency("validation"),
    "digits_consistency.test": lambda: digits_consistency("test"),
    "train_step": train_step_table,
    "train_step_original": lambda: original_step_table("train_step_original"),
    "train_step_original_bf16": lambda: original_step_table(
        "train_step_original_bf16"
    ),
    "gpu": gpu_table,
    "large_photos": lambda: large_photos.table(
        stored_results("large_photos")["pairs_per_second"]
    ),
    "views": views_table,
    "memory": lambda: memory.table(stored_results("memory")),
    "kills": kill_table,
    "convolutions": convolutions_table,
    "input_gradients": lambda: input_gradients.table(
        stored_results("input_gradients")["results"]
    ),
    "label_efficiency": lambda: label_efficiency.table(
        stored_results("label_efficiency")
    ),
    "pretraining_probe": lambda: pretraining_probe.table(
        stored_results("pretraining_probe")
    ),
    "finetuning_probe": lambda: finetuning_probe.table(
        stored_results("finetuning_probe")
    ),
    "labels.spreading": lambda: _labels("spreading"),
    "labels.linear": lambda: _labels("linear"),
    "labels.estimate": lambda: _labels("estimate"),
    "labels_fashion.validation": lambda: _labels(
        "spreading", "labels_fashion_validation"
    ),
    **{
        f"labels_fashion.{key}": functools.partial(
            _labels, key, "labels_fashion"
        )
        for key in ("spreading", "poisson_mbo", "linear", "estimate")
    },
    "roofline.bounds": lambda: roofline.bounds_table(
        stored_results("roofline")["cases"]
    ),
    "roofline.kernels": lambda: roofline.asked_table(
        stored_results("roofline")["cases"], "R50 224px"
    ),
    "first_minutes.stage": lambda: first_minutes.stage_table(
        stored_results("first_minutes")["first_step"]
    ),
    "first_minutes.recipe": lambda: first_minutes.recipe_table(
        stored_results("first_minutes")["recipe"]
    ),
    "scale": lambda: scale.table(stored_results("scale")["runs"]),
    "suggest_scale": lambda: suggest_scale.table(
        stored_results("suggest_scale")["runs"]
    ),
    "neighbour_search": lambda: neighbour_search.table(
        stored_results("neighbour_search")["runs"]
    ),
    "any_teacher": lambda: any_teacher.table(
        stored_results("any_teacher")["rows"]
    ),
    "novelty": lambda: novelty.table(stored_results("novelty")),
    "carried_students": lambda: carried_students.table(
        stored_results("carried_students")
    ),
    "consistency_test": lambda: carried_students.table(
        stored_results("consistency_test")
    ),
    "consistency_validation": lambda: carried_students.table(
        stored_results("consistency_validation")
    ),
    "carried_ways": lambda: carried_ways.table(stored_results("carried_ways")),
    "losses": lambda: losses.table(stored_results("losses")["runs"]),
    "imbalance": lambda: imbalance.table(stored_results("imbalance")["runs"]),
    **{f"ablations.{study}": _ablation(study) for study in TITLES},
}
FIGURES: dict[str, Callable[[], float]] = {
    "digits_consistency.1.teacher": lambda: consistency_gain(
        "consistency_top_1"
    ),
    "digits_consistency.1.student": lambda: consistency_gain("distilled_top_1"),
    "carried.40.adaptive": lambda: _student(40, "adaptive", "network"),
    "carried.4.gain": lambda: _gain(4, "labels"),
    "carried.40.gain": lambda: _gain(40, "labels"),
    "carried.40.gain_of_network": lambda: _gain(40, "network"),
    "carried.40.gain_before": lambda: _gain(40, "network", "carried_students"),
    **{
        f"{name}.{key}": functools.partial(digits_mean, key, name)
        for name in DIGITS_RESULTS
        for key in DIGITS_ROWS
        if key != "self_distilled_top_1"
    },
    **{
        f"labels.{way}.{budget}": functools.partial(_carried, way, budget)
        for way in labels.WAYS
        for budget in (10, 20, 40, 100)
    },
    **{f"photos.{key}": functools.partial(photos, key) for key in PHOTOS},
    "large_photos.kilobytes": lambda: (
        stored_results("large_photos")["bytes_per_copy"] / 1000
    ),
    "large_photos.megabytes": lambda: (
        stored_results("large_photos")["bytes_per_photo"] / 1e6
    ),
    "large_photos.milliseconds": lambda: (
        1000 * stored_results("large_photos")["seconds_per_copy"]
    ),
    "gpu.bfloat16": _h200_rate,
    "roofline.share": _h200_share,
    "train_step.against_torch": lambda: (
        _rate("mixed_bfloat16", "bare")
        / max(_other("compiled"), _other("eager"))
    ),
    "train_step.against_unfused": lambda: (
        _rate("float32", "end_to_end") / _other("unfused")
    ),
    "train_step.original_times_4_5": lambda: original_speed(4.5),
    "train_step.products_bfloat16": lambda: product_speed("mixed_bfloat16"),
    "train_step.float32": lambda: _rate("float32", "end_to_end"),
    "train_step.unfused": lambda: _other("unfused"),
    "train_step.float32_share": lambda: 100 * _share("float32"),
    "train_step.at_whole_rate": lambda: (
        _rate("float32", "end_to_end") / _other("unfused") / _share("float32")
    ),
    **{
        f"conv.{name}": functools.partial(_last_convolution, *where)
        for name, where in {
            "products": ("bfloat16", "to kernel", "products"),
            "side_by_side": ("bfloat16", "to kernel", "side by side"),
            "float32_products": ("float32", "to kernel", "products"),
            "float32_native": ("float32", "to kernel", "native"),
            "patches": ("bfloat16", "forward", "products"),
        }.items()
    },
    "views.decoding": lambda: stage_cost("decoding"),
    "views.crop": lambda: stage_cost("crop and resize"),
    "views.finish": lambda: stage_cost("jitter, grayscale and blur in one"),
    "views.with_blur": lambda: views_ratio("ours"),
    "views.without_blur": lambda: views_ratio("ours, no blur"),
    **{
        f"efficiency.{method}.{count}": functools.partial(
            efficiency, method, count
        )
        for method in label_efficiency.METHODS
        for count in EFFICIENCY_COUNTS
    },
    **{
        f"efficiency.student_over_{name}.{count}": functools.partial(
            _lead, "distilled", other, count
        )
        for name, other in {
            "classical": best_classical,
            "supervised": functools.partial(efficiency, "supervised"),
            "teacher": functools.partial(efficiency, "self_distilled"),
        }.items()
        for count in EFFICIENCY_COUNTS
    },
    **{
        f"efficiency.finetuned_over_linear.{count}": functools.partial(
            _lead,
            "finetuned",
            functools.partial(efficiency, "linear"),
            count,
        )
        for count in EFFICIENCY_COUNTS
    },
    **{
        f"efficiency.lamb.{method}.{count}": functools.partial(
            efficiency, method, count, "label_efficiency_lamb"
        )
        for method in label_efficiency.METHODS
        for count in (10, 40)
    },
    "efficiency.classical.10": functools.partial(best_classical, 10),
    "efficiency.minutes": lambda: float(
        np.mean(
            [x["seconds_of_all"] for x in stored_results("label_efficiency")]
        )
        / 60
    ),
    **{
        f"ablations.{data}.minutes": functools.partial(ablation_minutes, data)
        for data in DATA
    },
    "kills.runs": lambda: len(stored_results("kill_test")),
    "kills.kills": kills,
}
SENTENCES: dict[str, list[Callable[[], str]]] = {
    "flags/digits.cfg": [
        lambda: (
            f"carried along {digits_mean('carried_top_1'):.3f}, fine-tuned"
            f" {digits_mean('finetuned_top_1'):.3f}, distilled student"
            f" {digits_mean('distilled_top_1'):.3f}"
        ),
    ],
    "flags/fashion_mnist.cfg": [
        lambda: (
            f"supervised only {efficiency('supervised', 10):.3f}, linear"
            f" evaluation {efficiency('linear', 10):.3f}, fine-tuned"
            f" {efficiency('finetuned', 10):.3f}, student"
            f" {efficiency('distilled', 10):.3f}"
        ),
    ],
    "flags/photos.cfg": [
        lambda: (
            f"supervised only {photos('supervised_top_1'):.3f}, linear"
            f" evaluation {photos('linear_top_1'):.3f}, fine-tuned"
            f" {photos('finetuned_top_1'):.3f}, student"
            f" {photos('distilled_top_1'):.3f}"
        ),
    ],
}
