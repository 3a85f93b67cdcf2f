"""A failed allocation becomes one sentence that names flags, and exit 1."""

import pytest
import tensorflow as tf

from tf_simclr import cli
from tf_simclr.config.flat import from_flat
from tf_simclr.modes import execute
from tf_simclr.signals import TrainingFailed
from tf_simclr.training.failures import memory_explained

# As TensorFlow words it; it tries for ten seconds before it does.
ERROR = tf.errors.ResourceExhaustedError(
    None,
    None,
    "{{function_node __wrapped__Fill_device_/job:localhost/replica:0/task:0/"
    "device:CPU:0}} OOM when allocating tensor with shape[1024,131072] and"
    " type float on /job:localhost by allocator cpu [Op:Fill] name: ",
)


def failing(**flags) -> str:
    with (
        pytest.raises(TrainingFailed) as caught,
        memory_explained(from_flat({"mode": "pretrain", **flags})),
    ):
        raise ERROR
    return str(caught.value)


def test_flags_that_are_not_given_yet_are_named():
    text = failing(train_batch_size=48)
    assert text.startswith(
        "Out of memory; what helps: --precision=mixed_bfloat16, --recompute,"
        " --micro_batch_size=24, a smaller --train_batch_size than 48"
    )
    assert text.endswith(
        "Received: OOM when allocating tensor with shape[1024,131072]"
    )
    text = failing(
        train_batch_size=48,
        micro_batch_size=3,
        recompute=True,
        precision="mixed_float16",
    )
    assert "what helps: --micro_batch_size=1, a smaller" in text
    assert "or a smaller --image_size, --width_multiplier or --res" in text
    text = failing(train_batch_size=48, backbone="convnext_tiny")
    assert "--recompute" not in text
    assert "or a smaller --image_size. Received" in text


def test_evaluation_names_its_batch():
    assert "--eval_batch_size than 256" in failing(mode="eval")


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
        ValueError("something else"),
    ],
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)), memory_explained(from_flat({})):
        raise error


def test_the_command_line_says_so_in_one_line(monkeypatch, capsys, tmp_path):
    def run_stage(config):
        raise MemoryError

    monkeypatch.setattr(execute, "run_stage", run_stage)
    code = cli.main(["run.py", "--mode=pretrain", f"--model_dir={tmp_path}"])
    assert code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("run.py: Out of memory; what helps: --precision=")
