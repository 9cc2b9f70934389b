"""Where the weights of a run come from: random draws, or the run it is initialised from (section 3.1).

Of random weights the spread tells which initialisation they were drawn by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggrepro.nets.vgg import VGG
from vggrepro.paper.nets import TRANSFERRED, fits

LARGEST_DEVIATION = 6.0
"""Standard errors that the measured spread of random weights may deviate from that of their initialisation."""


def standard_deviations(weight: Tensor) -> dict[str, float]:
    """Standard deviation of the normal distribution that a weight tensor is drawn from, by initialisation.

    CHOICE 1: `normal-0.01`, `normal-0.1`, `glorot` (Glorot & Bengio: sqrt(2 / (fan_in + fan_out))) or `he` (sqrt(2 / fan_in)).
    """
    fan_in, fan_out = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    return {
        "normal-0.01": 0.01,
        "normal-0.1": 0.1,
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "he": math.sqrt(2 / fan_in),
    }


def standard_deviation(weight: Tensor, init: str) -> float:
    """That of one initialisation; a ValueError for an `init` that is none."""
    deviations = standard_deviations(weight)
    if init not in deviations:
        raise ValueError(f"no initialisation is called {init!r}: expected one of {', '.join(deviations)}")
    return deviations[init]


def initialisation_of(weights: Iterable[Tensor], expected: str = "") -> str:
    """The initialisation whose spread random weights have; `none` of no weights, `unknown` where no known one fits.

    Small layers may fit several, He's and Glorot's above all: the `expected` one wins then, and else the nearest.
    """
    deviations: dict[str, float] = {}
    for weight in weights:
        spread = max(float(weight.std()), 1e-30)
        for init, std in standard_deviations(weight).items():
            # the standard error of the logarithm of a measured standard deviation is 1 / sqrt(2 n)
            errors = abs(math.log(spread / std)) * math.sqrt(2 * weight.numel())
            deviations[init] = max(deviations.get(init, 0.0), errors)
    fitting = {init: errors for init, errors in deviations.items() if errors < LARGEST_DEVIATION}
    if not fitting:
        return "unknown" if deviations else "none"
    return expected if expected in fitting else min(fitting, key=fitting.__getitem__)


def initialise_randomly(net: VGG, init: str, seed: int) -> None:
    """Draw all weights from a normal distribution of mean 0; biases are 0. They do not depend on device and thread count."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        # batch normalisation begins with factors of 1 and shifts of 0
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = standard_deviation(module.weight, init)
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * std)
                assert module.bias is not None, "every layer of the paper has a bias"
                module.bias.zero_()


def initialise_from(
    net: VGG, weights: dict[str, Tensor], *, same_net: bool, but: tuple[str, ...] = (), exact: bool = True
) -> list[str]:
    """Initialise layers of `net`, except those of `but`, from the weights of another run; return the names of these layers.

    From a run of the `same_net` come all layers, from another net those of `TRANSFERRED`.

    CHOICE 11: a 3x3 kernel becomes the middle of a 5x5 kernel of B-5x5, with zeros around it, so that the layer begins as the
    same function. The channels of conv1_1, conv2_1 and conv3_1 fit; B-5x5 has no conv3_2.

    A layer of another width or number of classes raises ValueError, or stays as it is where not all have to be `exact`: in a
    net of the user's own.
    """
    own = net.state_dict()
    layers: dict[str, None] = {}
    for name in (name for name in own if name in weights):
        layer, tensor = name.split(".")[-2], weights[name]
        if layer in but or not (same_net or layer in TRANSFERRED):
            continue
        place = name.rpartition(".")[0]
        if not exact and not fits(*(tuple(each[f"{place}.weight"].shape) for each in (own, weights))):
            continue
        if not fits(tuple(own[name].shape), tuple(tensor.shape)):
            raise ValueError(
                f"{name} of the run that this one is initialised from is {tuple(tensor.shape)}, expected "
                f"{tuple(own[name].shape)}: train both runs with the same preset"
            )
        margin = (own[name].shape[-1] - tensor.shape[-1]) // 2 if tensor.ndim == 4 else 0
        own[name].copy_(F.pad(tensor, [margin] * 4) if margin else tensor)
        layers[layer] = None
    return list(layers)
