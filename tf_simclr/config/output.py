"""Flags of exports, predictions and pictures of features."""

import dataclasses

from tf_simclr.config.field import IMAGES, TRAINING, check_fields, option
from tf_simclr.errors import UserError

EXPORT_FORMATS = ("saved_model", "tflite", "onnx")


@dataclasses.dataclass(frozen=True)
class OutputConfig:
    """Exports, predictions and features."""

    export: bool = option(
        True,
        "Whether a stage ends with a SavedModel of its network in"
        " saved_model/STEP. A pipeline exports its teacher and its student.",
        recipe=False,
        on_resume="free",
        read_by=TRAINING,
        idle=(False,),
    )
    logger: str = option(
        "none",
        "Service that also gets the curves of metrics.jsonl: MLflow or"
        " Weights & Biases, which need a package of that name. Their own"
        " environment variables name the place (MLFLOW_TRACKING_URI,"
        " WANDB_MODE=offline).",
        choices=("none", "mlflow", "wandb"),
        recipe=False,
        on_resume="free",
        read_by=TRAINING,
    )
    export_format: str = option(
        "saved_model",
        "What --mode=export writes: a SavedModel that serves and trains, or"
        " for devices TFLite or ONNX (which needs the packages tf2onnx and"
        " onnxruntime).",
        choices=EXPORT_FORMATS,
        recipe=False,
        on_resume="free",
        read_by=frozenset({"export"}),
    )
    quantize: str = option(
        "none",
        "Numbers of a TFLite model: float16 weights, or int8 arithmetic whose"
        " ranges are taken from training images. Read by --mode=export"
        " --export_format=tflite.",
        choices=("none", "float16", "int8"),
        recipe=False,
        on_resume="free",
        read_by=frozenset({"export"}),
    )
    verify_export: bool = option(
        True,
        "Whether --mode=export compares the SavedModel with the network in a"
        " process of its own that does not have tf_simclr. The export at the"
        " end of a stage, and --noverify_export, do it in the same process,"
        " which saves seconds.",
        recipe=False,
        on_resume="free",
        read_by=frozenset({"export"}),
    )
    class_names_file: str | None = option(
        None,
        "Text file with the name of one class per line, for the export and the"
        " predictions of weights that do not tell theirs (those of the"
        " original release), and for a teacher of other make.",
        path=True,
        recipe=False,
        on_resume="free",
        read_by=frozenset({"export", "predict", "distill"}),
    )
    images: str | None = option(
        None,
        "Folder of images (or one image) that --mode=predict classifies.",
        path=True,
        recipe=False,
        on_resume="free",
        read_by=frozenset({"predict"}),
        instead=dict.fromkeys(IMAGES, "dataset"),
    )
    top_k: int = option(
        1,
        "How many of the likeliest classes --mode=predict names for each image,"
        " in further columns.",
        minimum=1,
        maximum=1000,
        recipe=False,
        on_resume="free",
        read_by=frozenset({"predict"}),
    )
    min_probability: float = option(
        0.0,
        "An image whose likeliest class is less probable than this gets no"
        " class from --mode=predict, and is counted as unsure. The probability"
        " is the calibrated one, where an evaluation has fitted it.",
        minimum=0.0,
        maximum=1.0,
        recipe=False,
        on_resume="free",
        read_by=frozenset({"predict"}),
    )
    map: str = option(
        "pca",
        "How --mode=embed draws the features in two dimensions; umap needs the"
        " package umap-learn.",
        choices=("pca", "tsne", "umap", "none"),
        recipe=False,
        on_resume="free",
        read_by=frozenset({"embed"}),
        idle=("none",),
    )
    neighbours_of: str | None = option(
        None,
        "Image files, or ids of features.npz, separated by commas, whose"
        " nearest neighbours --mode=embed shows.",
        recipe=False,
        on_resume="free",
        read_by=frozenset({"embed"}),
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def check(self, mode: str) -> None:
        """Refuses combinations that a mode cannot work with.

        Raises:
          UserError: names the flag and the way out.
        """
        if mode == "predict" and not self.images:
            raise UserError(
                "Predictions need images: give --images=FOLDER, a folder of"
                " image files."
            )
        if (
            mode == "export"
            and self.quantize != "none"
            and self.export_format != "tflite"
        ):
            raise UserError(
                f"--quantize={self.quantize} is for TFLite: add"
                " --export_format=tflite. Received:"
                f" --export_format={self.export_format}"
            )
