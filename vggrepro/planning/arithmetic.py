"""What a net costs by its list of layers: multiplications, bytes that move, memory of a training. No torch.

The same count as in `bench/gpu.py`, for images of any size. An operation is a multiplication or an addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vggrepro.paper.nets import WINDOW, Conv, averages, blocks_of, scaled_width
from vggrepro.settings.blocks import NetSettings


@dataclass(frozen=True)
class LayerWork:
    """A layer for one image."""

    kind: Literal["conv", "fc", "pool", "norm"]
    multiplications: int
    read: int
    """Activations that go in."""
    written: int
    """Activations that come out."""
    weights: int
    """With biases."""


def layers(net: str, model: NetSettings, height: int, width: int, outputs: int) -> Iterator[LayerWork]:
    """The layers of a net for an image of `height` x `width` pixels; larger than the crop, FC layers work at every place."""
    channels, poolings = 3, model.scale_unit.bit_length() - 1
    for number, block in enumerate(blocks_of(net, model.layers), start=1):
        for layer in block:
            area = height * width
            if not isinstance(layer, Conv):
                # LRN has squares, sums, a power and a product for every activation; of BN the bytes count
                each, weights = (4, 0) if layer == "LRN" else (0, 2 * channels)
                yield LayerWork("norm", each * channels * area, channels * area, channels * area, weights)
                continue
            after = scaled_width(layer.channels, model.width)
            weights = channels * after * layer.size**2
            yield LayerWork("conv", weights * area, channels * area, after * area, weights + after)
            channels = after
        if number <= poolings:
            height, width = _half(height, model), _half(width, model)
            yield LayerWork("pool", 0, 4 * channels * height * width, channels * height * width, 0)
    yield from _fc_layers(
        channels, max(1, height - WINDOW + 1) * max(1, width - WINDOW + 1), height * width, model, outputs
    )


def _fc_layers(channels: int, places: int, area: int, model: NetSettings, outputs: int) -> Iterator[LayerWork]:
    sizes = (channels, outputs) if averages(model.layers) else (WINDOW**2 * channels, model.fc, model.fc, outputs)
    for number, (before, after) in enumerate(pairwise(sizes)):
        read = channels * area if number == 0 else before * places
        yield LayerWork("fc", before * after * places, read, after * places, before * after + after)


def _half(side: int, model: NetSettings) -> int:
    return -(-side // 2) if model.pooling == "ceil" else side // 2


def parameters(net: str, model: NetSettings, outputs: int) -> int:
    """Weights and biases of a net."""
    return sum(layer.weights for layer in layers(net, model, model.crop, model.crop, outputs))


def forward_work(
    net: str, model: NetSettings, height: int, width: int, outputs: int, bytes_each: int
) -> tuple[float, float]:
    """Operations, and bytes that move, to show a net one image: every layer reads its input and writes its output."""
    work = list(layers(net, model, height, width, outputs))
    return (
        2.0 * sum(layer.multiplications for layer in work),
        float(bytes_each * sum(layer.read + layer.written for layer in work)),
    )


def training_work(
    net: str, model: NetSettings, outputs: int, *, batch: int, bytes_each: int, fc_alone: bool
) -> tuple[float, float]:
    """Operations, and bytes that move, for one image of a step of training, the update of the weights included.

    Backward costs twice forward, but for the gradient of the pixels; where the FC layers alone are trained, it stops there. A
    layer reads its input and writes its output, backward reads both gradients' sources and writes one, and reads the output
    once more for the ReLU. SGD moves 20 bytes a weight and step.
    """
    work = list(layers(net, model, model.crop, model.crop, outputs))
    trained = [layer for layer in work if layer.kind == "fc"] if fc_alone else work
    operations = 2 * sum(w.multiplications for w in work) + 4 * sum(w.multiplications for w in trained)
    first = trained[0]
    operations -= 2 * first.multiplications
    forward = sum(w.read + w.written for w in work)
    backward = sum(2 * w.read + 3 * w.written for w in trained) - first.read
    updated = 20 * sum(w.weights for w in trained)
    return float(operations), float(bytes_each * (forward + backward) + updated / batch)


def kept_activations(net: str, model: NetSettings, outputs: int) -> int:
    """Numbers that a training keeps of an image between forward and backward: what every layer read, and its masks."""
    work = list(layers(net, model, model.crop, model.crop, outputs))
    return sum(layer.read for layer in work) + sum(layer.written for layer in work if layer.kind in ("fc", "pool"))
