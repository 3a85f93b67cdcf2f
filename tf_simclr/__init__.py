"""SimCLRv2 in TensorFlow: contrastive pretraining, fine-tuning, distillation.

The library is configured by the frozen dataclasses in `tf_simclr.config` and
reads no command-line flags: a teacher and a student, or two experiments, can
live in one process.

It is written for Keras 2 (the `tf_keras` package), which `tf.distribute`,
TF Hub's `KerasLayer` and TensorFlow Addons run on. Importing `tf_simclr`
before TensorFlow selects it; importing it afterwards checks that it was.
"""

import importlib
from typing import Any

from tf_simclr.process import select_keras_2

__version__ = "0.1.0"

select_keras_2()

# Imported when they are asked for: most need TensorFlow, which takes seconds.
_PUBLIC = {
    **dict.fromkeys(
        (
            "AugmentConfig",
            "Config",
            "DataConfig",
            "ModelConfig",
            "ObjectiveConfig",
            "OptimizerConfig",
            "OutputConfig",
            "PipelineConfig",
            "RunConfig",
            "TrainConfig",
        ),
        "tf_simclr.config",
    ),
    **dict.fromkeys(
        (
            "Model",
            "Predictions",
            "Result",
            "Suggested",
            "distill",
            "evaluate",
            "export",
            "finetune",
            "load",
            "pipeline",
            "pretrain",
            "suggest",
        ),
        "tf_simclr.library",
    ),
    **dict.fromkeys(
        ("DataFailed", "ExportFailed", "UserError"), "tf_simclr.errors"
    ),
    **dict.fromkeys(("Interrupted", "TrainingFailed"), "tf_simclr.signals"),
}
_PACKAGES = ("config", "data", "losses", "methods", "models", "optimizers")
__all__ = [*_PUBLIC, *_PACKAGES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"tf_simclr.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tf_simclr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
