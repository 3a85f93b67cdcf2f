"""One run in a few lines: what it learnt from, how, and how well."""

from collections.abc import Mapping
from typing import Any

from tf_simclr.data.overlap import overlap_notice


def run_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """{title: text} of a run, from what its `config.json` holds."""
    dataset, derived = record["dataset"], record["derived"]
    architecture, config = record["architecture"], record["config"]
    epochs = (
        derived["total_steps"]
        * config["train_batch_size"]
        / derived["train_images"]
    )
    network = (
        f"ResNet-{architecture['depth']},"
        f" width {architecture['width_multiplier']:g}"
    )
    if architecture["sk_ratio"]:
        network += ", selective kernels"
    return {
        "data": f"{dataset['name']} at {dataset['image_size']} pixels",
        "images": f"{derived['train_images']:,}",
        "labels": f"{record['labels']['count']:,}",
        "network": network,
        "parameters": f"{derived['parameters']:,}",
        "trained": f"{derived['trained_parameters']:,}",
        "optimizer": f"{config['optimizer']}, peak learning rate"
        f" {derived['peak_learning_rate']:.4g}",
        "steps": f"{derived['total_steps']:,} of batch"
        f" {config['train_batch_size']} ({epochs:.0f} epochs)",
        "devices": f"{derived['devices']}, {config['precision']}",
        "seeds": f"{config['seed']} (training), {config['label_seed']}"
        " (labels)",
        "versions": ", ".join(
            f"{name} {version}" for name, version in record["versions"].items()
        ),
    }


def run_card(record: Mapping[str, Any], scores: Mapping[str, float]) -> str:
    """Markdown."""
    rows = [f"| {name} | {text} |" for name, text in run_facts(record).items()]
    rows += [f"| {name} | {value:.6g} |" for name, value in scores.items()]
    seen = overlap_notice(record)
    rows += [f"| overlap | {seen} |"] if seen else []
    return "\n".join([f"| {record['stage']} | |", "|---|---|", *rows]) + "\n"
