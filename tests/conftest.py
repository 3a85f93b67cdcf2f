"""Set-up of the test process: Keras 2 and this folder on the path."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import tf_simclr  # noqa: E402, F401  (selects Keras 2 before TensorFlow)
