"""Flags of teachers of other origin: their input and output."""

import dataclasses

from tf_simclr.config.field import Needs, check_fields, option

DISTILLATION = frozenset({"distill"})
# As --teacher: a classifier on --features.
FEATURES = "features"
# Larger than any crop that is worth its time.
_LARGEST_IMAGE = 4096
_NEEDS = Needs("without --teacher", lambda c: bool(c.objective.teacher))


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Teachers that neither this project nor the original release trained."""

    teacher_targets: str | None = option(
        None,
        "Answers of a teacher that was asked before, by image id: an .npz"
        " archive with `ids`, `logits` or `probabilities` (N, C), and"
        " `classes`, or a table with a column for each class. Instead of"
        " --teacher, or averaged with it. All crops of an image have the same"
        " answer.",
        path=True,
        on_resume="free",
        read_by=DISTILLATION,
    )
    teacher_image_size: int = option(
        0,
        "Side of the images that a teacher of other make looks at: the"
        " student's crops are resized. 0 takes what its file says, or the"
        " student's size.",
        minimum=0,
        maximum=_LARGEST_IMAGE,
        on_resume="fixed",
        read_by=DISTILLATION,
        needs=_NEEDS,
    )
    teacher_range: str = option(
        "0_1",
        "Values of the images that a teacher of other make looks at. 0_1, -1_1"
        " and 0_255: between these. imagenet: normalised by ImageNet's mean"
        " and deviation, as torchvision and timm do. caffe: blue, green, red"
        " around their means, as Keras's ResNet50 and VGG16.",
        choices=("0_1", "-1_1", "0_255", "imagenet", "caffe"),
        on_resume="fixed",
        read_by=DISTILLATION,
        needs=_NEEDS,
    )
    teacher_answers: str = option(
        "auto",
        "What a teacher of other make answers: logits, or probabilities. auto"
        " looks at some of its answers.",
        choices=("auto", "logits", "probabilities"),
        on_resume="fixed",
        read_by=DISTILLATION,
    )
    teacher_output: str = option(
        "",
        "Which output of a teacher of other make holds its answers, where it"
        " has several.",
        on_resume="fixed",
        read_by=DISTILLATION,
        needs=_NEEDS,
    )
    teacher_signature: str = option(
        "",
        "Which signature of a SavedModel of other make answers;"
        " serving_default where there is one.",
        on_resume="fixed",
        read_by=DISTILLATION,
        needs=_NEEDS,
    )

    def __post_init__(self) -> None:
        check_fields(self)
