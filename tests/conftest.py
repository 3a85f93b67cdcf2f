"""Set-up of the test process: Keras 2, two logical CPUs, quiet TensorFlow."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest  # noqa: E402

import tf_simclr  # noqa: E402, F401  (selects Keras 2 before TensorFlow)


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    # As in every run: figures of the original are compared in float32.
    tf.config.experimental.enable_tensor_float_32_execution(False)


def pytest_collection_modifyitems(items):
    # `-m golden` runs what compares with the original release's figures.
    for item in items:
        if hasattr(item.module, "golden"):
            item.add_marker("golden")
    # Whole files go to the two workers in this order: the longest first, so
    # that both end at about the same time.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy of two replicas on this machine's CPU, beside any GPU."""
    import tensorflow as tf

    from tf_simclr.training.devices import mirrored

    devices = tf.config.list_logical_devices("CPU")
    return mirrored(tuple(device.name for device in devices))


@pytest.fixture(scope="module")
def one_block():
    """For the tests of a module, a ResNet-18 is a single block: soon traced."""
    from one_block import ONE_BLOCK

    from tf_simclr.models.resnet import ARCHITECTURES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, 18, ONE_BLOCK)
        yield
