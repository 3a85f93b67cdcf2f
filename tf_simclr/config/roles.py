"""Roles that an option declares: who reads it, and what a resumed run says.

A role stands with the option that has it, so that a new option cannot be
forgotten in a list elsewhere.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

# What a resumed run does about another value. fixed: it is another run, and
# refused. told: the result is another one, so that a line says it. free: the
# result is the same, or what it leads to is compared itself (images by their
# ids, weights by their content, epochs by their steps).
OnResume = Literal["fixed", "told", "free"]

# Readers: the modes, `train` and `train_then_eval` as the stage that they run.
PRETRAIN = frozenset({"pretrain", "pipeline"})
FINETUNE = frozenset({"finetune", "pipeline"})
DISTILL = frozenset({"distill", "pipeline"})
PIPELINE = frozenset({"pipeline"})
# The stages.
TRAINING = PRETRAIN | FINETUNE | DISTILL
# Modes that read a network back.
LOADING = frozenset({"eval", "embed", "export", "predict"})
PREVIEW = frozenset({"preview"})
# Modes that open the images of --dataset; an export in int8 is among them.
IMAGES = TRAINING | PREVIEW | {"eval", "embed", "export"}
# Those among them that open the training and the evaluation split.
SPLITS = TRAINING | PREVIEW | {"eval"}
# Modes whose devices can be chosen.
DEVICES = TRAINING | {"eval"}
WRITING = TRAINING | LOADING | PREVIEW
EVERYTHING = WRITING | {"zoo"}


@dataclasses.dataclass(frozen=True)
class Needs:
    """A condition under which an option is read.

    Attributes:
      otherwise: completes "has no effect ...", such as "without --memory_size".
      met: from the whole configuration, True if the option is read.
    """

    otherwise: str
    met: Callable[[Any], bool]
