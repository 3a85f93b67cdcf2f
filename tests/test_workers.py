"""Two real processes with TF_CONFIG on loopback, and one that is killed."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny
import yaml

from tf_simclr import cli
from tf_simclr.config.cluster import Cluster, read_cluster
from tf_simclr.errors import UserError
from tf_simclr.training.workers import picture

ADDRESSES = ["a:1", "b:2"]


def config(cluster, task=("worker", 0)) -> dict[str, str]:
    kind, index = task
    text = {"cluster": cluster, "task": {"type": kind, "index": index}}
    return {"TF_CONFIG": json.dumps(text)}


def test_a_cluster_is_read():
    assert read_cluster({}) is None
    environment = config({"worker": ADDRESSES}, ("worker", 1))
    assert read_cluster(environment) == Cluster(("a:1", "b:2"), 1)
    environment = config({"worker": ["b:2"], "chief": ["a:1"]})
    assert read_cluster(environment) == Cluster(("a:1", "b:2"), 1)
    assert read_cluster(config({"worker": ADDRESSES})).is_chief


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"TF_CONFIG": "{"}, "is no JSON"),
        ({"TF_CONFIG": "[]"}, "has no 'cluster'"),
        (config({"worker": "a:1"}), "needs a list of addresses"),
        (config({"worker": ["a"]}), "host:port addresses, not 'a'"),
        (config({"worker": ["a:1", "a:1"]}), "names an address twice"),
        (config({"worker": ADDRESSES, "ps": ["c:3"]}), "names 'ps'"),
        (config({"chief": ADDRESSES}, ("chief", 0)), "more than one 'chief'"),
        (config({"worker": ADDRESSES}, ("chief", 0)), "has no 'task'"),
        (config({"worker": ADDRESSES}, ("worker", 2)), "'index' below 2"),
        (config({"worker": ADDRESSES}, ("worker", "0")), "'index' below 2"),
    ],
)
def test_a_malformed_cluster_is_refused(environment, message):
    with pytest.raises(UserError, match=message):
        read_cluster(environment)


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "node[07,9]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}
# What three tasks on two nodes find, each in a process of its own.
_TASK = """
from tf_simclr import cli
words = ["", "--mode=pretrain", "--dataset=x", "--model_dir=x"]
print(cli.parse_config([*words, *FLAGS]).cluster)
"""


@pytest.mark.parametrize(
    "rank, flags",
    [(1, ["--strategy=multi_worker"]), (2, ["--cluster=slurm"])],
)
def test_slurm_lists_its_tasks(rank, flags):
    done = subprocess.run(
        [sys.executable, "-c", _TASK.replace("FLAGS", repr(flags))],
        cwd=tiny.ROOT,
        env={**os.environ, **SLURM, "SLURM_PROCID": str(rank)},
        capture_output=True,
        text=True,
        check=False,
    )
    places = ("node07:12448", "node07:12449", "node9:12448")
    assert done.stdout.strip() == str(Cluster(places, rank)), done.stderr


def test_slurm_that_has_not_started_a_process_is_none(monkeypatch, capsys):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    flags = ["run.py", "--mode=pretrain", "--model_dir=x", "--cluster=slurm"]
    assert cli.main(flags) == 2
    assert "start the command by srun" in capsys.readouterr().err


def test_mistakes_are_found_before_anybody_waits(tmp_path, monkeypatch, capsys):
    flags = ["run.py", "--mode=pretrain", f"--model_dir={tmp_path / 'run'}"]
    assert cli.main([*flags, "--strategy=multi_worker"]) == 2
    assert "needs the environment variable TF_CONFIG" in capsys.readouterr().err
    monkeypatch.setenv("TF_CONFIG", "{")
    assert cli.main(flags) == 2
    assert "TF_CONFIG is no JSON" in capsys.readouterr().err
    # Devices of this machine need none.
    assert cli.main([*flags, "--strategy=mirrored", "--use_tpu"]) == 2
    assert "TF_CONFIG" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_one_process_does_the_chief_does(tmp_path, monkeypatch, capsys):
    second = config({"worker": ADDRESSES}, ("worker", 1))
    monkeypatch.setenv("TF_CONFIG", second["TF_CONFIG"])
    folder = tmp_path / "none"
    assert cli.main(["run.py", "--mode=export", f"--model_dir={folder}"]) == 0
    assert "is the chief's work" in capsys.readouterr().out


def test_a_picture_holds_what_a_run_reads_again(tmp_path):
    source, target = tmp_path / "run", tmp_path / "picture"
    part = source / "pretrain" / "checkpoints"
    part.mkdir(parents=True)
    (part / "ckpt-1.index").write_bytes(b"small")
    (part / "ckpt-1.data-00000-of-00001").write_bytes(bytes(2**20 + 1))
    (source / "pretrain" / "metrics.jsonl").write_text("{}\n")
    (source / "result.json").write_text("{}")
    (source / "events.out.tfevents.1").write_text("")
    (source / ".lock").write_text("")
    picture(str(source), str(target))
    found = sorted(str(p.relative_to(target)) for p in target.rglob("*.*"))
    assert found == [
        "pretrain/checkpoints/ckpt-1.data-00000-of-00001",
        "pretrain/checkpoints/ckpt-1.index",
        "pretrain/metrics.jsonl",
        "result.json",
    ]
    copy = target / "pretrain" / "checkpoints"
    assert (copy / "ckpt-1.data-00000-of-00001").is_symlink()
    # What is replaced or removed in the picture stays in the original.
    (copy / "ckpt-1.index").write_bytes(b"new")
    (copy / "ckpt-1.data-00000-of-00001").unlink()
    assert (part / "ckpt-1.index").read_bytes() == b"small"
    assert (part / "ckpt-1.data-00000-of-00001").exists()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Job:
    """The same command on two workers, or on one with two devices."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.flags = [
            *tiny.NETWORK,
            f"--dataset={tiny.write_npz(folder)}",
            "--mode=train_then_eval",
            "--train_batch_size=8",
            "--train_steps=60",
            "--warmup_epochs=0",
            "--checkpoint_steps=10",
            "--eval_every_epochs=5",
            "--export",
            "--num_proj_layers=2",
            "--deterministic",
        ]

    def start(self, model_dir: pathlib.Path, *flags: str, **environment):
        return subprocess.Popen(
            [
                sys.executable,
                str(tiny.ONE_BLOCK),
                *self.flags,
                f"--model_dir={model_dir}",
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": "",
                "TMPDIR": str(self.folder / "tmp"),
                **environment,
            },
        )

    def start_by_slurm(self, model_dir: pathlib.Path) -> list[subprocess.Popen]:
        """The same as two tasks of srun on one node."""
        step = {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_STEP_TASKS_PER_NODE": "2",
        }
        return [
            self.start(
                model_dir,
                "--cluster=slurm",
                **step,
                SLURM_PROCID=str(index),
            )
            for index in range(2)
        ]

    def start_by_kubernetes(
        self, model_dir: pathlib.Path
    ) -> list[subprocess.Popen]:
        """The same by the script of the page, as two pods of its Job."""
        script, ports = manifest()[1], free_ports(2)
        for index, port in enumerate(ports):
            host = f"pretrain-{index}.pretrain:5000"
            assert host in script
            script = script.replace(host, f"localhost:{port}")
        return [
            self.start(
                model_dir,
                TF_CONFIG=run_script(script, JOB_COMPLETION_INDEX=str(index)),
            )
            for index in range(2)
        ]

    def start_both(self, model_dir: pathlib.Path) -> list[subprocess.Popen]:
        places = [f"localhost:{port}" for port in free_ports(2)]
        return [
            self.start(
                model_dir, **config({"worker": places}, ("worker", index))
            )
            for index in range(2)
        ]


def manifest() -> tuple[dict, str]:
    """The Job of docs/scaling.md, and its pods' script."""
    page = (tiny.ROOT / "docs" / "scaling.md").read_text()
    service, job = yaml.safe_load_all(
        re.search(r"```yaml\n(.*?)```", page, re.S)[1]
    )
    pod = job["spec"]["template"]["spec"]
    # The name that DNS makes of a pod.
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    (container,) = pod["containers"]
    assert container["command"] == ["/bin/sh", "-c"]
    (script,) = container["args"]
    return job, script


def run_script(script: str, **environment: str) -> str:
    """TF_CONFIG as a pod's script sets it, in place of its command."""
    shown = script.split("exec python run.py")[0] + 'echo "$TF_CONFIG"'
    return subprocess.run(
        ["/bin/sh", "-ec", shown],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_pods_of_kubernetes_know_their_place():
    job, script = manifest()
    for index in range(job["spec"]["completions"]):
        text = run_script(script, JOB_COMPLETION_INDEX=str(index))
        cluster = read_cluster({"TF_CONFIG": text})
        places = ("pretrain-0.pretrain:5000", "pretrain-1.pretrain:5000")
        assert cluster == Cluster(places, index)
    # Codes of a run that shall go on.
    again = {os.EX_TEMPFAIL, 128 + signal.SIGKILL, 128 + signal.SIGTERM}
    rules = job["spec"]["podFailurePolicy"]["rules"]
    ignored = [r for r in rules if r["action"] == "Ignore"][-1]
    assert set(ignored["onExitCodes"]["values"]) == again


def tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / "ckpt-60"))
    return {
        key: reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        if not key.startswith("_") and "save_counter" not in key
    }


def wait_for_checkpoint(
    folder: pathlib.Path, step: int, process: subprocess.Popen
) -> None:
    """Until a checkpoint of `step` or later is whole."""
    deadline = time.monotonic() + 240
    while max(tiny.checkpoint_steps(folder), default=0) < step:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_two_machines_train_evaluate_and_export_though_one_is_stopped(tmp_path):
    (tmp_path / "tmp").mkdir()
    job = Job(tmp_path)
    alone, together = tmp_path / "alone", tmp_path / "together"
    undisturbed = job.start(alone, "--logical_devices=2")
    chief, other = job.start_both(together)
    wait_for_checkpoint(together, 20, chief)
    other.kill()
    other.communicate()
    _, errors = chief.communicate(timeout=120)
    assert chief.returncode == os.EX_TEMPFAIL, errors
    assert "Another worker of TF_CONFIG has gone" in errors
    assert "Traceback" not in errors
    assert not (together / "result.json").exists()

    # The same commands go on, are asked to stop in one place, and go on again.
    chief, other = job.start_by_kubernetes(together)
    wait_for_checkpoint(together, 40, chief)
    other.terminate()
    said = []
    for process in (chief, other):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM, errors
        assert "Continuing from step" in output
        said += re.findall(r"Stopped by SIGTERM after saving step \d+", errors)
    assert len(said) == 2 and said[0] == said[1]

    # Whoever lists the machines, it is the same run.
    for process in job.start_by_slurm(together):
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert said[0].replace("Stopped by SIGTERM after saving", "") in output
    _, errors = undisturbed.communicate(timeout=240)
    assert undisturbed.returncode == 0, errors

    for name in ("metrics.jsonl", "result.json", "labels.json"):
        assert (alone / name).read_text() == (together / name).read_text()
    expected, found = tensors(alone), tensors(together)
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), key
    for folder in (alone, together):
        assert (folder / "saved_model" / "60" / "saved_model.pb").exists()
    # The chief alone wrote there, once in each of its three lives.
    assert len(list(together.glob("events.out.tfevents.*"))) == 3
    assert list((tmp_path / "tmp").glob("tf_simclr-*")) == []
