"""A net made ready to be tested: the same function, laid out once for the arithmetic and the device at hand."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeGuard

import torch
from torch import nn

from vggrepro.nets import VGG

WORTH = 64 * 64
"""Input times output channels from which the multiplications that Winograd saves take longer than what it does instead."""


def ready(net: VGG, precision: str) -> VGG:
    """The net for inference: the same outputs, within rounding. Weights in fp32 are shared with `net`, not copied.

    In bf16 its weights are converted now, not at every call. In fp32 on a CPU, 3x3 convolutions of many channels are
    Winograd's; a GPU's library chooses by itself.
    """
    device = net.fc8.weight.device
    with torch.device("meta"):
        made = VGG(net.net, net.fc8.out_features, net.model)
    made.load_state_dict({name: value.detach() for name, value in net.state_dict().items()}, assign=True)
    made.eval().requires_grad_(False)
    if precision == "bf16":
        made.to(torch.bfloat16)
    made.to(memory_format=torch.channels_last)
    if device.type == "cpu" and precision == "fp32" and any(map(_worth, made.features)):
        made.features = _swapped(made.features)
    # who watches the net (`witness`) watches what stands in for it
    made.features._forward_hooks = net.features._forward_hooks
    return made


def _swapped(features: nn.Sequential) -> nn.Sequential:
    """The layers with Winograd's in place of convolutions that are worth it, of their ReLUs, and of poolings behind them."""
    # its compiler is loaded where it is used
    from vggrepro.winograd import Winograd

    kept: OrderedDict[str, nn.Module] = OrderedDict()
    last: nn.Module | None = None
    for name, layer in features.named_children():
        if isinstance(last, Winograd) and isinstance(layer, nn.ReLU):
            continue
        if isinstance(last, Winograd) and isinstance(layer, nn.MaxPool2d) and not layer.ceil_mode:
            last.pooled = True
            continue
        kept[name] = last = Winograd(layer) if _worth(layer) else layer
    return nn.Sequential(kept)


def _worth(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.in_channels * layer.out_channels >= WORTH
    )
