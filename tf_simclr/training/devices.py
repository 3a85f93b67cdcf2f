"""On which devices a run computes."""

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.errors import UserError


def make_strategy(config: TrainConfig) -> tf.distribute.Strategy:
    """The strategy that `config` names: all GPUs, or one device."""
    gpus = tf.config.list_logical_devices("GPU")
    cpus = tf.config.list_logical_devices("CPU")
    if config.strategy == "mirrored" or (
        config.strategy == "auto" and len(gpus) > 1
    ):
        devices = gpus or cpus
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    device = gpus[0] if gpus else cpus[0]
    return tf.distribute.OneDeviceStrategy(device.name)


def check_batch_divides(
    strategy: tf.distribute.Strategy, batch_size: int
) -> None:
    """Refuses a global batch that the replicas cannot share evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        lower = max(batch_size // replicas, 1) * replicas
        raise UserError(
            f"--train_batch_size={batch_size} does not divide by the"
            f" {replicas} devices: take {lower}, or --strategy=one_device."
        )


def describe(strategy: tf.distribute.Strategy) -> str:
    """Such as '1 CPU' or '4 GPU'."""
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return f"{strategy.num_replicas_in_sync} {kind}"


def set_up_numerics(config: TrainConfig) -> None:
    """Seeds TensorFlow and Keras, and asks for determinism where wanted."""
    tf.keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
