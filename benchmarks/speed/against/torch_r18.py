"""The bare pretraining step of ResNet-18 at 32x32 in PyTorch.

    pip install torch==2.13.0        # into an environment of its own
    python benchmarks/speed/against/torch_r18.py --batch=256 --compile

The network of `--resnet_depth=18 --image_size=32`: 3x3 stem, four groups of
two basic blocks, of which each group's first has a projected shortcut, and
the three-layer projection head to 128; NT-Xent over both views. One batch
that lies on the device, channels last, bfloat16 autocast (--float32: without).
The update is momentum SGD with weight decay (fused), or with --optimizer=lars
that of LARS, by hand. Prints `pairs/s: X` once per repeat.
"""

import argparse
import pathlib
import sys

import torch
import torch.nn.functional as functional
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))

from benchmarks.lib.timing import add_timing_options, print_rates

TEMPERATURE = 0.5
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
TRUST_COEFFICIENT = 0.001


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )
            if project
            else nn.Identity()
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(images) + self.shortcut(images))


def make_network() -> nn.Module:
    """Encoder and projection head."""
    layers = [
        nn.Conv2d(3, 64, 3, 1, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    inputs = 64
    for index, outputs in enumerate((64, 128, 256, 512)):
        stride = 1 if index == 0 else 2
        layers.append(BasicBlock(inputs, outputs, stride, project=True))
        layers.append(BasicBlock(outputs, outputs, 1, project=False))
        inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for outputs, last in ((512, False), (512, False), (128, True)):
        layers += [
            nn.Linear(512, outputs, bias=False),
            nn.BatchNorm1d(outputs),
        ]
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def nt_xent(projections: torch.Tensor) -> torch.Tensor:
    """NT-Xent of (2N, d): first views, then second views."""
    embeddings = functional.normalize(projections.float(), dim=1)
    logits = embeddings @ embeddings.T / TEMPERATURE
    logits.fill_diagonal_(torch.finfo(logits.dtype).min)
    count = len(embeddings)
    positives = torch.arange(count, device=logits.device).roll(count // 2)
    return functional.cross_entropy(logits, positives)


class LARS:
    """LARS as the original release has it."""

    def __init__(self, parameters: list[nn.Parameter]):
        self.parameters = parameters
        self.buffers = [torch.zeros_like(p) for p in parameters]

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Updates every parameter."""
        for parameter, buffer in zip(
            self.parameters, self.buffers, strict=True
        ):
            step, rate = parameter.grad, LEARNING_RATE
            if parameter.ndim > 1:
                step = step.add(parameter, alpha=WEIGHT_DECAY)
                norms = (
                    torch.linalg.vector_norm(parameter),
                    torch.linalg.vector_norm(step),
                )
                rate = LEARNING_RATE * TRUST_COEFFICIENT * norms[0] / norms[1]
            buffer.mul_(MOMENTUM).add_(step * rate)
            parameter.sub_(buffer)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--image_size", type=int, default=32)
    add_timing_options(parser)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--optimizer", choices=("sgd", "lars"), default="sgd")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = make_network().to(device, memory_format=torch.channels_last)
    parameters = list(network.parameters())
    optimizer = LARS(parameters)
    if arguments.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            LEARNING_RATE,
            MOMENTUM,
            weight_decay=WEIGHT_DECAY,
            fused=True,
        )
    size = arguments.image_size
    views = torch.rand(2 * arguments.batch, 3, size, size, device=device)
    views = views.contiguous(memory_format=torch.channels_last)

    def loss_of(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(
            device, torch.bfloat16, enabled=not arguments.float32
        ):
            projections = network(images)
        return nt_xent(projections)

    if arguments.compile:
        loss_of = torch.compile(loss_of)

    def steps(count: int) -> float:
        for _ in range(count):
            optimizer.zero_grad()
            loss = loss_of(views)
            loss.backward()
            optimizer.step()
        return loss.item()

    print_rates(steps, arguments.steps, arguments.repeats, arguments.batch)


if __name__ == "__main__":
    main()
