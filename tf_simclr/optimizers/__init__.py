"""LARS, the learning-rate schedule and the choice of optimizers."""

from tf_simclr.optimizers.lamb import LAMB
from tf_simclr.optimizers.lars import LARS
from tf_simclr.optimizers.schedule import WarmupCosine

__all__ = ["LAMB", "LARS", "WarmupCosine"]
