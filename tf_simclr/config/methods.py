"""The methods of each stage, by name: which file holds them, what they read.

Another method is one file and one line here. One that lives outside of this
package needs no line: `--method=module:Class` imports it.
"""

from typing import NamedTuple

from tf_simclr.errors import UserError


class MethodEntry(NamedTuple):
    """A method that can be named.

    Attributes:
      stage: the stage that it trains; '' for one outside of this package,
        which is not imported yet.
      path: MODULE:CLASS.
      reads: options of `ObjectiveConfig` that not all methods of its stage
        read; None: all of them.
    """

    stage: str
    path: str
    reads: frozenset[str] | None


_CONTRASTIVE = frozenset({"temperature", "hidden_norm"})
_SIMCLR = _CONTRASTIVE | {
    "contrastive_reduction",
    "memory_size",
    "memory_momentum",
}
# The first of a stage is its default.
METHODS = {
    "simclr": MethodEntry("pretrain", "simclr:SimCLR", _SIMCLR),
    "supcon": MethodEntry("pretrain", "supcon:SupCon", _CONTRASTIVE),
    "vicreg": MethodEntry("pretrain", "vicreg:VICReg", frozenset()),
    "finetune": MethodEntry("finetune", "finetune:FineTuning", None),
    "fixmatch": MethodEntry("finetune", "fixmatch:FixMatch", None),
    "distill": MethodEntry("distill", "distill:Distillation", None),
}


def method_entry(name: str | None, stage: str) -> MethodEntry:
    """The method of a name, or the stage's own where that is of another stage.

    Args:
      name: what `--method` holds.
      stage: pretrain, finetune or distill.
    """
    found = _named(name) if name else None
    if found is not None and found.stage in (stage, ""):
        return found
    return next(e for e in METHODS.values() if e.stage == stage)


def method_name(name: str | None, stage: str) -> str | None:
    """The name of the method that trains a stage, where `--method` is `name`.

    Args:
      name: what `--method` holds.
      stage: pretrain, finetune or distill; of another one, `name` as it is.
    """
    if name and trains(name, stage):
        return name
    own = [key for key, entry in METHODS.items() if entry.stage == stage]
    return own[0] if own else name


def check_method(name: str | None) -> None:
    """Refuses a name that no method has.

    Raises:
      UserError: lists those that exist.
    """
    if name and _named(name) is None:
        raise UserError(
            f"--method must be one of {', '.join(METHODS)}, or MODULE:CLASS for"
            f" a method of your own. Received: {name}"
        )


def trains(name: str | None, stage: str) -> bool:
    """True if a method belongs to a stage."""
    found = _named(name) if name else None
    return found is None or found.stage in (stage, "")


def reads(name: str | None, option: str) -> bool:
    """True if pretraining by a method reads an option."""
    entry = method_entry(name, "pretrain")
    return entry.reads is None or option in entry.reads


def _named(name: str) -> MethodEntry | None:
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    if colon and all(module.split(".")) and attribute.isidentifier():
        return MethodEntry("", name, None)
    return None
