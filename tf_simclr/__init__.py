"""SimCLRv2 in TensorFlow: contrastive pretraining, fine-tuning, distillation.

The library is configured by the frozen dataclasses in `tf_simclr.config` and
reads no command-line flags: a teacher and a student, or two experiments, can
live in one process.

It is written for Keras 2 (the `tf_keras` package), which `tf.distribute`,
TF Hub's `KerasLayer` and TensorFlow Addons run on. Importing `tf_simclr`
before TensorFlow selects it; importing it afterwards checks that it was.
"""

import os
import sys

__version__ = "0.1.0"

if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() not in ("1", "true"):
    raise ImportError(
        "tf_simclr needs Keras 2 (tf_keras): set TF_USE_LEGACY_KERAS=1 before"
        " TensorFlow is imported, or import tf_simclr first. Received:"
        f" TF_USE_LEGACY_KERAS={os.environ.get('TF_USE_LEGACY_KERAS')!r}"
    )
