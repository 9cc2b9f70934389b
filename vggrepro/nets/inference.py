"""A net made ready to be tested: the same function, laid out once for the arithmetic and the device at hand."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeGuard

import torch
from torch import Tensor, nn

from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings

WORTH = 64 * 64
"""Input times output channels from which the multiplications that Winograd saves take longer than what it does instead."""
PIXELS = 8 * 224 * 224
"""Pixels that go through the convolutions of a CPU at a time: net D takes 66 ms a crop of eight, 81 ms of fifty at once, whose
maps are new memory in every layer."""


def ready_for_inference(net: VGG, settings: EvaluateSettings) -> VGG:
    """The net for inference: the same outputs, within rounding. Weights in fp32 are shared with `net`, not copied.

    In bf16 its weights are converted now, not at every call. A CPU takes large batches in parts, and 3x3 convolutions of
    many channels are Winograd's, with products of bf16 if that is asked for; matrix units (AMX) are faster without. A GPU's
    library chooses by itself.

    Features are bf16 then, so that what is recorded of a test (`witness`) is what its settings say.
    """
    device = net.fc8.weight.device
    with torch.device("meta"):
        made = VGG(net.net, net.fc8.out_features, net.model)
    made.load_state_dict({name: value.detach() for name, value in net.state_dict().items()}, assign=True)
    made.eval().requires_grad_(False)
    bf16 = settings.precision == "bf16"
    if device.type == "cpu":
        layers = OrderedDict(made.features.named_children())
        tiled = any(map(_worth, made.features)) and not (bf16 and torch.cpu.get_capabilities().get("amx_bf16"))
        made.features = InParts(
            _swapped(layers, half=bf16) if tiled else layers, torch.bfloat16 if bf16 else torch.float32
        )
        if not bf16 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            made.fc6, made.fc7 = OneDNNLinear(made.fc6), OneDNNLinear(made.fc7)
    if bf16:
        made.to(torch.bfloat16)
    made.to(memory_format=torch.channels_last)
    return made


class InParts(nn.Sequential):
    """Layers that are shown a few images of a batch at a time."""

    def __init__(self, layers: OrderedDict[str, nn.Module], dtype: torch.dtype) -> None:
        super().__init__(layers)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """What the layers make of images [N, C, H, W], as `dtype`."""
        images, layers = max(1, PIXELS // x.shape[2:].numel()), super().forward
        return torch.cat([layers(part).to(self.dtype) for part in torch.split(x, images)])  # type: ignore[no-untyped-call]


class OneDNNLinear(nn.Linear):
    """A linear layer in fp32 by the library that torch takes for convolutions and for bf16, oneDNN, in place of MKL.

    Up to twice as fast on an AMD EPYC where the rows are few. Its operator is not among torch's public ones.
    """

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """[N, outputs] of [N, inputs]."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return found


def _swapped(layers: OrderedDict[str, nn.Module], *, half: bool) -> OrderedDict[str, nn.Module]:
    """The layers with Winograd's in place of convolutions that are worth it, of their ReLUs, and of poolings behind them."""
    # its compiler is loaded where it is used
    from vggrepro.nets.cpu.winograd import Winograd

    kept: OrderedDict[str, nn.Module] = OrderedDict()
    last: nn.Module | None = None
    for name, layer in layers.items():
        if isinstance(last, Winograd) and isinstance(layer, nn.ReLU):
            continue
        if isinstance(last, Winograd) and isinstance(layer, nn.MaxPool2d) and not layer.ceil_mode:
            last.pooled = True
            continue
        kept[name] = last = Winograd(layer, half=half) if _worth(layer) else layer
    return kept


def _worth(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.in_channels * layer.out_channels >= WORTH
    )
