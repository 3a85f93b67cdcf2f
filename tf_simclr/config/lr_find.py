"""The learning-rate range test."""

import dataclasses
from typing import Any

from tf_simclr.config.field import TRAINING, Needs, check_fields, option
from tf_simclr.errors import UserError

LR_FIND = "lr_find"
# More would be a training.
_MOST_STEPS = 100_000
_LARGEST_RATE = 1e6
_NEEDS = Needs(f"without --mode={LR_FIND}", lambda c: c.run.mode == LR_FIND)


@dataclasses.dataclass(frozen=True)
class LrFindConfig:
    """Learning-rate range test (Smith, arXiv 1506.01186)."""

    lr_find_steps: int = option(
        100,
        "Steps of --mode=lr_find, over which the learning rate grows.",
        minimum=10,
        maximum=_MOST_STEPS,
        recipe=False,
        on_resume="free",
        read_by=TRAINING,
        needs=_NEEDS,
    )
    lr_find_lowest: float = option(
        1e-5,
        "Learning rate of the first step of --mode=lr_find, not scaled by the"
        " batch.",
        above=0.0,
        maximum=_LARGEST_RATE,
        recipe=False,
        on_resume="free",
        read_by=TRAINING,
        needs=_NEEDS,
    )
    lr_find_highest: float = option(
        10.0,
        "Learning rate of the last step of --mode=lr_find, not scaled by the"
        " batch.",
        above=0.0,
        maximum=_LARGEST_RATE,
        recipe=False,
        on_resume="free",
        read_by=TRAINING,
        needs=_NEEDS,
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def check(self, config: Any) -> None:
        """Refuses a range that does not rise.

        Args:
          config: the whole configuration.

        Raises:
          UserError: names both ends.
        """
        if config.run.mode != LR_FIND:
            return
        if self.lr_find_lowest >= self.lr_find_highest:
            raise UserError(
                "--lr_find_highest must be above --lr_find_lowest. Received:"
                f" {self.lr_find_highest:g} and {self.lr_find_lowest:g}"
            )
