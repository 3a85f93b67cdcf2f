"""Losses as pure functions."""

from tf_simclr.losses.classification import distillation_loss, supervised_loss
from tf_simclr.losses.nt_xent import nt_xent

__all__ = ["distillation_loss", "nt_xent", "supervised_loss"]
