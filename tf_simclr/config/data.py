"""Which images are read, and which of them have labels."""

import dataclasses

from tf_simclr.config.field import check_fields, option
from tf_simclr.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Dataset, splits, labelled subset and evaluation batches."""

    dataset: str = option(
        "imagenet2012",
        "Name of a dataset: 'digits' (scikit-learn's 1,797 handwritten digits,"
        " embedded), the path of a Keras-style .npz file (x_train, y_train,"
        " x_test, y_test), or a TensorFlow Datasets name.",
    )
    data_dir: str | None = option(
        None, "Directory where a TensorFlow Datasets dataset is stored."
    )
    train_split: str = option(
        "train",
        "Split for training. A part of a split is written as train[:80%] or"
        " train[1000:].",
    )
    eval_split: str = option(
        "validation",
        "Split for evaluation. Where a dataset has no 'validation', its"
        " 'test' is taken.",
    )
    embed_split: str = option(
        "train", "Split whose features --mode=embed writes."
    )
    image_size: int = option(224, "Input image size.", minimum=4)
    cache_dataset: bool = option(
        False,
        "No longer means anything: datasets are held in memory anyway.",
    )
    labels_per_class: int = option(
        0,
        "Fine-tune on this many labelled images of each class; 0 means all"
        " labels.",
        minimum=0,
    )
    label_fraction: float = option(
        0.0,
        "Fine-tune on this share of the labels of each class, at least one"
        " image per class; 0 means all labels.",
        minimum=0.0,
        maximum=1.0,
    )
    label_seed: int = option(
        0,
        "Which labelled images are drawn. Smaller subsets lie inside larger"
        " ones of the same seed.",
        minimum=0,
    )
    eval_batch_size: int = option(256, "Batch size for eval.", minimum=1)
    eval_steps: int = option(
        0,
        "Number of steps to eval for. If not provided, evals over entire"
        " dataset.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.labels_per_class and self.label_fraction:
            raise UserError(
                "--labels_per_class and --label_fraction both choose the"
                " labelled subset: give one of them. Received:"
                f" {self.labels_per_class} and {self.label_fraction}"
            )
