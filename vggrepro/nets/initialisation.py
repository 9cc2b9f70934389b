"""Where the weights of a run come from: random draws, or the run it is initialised from (section 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggrepro.nets.vgg import VGG

TRANSFERRED = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
"""CHOICE 11: A's first four convolutions and its three FC layers, by the names of the layers of B-E whose shape they have."""


def standard_deviation(weight: Tensor, init: str) -> float:
    """Standard deviation of the normal distribution that a weight tensor is drawn from.

    CHOICE 1: `normal-0.01`, `normal-0.1`, `glorot` (Glorot & Bengio: sqrt(2 / (fan_in + fan_out))) or `he` (sqrt(2 / fan_in)).
    Raises ValueError for another `init`.
    """
    fan_in, fan_out = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    deviations = {
        "normal-0.01": 0.01,
        "normal-0.1": 0.1,
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "he": math.sqrt(2 / fan_in),
    }
    if init not in deviations:
        raise ValueError(f"no initialisation is called {init!r}: expected one of {', '.join(deviations)}")
    return deviations[init]


def initialise_randomly(net: VGG, init: str, seed: int) -> None:
    """Draw all weights from a normal distribution of mean 0; biases are 0. They do not depend on device and thread count."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = standard_deviation(module.weight, init)
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * std)
                assert module.bias is not None, "every layer of the paper has a bias"
                module.bias.zero_()


def initialise_from(net: VGG, weights: dict[str, Tensor], parent_net: str, *, but: tuple[str, ...] = ()) -> list[str]:
    """Initialise layers of `net`, except those of `but`, from the weights of another run; return the names of these layers.

    From a run of the same net come all layers, from another net those of `TRANSFERRED`.

    CHOICE 11: a 3x3 kernel becomes the middle of a 5x5 kernel of B-5x5, with zeros around it, so that the layer begins as the
    same function. The channels of conv1_1, conv2_1 and conv3_1 fit; B-5x5 has no conv3_2.

    Raises ValueError for a layer of another width or number of classes.
    """
    own = net.state_dict()
    layers: dict[str, None] = {}
    for name in (name for name in own if name in weights):
        layer, tensor = name.split(".")[-2], weights[name]
        if layer in but or (parent_net != net.net and layer not in TRANSFERRED):
            continue
        missing = [own[name].shape[d] - tensor.shape[d] for d in range(tensor.ndim)]
        if tensor.ndim == 4 and missing[:2] == [0, 0] and missing[2] == missing[3] >= 0:
            own[name].copy_(F.pad(tensor, [missing[2] // 2] * 4))
        elif any(missing):
            raise ValueError(
                f"{name} of the run that this one is initialised from is {tuple(tensor.shape)}, expected "
                f"{tuple(own[name].shape)}: train both runs with the same preset"
            )
        else:
            own[name].copy_(tensor)
        layers[layer] = None
    return list(layers)
