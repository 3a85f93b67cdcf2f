"""From `--method` to a class: names, classes from outside, options."""

import json
import re

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.config.methods import METHODS, method_entry, reads
from tf_simclr.errors import UserError
from tf_simclr.methods.base import Method
from tf_simclr.methods.registry import method_of
from tf_simclr.modes.execute import run_stage

# A method of somebody's own: the two views' projections shall be alike.
OUTSIDE = """
import dataclasses

import tensorflow as tf

from tf_simclr.config.field import PRETRAIN, option
from tf_simclr.methods.pretraining import Pretraining
from tf_simclr.methods.registry import method_options
from tf_simclr.metrics import Chart, Metric, declare

ALIKE = declare(
    Metric("alike_loss", Chart("", "loss/alike"), progress="alike {value:.3f}")
)


@dataclasses.dataclass(frozen=True)
class Options:
    weight: float = option(1.0, "Weight.", on_resume="told", read_by=PRETRAIN)


class Alike(Pretraining):
    contrast_metrics = (ALIKE,)
    shown = (ALIKE,)
    Options = Options

    def contrast(self, batch, outputs):
        text = self.job.config.objective.method_options
        weight = method_options(type(self), text).weight
        difference = outputs["projection1"] - outputs["projection2"]
        loss = weight * tf.reduce_mean(difference**2)
        return loss, {ALIKE.name: loss}


class NoMethod:
    stage = "pretrain"
"""


def parsed(line: str):
    config = cli.parse_config(["run.py", "--model_dir=x", *line.split()])
    config.check()
    return config


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder with a module, in which commands are given."""
    # Each test's is another one.
    name = re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"{name}.py").write_text(OUTSIDE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("name, entry", METHODS.items())
def test_every_name_is_a_method_of_its_stage(name, entry):
    needed = {
        "pretrain": "",
        "finetune": "--from_scratch",
        "distill": "--teacher=x",
    }
    line = f"--mode={entry.stage} {needed[entry.stage]}"
    method = method_of(parsed(f"{line} --method={name}"))
    assert issubclass(method, Method) and method.stage == entry.stage
    first = next(n for n, e in METHODS.items() if e.stage == entry.stage)
    assert (method_of(parsed(line)) is method) == (name == first)


@pytest.mark.parametrize(
    "name",
    ["simclr2", "SimCLR", "simclr:", ":SimCLR", ".x:Y", "a:b c", "a:b.c"],
)
def test_an_unknown_name_is_refused_with_those_that_exist(name):
    config = ["run.py", "--mode=pretrain", "--model_dir=x", f"--method={name}"]
    with pytest.raises(UserError) as error:
        cli.parse_config(config)
    told = str(error.value)
    assert all(known in told for known in METHODS) and "MODULE:CLASS" in told
    assert told.endswith(f"Received: {name}")


@pytest.mark.parametrize(
    "line",
    [
        "--mode=finetune --from_scratch --method=vicreg",
        "--mode=distill --teacher=x --method=finetune",
        "--mode=pretrain --method=distill",
    ],
)
def test_a_method_of_another_stage_is_refused(line):
    with pytest.raises(UserError, match="--method has no effect on this stage"):
        parsed(line)


def test_a_pipeline_s_method_is_that_of_the_stage_that_it_trains():
    assert parsed("--mode=pipeline --method=supcon").objective.method
    for stage in ("finetune", "distill"):
        assert method_entry("supcon", stage) == METHODS[stage]
    assert method_entry("supcon", "pretrain") == METHODS["supcon"]


@pytest.mark.parametrize(
    "method, flag",
    [
        ("vicreg", "temperature=0.5"),
        ("vicreg", "nohidden_norm"),
        ("vicreg", "contrastive_reduction=mean"),
        ("vicreg", "memory_size=8"),
        ("supcon", "contrastive_reduction=mean"),
        ("supcon", "memory_size=8"),
    ],
)
def test_a_flag_that_a_method_does_not_read_is_refused(method, flag):
    name = flag.partition("=")[0].removeprefix("no")
    assert reads("simclr", name) and not reads(method, name)
    with pytest.raises(UserError, match=f"--{name} has no effect with this"):
        parsed(f"--mode=pretrain --method={method} --{flag}")
    parsed(f"--mode=pretrain --{flag}")


@pytest.mark.parametrize(
    "line, told",
    [
        (
            "--method_options=variance=1",
            "this one has none. Received: variance",
        ),
        (
            "--method=vicreg --method_options=x=1",
            "this one has invariance=25.0",
        ),
    ],
)
def test_options_are_checked_before_anything_is_opened(line, told):
    with pytest.raises(UserError, match=told):
        method_of(parsed(f"--mode=pretrain {line}"))


def test_options_of_a_pipeline_s_pretraining_are_not_of_its_other_stages():
    line = "--mode=finetune --from_scratch"
    config = parsed(line)
    flags = ["--method=vicreg", "--method_options=variance=1"]
    config = cli.parse_config(["run.py", *line.split(), *flags])
    # As the pipeline hands its flags on: not for this stage alone.
    assert method_of(config) is method_of(parsed(line))


@pytest.mark.parametrize(
    "attribute, mode, told",
    [
        ("Nothing", "pretrain", "cannot be imported: module .* has no attri"),
        ("NoMethod", "pretrain", "is no subclass of tf_simclr.methods.base.Me"),
        ("Alike", "finetune --from_scratch", "is for the stage 'pretrain'"),
    ],
)
def test_a_class_from_outside_that_cannot_train(outside, attribute, mode, told):
    config = parsed(f"--mode={mode} --method={outside}:{attribute}")
    with pytest.raises(
        UserError, match=f"--method={outside}:{attribute} {told}"
    ):
        method_of(config)


def test_a_module_that_is_not_there():
    config = parsed("--mode=pretrain --method=no.such_module:Mine")
    with pytest.raises(UserError, match="cannot be imported: No module named"):
        method_of(config)


@pytest.mark.slow
def test_a_class_from_outside_trains_and_its_run_goes_on(
    outside, tmp_path, one_block
):
    dataset = tiny.write_npz(tmp_path)
    flags = [
        *tiny.FLAGS,
        "--mode=pretrain",
        f"--method={outside}:Alike",
        "--method_options=weight=2",
        f"--dataset={dataset}",
        "--model_dir=run",
        "--log_every_steps=1",
    ]
    done = tiny.run(
        *flags, "--train_steps=2", program=tiny.ONE_BLOCK, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "alike 0." in done.stdout
    run_stage(cli.parse_config(["run.py", *flags, "--train_steps=3"]))
    folder = tmp_path / "run"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found = [x for x in map(json.loads, lines) if x["split"] == "train"]
    assert [line["step"] for line in found] == [1, 2, 3]
    assert all(line["alike_loss"] > 0 for line in found)
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["method"] == f"{outside}:Alike"
    # What one method began, another does not go on with.
    flags = [flag for flag in flags if "method" not in flag]
    with pytest.raises(UserError, match=f"method is {outside}:Alike, not"):
        run_stage(cli.parse_config(["run.py", *flags, "--train_steps=4"]))
