"""Convolutions in fp32 that are faster on a CPU than torch's, behind one door: `with_cpu_kernels`.

In: the convolutional part of a net. Out: one with the same outputs within rounding, and the same weights. Only
`nets/inference.py` uses it, and `evaluate.cpu_kernels: false` turns all of it off for what is tested; a training's
validation keeps it.
What is here gains at least 1.2 times at net D's size (`bench/evaluation.py` has a row with the switch on and off).
Begin with `winograd.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeGuard

from torch import nn

MIN_CHANNELS = 64 * 64
"""Input times output channels from which Winograd's saved multiplications are worth the transforms that it does instead."""


def with_cpu_kernels(features: nn.Sequential) -> nn.Sequential:
    """The layers with Winograd's in place of wide 3x3 convolutions, of the ReLUs after them, and of poolings after those."""
    # here, because it loads numba's compiler
    from vggrepro.nets.cpu.winograd import Winograd

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    previous: nn.Module | None = None
    named = list(features.named_children())
    for (name, layer), following in zip(named, [*(each for _, each in named[1:]), None], strict=True):
        if isinstance(previous, Winograd) and isinstance(layer, nn.ReLU):
            continue
        if isinstance(previous, Winograd) and isinstance(layer, nn.MaxPool2d) and not layer.ceil_mode:
            previous.pooled = True
            continue
        # what is no ReLU, such as batch normalisation, has to see the sums themselves
        layers[name] = previous = Winograd(layer) if _gains(layer) and isinstance(following, nn.ReLU) else layer
    return nn.Sequential(layers)


def _gains(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3)
        and layer.in_channels * layer.out_channels >= MIN_CHANNELS
    )
