"""Rates of training steps; needs nothing but Python."""

import argparse
import time
from collections.abc import Callable


def add_timing_options(parser: argparse.ArgumentParser) -> None:
    """Adds --steps and --repeats."""
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)


def pairs_per_second(
    take_steps: Callable[[int], object], count: int, batch: int
) -> float:
    """Pairs of views per second.

    Args:
      take_steps: takes so many steps, and returns when they have ended.
      count: of steps.
      batch: pairs of a step.
    """
    started = time.perf_counter()
    take_steps(count)
    return batch * count / (time.perf_counter() - started)


def print_rates(
    take_steps: Callable[[int], object], steps: int, repeats: int, batch: int
) -> None:
    """Prints what `train_step.py --against` reads, once per repeat."""
    # The first step traces or compiles.
    take_steps(1)
    for _ in range(repeats):
        print(f"pairs/s: {pairs_per_second(take_steps, steps, batch):.2f}")
