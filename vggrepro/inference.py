"""A net made ready to be tested: the same function, laid out once for the arithmetic and the device at hand."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeGuard

import torch
from torch import Tensor, nn

from vggrepro.nets import VGG

WORTH = 64 * 64
"""Input times output channels from which the multiplications that Winograd saves take longer than what it does instead."""


WINDOWS = 1 << 22
"""Numbers in the windows that a CPU copies at a time: memory that it has at hand, not new memory."""


class Ready(VGG):
    """A net whose fc6 takes windows in the order of channels-last memory: copied row by row, not number by number."""

    def at_windows(self, x: Tensor) -> Tensor:
        """fc6 at every 7x7 window, as in `VGG`."""
        windows = x.permute(0, 2, 3, 1).contiguous().unfold(1, 7, 1).unfold(2, 7, 1).permute(0, 1, 2, 4, 5, 3)
        images = max(1, WINDOWS // windows.shape[1:].numel()) if x.device.type == "cpu" else len(x)
        return torch.cat([self.fc6(some.reshape(-1, self.fc6.in_features)) for some in torch.split(windows, images)])


def ready(net: VGG, precision: str) -> Ready:
    """The net for inference: the same outputs, within rounding. Weights in fp32 are shared with `net`, all but those of fc6.

    In bf16 its weights are converted now, not at every call. In fp32 on a CPU, 3x3 convolutions of many channels are
    Winograd's; a GPU's library chooses by itself.
    """
    device = net.fc8.weight.device
    with torch.device("meta"):
        made = Ready(net.net, net.fc8.out_features, net.model)
    made.load_state_dict({name: value.detach() for name, value in net.state_dict().items()}, assign=True)
    made.eval().requires_grad_(False)
    if precision == "bf16":
        made.to(torch.bfloat16)
    made.to(memory_format=torch.channels_last)
    made.fc6.weight.data = made.fc6.weight.view(made.model.fc, -1, 7, 7).permute(0, 2, 3, 1).flatten(1)
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
