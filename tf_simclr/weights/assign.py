"""Loads stored weights into a network: all that must fit, or nothing."""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from tf_simclr.errors import UserError, at_most
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.weights.stored import StoredWeights

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """The weights that were loaded.

    Attributes:
      loaded: names of the variables that were assigned.
      skipped: names of stored tensors that the network does not have.
      fresh: names of variables that keep their initial values.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        text = f"loaded {len(self.loaded)} tensors"
        if self.skipped:
            text += f", skipped {len(self.skipped)} ({_owners(self.skipped)})"
        if self.fresh:
            text += f", {len(self.fresh)} start fresh ({_owners(self.fresh)})"
        return text


def assign_weights(
    network: SimCLRNetwork,
    stored: StoredWeights,
    *,
    with_classifier: bool,
) -> LoadReport:
    """Loads encoder, the head layers there are and, if asked, the classifier.

    Names and shapes are all compared before anything is assigned.

    Raises:
      UserError: a tensor is missing, or of another shape; lists them.
    """
    variables = named_variables(network)
    keys = stored.keys(list(variables), network.architecture)
    wanted = {
        name: variable
        for name, variable in variables.items()
        if with_classifier or not name.startswith("classifier/")
    }
    problems = []
    for name, variable in wanted.items():
        shape = stored.shapes.get(keys[name])
        if shape is None:
            problems.append(f"{keys[name]} is missing")
        elif shape != tuple(variable.shape):
            problems.append(
                f"{keys[name]} has shape {shape}, not {tuple(variable.shape)}"
            )
    if problems:
        raise UserError(
            f"The weights in {stored.path} ({stored.kind}) do not fit the"
            " network: "
            + at_most(_SHOWN, problems, separator="; ", before_rest="; and ")
            + "."
        )
    values = {name: _read(stored, keys[name]) for name in wanted}
    for name, variable in wanted.items():
        variable.assign(values[name])
    used = {keys[name] for name in wanted}
    return LoadReport(
        loaded=tuple(wanted),
        skipped=tuple(key for key in stored.shapes if key not in used),
        fresh=tuple(name for name in variables if name not in wanted),
    )


def _read(stored: StoredWeights, key: str) -> np.ndarray:
    try:
        return stored.read(key)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        raise UserError(
            f"The weights in {stored.path} are damaged: {key} cannot be read"
            f" ({error})."
        ) from error


def _owners(names: tuple[str, ...]) -> str:
    """The parts of the network that the names belong to, with their counts."""
    parts = collections.Counter(
        "classifier"
        if "supervised" in name or "classifier" in name
        else "projection head"
        if "projection_head" in name or "head_contrastive" in name
        else "encoder"
        for name in names
    )
    return ", ".join(f"{count} of the {part}" for part, count in parts.items())
