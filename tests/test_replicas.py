"""One, two and four devices learn the same from the same global batch."""

import subprocess
import sys

import numpy as np
import pytest
import tiny
from replica_agreement import STEPS, cases

DEVICES = (1, 2, 4)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[int, dict[str, np.ndarray]]:
    """Results of each number of devices, see `replica_agreement.py`."""
    folder = tmp_path_factory.mktemp("replicas")
    dataset = tiny.write_npz(folder)
    program = str(tiny.ROOT / "tests" / "replica_agreement.py")
    processes = [
        subprocess.Popen(
            [sys.executable, program, str(devices), dataset, str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for devices in DEVICES
    ]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-3000:]
    return {n: dict(np.load(folder / f"{n}.npz")) for n in DEVICES}


def error(value: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference, relative to the norm."""
    value, expected = (x.astype("float64") for x in (value, expected))
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


def gradient(found: dict[str, np.ndarray], case: str) -> list[np.ndarray]:
    start = f"{case}/1/gradient/"
    return [value for key, value in found.items() if key.startswith(start)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "case, devices",
    [(name, count) for count in DEVICES[1:] for name in cases(count)],
)
def test_a_step_and_twenty_are_the_same_on_any_number(found, case, devices):
    one, several = found[1], found[devices]
    loss = f"{case}/loss"
    assert error(several[loss], one[loss]) < 1e-5
    gradients = gradient(several, case), gradient(one, case)
    for value, expected in zip(*gradients, strict=True):
        assert np.any(expected)
        # Of some, sums over all pixels that nearly cancel.
        assert error(value, expected) < 1e-4
    whole = [np.concatenate([g.ravel() for g in gs]) for gs in gradients]
    assert error(*whole) < 1e-5
    kinds = set()
    for key, expected in one.items():
        parts = key.split("/")
        if parts[0] != case or parts[1] not in ("1", str(STEPS)):
            continue
        kinds.add((parts[1], parts[2]))
        if parts[2] != "gradient":
            bound = 1e-5 if parts[1] == "1" else 1e-4
            assert error(several[key], expected) < bound, key
    assert {("1", "statistic"), (str(STEPS), "weight")} <= kinds
