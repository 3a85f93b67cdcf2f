"""On which devices a run computes."""

import functools

import tensorflow as tf

from tf_simclr.config.compat import CompatConfig
from tf_simclr.config.train import TrainConfig
from tf_simclr.errors import UserError


def make_strategy(
    config: TrainConfig, compat: CompatConfig
) -> tf.distribute.Strategy:
    """The strategy that `config` names: all GPUs, one device, or a TPU.

    Raises:
      UserError: the TPU cannot be found.
    """
    if config.strategy == "tpu" or compat.use_tpu:
        return _tpu_strategy(compat)
    gpus = tf.config.list_logical_devices("GPU")
    cpus = tf.config.list_logical_devices("CPU")
    if config.strategy == "mirrored" or (
        config.strategy == "auto" and len(gpus) > 1
    ):
        return _mirrored(tuple(device.name for device in gpus or cpus))
    device = gpus[0] if gpus else cpus[0]
    return tf.distribute.OneDeviceStrategy(device.name)


@functools.lru_cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One strategy per set of devices and process.

    Collective operations of several strategies in one process, such as those
    of a pipeline's stages, take each other's for their own and abort.
    """
    return tf.distribute.MirroredStrategy(devices)


def _tpu_strategy(compat: CompatConfig) -> tf.distribute.Strategy:
    name = compat.tpu_name or compat.master
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            name, zone=compat.tpu_zone, project=compat.gcp_project
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:
        raise UserError(
            f"No TPU answers to --tpu_name={name or ''}: check its name and"
            " that this machine reaches it, or leave --use_tpu and"
            f" --strategy=tpu out. Received: {error}".replace("\n", " ")
        ) from error
    return tf.distribute.TPUStrategy(resolver)


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


def check_micro_batch(
    strategy: tf.distribute.Strategy, batch_size: int, micro_batch_size: int
) -> None:
    """Refuses parts that a device's share of a batch does not divide into."""
    share = batch_size // strategy.num_replicas_in_sync
    if micro_batch_size and share % micro_batch_size:
        fitting = [
            size
            for size in range(1, min(share, micro_batch_size) + 1)
            if share % size == 0
        ]
        raise UserError(
            f"--micro_batch_size={micro_batch_size} does not divide the"
            f" {share} images of a batch that a device takes: take"
            f" {fitting[-1]}."
        )


def check_compiles(
    strategy: tf.distribute.Strategy, config: TrainConfig
) -> None:
    """Refuses to compile what XLA places on one of several logical CPUs."""
    devices = strategy.extended.worker_devices
    if config.jit_compile and len(devices) > 1 and "CPU" in devices[0]:
        raise UserError(
            f"--jit_compile does not work on the {len(devices)} CPU devices"
            " of this run: leave it out, or take --strategy=one_device."
        )


def describe(strategy: tf.distribute.Strategy) -> str:
    """Such as '1 CPU' or '4 GPU'."""
    kinds = {
        device.split("device:")[1].split(":")[0]
        for device in strategy.extended.worker_devices
    }
    kind = "/".join(sorted(kinds))
    return f"{strategy.num_replicas_in_sync} {kind}"


def set_up_numerics(config: TrainConfig) -> None:
    """Seeds TensorFlow and Keras, and asks for determinism where wanted."""
    tf.keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
