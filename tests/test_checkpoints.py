"""A checkpoint must hold all of a run, but for what came later."""

import pytest
import tensorflow as tf

from tf_simclr.training.checkpoints import Checkpoints, Position
from tf_simclr.training.run_dir import RunDirectory


class Part(tf.Module):
    """One number, as a network, an optimizer or a memory."""

    def __init__(self, value: float):
        super().__init__()
        self.number = tf.Variable(value)


def parts(value: float, *names: str) -> dict[str, Part]:
    return {name: Part(value) for name in ("network", "optimizer", *names)}


def checkpoints(folder, made: dict[str, Part]) -> Checkpoints:
    network, optimizer = made["network"], made["optimizer"]
    state = {n: p for n, p in made.items() if n.startswith("memory")}
    run_dir = RunDirectory(str(folder))
    return Checkpoints(run_dir, network, optimizer, keep=1, state=state)


def saved(folder, *names: str) -> None:
    at = Position(3, 3, {})
    checkpoints(folder, parts(1.0, *names)).save(at, {})


def test_ids_of_the_memory_may_be_missing(tmp_path, capsys):
    saved(tmp_path, "memory")
    made = parts(2.0, "memory", "memory_ids")
    assert checkpoints(tmp_path, made).restore().step == 3
    values = {name: float(part.number) for name, part in made.items()}
    assert values == {
        "network": 1.0,
        "optimizer": 1.0,
        "memory": 1.0,
        "memory_ids": 2.0,
    }
    said = capsys.readouterr().out
    assert "was saved without memory_ids, which begins anew." in said


def test_ids_of_the_memory_are_read(tmp_path, capsys):
    saved(tmp_path, "memory", "memory_ids")
    made = parts(2.0, "memory", "memory_ids")
    checkpoints(tmp_path, made).restore()
    assert all(float(part.number) == 1.0 for part in made.values())
    assert "saved without" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["memory", "optimizer", "network"])
def test_nothing_else_may_be_missing(tmp_path, missing):
    names = ["memory", "memory_ids"]
    if missing in names:
        names.remove(missing)
        saved(tmp_path, *names)
    else:
        made = parts(1.0, *names)
        made[missing] = tf.Module()
        checkpoints(tmp_path, made).save(Position(3, 3, {}), {})
    with pytest.raises(AssertionError, match="not bound"):
        checkpoints(tmp_path, parts(2.0, "memory", "memory_ids")).restore()


def test_a_part_of_the_ids_is_not_enough(tmp_path):
    made = parts(1.0, "memory", "memory_ids")
    made["memory_ids"].more = tf.Variable(0.0)
    del made["memory_ids"].number
    checkpoints(tmp_path, made).save(Position(3, 3, {}), {})
    with pytest.raises(AssertionError, match="not bound"):
        checkpoints(tmp_path, parts(2.0, "memory", "memory_ids")).restore()
