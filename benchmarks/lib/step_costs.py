"""Costs of one step of pretraining on an accelerator: a roofline.

Work and bytes are those of our own network, rates those of the machine's data
sheet. One number is fitted, the share of peak arithmetic that is reached: so
that 100 epochs take the original's published six hours. Nothing overlaps but
input with everything else.
"""

import dataclasses

from benchmarks.lib.machines import TPU_V3, Machine
from benchmarks.lib.network_costs import NetworkCosts

IMAGE_SIZE = 224
# ImageNet's training images, and the bytes of their files: 138 GB in all.
IMAGES = 1_281_167
FILE_BYTES = 138e9 / IMAGES
PROJECTION = 128
FLOAT, HALF = 4, 2

# "With 32 TPU v3 about 6 h for 100 epochs" (the original's README), "with 128
# TPU v3 cores about 1.5 h" (SimCLR, arXiv 2002.05709, section 2.2): both are
# 192 hours of one core, so that the README's unit is the core, too.
BATCH, EPOCHS = 4096, 100
FITTED_CORES, FITTED_HOURS = 32, 6.0
CHECKED_CORES, CHECKED_HOURS = 128, 1.5

# Passes over a matrix of logits: written, masked, soft-maxed, and as often on
# the way back.
_LOGIT_PASSES = 6
# Bytes moved per parameter in an update: gradient, weight and momentum read,
# weight and momentum written.
_UPDATE_BYTES = 5 * FLOAT
# Of each parameter, weight, momentum and gradient are held.
_STATE_BYTES = 3 * FLOAT


@dataclasses.dataclass(frozen=True)
class Step:
    """Seconds of one step on one accelerator, and what it needs.

    Attributes:
      compute: forward and backward pass of its share of the views.
      update: the optimizer's.
      logits: similarities to all views of the global batch.
      gradients: the all-reduce of the gradients.
      norms: the all-reduces of synchronised batch norm.
      embeddings: the all-gather of the projections, and back.
      input: its host's transfers to it, which go on meanwhile.
      logit_bytes: the matrices of logits.
      activation_bytes: kept for the backward pass, in bfloat16.
      recomputed_bytes: kept if blocks are computed again.
      state_bytes: weights, momenta, gradients.
    """

    compute: float
    update: float
    logits: float
    gradients: float
    norms: float
    embeddings: float
    input: float
    logit_bytes: float
    activation_bytes: float
    recomputed_bytes: float
    state_bytes: float

    @property
    def device(self) -> float:
        """Seconds of the accelerator's work, one part after the other."""
        return (
            self.compute
            + self.update
            + self.logits
            + self.gradients
            + self.norms
            + self.embeddings
        )

    @property
    def seconds(self) -> float:
        """The whole step."""
        return max(self.device, self.input)

    @property
    def bound(self) -> str:
        """The part that takes longest."""
        if self.input > self.device:
            return "input"
        parts = ("compute", "gradients", "norms", "update", "embeddings")
        return max(parts, key=lambda name: getattr(self, name))


def step(
    costs: NetworkCosts,
    machine: Machine,
    accelerators: int,
    batch: int = BATCH,
    *,
    efficiency: float,
    recompute: bool = False,
) -> Step:
    """Estimates a step of pretraining.

    Args:
      costs: the network's.
      machine: the accelerators'.
      accelerators: how many share the batch.
      batch: images per step.
      efficiency: share of peak arithmetic that is reached, in (0, 1].
      recompute: whether residual blocks are computed again.
    """
    images = batch / accelerators
    views = 2 * images
    passes = 4 if recompute else 3
    # Four matrices, of each view's anchors with each view's keys.
    logits = 4 * images * batch
    rate = machine.flops * efficiency
    gathered = FLOAT * batch * 2 * PROJECTION
    view_bytes = IMAGE_SIZE**2 * 3 * FLOAT
    return Step(
        compute=passes * costs.flops * views / rate,
        update=_UPDATE_BYTES * costs.parameters / machine.memory_rate,
        logits=3 * 2 * logits * PROJECTION / rate
        + _LOGIT_PASSES * FLOAT * logits / machine.memory_rate,
        gradients=machine.all_reduce(FLOAT * costs.parameters, accelerators),
        # Mean and variance, on the way there and back.
        norms=4 * costs.norms * machine.latency
        + machine.all_reduce(4 * FLOAT * costs.norm_channels, accelerators),
        # Half an all-reduce to gather, and one for the gradients.
        embeddings=1.5 * machine.all_reduce(gathered, accelerators)
        + 2 * machine.latency,
        input=views * view_bytes / machine.input_rate,
        logit_bytes=FLOAT * logits,
        activation_bytes=HALF * views * costs.kept,
        recomputed_bytes=HALF
        * views
        * (costs.kept_between_blocks + costs.largest_block),
        state_bytes=_STATE_BYTES * costs.parameters,
    )


def hours(one: Step, batch: int = BATCH, epochs: int = EPOCHS) -> float:
    """Duration of so many epochs of ImageNet."""
    return one.seconds * IMAGES * epochs / batch / 3600


def fitted_efficiency(costs: NetworkCosts) -> float:
    """The share of peak arithmetic with which the original's published run
    takes as long as published."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        one = step(costs, TPU_V3, FITTED_CORES, efficiency=middle)
        if hours(one) > FITTED_HOURS:
            low = middle
        else:
            high = middle
    return high
