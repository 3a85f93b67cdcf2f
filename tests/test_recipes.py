"""Every flag file parses, and the published ones have the paper's steps."""

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.config.flat import parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.optimizers.schedule import plan_schedule

FILES = sorted((tiny.ROOT / "flags").glob("*.cfg"))
IMAGENET = 1_281_167
# Recipe -> training images, steps, peak learning rate (facts of the paper and
# of the original's README).
PUBLISHED = {
    "imagenet_pretrain_800ep": (IMAGENET, 250_228, 6.4),
    "imagenet_pretrain_100ep": (IMAGENET, 31_279, 4.8),
    "imagenet_finetune_1pct": (12_811, 751, 0.16),
    "imagenet_finetune_10pct": (128_116, 3_754, 0.16),
    "imagenet_finetune_100pct": (IMAGENET, 37_535, 0.16),
    "imagenet_linear": (IMAGENET, 28_151, 1.6),
    "imagenet_self_distill": (IMAGENET, 125_114, 6.4),
    "imagenet_distill_r50": (IMAGENET, 125_114, 6.4),
    "cifar10_pretrain": (50_000, 97_657, 2.0),
    "cifar10_linear": (50_000, 9_766, 0.2),
}
NEEDS = {"finetune": "--checkpoint=x", "distill": "--teacher=x"}


def config_of(path, *more):
    return cli.parse_config(["run.py", f"--flagfile={path}", *more])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_flag_files_parse_and_are_headed(path):
    assert path.read_text().startswith("# ")
    config = config_of(path, "--model_dir=x")
    needed = NEEDS.get(config.stage)
    config = config_of(path, "--model_dir=x", *([needed] if needed else []))
    config.check()
    for part in ("pretrain", "finetune", "linear", "supervised", "distill"):
        parse_overrides(getattr(config.pipeline, f"{part}_flags"), part)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_have_the_papers_steps(name):
    images, steps, peak = PUBLISHED[name]
    config = config_of(tiny.ROOT / "flags" / f"{name}.cfg")
    plan = plan_schedule(config.optimizer, images, config.train.train_epochs)
    assert plan.total_steps == steps
    assert plan.peak == pytest.approx(peak)


# The command lines of the original's two READMEs, but for paths.
COMMANDS = [
    "--train_mode=pretrain --train_batch_size=512 --train_epochs=1000"
    " --learning_rate=1.0 --weight_decay=1e-6 --temperature=0.5"
    " --dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=18"
    " --use_blur=False --color_jitter_strength=0.5 --model_dir=x"
    " --use_tpu=False",
    "--train_mode=pretrain --train_batch_size=4096 --train_epochs=100"
    " --learning_rate=0.3 --weight_decay=1e-6 --temperature=0.1"
    " --dataset=imagenet2012 --image_size=224 --eval_split=validation"
    " --data_dir=x --model_dir=x --use_tpu=True --tpu_name=x"
    " --train_summary_steps=0",
    "--mode=train_then_eval --train_mode=finetune --fine_tune_after_block=4"
    " --zero_init_logits_layer=True"
    " --variable_schema=(?!global_step|(?:.*/|^)LARSOptimizer|head)"
    " --global_bn=False --optimizer=momentum --learning_rate=0.1"
    " --weight_decay=0.0 --train_epochs=100 --train_batch_size=512"
    " --warmup_epochs=0 --dataset=cifar10 --image_size=32 --eval_split=test"
    " --resnet_depth=18 --checkpoint=x --model_dir=x --use_tpu=False",
    "--mode=train_then_eval --train_mode=finetune --fine_tune_after_block=4"
    " --zero_init_logits_layer=True"
    " --variable_schema=(?!global_step|(?:.*/|^)LARSOptimizer|head)"
    " --global_bn=False --optimizer=momentum --learning_rate=0.1"
    " --weight_decay=1e-6 --train_epochs=90 --train_batch_size=4096"
    " --warmup_epochs=0 --dataset=imagenet2012 --image_size=224"
    " --eval_split=validation --data_dir=x --model_dir=x --checkpoint=x"
    " --use_tpu=True --tpu_name=x --train_summary_steps=0",
    "--train_mode=pretrain --train_batch_size=4096 --train_epochs=100"
    " --temperature=0.1 --learning_rate=0.075"
    " --learning_rate_scaling=sqrt --weight_decay=1e-4"
    " --dataset=imagenet2012 --image_size=224 --eval_split=validation"
    " --data_dir=x --model_dir=x --use_tpu=True --tpu_name=x"
    " --train_summary_steps=0",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_originals_commands_are_understood(command):
    config = cli.parse_config(["run.py", *command.split()])
    config.check()
    assert config.stage in ("pretrain", "finetune")


def test_a_misspelt_recipe_is_suggested():
    with pytest.raises(UserError, match="Did you mean photos[?] Received"):
        cli.parse_config(["run.py", "--recipe=phots"])
    with pytest.raises(UserError, match="stl10. Received: quux"):
        cli.parse_config(["run.py", "--recipe=quux"])
