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
    data_service: str | None = option(
        None,
        "Address of a tf.data service, such as grpc://10.0.0.2:5050, whose"
        " workers prepare the training batches; see python -m"
        " tf_simclr.data.service --help. What is trained stays the same.",
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
        if self.data_service is not None:
            check_address(self.data_service)
        if self.labels_per_class and self.label_fraction:
            raise UserError(
                "--labels_per_class and --label_fraction both choose the"
                " labelled subset: give one of them. Received:"
                f" {self.labels_per_class} and {self.label_fraction}"
            )


def check_address(address: str) -> tuple[str, int]:
    """Host and port of `grpc://HOST:PORT`.

    Raises:
      UserError: it is written otherwise.
    """
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "grpc" or not host or not port.isdecimal():
        raise UserError(
            "--data_service is written grpc://HOST:PORT, as the dispatcher"
            f" says when it starts. Received: {address}"
        )
    return host, int(port)
