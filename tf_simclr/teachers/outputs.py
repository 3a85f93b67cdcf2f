"""The output of a model that holds its answers."""

from collections.abc import Sequence

from tf_simclr.errors import UserError, at_most

# As this project's exports call it.
_LOGITS = "logits"
_SHOWN = 8


def chosen_output(names: Sequence[str], asked: str, where: str) -> str:
    """The output that was asked for, the only one, or `logits`.

    Args:
      names: those that there are.
      asked: --teacher_output; '' for none.
      where: names the model in messages.

    Raises:
      UserError: there is no such output, or several could be meant.
    """
    if asked in names:
        return asked
    if not asked and len(names) == 1:
        return names[0]
    if not asked and _LOGITS in names:
        return _LOGITS
    which = f"no output '{asked}'" if asked else f"{len(names)} outputs"
    raise UserError(
        f"{where} has {which}: name one by --teacher_output. There are:"
        f" {at_most(_SHOWN, sorted(names))}"
    )
