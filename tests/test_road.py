"""The whole road on a tiny network, in this process and in seconds."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.config.flat import from_flat, options, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.keras_compat import VALUE_SUFFIX
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import build_network
from tf_simclr.modes.evaluate import evaluate
from tf_simclr.modes.execute import run_stage
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import PREFIX

pytestmark = pytest.mark.usefixtures("one_block")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return tiny.write_npz(tmp_path_factory.mktemp("data"))


def configured(
    mode: str, model_dir: pathlib.Path, dataset: str, text: str = ""
):
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    flags |= {"mode": mode, "model_dir": str(model_dir), "dataset": dataset}
    config = from_flat(flags)
    config.check()
    return config


def run(mode: str, model_dir, dataset, text: str = "") -> dict[str, float]:
    return run_stage(configured(mode, model_dir, dataset, text))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, dataset) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("pretrained")
    run("pretrain", folder, dataset, "--eval_every_epochs=1")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, dataset, pretrained) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("teacher")
    text = f"--checkpoint={pretrained} --ft_proj_selector=1"
    run("finetune", folder, dataset, text)
    return folder


def weights(folder: pathlib.Path) -> dict[str, np.ndarray]:
    stored = open_weights(str(folder), "checkpoint")
    return {
        key.removeprefix(PREFIX).removesuffix(VALUE_SUFFIX): stored.read(key)
        for key in stored.shapes
    }


def metrics(folder: pathlib.Path, split: str) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [m for m in map(json.loads, lines) if m["split"] == split]


def test_pretraining_evaluates_on_the_way(pretrained):
    steps = [line["step"] for line in metrics(pretrained, "eval")]
    assert steps == [3, 6, 7]


def test_finetuning_starts_with_logits_of_zero(tmp_path, dataset, pretrained):
    text = f"--checkpoint={pretrained} --train_steps=1 --learning_rate=0"
    run("finetune", tmp_path, dataset, text)
    stored = weights(tmp_path)
    assert not stored["classifier/dense/kernel"].any()
    loss = metrics(tmp_path, "train")[0]["supervised_loss"]
    assert np.isclose(loss, np.log(3))


@pytest.mark.parametrize(
    "text",
    [
        "--memory_size=20",
        "--recompute --micro_batch_size=4",
        "--precision=mixed_float16",
        "--nolineareval_while_pretraining",
        "--strategy=mirrored",
    ],
)
def test_weights_have_the_same_names_however_they_were_pretrained(
    tmp_path, dataset, pretrained, text
):
    run("pretrain", tmp_path, dataset, f"{text} --train_steps=1")
    names = set(weights(tmp_path))
    assert names == set(weights(pretrained)) - (
        {"classifier/dense/kernel", "classifier/dense/bias"}
        if "nolinear" in text
        else set()
    )


@pytest.mark.parametrize(
    "text, loss",
    [
        ("--method=supcon --labels_per_class=4", "supcon_loss"),
        ("--method=vicreg --method_options=variance=10", "vicreg_loss"),
    ],
)
def test_what_another_method_has_pretrained_is_finetuned(
    tmp_path, dataset, pretrained, capsys, text, loss
):
    first, second = tmp_path / "first", tmp_path / "second"
    result = run("pretrain", first, dataset, f"{text} --train_steps=2")
    assert {"eval/knn_top_1_accuracy", "eval/label_top_1_accuracy"} < set(
        result
    )
    line = metrics(first, "train")[-1]
    assert np.isfinite(line[loss]) and "contrast_loss" not in line
    told = capsys.readouterr().out
    wanted = ("with 12 labels", "variance 10, covariance 1")
    assert any(part in told for part in wanted)
    assert set(weights(first)) == set(weights(pretrained))
    run("finetune", second, dataset, f"--checkpoint={first} --train_steps=1")
    assert "classifier/dense/kernel" in weights(second)


def test_finetuning_trains_the_kept_head_layer(pretrained, teacher):
    before, after = weights(pretrained), weights(teacher)
    name = "projection_head/projections/0/dense/kernel"
    assert not np.array_equal(before[name], after[name])
    assert "projection_head/projections/1/dense/kernel" not in after


def test_linear_evaluation_leaves_the_encoder_alone(
    tmp_path, dataset, pretrained
):
    text = f"--checkpoint={pretrained} --fine_tune_after_block=4"
    run("finetune", tmp_path, dataset, text)
    before, after = weights(pretrained), weights(tmp_path)
    for name, value in after.items():
        if name.startswith("encoder/"):
            assert np.array_equal(before[name], value), name
    assert after["classifier/dense/kernel"].any()


def test_distillation_follows_the_teacher(tmp_path, dataset, teacher):
    before = weights(teacher)
    result = run(
        "distill",
        tmp_path,
        dataset,
        f"--teacher={teacher} --width_multiplier=0.03 --train_steps=40"
        " --learning_rate=0.01 --optimizer=adam --learning_rate_scaling=none",
    )
    losses = [line["distillation_loss"] for line in metrics(tmp_path, "train")]
    assert losses[-1] < losses[0]
    assert result["global_step"] == 40
    after = weights(teacher)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "text",
    [
        "--distillation_alpha=0.5 --labels_per_class=2",
        "--distillation_temperature=2 --distillation_temperature_squared",
        "--ft_proj_selector=1 --num_proj_layers=2",
    ],
)
def test_other_ways_to_distill(tmp_path, dataset, teacher, text):
    run("distill", tmp_path, dataset, f"--teacher={teacher} {text}")
    assert ("supervised_loss" in metrics(tmp_path, "train")[0]) == (
        "alpha" in text
    )


def test_evaluation_repeats_the_runs_result(tmp_path, dataset, teacher):
    flags = {"mode": "eval", "model_dir": str(tmp_path)}
    found = evaluate(from_flat({**flags, "checkpoint": str(teacher)}))
    assert found == json.loads((teacher / "result.json").read_text())
    assert (tmp_path / "result.json").exists()


def test_scores_do_not_take_the_place_of_others(
    tmp_path, dataset, pretrained, teacher
):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "result.json").write_text('{"distilled_top_1": 1.0}')
    # As if it had been trained there, at another rate perhaps.
    alike = shutil.copytree(teacher, tmp_path / "alike")
    record = json.loads((alike / "config.json").read_text())
    record["config"]["model_dir"] = str(alike)
    (alike / "config.json").write_text(json.dumps(record))
    for folder, text, message in (
        (pretrained, f"--checkpoint={teacher}", "holds another run"),
        (alike, f"--checkpoint={teacher}", "holds another run"),
        (pipeline, f"--checkpoint={teacher}", "holds a pipeline"),
        (teacher, "--eval_split=train", "Received: --eval_split=train"),
    ):
        before = (folder / "result.json").read_bytes()
        flags = parse_overrides(text, "flags")
        flags |= {"mode": "eval", "model_dir": str(folder)}
        with pytest.raises(UserError, match=message):
            evaluate(from_flat(flags))
        assert (folder / "result.json").read_bytes() == before


def test_pretraining_goes_on_from_weights(
    tmp_path, dataset, pretrained, teacher
):
    text = f"--checkpoint={pretrained} --train_steps=1 --learning_rate=0"
    # The network is that of the weights, with another classifier.
    flags = parse_overrides(" ".join([*tiny.SCHEDULE, text]), "flags")
    flags |= {"image_size": 8, "export": False, "color_jitter_strength": 0.0}
    flags |= {"model_dir": str(tmp_path), "dataset": dataset}
    flags["mode"] = "pretrain"
    run_stage(from_flat(flags))
    before, after = weights(pretrained), weights(tmp_path)
    kernels = [name for name in before if name.endswith("/kernel")]
    assert any(name.startswith("projection_head/") for name in kernels)
    for name in kernels:
        same = np.array_equal(before[name], after[name])
        assert same != name.startswith("classifier/"), name
    record = json.loads((tmp_path / "config.json").read_text())
    assert list(record["sources"]) == ["checkpoint"]
    cut = from_flat({**flags, "checkpoint": str(teacher)})
    with pytest.raises(UserError, match="lost a part of the projection head"):
        run_stage(cut)


def test_a_student_of_images_without_labels_knows_the_classes(
    tmp_path, teacher
):
    text = f"--teacher={teacher}"
    run("distill", tmp_path, tiny.write_npz(tmp_path, labels=False), text)
    names = [
        json.loads((folder / "config.json").read_text())["dataset"]
        for folder in (teacher, tmp_path)
    ]
    assert names[0]["class_names"] == names[1]["class_names"] != []


def test_stored_weights_give_the_same_network(teacher):
    stored = open_weights(str(teacher), "checkpoint")
    networks = [build_network(stored.architecture, 8) for _ in range(2)]
    images = tf.random.stateless_uniform([3, 8, 8, 3], [0, 0])
    for network in networks:
        report = assign_weights(network, stored, with_classifier=True)
        assert len(report.loaded) == len(named_variables(network))
        assert not report.skipped and not report.fresh
    first, second = (n(images).logits for n in networks)
    assert np.array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, extra",
    [
        ("pretrain", "--memory_size=20"),
        ("finetune", "--optimizer=momentum"),
        ("distill", "--weight_ema=0.9"),
    ],
)
def test_two_devices_learn_what_one_does(
    tmp_path, dataset, pretrained, teacher, stage, extra
):
    text = {
        "pretrain": "",
        "finetune": f"--checkpoint={pretrained}",
        "distill": f"--teacher={teacher}",
    }[stage]
    # So small a rate that rounding does not grow into another trajectory.
    text += f" --train_steps=3 --learning_rate=0.01 {extra}"
    for strategy in ("one_device", "mirrored"):
        folder = tmp_path / strategy
        run(stage, folder, dataset, f"{text} --strategy={strategy}")
    record = json.loads((folder / "config.json").read_text())
    assert record["derived"]["devices"] == "2 CPU"
    one, two = weights(tmp_path / "one_device"), weights(folder)
    for name, value in one.items():
        assert np.allclose(value, two[name], rtol=1e-3, atol=1e-4), name
    losses = [
        [line["total_loss"] for line in metrics(tmp_path / s, "train")]
        for s in ("one_device", "mirrored")
    ]
    assert np.allclose(*losses, rtol=1e-4)


def test_a_batch_that_two_devices_cannot_share(tmp_path, dataset):
    text = "--strategy=mirrored --train_batch_size=7"
    with pytest.raises(UserError, match="does not divide by the 2 devices"):
        run("pretrain", tmp_path / "run", dataset, text)


def test_several_cpus_cannot_be_compiled_for(tmp_path, dataset):
    text = "--strategy=mirrored --jit_compile"
    with pytest.raises(UserError, match="the 2 CPU devices of this run"):
        run("pretrain", tmp_path / "run", dataset, text)


def test_a_batch_in_parts_is_announced_and_scaled(tmp_path, dataset, capsys):
    run(
        "pretrain",
        tmp_path,
        dataset,
        "--micro_batch_size=4 --memory_size=20 --recompute"
        " --precision=mixed_float16 --train_steps=1",
    )
    (line,) = metrics(tmp_path, "train")
    assert np.isfinite(line["total_loss"])
    assert line["loss_scale"] == 2.0**15
    assert line["skipped_updates"] in (0.0, 1.0)
    output = capsys.readouterr().out
    assert "2 parts of 4 images on each device" in output
    assert "recompute  residual blocks" in output


@pytest.mark.slow
def test_compiled_distillation_in_parts(tmp_path, dataset, teacher):
    text = f"--teacher={teacher} --train_steps=1 --micro_batch_size=4"
    text += " --distillation_alpha=0.5 --labels_per_class=2"
    for name, flag in (("plain", ""), ("compiled", "--jit_compile")):
        run("distill", tmp_path / name, dataset, f"{text} {flag}")
    (plain,), (compiled,) = (
        metrics(tmp_path / name, "train") for name in ("plain", "compiled")
    )
    assert np.isclose(plain["total_loss"], compiled["total_loss"], rtol=1e-4)


AUGMENTATION = {field.name for field in dataclasses.fields(AugmentConfig)}
# The enum flags, of which each value must run a step.
ENUMS = [
    (option.field.name, value)
    for option in options()
    if option.field.metadata["choices"]
    # These have tests of their own; defaults run everywhere else.
    and option.group not in ("output", "labels", "data", "teacher")
    and option.field.name
    not in (
        "backbone",
        "mode",
        "train_mode",
        "strategy",
        "propagate_labels",
        "propagation",
        "propagate_along",
        "neighbour_search",
        "cluster",
    )
    for value in option.field.metadata["choices"]
    if value != option.field.default
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("flag, value", ENUMS)
def test_every_enum_value_runs_a_step(
    tmp_path, dataset, pretrained, flag, value
):
    if flag == "optimizer" and value in ("adamw", "sgdw"):
        pytest.importorskip("tensorflow_addons")
    text = f"--{flag}={value} --train_steps=1 --nolineareval_while_pretraining"
    stage = "pretrain"
    if flag in AUGMENTATION:
        text += " --color_jitter_strength=1"
    if flag == "weight_decay_on":
        text += " --optimizer=momentum"
    if flag == "frozen_batch_norm":
        stage = "finetune"
        text += f" --fine_tune_after_block=1 --checkpoint={pretrained}"
    if flag in ("confidence_rule", "align_distribution"):
        stage = "finetune"
        text += " --method=fixmatch --from_scratch --labels_per_class=2"
    if flag in ("class_balance", "best_metric", "export_checkpoint"):
        # k-NN scores a pretraining, the others a classifier.
        stage = "pretrain" if value == "knn" else "finetune"
        text += " --eval_every_epochs=1" * (flag != "class_balance")
        text += " --from_scratch" * (stage == "finetune")
    run(stage, tmp_path, dataset, text)
    assert np.isfinite(metrics(tmp_path, "train")[0]["total_loss"])


@pytest.mark.slow
def test_compiled_steps_are_the_same_steps(tmp_path, dataset):
    text = "--train_steps=2 --learning_rate=0.1"
    for name, flag in (("plain", ""), ("compiled", "--jit_compile")):
        run("pretrain", tmp_path / name, dataset, f"{text} {flag}")
    plain, compiled = (
        metrics(tmp_path / name, "train")[-1] for name in ("plain", "compiled")
    )
    for key in ("contrast_loss", "total_loss"):
        assert np.isclose(plain[key], compiled[key], rtol=1e-3), key


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_original_spelling_of_the_modes(tmp_path, dataset, stage):
    text = f"--train_mode={stage} --train_steps=2"
    if stage == "finetune":
        text += " --from_scratch"
    for mode, evaluated in (("train", False), ("train_then_eval", True)):
        config = configured(mode, tmp_path / mode, dataset, text)
        assert config.stage == stage
        result = run_stage(config)
        assert ("eval/label_top_1_accuracy" in result) == evaluated


def test_pretraining_needs_no_labels(tmp_path):
    path = tiny.write_npz(tmp_path, labels=False)
    result = run("pretrain", tmp_path / "run", path)
    assert set(result) == {"global_step"}
    assert "supervised_loss" not in metrics(tmp_path / "run", "train")[0]
    assert not (tmp_path / "run" / "labels.json").exists()
