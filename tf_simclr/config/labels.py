"""Choosing images to label next, and the page to label them on."""

import dataclasses
from typing import Any

from tf_simclr.config.field import PIPELINE, Needs, check_fields, option
from tf_simclr.config.teacher import DISTILLATION, FEATURES
from tf_simclr.errors import UserError

SUGGEST = frozenset({"suggest"})
CHOOSING = SUGGEST | PIPELINE
LABEL = frozenset({"label"})
SUGGESTIONS = ("typiclust", "kmeans", "probcover", "uncertain", "random")
# More are no few labels, and k-means takes hours.
_LARGEST_BUDGET = 100_000
_LARGEST_PORT = 2**16 - 1


@dataclasses.dataclass(frozen=True)
class LabelsConfig:
    """Choosing images to label, and labelling them."""

    label_budget: int = option(
        40,
        "How many images --mode=suggest chooses to be labelled next, beside"
        " those that have a label already; a pipeline, in all.",
        minimum=1,
        maximum=_LARGEST_BUDGET,
        recipe=False,
        on_resume="free",
        read_by=CHOOSING,
    )
    label_choice: str = option(
        "class_balanced",
        "Pipeline: choice of the training images that get a label."
        " class_balanced: drawn by --labels_per_class and the like from a"
        " data set that knows all labels. suggest: by --mode=suggest after"
        " the pretraining. random: any. Of a data set with labels, only"
        " those of the chosen images are read; one without waits for labels.",
        choices=("class_balanced", "suggest", "random"),
        on_resume="free",
        read_by=PIPELINE,
    )
    label_rounds: int = option(
        1,
        "Pipeline: number of rounds in which --label_choice=suggest spends"
        " its budget; each round sees the labels of the earlier ones.",
        minimum=1,
        maximum=1000,
        on_resume="free",
        read_by=PIPELINE,
        needs=Needs(
            "without --label_choice=suggest",
            lambda c: c.labels.label_choice == "suggest",
        ),
    )
    suggest: str = option(
        "typiclust",
        "How --mode=suggest chooses. typiclust: the most typical image of each"
        " cluster of features. kmeans: the image nearest to the center of each"
        " cluster. probcover: those whose neighbourhoods cover the most others."
        " uncertain: those whose class is least certain from the labels there"
        " are, which pays from some hundred labels on. random: any.",
        choices=SUGGESTIONS,
        recipe=False,
        on_resume="free",
        read_by=CHOOSING,
    )
    features: str | None = option(
        None,
        "The features.npz of --mode=embed, or another archive with arrays `ids`"
        " and `features`: by these, instead of those of a network,"
        " --mode=suggest chooses, --propagate_labels carries labels,"
        " --teacher=features tells classes apart, and --mode=embed draws.",
        path=True,
        recipe=False,
        on_resume="free",
        read_by=SUGGEST | DISTILLATION | {"embed"},
        needs=Needs(
            "without --teacher=features or --propagate_labels",
            lambda c: (
                c.stage != "distill"
                or c.objective.propagate_labels != "off"
                or FEATURES in (c.objective.teacher or "").split(",")
            ),
        ),
    )
    copy_suggested: bool = option(
        False,
        "Whether --mode=suggest also copies the images that it chose to"
        " to_label/, a folder for each cluster.",
        recipe=False,
        on_resume="free",
        read_by=SUGGEST,
    )
    class_names: str = option(
        "",
        "Classes that the page of --mode=label offers from the start, separated"
        " by commas; more can be added there.",
        recipe=False,
        on_resume="free",
        read_by=LABEL,
    )
    port: int = option(
        0,
        "Port of 127.0.0.1 on which --mode=label serves its page; 0 takes any"
        " that is free.",
        minimum=0,
        maximum=_LARGEST_PORT,
        recipe=False,
        on_resume="free",
        read_by=LABEL,
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def check(self, config: Any) -> None:
        """Refuses combinations that a mode cannot work with.

        Args:
          config: the whole configuration.

        Raises:
          UserError: names the flag and the way out.
        """
        checkpoint = config.objective.checkpoint
        reads = config.run.mode in ("suggest", "embed")
        if reads and self.features and checkpoint:
            raise UserError(
                "--features and --checkpoint each name features: give one of"
                f" them. Received: {self.features} and {checkpoint}"
            )
