"""What the weights of a net say about a training: how they were initialised, which layers moved, what the net is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from vggrepro.nets.initialisation import initialisation_of
from vggrepro.nets.vgg import VGG, LocalResponseNorm


def weight_layers(net: VGG) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that have weights, by their names: conv1_1 to fc8."""
    layers = ((name.split(".")[-1], module) for name, module in net.named_modules())
    return {name: module for name, module in layers if isinstance(module, nn.Conv2d | nn.Linear)}


@dataclass(frozen=True)
class StartingWeights:
    """The weights that a training began with, measured on the net."""

    transferred: tuple[str, ...]
    """Layers that were copied from the run that this one is initialised from."""
    spread: dict[str, float]
    """Standard deviation of the weights of every other layer: these are random."""
    init: str
    """The initialisation of the random layers: see `initialisation_of`."""
    largest_bias: float
    """Of the random layers."""
    digests: dict[str, str]
    """SHA-256 of every layer's parameters."""

    @classmethod
    def measure(cls, net: VGG, transferred: Sequence[str], expected: str) -> StartingWeights:
        """Measure a net before its first step; its random layers are `expected` to be drawn by an initialisation."""
        layers = weight_layers(net)
        fresh = {name: layer for name, layer in layers.items() if name not in transferred}
        biases = [layer.bias.detach().abs().max() for layer in fresh.values() if layer.bias is not None]
        return cls(
            transferred=tuple(transferred),
            spread={name: round(float(layer.weight.detach().std()), 6) for name, layer in fresh.items()},
            init=initialisation_of([layer.weight.detach() for layer in fresh.values()], expected),
            largest_bias=max(map(float, biases), default=0.0),
            digests={name: _digest(layer) for name, layer in layers.items()},
        )

    def unchanged(self, net: VGG) -> list[str]:
        """The layers that are still as they began."""
        return [name for name, layer in weight_layers(net).items() if _digest(layer) == self.digests[name]]


def _digest(layer: nn.Module) -> str:
    digest = hashlib.sha256()
    for parameter in layer.parameters():
        digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def net_record(net: VGG) -> dict[str, Any]:
    """What a net is made of, read off its layers."""
    modules = [module for module in net.modules() if not list(module.children())]
    pools = [module for module in modules if isinstance(module, nn.MaxPool2d)]
    norms = [module for module in modules if isinstance(module, LocalResponseNorm)]
    return {
        "layers": sorted({type(module).__name__ for module in modules}),
        "width": next(module.out_channels for module in modules if isinstance(module, nn.Conv2d)),
        # of the average over a window in their place, as many as the features that are averaged
        "fc": net.fc8.in_features,
        "poolings": len(pools),
        "pooling": "ceil" if any(pool.ceil_mode for pool in pools) else "floor",
        "lrn": [[float(n) for n in (norm.k, norm.n, norm.alpha, norm.beta)] for norm in norms],
    }
