"""The devices of a run."""

import os
import subprocess
from collections.abc import Sequence

import tensorflow as tf

from tf_simclr.config.compat import CompatConfig
from tf_simclr.config.run import Config
from tf_simclr.config.train import TrainConfig
from tf_simclr.errors import UserError
from tf_simclr.process import compile_views_only, once_per_process
from tf_simclr.progress import say_once

# Where NVIDIA's driver is loaded.
_SIGNS_OF_GPUS = ("/proc/driver/nvidia/version", "/dev/nvidia0")
# What logical GPUs may take of the memory that is free; the rest is for CUDA.
_GPU_SHARE = 0.9


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The devices that `config` names: the same object at each call.

    For logical devices and for several machines the first call must come
    before TensorFlow has computed anything.

    Raises:
      UserError: they cannot be had.
    """
    train = config.train
    if not train.jit_compile:
        compile_views_only()
    if train.logical_devices:
        _split(train.logical_devices)
    elif train.gpu_memory == "grow":
        _let_memory_grow()
    if train.strategy == "tpu" or config.compat.use_tpu:
        return _tpu_strategy(config.compat)
    if config.cluster is not None:
        return _multi_worker()
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        notice = unseen_gpu()
        if notice:
            say_once(notice)
    cpus = tf.config.list_logical_devices("CPU")
    several = len(gpus or cpus) > 1 and (gpus or train.logical_devices)
    if train.strategy == "mirrored" or (train.strategy == "auto" and several):
        return mirrored(tuple(device.name for device in gpus or cpus))
    device = gpus[0] if gpus else cpus[0]
    return tf.distribute.OneDeviceStrategy(device.name)


def unseen_gpu(signs: Sequence[str] = _SIGNS_OF_GPUS) -> str:
    """A notice that this machine has an NVIDIA GPU that TensorFlow does not
    see; '' where there is none, or where it was hidden.

    Args:
      signs: files that NVIDIA's driver makes.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return ""
    if not any(map(os.path.exists, signs)):
        return ""
    return (
        "This machine has an NVIDIA GPU that TensorFlow does not see, so the"
        " CPU trains: pip install -r requirements-gpu.txt, which brings the"
        " CUDA libraries, and see whether nvidia-smi answers."
    )


@once_per_process
def _let_memory_grow() -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            raise _too_late("--gpu_memory=grow") from error


@once_per_process
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy per set of devices and process.

    Collective operations of several strategies in one process, such as those
    of a pipeline's stages, take each other's for their own and abort.
    """
    return tf.distribute.MirroredStrategy(devices)


@once_per_process
def _multi_worker() -> tf.distribute.Strategy:
    """All devices of the machines that TF_CONFIG lists, once they are up."""
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise _too_late("--strategy=multi_worker") from error


@once_per_process
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


@once_per_process
def _split(count: int) -> None:
    """Makes `count` logical devices of the first GPU, or of the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    limit = _free_gpu_memory() * _GPU_SHARE / count if gpus else None
    if gpus:
        tf.config.set_visible_devices(gpus[:1], "GPU")
    device = (gpus or tf.config.list_physical_devices("CPU"))[0]
    part = tf.config.LogicalDeviceConfiguration(memory_limit=limit)
    try:
        tf.config.set_logical_device_configuration(device, [part] * count)
    except RuntimeError as error:
        raise _too_late(f"--logical_devices={count}") from error


def _free_gpu_memory() -> float:
    """MB that are free on the first GPU; TensorFlow does not tell before it
    has started."""
    query = ("--query-gpu=memory.free", "--format=csv,noheader,nounits")
    try:
        answer = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, check=True
        )
        return float(answer.stdout.splitlines()[0])
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise UserError(
            "--logical_devices needs nvidia-smi, which tells a GPU's memory:"
            f" leave the flag out. Received: {error}"
        ) from error


def _too_late(flag: str) -> UserError:
    return UserError(
        f"{flag} must be set up before TensorFlow is used: call"
        " tf_simclr.training.devices.make_strategy(config) first."
    )


def check_batch_divides(
    strategy: tf.distribute.Strategy, batch_size: int
) -> None:
    """Refuses a global batch that the replicas cannot share evenly.

    Raises:
      UserError: it does not.
    """
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
    """Refuses parts that a device's share of a batch does not divide into.

    Raises:
      UserError: it does not.
    """
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
    """Refuses XLA compilation on several logical CPUs, where XLA cannot place
    the step.

    Raises:
      UserError: the devices are several logical CPUs.
    """
    devices = strategy.extended.worker_devices
    if config.jit_compile and len(devices) > 1 and "CPU" in devices[0]:
        raise UserError(
            f"--jit_compile does not work on the {len(devices)} CPU devices"
            " of this run: leave it out, or take --strategy=one_device."
        )


def device_kinds(strategy: tf.distribute.Strategy) -> set[str]:
    """Kinds of its devices: 'CPU', 'GPU', 'TPU'."""
    devices = strategy.extended.worker_devices
    return {tf.DeviceSpec.from_string(d).device_type for d in devices}


def describe(strategy: tf.distribute.Strategy) -> str:
    """Words such as '1 CPU' or '4 GPU'."""
    kind = "/".join(sorted(device_kinds(strategy)))
    return f"{strategy.num_replicas_in_sync} {kind}"


def set_up_arithmetic(config: TrainConfig) -> None:
    """Allows or forbids TensorFloat-32, which TensorFlow allows by default.

    It holds for the whole process, until the next call.
    """
    tf.config.experimental.enable_tensor_float_32_execution(config.tf32)


def set_up_numerics(config: TrainConfig) -> None:
    """Seeds TensorFlow and Keras, sets up their arithmetic, and asks for
    determinism where wanted."""
    set_up_arithmetic(config)
    tf.keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
