"""GPUs: one that is not seen is told, and memory grows where it is asked to."""

import subprocess
import sys

import pytest
import tiny

from tf_simclr.training.devices import unseen_gpu


def test_a_gpu_that_is_not_seen_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sign = tmp_path / "version"
    assert unseen_gpu([str(sign)]) == ""
    sign.touch()
    assert "requirements-gpu.txt" in unseen_gpu([str(sign), "/no/such"])
    # Hidden on purpose.
    for value in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert unseen_gpu([str(sign)]) == ""


def test_what_the_notice_names_is_there():
    text = (tiny.ROOT / "requirements-gpu.txt").read_text()
    assert "-c constraints.txt" in text and "tensorflow[and-cuda]" in text


# Stands in for a GPU, which this machine may not have.
_GROWS = """
from tf_simclr import cli, process
process.import_tensorflow()
import tensorflow as tf
asked = []
tf.config.list_physical_devices = lambda kind: ["gpu"] * (kind == "GPU")
tf.config.experimental.set_memory_growth = lambda *a: asked.append(a)
from tf_simclr.training.devices import make_strategy
words = ["", "--mode=pretrain", "--dataset=digits", "--model_dir=x"]
make_strategy(cli.parse_config([*words, "--gpu_memory=MODE"]))
print(asked)
"""


@pytest.mark.parametrize(
    "mode, asked", [("grow", "[('gpu', True)]"), ("all", "[]")]
)
def test_memory_grows_where_it_is_asked_to(mode, asked):
    done = subprocess.run(
        [sys.executable, "-c", _GROWS.replace("MODE", mode)],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == [asked], done.stderr[-2000:]
