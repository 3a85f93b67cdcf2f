"""The original release's figures, and networks filled by their rule."""

import json
import pathlib
import zlib

import numpy as np

from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.models.resnet import ResNetShape

FOLDER = pathlib.Path(__file__).parent / "golden"


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz of the golden folder."""
    with np.load(FOLDER / name, allow_pickle=False) as archive:
        return dict(archive)


def load_json(name: str):
    """A JSON file of the golden folder."""
    return json.loads((FOLDER / name).read_text())


def fill_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight that the fill rule computes from a variable's key."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    z = rng.standard_normal(shape).astype("float32")
    last = key.rsplit("/", 1)[-1]
    if last == "kernel":
        return (z / np.sqrt(np.prod(shape[:-1]))).astype("float32")
    if last == "gamma":
        return (1 + 0.1 * z).astype("float32")
    if last == "moving_variance":
        return (1 + 0.2 * np.abs(z)).astype("float32")
    return (0.1 * z).astype("float32")


def fill(network: SimCLRNetwork, keys: dict[str, str]) -> None:
    """Fills every variable from the key that `keys` gives to its name."""
    for name, variable in named_variables(network).items():
        variable.assign(fill_value(keys[name], tuple(variable.shape)))


def architecture(config: dict) -> Architecture:
    """The architecture that a golden config describes."""
    return Architecture(
        backbone="resnet",
        encoder=ResNetShape(
            depth=config["depth"],
            width_multiplier=config["width"],
            sk_ratio=config["sk"],
            se_ratio=config.get("se", 0.0),
            cifar_stem=config["size"] <= 32,
        ),
        head_layers=3,
        kept_head_layers=3,
        projection_dim=128,
        num_classes=10,
        classifier_layer=0,
    )


def images(size: int) -> np.ndarray:
    """The golden input images, float32 in [0, 1]."""
    pixels = np.load(FOLDER / "forward_input.npy")
    return pixels[:, :size, :size].astype("float32") / 255.0


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute error over the largest absolute value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
