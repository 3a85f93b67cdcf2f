"""Consistency training: labels that the network gives unlabelled images."""

import dataclasses
from typing import Any

from tf_simclr.config.field import FINETUNE, Needs, check_fields, option

# More would drown the labels.
_LARGEST_WEIGHT = 1000.0
# The method that reads these options.
CONSISTENCY_METHOD = "fixmatch"


def trains_consistently(config: Any) -> bool:
    """True if a fine-tuning is consistency training.

    Args:
      config: the whole configuration.
    """
    return config.objective.method == CONSISTENCY_METHOD


_NEEDS = Needs(f"without --method={CONSISTENCY_METHOD}", trains_consistently)
_NEEDS_ADAPTIVE = Needs(
    f"without --method={CONSISTENCY_METHOD} --confidence_rule=adaptive",
    lambda c: (
        trains_consistently(c) and c.consistency.confidence_rule == "adaptive"
    ),
)
_NEEDS_FIXED = Needs(
    f"without --method={CONSISTENCY_METHOD} --confidence_rule=fixed",
    lambda c: (
        trains_consistently(c) and c.consistency.confidence_rule == "fixed"
    ),
)


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig:
    """FixMatch (arXiv 2001.07685) and FreeMatch (arXiv 2205.07246)."""

    unlabeled_ratio: int = option(
        7,
        "Unlabelled images in a batch for each labelled one.",
        minimum=1,
        maximum=1000,
        hparam=True,
        on_resume="fixed",
        read_by=FINETUNE,
        needs=_NEEDS,
    )
    unlabeled_weight: float = option(
        1.0,
        "Weight of the loss on unlabelled images.",
        minimum=0.0,
        maximum=_LARGEST_WEIGHT,
        hparam=True,
        on_resume="told",
        read_by=FINETUNE,
        needs=_NEEDS,
    )
    weak_crop_min_area: float = option(
        0.75,
        "Smallest share of the image's area in the weak view, whose"
        " prediction is the target. Strong views have the augmentation of"
        " pretraining.",
        above=0.0,
        maximum=1.0,
        hparam=True,
        on_resume="told",
        read_by=FINETUNE,
        needs=_NEEDS,
    )
    confidence_rule: str = option(
        "fixed",
        "Rule for the predictions that count as labels. fixed: those of at"
        " least --confidence. adaptive: a threshold for each class, which"
        " follows the network's mean confidence (FreeMatch).",
        choices=("fixed", "adaptive"),
        hparam=True,
        on_resume="fixed",
        read_by=FINETUNE,
        needs=_NEEDS,
    )
    confidence: float = option(
        0.95,
        "Least probability of the likeliest class for an unlabelled image"
        " to be trained on.",
        minimum=0.0,
        maximum=1.0,
        hparam=True,
        on_resume="told",
        read_by=FINETUNE,
        needs=_NEEDS_FIXED,
    )
    fairness_weight: float = option(
        0.01,
        "Weight of the term that keeps the predicted classes diverse"
        " (FreeMatch).",
        minimum=0.0,
        maximum=_LARGEST_WEIGHT,
        hparam=True,
        on_resume="told",
        read_by=FINETUNE,
        needs=_NEEDS_ADAPTIVE,
    )
    align_distribution: str = option(
        "off",
        "Scale the predictions so that their mean has the wanted class"
        " frequencies. labels: those of the labelled images. uniform: equal"
        " ones. off: no scaling.",
        choices=("off", "labels", "uniform"),
        hparam=True,
        on_resume="fixed",
        read_by=FINETUNE,
        needs=_NEEDS,
    )

    def __post_init__(self) -> None:
        check_fields(self)
