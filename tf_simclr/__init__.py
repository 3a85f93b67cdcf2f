"""SimCLRv2 in TensorFlow: contrastive pretraining, fine-tuning, distillation.

The library is configured by the frozen dataclasses in `tf_simclr.config` and
reads no command-line flags: a teacher and a student, or two experiments, can
live in one process.

It is written for Keras 2 (the `tf_keras` package), which `tf.distribute`,
TF Hub's `KerasLayer` and TensorFlow Addons run on. Importing `tf_simclr`
before TensorFlow selects it; importing it afterwards checks that it was.
"""

import importlib
import sys
from typing import Any

from tf_simclr.process import import_quietly, select_keras_2

__version__ = "0.1.0"

select_keras_2()

_LIBRARY = "tf_simclr.library"
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
        _LIBRARY,
    ),
    **dict.fromkeys(
        ("DataFailed", "ExportFailed", "UserError"), "tf_simclr.errors"
    ),
    **dict.fromkeys(("Interrupted", "TrainingFailed"), "tf_simclr.signals"),
}
_PACKAGES = ("config", "data", "losses", "methods", "models", "optimizers")
_WITH_TENSORFLOW = {
    *(name for name, module in _PUBLIC.items() if module == _LIBRARY),
    *_PACKAGES,
} - {"config"}
__all__ = [*_PUBLIC, *_PACKAGES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _WITH_TENSORFLOW and "tensorflow" not in sys.modules:
        import_quietly()
    if name in _PACKAGES:
        return importlib.import_module(f"tf_simclr.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tf_simclr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
