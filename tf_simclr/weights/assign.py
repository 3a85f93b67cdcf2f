"""Putting stored weights into a network: all that must fit, or nothing."""

import dataclasses

from tf_simclr.errors import UserError
from tf_simclr.models.naming import named_variables
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.weights.stored import StoredWeights

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What was loaded.

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
    wanted = {
        name: variable
        for name, variable in variables.items()
        if with_classifier or not name.startswith("classifier/")
    }
    problems = []
    for name, variable in wanted.items():
        shape = stored.shapes.get(name)
        if shape is None:
            problems.append(f"{name} is missing")
        elif shape != tuple(variable.shape):
            problems.append(
                f"{name} has shape {shape}, not {tuple(variable.shape)}"
            )
    if problems:
        more = len(problems) - _SHOWN
        raise UserError(
            f"The weights in {stored.path} do not fit the network: "
            + "; ".join(problems[:_SHOWN])
            + (f"; and {more} more" if more > 0 else "")
            + "."
        )
    for name, variable in wanted.items():
        variable.assign(stored.read(name))
    return LoadReport(
        loaded=tuple(wanted),
        skipped=tuple(name for name in stored.shapes if name not in wanted),
        fresh=tuple(name for name in variables if name not in wanted),
    )


def _owners(names: tuple[str, ...]) -> str:
    """The parts of the network that the names belong to."""
    owners = dict.fromkeys(
        "/".join(name.split("/")[:3])
        if name.startswith("projection_head/")
        else name.split("/")[0]
        for name in names
    )
    return ", ".join(owners)
