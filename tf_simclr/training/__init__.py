"""The loop, checkpoints, devices, progress: everything but the stages."""
