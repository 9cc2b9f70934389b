"""Table 1 as lists of layers (section 2.1): whoever adds a list adds a net. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple


class Conv(NamedTuple):
    """A convolution of stride 1 that keeps the resolution, and its ReLU."""

    size: int
    channels: int


Layer = int | Conv | str
"""A number is a 3x3 convolution with so many channels, "M" a 2x2 max-pooling of stride 2, "LRN" Krizhevsky's normalisation.

Nets of the user may also have "BN", batch normalisation between a convolution and its ReLU, and as their last layer "GAP", the
average over a 7x7 window in place of the first two fully connected layers."""
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

POOLINGS = 5
"""Of every net: a crop of 224 px ends as 7x7 features, and so does every window of a larger image."""
WINDOW = 7
"""Side of the features of a crop, over which the first fully connected layer goes."""


def layers_of(net: str, own: Sequence[Any] | None = None) -> list[Conv | str]:
    """The layers of a net of Table 1, or a user's `own` in its place. Raises ValueError for a list that is no net."""
    if own is None:
        if net not in LAYERS:
            raise ValueError(f"no net is called {net!r}: expected one of {', '.join(LAYERS)}")
        return [Conv(3, layer) if isinstance(layer, int) else layer for layer in LAYERS[net]]
    layers = [_layer(each) for each in own]
    _check_order(layers)
    return layers


def written(layer: Conv | str) -> str:
    """`conv3-64`, as Table 1 has it, or `LRN`."""
    return layer if isinstance(layer, str) else f"conv{layer.size}-{layer.channels}"


def _layer(given: Any) -> Conv | str:  # noqa: ANN401
    """The layer that a user writes as a number, as Table 1 does (`conv5-64`), or by its name."""
    text = str(given)
    match = re.fullmatch(r"(?:conv([1-9][0-9]?)-)?([1-9][0-9]{0,4})", text, re.ASCII)
    if match and not isinstance(given, bool):
        size, channels = int(match[1] or 3), int(match[2])
        if size % 2 == 0:
            raise ValueError(
                f"{text}: expected a kernel of odd size, such as conv{size + 1}-{channels}: an even one moves the features by "
                "half a pixel, and the net could not be evaluated densely"
            )
        return Conv(size, channels)
    if text not in ("M", "LRN", "BN", "GAP"):
        raise ValueError(
            f"{text!r} is no layer: expected a number of channels (a 3x3 convolution), conv5-64 and its like, M, LRN, BN or "
            "GAP"
        )
    return text


def _check_order(layers: Sequence[Conv | str]) -> None:
    if layers.count("M") != POOLINGS:
        raise ValueError(
            f"expected five M, as every net of the paper has, because a crop has to end as {WINDOW}x{WINDOW} features: got "
            f"{layers.count('M')}"
        )
    if "GAP" in layers[:-1] or [layer for layer in layers if layer != "GAP"][-1] != "M":
        raise ValueError("expected M as the last layer, or GAP behind it")
    before: Conv | str = "M"
    for place, layer in enumerate(layers, start=1):
        if layer == "BN" and not isinstance(before, Conv):
            raise ValueError(f"layer {place} is BN behind {before}: expected it behind a convolution, before its ReLU")
        before = layer
    if "M" in (layers[0], *(b for a, b in pairwise(layers) if a == "M")):
        raise ValueError("expected a convolution before every M")


def averages(own: Sequence[Any] | None) -> bool:
    """Whether a net averages over its window instead of having the first two fully connected layers."""
    return own is not None and str(own[-1]) == "GAP"


def blocks_of(net: str, own: Sequence[Any] | None = None) -> list[list[Conv | str]]:
    """The layers of a net between its poolings: five lists of convolutions and normalisations. ValueError as `layers_of`."""
    blocks: list[list[Conv | str]] = [[]]
    for layer in layers_of(net, own):
        if layer == "M":
            blocks.append([])
        else:
            blocks[-1].append(layer)
    return blocks[:POOLINGS]


def scaled_width(channels: int, width: int) -> int:
    """The paper's channel count in a net whose first convolution has `width` channels instead of 64."""
    return max(1, channels * width // 64)


def weight_shapes(
    net: str, outputs: int, *, width: int = 64, fc: int = 4096, own: Sequence[Any] | None = None
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The name of each layer with weights, conv1_1 to fc8, and their shape: [outputs, inputs(, k, k)]; of BN [channels]."""
    inputs = 3
    for b, block in enumerate(blocks_of(net, own), start=1):
        i = 0
        for layer in block:
            if isinstance(layer, Conv):
                i += 1
                channels = scaled_width(layer.channels, width)
                yield f"conv{b}_{i}", (channels, inputs, layer.size, layer.size)
                inputs = channels
            elif layer == "BN":
                yield f"bn{b}_{i}", (inputs,)
    if averages(own):
        yield "fc8", (outputs, inputs)
        return
    yield "fc6", (fc, inputs * WINDOW**2)
    yield "fc7", (fc, fc)
    yield "fc8", (outputs, fc)


TRANSFERRED = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
"""CHOICE 11: A's first four convolutions and its three FC layers, by the names of the layers of B-E whose shape they have."""


def transferable_layers(
    own: Mapping[str, tuple[int, ...]], parents: Mapping[str, tuple[int, ...]], *, same_net: bool
) -> list[str]:
    """The layers of a net that are initialised from those of another run, by the shapes of both: all of the `same_net`.

    Of another net, those of `TRANSFERRED`. CHOICE 11: a kernel may become the middle of a larger one.
    """
    return [
        layer
        for layer, shape in own.items()
        if (same_net or layer in TRANSFERRED) and layer in parents and fits(shape, parents[layer])
    ]


def fits(shape: tuple[int, ...], parents: tuple[int, ...]) -> bool:
    """Whether a parameter can be initialised from one of the parent's shape: equal, or the middle of a larger kernel."""
    kernels = zip(shape[2:], parents[2:], strict=False)
    return len(shape) == len(parents) and shape[:2] == parents[:2] and all(k >= other for k, other in kernels)


def parameter_count(net: str, own: Sequence[Any] | None = None, *, outputs: int = 1000) -> int:
    """Weights and biases of all layers of a net of the paper's size."""
    return sum(prod(shape) + shape[0] for _, shape in weight_shapes(net, outputs, own=own))
