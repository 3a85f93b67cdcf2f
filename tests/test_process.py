"""Process-wide settings stand in one module, and are made early enough."""

import os
import re
import subprocess
import sys

import pytest
import tiny

from tf_simclr import process
from tf_simclr.config import Config, TrainConfig
from tf_simclr.training.devices import make_strategy

SOURCES = sorted((tiny.ROOT / "tf_simclr").rglob("*.py"))


def in_a_new_process(program: str) -> subprocess.CompletedProcess:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_USE_LEGACY_KERAS", "XLA_FLAGS")
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_imports_no_tensorflow_and_selects_keras_2():
    done = in_a_new_process(
        "import os, sys, tf_simclr;"
        "print('tensorflow' in sys.modules, os.environ['TF_USE_LEGACY_KERAS'])"
    )
    assert done.stdout == "False 1\n", done.stderr


@pytest.mark.parametrize("selected", [None, "0"])
def test_keras_3_is_refused_in_one_sentence(monkeypatch, selected):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    if selected:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", selected)
    with pytest.raises(ImportError, match="set TF_USE_LEGACY_KERAS=1 before"):
        process.select_keras_2()


def test_tensorflow_may_have_come_first_with_keras_2(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "True")
    assert "tensorflow" in sys.modules
    process.select_keras_2()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_library_compiles_as_the_command_line_does(monkeypatch, jit_compile):
    # Undone at the end, unlike a change of os.environ by the code itself.
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.delenv("XLA_FLAGS")
    make_strategy(Config(train=TrainConfig(jit_compile=jit_compile)))
    found = os.environ.get("XLA_FLAGS", "")
    assert ("cpu-parallel-task-assigner" in found) == (not jit_compile)


def test_xla_reads_its_flags_when_it_first_compiles(tmp_path):
    """The library sets them after TensorFlow was imported."""
    done = in_a_new_process(
        "import os, tensorflow as tf;"
        "tf.config.list_logical_devices(); tf.reduce_sum(tf.ones(3));"
        f"os.environ['XLA_FLAGS'] = '--xla_dump_to={tmp_path}';"
        "tf.function(lambda x: x + 1, jit_compile=True)(tf.ones(3))"
    )
    assert done.returncode == 0, done.stderr
    assert any(tmp_path.iterdir())


def test_release_forgets_what_is_cached_and_nothing_else():
    calls = []

    @process.cached(maxsize=2)
    def read(name: str) -> str:
        calls.append(name)
        return name

    @process.once_per_process
    def start(name: str) -> str:
        calls.append(name)
        return name

    kept = process.cache()
    for _ in range(2):
        kept["data"] = read("data")
        start("device")
    assert calls == ["data", "device"]
    process.release()
    assert kept == {}
    start("device")
    read("data")
    assert calls == ["data", "device", "data"]


def test_nothing_else_changes_the_environment_or_caches():
    """Caches of other modules would never be released."""
    alone = re.compile(
        r"@functools\.(lru_)?cache\b|os\.putenv"
        r"|os\.environ(\.setdefault|\.update|\[[^]]*\] = )"
    )
    for path in SOURCES:
        if path.name != "process.py":
            assert not alone.search(path.read_text()), path
