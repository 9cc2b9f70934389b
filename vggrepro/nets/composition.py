"""What a net is made of, read off its layers."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import nn

from vggrepro.nets.vgg import VGG, LocalResponseNorm


def weight_layers(net: VGG) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that have weights, by their names: conv1_1 to fc8."""
    layers = ((name.split(".")[-1], module) for name, module in net.named_modules())
    return {name: module for name, module in layers if isinstance(module, nn.Conv2d | nn.Linear)}


def layer_digests(net: VGG) -> dict[str, str]:
    """SHA-256 of every layer's weights and biases, by its name."""
    digests = {}
    for name, layer in weight_layers(net).items():
        digest = hashlib.sha256()
        for parameter in layer.parameters():
            digest.update(parameter.detach().cpu().contiguous().numpy().data)
        digests[name] = digest.hexdigest()
    return digests


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
