"""Twenty steps of each stage, as one digest of all that a checkpoint holds.

    python tests/twenty_steps.py RUNS > tests/golden/twenty_steps.json

writes what the runs in a folder hold that `test_twenty_steps.py` makes.
"""

import hashlib
import json
import os
import pathlib
import platform
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

FLAGS = (
    "--dataset=digits --image_size=16 --resnet_depth=18"
    " --width_multiplier=0.25 --stem=cifar --train_batch_size=64"
    " --train_steps=20 --checkpoint_steps=20 --log_every_steps=5"
    " --deterministic --noexport --labels_per_class=10 --precision=float32"
)
# Run -> its flags; {} stands for the folder of all.
STAGES = {
    "pretrained": "--mode=pretrain",
    "finetuned": "--mode=finetune --ft_proj_selector=1"
    " --checkpoint={}/pretrained",
    "student": "--mode=distill --width_multiplier=0.125 --teacher={}/finetuned",
}


def machine() -> str:
    """Conditions of the last bit of a sum: processor, cores, TensorFlow."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        names = [line for line in lines if line.startswith(("flags", "model"))]
        model = hashlib.sha256("".join(sorted(set(names))).encode()).hexdigest()
    return f"{model[:16]} {os.cpu_count()} {tf.__version__} {np.__version__}"


def held(run: pathlib.Path) -> dict:
    """Digest, size and training loss of a finished run."""
    prefix = tf.train.latest_checkpoint(str(run / "checkpoints"))
    reader = tf.train.load_checkpoint(prefix)
    digest, squares = hashlib.sha256(), 0.0
    for name in sorted(reader.get_variable_to_shape_map()):
        # The object graph numbers the layers of a process.
        if name.startswith("_"):
            continue
        value = reader.get_tensor(name)
        digest.update(name.encode())
        digest.update(np.asarray(value).tobytes())
        if name.startswith("network/"):
            squares += float(np.sum(np.square(value, dtype=np.float64)))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    losses = [
        line["total_loss"]
        for line in map(json.loads, lines)
        if "total_loss" in line
    ]
    return {
        "digest": digest.hexdigest(),
        "norm": squares**0.5,
        "losses": losses,
    }


if __name__ == "__main__":
    runs = pathlib.Path(sys.argv[1])
    found = {"machine": machine()} | {n: held(runs / n) for n in STAGES}
    print(json.dumps(found, indent=1))
