"""16-bit arithmetic: what is chosen, and that it learns the same."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
import test_trajectory as trajectory
import tiny
from small_job import small_job
from tiny import write_npz
from tiny_network import tiny_network

from tf_simclr.config import TrainConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.methods import job
from tf_simclr.methods.simclr import SimCLR
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import build_network
from tf_simclr.modes import evaluate as evaluation
from tf_simclr.modes import execute
from tf_simclr.modes.embed import embed
from tf_simclr.modes.evaluate import evaluate
from tf_simclr.modes.execute import run_stage, start_block
from tf_simclr.modes.export import export
from tf_simclr.modes.prepare import prepare
from tf_simclr.training import precision
from tf_simclr.training.devices import set_up_numerics
from tf_simclr.training.precision import (
    choose_precision,
    cpu_precision,
    gpu_precision,
)
from tf_simclr.training.step import Task, make_global_step
from tf_simclr.training.update import LossScale
from tf_simclr.weights.open import open_weights


@pytest.mark.parametrize(
    "flags, policy",
    [
        ("flags : fpu avx512_bf16 sse", "mixed_bfloat16"),
        ("flags : fpu amx_bf16 sse", "mixed_bfloat16"),
        ("flags : fpu avx512f avx_bf16_like", "float32"),
        ("", "float32"),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_has_instructions(flags, policy):
    found = cpu_precision(flags)
    assert found.policy == policy
    assert str(found).startswith(f"{policy} (auto: CPU with")


@pytest.mark.parametrize(
    "capability, policy",
    [
        ((9, 0), "mixed_bfloat16"),
        ((8, 0), "mixed_bfloat16"),
        ((7, 5), "mixed_float16"),
        ((6, 1), "float32"),
        (None, "float32"),
    ],
)
def test_a_gpu_takes_what_its_matrix_units_have(capability, policy):
    found = gpu_precision(capability)
    assert found.policy == policy
    assert found.scales_loss == (policy == "mixed_float16")


def test_auto_says_why_and_a_flag_is_obeyed():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert "auto: CPU" in str(choose_precision("auto", strategy))
    assert str(choose_precision("mixed_float16", strategy)) == "mixed_float16"


tf32_allowed = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.fixture
def tensorflow_default():
    """TensorFlow's own setting before and after."""
    tf.config.experimental.enable_tensor_float_32_execution(True)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_tf32_is_a_flags_and_no_other_runs(tensorflow_default):
    for wanted in (False, True, False):
        set_up_numerics(TrainConfig(tf32=wanted))
        assert tf32_allowed() == wanted


def test_a_stage_sets_tf32_up(tensorflow_default, tmp_path):
    flags = {
        "mode": "pretrain",
        "dataset": write_npz(tmp_path),
        "train_batch_size": 8,
        "model_dir": str(tmp_path),
    }
    for wanted in (False, True):
        config = from_flat({**flags, "tf32": wanted})
        _, job = prepare(config)
        assert tf32_allowed() == wanted
        # A CPU has no such numbers to announce.
        announced = wanted and bool(tf.config.list_physical_devices("GPU"))
        assert ("TF32" in start_block(job, [], 1, 1)) == announced


@pytest.mark.parametrize("mode", [evaluate, embed, export])
def test_what_only_reads_a_network_sets_tf32_up(
    tensorflow_default, tmp_path, mode
):
    flags = {"checkpoint": str(tmp_path), "model_dir": str(tmp_path / "new")}
    for wanted in (False, True):
        with pytest.raises(UserError):
            mode(from_flat({**flags, "tf32": wanted}))
        assert tf32_allowed() == wanted


def network_of(precision: str):
    """The golden trajectory's network and weights."""
    config = trajectory.SETTINGS["pretrain_lars"]["config"]
    filled, _ = trajectory.build(config)
    values = named_variables(filled)
    network = build_network(
        filled.architecture,
        config["image_size"],
        LayerFactory(precision=precision),
    )
    for name, variable in named_variables(network).items():
        variable.assign(values[name])
    return network


def losses_of(network, precision: str, batches: list, temperature: float):
    """Contrastive losses of a few steps with LARS."""
    job = small_job(
        network,
        labels=range(10),
        classes=10,
        objective={"temperature": temperature},
        # So small a rate that rounding does not grow into another trajectory.
        optimizer={"learning_rate": 0.001},
    )
    method = SimCLR(job)
    method.decayed = []
    scaled = precision == "mixed_float16"
    scale = LossScale() if scaled else None
    if scaled:
        # Past the skipped steps that it starts with.
        scale.factor.assign(256.0)
    method.optimizer.build(method.trainable)
    step = make_global_step(
        Task(
            method=method,
            batches=types.SimpleNamespace(views=dict),
            batch_size=32,
            loss_scale=scale,
        ),
        tf.distribute.get_strategy(),
    )
    run = tf.function(step, autograph=False)
    found = [run(batch) for batch in batches]
    assert all(v.dtype == tf.float32 for v in method.trainable)
    if scaled:
        assert sum(float(m["skipped_updates"]) for m in found) == 0
    assert all(np.isfinite(float(v)) for m in found for v in m.values())
    return np.array([float(m["contrast_loss"]) for m in found])


def first_losses(precision: str) -> np.ndarray:
    batches = list(trajectory.batches(True))[:4]
    return losses_of(network_of(precision), precision, batches, 0.5)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    return first_losses("float32")


@pytest.mark.parametrize(
    "precision, tolerance",
    [("mixed_bfloat16", 0.01), ("mixed_float16", 0.0015)],
)
def test_a_trajectory_stays_near_that_of_float32(exact, precision, tolerance):
    found = first_losses(precision)
    assert np.max(np.abs(found / exact - 1)) < tolerance
    assert not np.array_equal(found, exact)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_sharp_losses_and_blank_images_stay_finite(precision):
    batch = next(iter(trajectory.batches(True)))
    alike = {**batch, "view2": batch["view1"]}
    blank = {
        name: tf.zeros_like(value) if "view" in name else value
        for name, value in batch.items()
    }
    network = tiny_network(classes=10, precision=precision)
    found = losses_of(network, precision, [alike, blank], 0.01)
    # Blank images are all alike, which is the chance level.
    assert np.isclose(found[1], np.log(2 * 32 - 1), rtol=1e-3)


def configured(mode: str, model_dir, text: str):
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    return from_flat({**flags, "mode": mode, "model_dir": str(model_dir)})


def test_scored_is_what_is_exported(one_block, tmp_path, monkeypatch):
    """A run's end, `--mode=eval` and the export compute the same logits."""
    found = []
    for module in (execute, evaluation):
        leave = module.leave_scores

        def note(*args, leave=leave, **kwargs):
            found.append(args[3].predictions.logits)
            return leave(*args, **kwargs)

        monkeypatch.setattr(module, "leave_scores", note)
    dataset = tiny.write_npz(tmp_path)
    text = f"--dataset={dataset} --from_scratch --export"
    text += " --precision=mixed_bfloat16 --learning_rate=1"
    config = configured("finetune", tmp_path / "run", text)
    result = run_stage(config)
    flags = {"mode": "eval", "checkpoint": str(tmp_path / "run")}
    again = from_flat({**flags, "model_dir": str(tmp_path / "scored")})
    assert evaluation.evaluate(again) == result
    assert np.allclose(*found, rtol=1e-5, atol=1e-6)
    exported = tf.saved_model.load(str(tmp_path / "run/saved_model/7"))
    with np.load(dataset) as arrays:
        views = exported.preprocess(arrays["x_test"])
    logits = exported(views, training=False)["logits"]
    assert np.allclose(found[0], logits, rtol=1e-5, atol=1e-6)
    for name in ("run", "scored"):
        text = (tmp_path / name / "evaluation.md").read_text()
        assert "Computed in float32" in text
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["derived"]["precision"] == "mixed_bfloat16"
    assert record["derived"]["scored_in"] == "float32"


def test_scoring_in_float32_leaves_the_training_alone(one_block, tmp_path):
    dataset = tiny.write_npz(tmp_path)
    found = []
    for every in (0, 1):
        folder = tmp_path / str(every)
        text = f"--dataset={dataset} --precision=mixed_bfloat16"
        text += f" --from_scratch --train_steps=4 --eval_every_epochs={every}"
        run_stage(configured("finetune", folder, text))
        stored = open_weights(str(folder), "checkpoint")
        reader = tf.train.load_checkpoint(stored.path)
        found.append(
            {
                key: reader.get_tensor(key)
                for key in reader.get_variable_to_shape_map()
                if not key.startswith("_CHECKPOINTABLE")
            }
        )
    first, second = found
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert np.array_equal(value, second[key]), key


@pytest.mark.parametrize(
    "flags, lacks",
    [("sse4 avx2 fma", True), ("avx2 avx512f", False), ("neon", False)],
)
@pytest.mark.parametrize("deterministic", [False, True])
def test_gradients_take_the_form_that_the_processor_is_fast_at(
    tmp_path, monkeypatch, flags, lacks, deterministic
):
    path = tmp_path / "cpuinfo"
    path.write_text(f"flags : {flags}\n")
    monkeypatch.setattr(precision, "_CPU_INFO", path)
    assert precision.lacks_avx512() == lacks
    made = []
    monkeypatch.setattr(
        job, "build_network", lambda *found, **_: made.append(found[2])
    )
    work = small_job(strategy=tf.distribute.OneDeviceStrategy("/cpu:0"))
    train = dataclasses.replace(work.config.train, deterministic=deterministic)
    config = dataclasses.replace(work.config, train=train)
    job.Job.build(dataclasses.replace(work, config=config), None)
    assert made[0].small_maps
    assert made[0].flipped_gradients == (lacks and not deterministic)


def test_an_unknown_processor_keeps_to_the_native_form(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "missing")
    assert not precision.lacks_avx512()
