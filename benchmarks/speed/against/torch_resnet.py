"""The bare pretraining step of ResNet-18 or ResNet-50 in PyTorch.

    pip install torch==2.13.0        # into an environment of its own
    python benchmarks/speed/against/torch_resnet.py --batch=256 --compile

The network of `--resnet_depth=18 --image_size=32`: 3x3 stem, four groups of
two basic blocks, of which each group's first has a projected shortcut, and
the three-layer projection head to 128; NT-Xent over both views. With
--depth=50, bottleneck blocks; above 32 pixels, the stem of 7x7 and max
pooling. One batch that lies on the device, channels last, bfloat16 autocast
(--float32: without). The update is momentum SGD with weight decay (fused), or
with --optimizer=lars that of LARS, by hand. Prints `pairs/s: X` once per
repeat.
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


def shortcut(
    inputs: int, outputs: int, stride: int, project: bool
) -> nn.Module:
    """The way around a block's convolutions."""
    if not project:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
    )


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
        self.shortcut = shortcut(inputs, outputs, stride, project)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(images) + self.shortcut(images))


class Bottleneck(nn.Module):
    """Three convolutions, the middle one 3x3, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool):
        super().__init__()
        inner = outputs // 4
        layers = []
        for size, channels in ((1, inner), (3, inner), (1, outputs)):
            step = stride if size == 3 else 1
            before = inputs if not layers else inner
            layers += [
                nn.Conv2d(before, channels, size, step, size // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut = shortcut(inputs, outputs, stride, project)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(images) + self.shortcut(images))


# Depth -> block, blocks of each group, how many times its channels widen.
NETWORKS = {
    18: (BasicBlock, (2, 2, 2, 2), 1),
    50: (Bottleneck, (3, 4, 6, 3), 4),
}


def make_network(depth: int, image_size: int) -> nn.Module:
    """Encoder and projection head."""
    size, stride = (3, 1) if image_size <= 32 else (7, 2)
    layers = [
        nn.Conv2d(3, 64, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    if image_size > 32:
        layers.append(nn.MaxPool2d(3, 2, 1))
    block, counts, wider = NETWORKS[depth]
    inputs = 64
    for index, count in enumerate(counts):
        outputs = 64 * 2**index * wider
        for number in range(count):
            stride = 2 if index and not number else 1
            layers.append(block(inputs, outputs, stride, project=not number))
            inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for outputs, last in ((inputs, False), (inputs, False), (128, True)):
        layers += [
            nn.Linear(inputs, outputs, bias=False),
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
    parser.add_argument("--depth", type=int, choices=NETWORKS, default=18)
    add_timing_options(parser)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--optimizer", choices=("sgd", "lars"), default="sgd")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = make_network(arguments.depth, arguments.image_size)
    network = network.to(device, memory_format=torch.channels_last)
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
