"""NT-Xent, supervised and distillation losses as pure functions."""
