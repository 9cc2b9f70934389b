"""Table 1 as lists of layers (section 2.1): whoever adds a list adds a net. No torch."""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """A convolution of stride 1 that keeps the resolution, and its ReLU."""

    size: int
    channels: int


Layer = int | Conv | str
"""A number is a 3x3 convolution with so many channels, "M" a 2x2 max-pooling of stride 2, "LRN" Krizhevsky's normalisation."""
LAYERS: dict[str, list[Layer]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "A-LRN": [64, "LRN", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    # PAPER 4.1: each pair of 3x3 convolutions of B is one 5x5.
    "B-5x5": [Conv(5, 64), "M", Conv(5, 128), "M", Conv(5, 256), "M", Conv(5, 512), "M", Conv(5, 512), "M"],
    "C": [
        64,
        64,
        "M",
        128,
        128,
        "M",
        256,
        256,
        Conv(1, 256),
        "M",
        512,
        512,
        Conv(1, 512),
        "M",
        512,
        512,
        Conv(1, 512),
        "M",
    ],
    "D": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "E": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}


NETS = tuple(LAYERS)
"""Every net that is trained here: those of Table 1, and B-5x5, the shallow net of section 4.1."""


def blocks_of(net: str) -> list[list[Conv | str]]:
    """The layers of a net between its poolings: five lists of convolutions (and LRN). Raises ValueError for an unknown net."""
    if net not in LAYERS:
        raise ValueError(f"no net is called {net!r}: expected one of {', '.join(LAYERS)}")
    blocks: list[list[Conv | str]] = [[]]
    for layer in LAYERS[net]:
        if layer == "M":
            blocks.append([])
        else:
            blocks[-1].append(Conv(3, layer) if isinstance(layer, int) else layer)
    return blocks[:-1]
