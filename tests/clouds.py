"""Features of images that lie in clouds, one for each class."""

import numpy as np


def clouds(
    size: int, classes: int, spread: float = 0.4, seed: int = 0
) -> np.ndarray:
    """float32 (size, classes + 2): image i is of class i % classes."""
    rng = np.random.default_rng(seed)
    centers = 3 * np.eye(classes + 2)[:classes]
    noise = spread * rng.normal(size=(size, classes + 2))
    return (centers[np.arange(size) % classes] + noise).astype(np.float32)
