"""Flags of the images to read and of the labels that count."""

import dataclasses

from tf_simclr.config.field import (
    DEVICES,
    IMAGES,
    MAX_BATCH,
    MAX_SEED,
    MAX_STEPS,
    SPLITS,
    TRAINING,
    WRITING,
    Needs,
    check_fields,
    option,
)
from tf_simclr.config.grouping import NO_GROUPS, read_group_by
from tf_simclr.data.decoding import BACKGROUNDS, DEPTHS, EVAL_CROPS
from tf_simclr.errors import UserError

# What `read_layout` takes.
FOLDER_LAYOUTS = ("auto", "classes", "splits", "classes_splits")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Dataset, splits, labelled subset and evaluation batches."""

    dataset: str = option(
        "imagenet2012",
        "What to learn from: a folder of images (JPEG, PNG, TIFF, ...;"
        " sub-folders are classes, or the splits train, val and test; images"
        " in a sub-folder 'unlabeled' and in no sub-folder have no label), a"
        " .csv file with the columns path,label[,split], a Keras-style .npz"
        " file (x_train, y_train, x_test, y_test), a folder of IDX files"
        " (MNIST family), TFRecord shards (their folder, or a pattern), a"
        " TensorFlow Datasets name, 'digits' (scikit-learn's 1,797"
        " handwritten digits, embedded), or MODULE:FUNCTION, a function of your"
        " own that returns a source of images.",
        path="or_name",
        of_original=True,
        hparam=True,
        chooses_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=IMAGES,
        instead={"predict": "images"},
    )
    unlabeled_dataset: str | None = option(
        None,
        "Images that join the training images without a label: anything that"
        " --dataset takes, of the same kind. Pretraining and distillation"
        " learn from all of them.",
        path="or_name",
        chooses_images=True,
        on_resume="free",
        read_by=SPLITS,
    )
    folder_layout: str = option(
        "auto",
        "What the sub-folders of a folder of images are: classes, splits (such"
        " as train and test) with classes below, or classes with splits below"
        " (classes_splits). auto goes by their names, and refuses what can be"
        " read in two ways.",
        choices=FOLDER_LAYOUTS,
        chooses_images=True,
        divides_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=IMAGES,
    )
    ignore_labels: bool = option(
        False,
        "Take all images of --dataset as unlabelled, so that its sub-folders"
        " are no classes.",
        chooses_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=IMAGES,
    )
    data_dir: str | None = option(
        None,
        "Directory where a TensorFlow Datasets dataset is stored.",
        path=True,
        of_original=True,
        chooses_images=True,
        on_resume="free",
        read_by=IMAGES,
    )
    train_split: str = option(
        "train",
        "Split for training. A part of a split is written as train[:80%] or"
        " train[1000:], in the order of the data; folders are in order of name"
        " and better cut by --eval_fraction.",
        of_original=True,
        chooses_images=True,
        divides_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=SPLITS | {"export", "suggest", "label"},
        instead={"embed": "embed_split"},
    )
    eval_split: str = option(
        "validation",
        "Split for evaluation. Where a dataset has no 'validation', its"
        " 'test' is taken.",
        of_original=True,
        divides_images=True,
        identifies_score=True,
        on_resume="told",
        read_by=SPLITS,
        instead={"embed": "embed_split"},
    )
    eval_fraction: float = option(
        0.0,
        "Where a dataset has no evaluation part: this share of each class is"
        " cut off its training images, as the split 'validation'. Which images"
        " depends on their names alone. 0 cuts nothing.",
        minimum=0.0,
        maximum=0.9,
        chooses_images=True,
        divides_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=IMAGES,
    )
    group_by: str = option(
        NO_GROUPS,
        "Which images belong together, as frames of a video or slides of a"
        " patient do. folder: those of one folder below the classes."
        " column:NAME: those with the same value in a column of the table of"
        " images. regex:PATTERN: those whose ids give the same text for the"
        " pattern's first part in parentheses. --eval_fraction cuts off whole"
        " groups, few labels are drawn from as many groups as there are, and"
        " groups in both the training and the evaluation part are named.",
        chooses_images=True,
        divides_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=IMAGES,
    )
    embed_split: str = option(
        "train",
        "Split whose features --mode=embed writes.",
        on_resume="free",
        read_by=frozenset({"embed"}),
        instead={"eval": "eval_split"},
    )
    image_size: int = option(
        224,
        "Side of the square images that the network sees, in pixels.",
        minimum=4,
        maximum=4096,
        of_original=True,
        hparam=True,
        chooses_images=True,
        identifies_score=True,
        on_resume="free",
        read_by=WRITING,
    )
    cache_dataset: bool = option(
        False,
        "Decode every image once and keep it in memory, if all are of one size"
        " and take up to 2 GiB. Images of up to 64 pixels a side are kept in"
        " any case.",
        of_original=True,
        on_resume="free",
        read_by=TRAINING,
    )
    prepare_cache: str | None = option(
        None,
        "Folder for shrunk copies of large images: their shorter side is twice"
        " the view's. They are written once, known by the content of their"
        " files, and read by every later training on the same images. Scores"
        " are computed on the files themselves.",
        path=True,
        # The size of the copies is told.
        on_resume="free",
        read_by=TRAINING,
        needs=Needs(
            "with --data_service, whose workers read no TFRecord shards",
            lambda config: config.data.data_service is None,
        ),
    )
    data_service: str | None = option(
        None,
        "Address of a tf.data service, such as grpc://10.0.0.2:5050, whose"
        " workers prepare the training batches; see python -m"
        " tf_simclr.data.service --help. What is trained stays the same.",
        on_resume="free",
        read_by=TRAINING,
    )
    labels_per_class: int = option(
        0,
        "Fine-tune on this many labelled images of each class; 0 means all"
        " labels.",
        minimum=0,
        hparam=True,
        identifies_score=True,
        on_resume="free",
        read_by=DEVICES,
    )
    label_fraction: float = option(
        0.0,
        "Fine-tune on this share of the labels of each class, at least one"
        " image per class; 0 means all labels.",
        minimum=0.0,
        maximum=1.0,
        hparam=True,
        identifies_score=True,
        on_resume="free",
        read_by=DEVICES,
    )
    label_seed: int = option(
        0,
        "Which labelled images are drawn, or suggested. Smaller subsets lie"
        " inside larger ones of the same seed.",
        minimum=0,
        maximum=MAX_SEED,
        hparam=True,
        identifies_score=True,
        on_resume="free",
        read_by=DEVICES | {"suggest"},
    )
    label_ids: str | None = option(
        None,
        "Fine-tune on these labelled images: the labels.json of another run,"
        " a text file with one id per line, or a table (.csv) of ids and"
        " classes, as --mode=label writes it, which also gives images their"
        " labels.",
        path=True,
        identifies_score=True,
        on_resume="free",
        read_by=DEVICES,
    )
    scan_images: bool = option(
        True,
        "Look at every image file before training and name those that cannot"
        " be read. Done once per dataset: the run's index remembers it.",
        on_resume="free",
        read_by=IMAGES,
    )
    eval_crop: str = option(
        "center",
        "What evaluation and exports see of an image: its central 87.5 % (the"
        " whole of images up to 32 pixels), the whole of it squeezed into the"
        " square, or the whole of it in its own shape on black.",
        choices=EVAL_CROPS,
        identifies_score=True,
        on_resume="told",
        read_by=IMAGES | {"predict"},
    )
    antialias: bool = option(
        False,
        "Let all pixels count where an image is shrunk, in training and"
        " evaluation; JPEG files much larger than the view are decoded at a"
        " half, a quarter or an eighth of their size, which is faster. The"
        " original release looks at sixteen pixels for each one.",
        identifies_score=True,
        hparam=True,
        on_resume="told",
        read_by=IMAGES | {"predict"},
    )
    alpha: str = option(
        "white",
        "What lies behind transparent pixels: white, black, or ignore, which"
        " takes colors as they are stored, however transparent, as runs of"
        " version 0.1.0 did.",
        choices=tuple(BACKGROUNDS),
        identifies_score=True,
        on_resume="told",
        read_by=IMAGES | {"predict"},
        earlier="ignore",
    )
    bit_depth: str = option(
        "auto",
        "How many bits of 16-bit images are used: auto goes by the largest"
        " value of the data set, 12 takes 4,095 for white. 16 takes the upper"
        " 8 bits, as runs of version 0.1.0 did.",
        choices=("auto", *map(str, DEPTHS)),
        identifies_score=True,
        on_resume="told",
        read_by=IMAGES | {"predict"},
        earlier="16",
    )
    find_duplicates: bool = option(
        True,
        "Compare the evaluation images with the training images by perceptual"
        " hashes, which the look at every image file computes, and list those"
        " that look alike in duplicates.csv. Changes nothing else.",
        on_resume="free",
        read_by=IMAGES,
    )
    bad_images: str = option(
        "fail",
        "What to do about images that cannot be read: refuse to start, or skip"
        " them and list them in bad_images.json.",
        choices=("fail", "skip"),
        on_resume="free",
        read_by=IMAGES,
    )
    bad_images_max_share: float = option(
        0.1,
        "Refuse to start where more than this share of the images would be"
        " skipped.",
        minimum=0.0,
        maximum=1.0,
        on_resume="free",
        read_by=IMAGES,
    )
    refresh_index: bool = option(
        False,
        "List and scan image files anew. Needed only where files were changed"
        " in place: an index notices files that came or went.",
        on_resume="free",
        read_by=IMAGES,
    )
    eval_batch_size: int = option(
        256,
        "Images per batch in evaluation.",
        minimum=1,
        maximum=MAX_BATCH,
        of_original=True,
        # With the number of steps, that of the images.
        identifies_score=lambda c: c.data.eval_steps > 0,
        on_resume="free",
        read_by=DEVICES | {"embed", "predict", "suggest"},
    )
    eval_steps: int = option(
        0,
        "Evaluate on this many batches of --eval_batch_size images, drawn from"
        " all over the split by their ids: the same ones every time. 0"
        " evaluates on all images.",
        minimum=0,
        maximum=MAX_STEPS,
        of_original=True,
        identifies_score=True,
        on_resume="told",
        read_by=DEVICES,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        read_group_by(self.group_by)
        if self.data_service is not None:
            check_address(self.data_service)
        given = [
            f"--{name}={getattr(self, name)}"
            for name in ("labels_per_class", "label_fraction", "label_ids")
            if getattr(self, name)
        ]
        if len(given) > 1:
            raise UserError(
                "--labels_per_class, --label_fraction and --label_ids each"
                " choose the labelled subset: give one of them. Received:"
                f" {' and '.join(given)}"
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
