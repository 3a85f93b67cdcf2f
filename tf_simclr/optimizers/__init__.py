"""LARS, the learning-rate schedule and the choice of optimizers."""
