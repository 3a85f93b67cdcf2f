"""The probe looks at one step and at no other."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tf_simclr.config import ModelConfig
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.optimizers.lars import LARS, TRUST_COEFFICIENT
from tf_simclr.training.step_probe import StepProbe, network_parts

MODEL = ModelConfig(resnet_depth=18, width_multiplier=0.02, proj_out_dim=4)
DECAY = 0.1


@pytest.fixture(scope="module")
def network():
    architecture = Architecture.for_pretraining(MODEL, 8, num_classes=3)
    return build_network(architecture, 8)


def gradients_of(network) -> list[tf.Tensor]:
    rng = np.random.default_rng(0)
    return [
        tf.constant(rng.normal(size=variable.shape), tf.float32)
        for variable in network.trainable_variables
    ]


def probe_of(network, optimizer, **kwargs) -> StepProbe:
    optimizer.build(network.trainable_variables)
    return StepProbe(network, network.trainable_variables, optimizer, **kwargs)


def test_parts_cover_every_variable_once(network):
    parts = network_parts(network)
    assert list(parts) == [
        "stem",
        *(f"block_group{i}" for i in range(1, 5)),
        "projection_head",
        "classifier",
    ]
    found = [v.ref() for variables in parts.values() for v in variables]
    assert len(found) == len(set(found)) == len(network.trainable_variables)


def test_norms_and_trust_ratios_are_those_of_the_formulas(network):
    plain = network.classifier.trainable_variables
    optimizer = LARS(0.1, weight_decay=DECAY, plain_variables=plain)
    probe = probe_of(network, optimizer)
    gradients = gradients_of(network)
    probe.aim(1)
    probe.look_at(gradients)
    found = probe.gradients()
    by_variable = dict(
        zip(
            (v.ref() for v in network.trainable_variables),
            gradients,
            strict=True,
        )
    )
    for part, variables in network_parts(network).items():
        squares = [np.sum(by_variable[v.ref()] ** 2) for v in variables]
        norm = found.pop(f"gradient_norm/{part}")
        assert np.isclose(norm, np.sqrt(np.sum(squares)), rtol=1e-5)
        if part == "classifier":
            continue
        ratios = []
        for v in variables:
            if len(v.shape) > 1:
                step = by_variable[v.ref()] + DECAY * v
                ratio = np.linalg.norm(v) / np.linalg.norm(step)
                ratios.append(TRUST_COEFFICIENT * ratio)
        ratio = found.pop(f"trust_ratio/{part}")
        expected = sorted(ratios)[len(ratios) // 2]
        assert np.isclose(ratio, expected, rtol=1e-5)
    # The classifier is not adapted.
    assert not found


@pytest.mark.parametrize("compiled", [False, True])
def test_only_the_step_aimed_at_is_kept(network, compiled):
    optimizer = keras.optimizers.SGD(0.0, jit_compile=False)
    probe = probe_of(network, optimizer, embeddings=[2, 2, 1])

    ids = tf.constant([5, 2**24, 7], tf.int64)

    @tf.function(jit_compile=compiled)
    def step(value: tf.Tensor) -> None:
        probe.keep((value, -value), ids + tf.cast(value[0, 0], tf.int64))
        optimizer.iterations.assign_add(1)

    probe.aim(3)
    for index in range(5):
        step(tf.fill([3, 1], float(index)))
    # The first two rows of both views, in the third of five steps.
    kept = [[[2.0], [2.0]], [[-2.0], [-2.0]]]
    views, numbers = probe.embeddings()
    assert views.tolist() == kept
    assert numbers.tolist() == [[0.0, 7.0], [1.0, 2.0]]


def test_on_two_devices_the_first_one_is_shown(two_replicas):
    with two_replicas.scope():
        architecture = Architecture.for_pretraining(MODEL, 8, 3)
        network = build_network(architecture, 8)
        optimizer = keras.optimizers.SGD(0.0)
        probe = probe_of(network, optimizer, embeddings=[2, 1, 1])

    @tf.function
    def step() -> None:
        def on_replica() -> None:
            context = tf.distribute.get_replica_context()
            replica = tf.cast(context.replica_id_in_sync_group, tf.float32)
            view = tf.reshape(replica + 7.0, [1, 1])
            probe.keep((view, view), tf.zeros([1], tf.int64))
            gradients = [
                (replica + 1.0) * tf.ones_like(v)
                for v in network.trainable_variables
            ]
            probe.look_at(gradients)

        two_replicas.run(on_replica)

    probe.aim(1)
    step()
    assert probe.embeddings()[0].tolist() == [[[7.0]], [[7.0]]]
    stem = network_parts(network)["stem"]
    count = sum(v.shape.num_elements() for v in stem)
    norm = probe.gradients()["gradient_norm/stem"]
    assert np.isclose(norm, np.sqrt(count), rtol=1e-5)
