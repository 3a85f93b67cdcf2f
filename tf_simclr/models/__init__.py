"""Residual encoders, selective kernels, heads and the network of a stage."""
