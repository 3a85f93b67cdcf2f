"""At which steps something is logged, saved or evaluated."""

from tf_simclr.config.train import TrainConfig

# Steps between checkpoints, at least, where epochs count: with few labels an
# epoch is a single step, and saving may take longer than that.
_LEAST_STEPS = 100


class Events:
    """The steps of a run at which more happens than training.

    Args:
      config: the intervals.
      total_steps: steps of the whole run.
      steps_per_epoch: how many steps go through all images once.
    """

    def __init__(
        self, config: TrainConfig, total_steps: int, steps_per_epoch: float
    ):
        epoch = max(1, round(steps_per_epoch))
        self._total = total_steps
        epochs = config.checkpoint_epochs * epoch
        self._save_every = (
            config.checkpoint_steps or -(-_LEAST_STEPS // epochs) * epochs
        )
        self._log_every = config.log_every_steps or min(
            50, max(1, total_steps // 100)
        )
        self._eval_every = config.eval_every_epochs * epoch

    def next(self, step: int) -> int:
        """The first step after `step` at which anything is due."""
        intervals = [self._save_every, self._log_every]
        if self._eval_every:
            intervals.append(self._eval_every)
        upcoming = [(step // every + 1) * every for every in intervals]
        return min(self._total, *upcoming)

    def logs(self, step: int) -> bool:
        """Whether metrics are written: also with each checkpoint and each
        evaluation, which are of little use without them."""
        return (
            step % self._log_every == 0
            or self.saves(step)
            or self.evaluates(step)
        )

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due."""
        return step % self._save_every == 0 or step == self._total

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation is due; the one at the end is not its own."""
        return bool(self._eval_every) and (
            step % self._eval_every == 0 and step != self._total
        )
