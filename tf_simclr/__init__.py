"""SimCLRv2 in TensorFlow: contrastive pretraining, fine-tuning, distillation.

The library is configured by the frozen dataclasses in `tf_simclr.config` and
reads no command-line flags: a teacher and a student, or two experiments, can
live in one process.

It is written for Keras 2 (the `tf_keras` package), which `tf.distribute`,
TF Hub's `KerasLayer` and TensorFlow Addons run on. Importing `tf_simclr`
before TensorFlow selects it; importing it afterwards checks that it was.
"""

from tf_simclr.process import select_keras_2

__version__ = "0.1.0"

select_keras_2()
