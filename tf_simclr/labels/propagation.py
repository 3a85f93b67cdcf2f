"""The ways of carrying labels along a graph of neighbours."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from tf_simclr.labels.poisson import poisson_labels, poisson_mbo_labels
from tf_simclr.labels.spreading import spread_labels

# Graph (N, N), places (n,) of the labelled images, their classes (n,), C ->
# float32 (N, C), distributions over the classes.
Propagation = Callable[
    [sparse.csr_array, np.ndarray, np.ndarray, int], np.ndarray
]
PROPAGATIONS: dict[str, Propagation] = {
    "spreading": spread_labels,
    "poisson": poisson_labels,
    "poisson_mbo": poisson_mbo_labels,
}
