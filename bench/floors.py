"""The least time that arithmetic and memory allow a training step: operations and bytes, counted from the list of layers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from vggrepro.nets.vgg import VGG
from vggrepro.paper.nets import blocks_of
from vggrepro.settings.blocks import NetSettings


def convolutions(net: str, side: int, outputs: int, model: NetSettings) -> Iterator[tuple[float, float, float]]:
    """Of every layer with weights: multiplications of an image, activations that go in, activations that come out."""
    channels, poolings = 3, model.scale_unit.bit_length() - 1
    for b, block in enumerate(blocks_of(net), start=1):
        for layer in block:
            if isinstance(layer, str):
                continue
            after = layer.channels * model.width // 64
            yield channels * after * layer.size**2 * side**2, channels * side**2, after * side**2
            channels = after
        side //= 2 if b <= poolings else 1
    for before, after in ((channels * side**2, model.fc), (model.fc, model.fc), (model.fc, outputs)):
        yield before * after, before, after


def training_floor(
    net: str, batch: int, model: NetSettings, classes: int, rate: float, bandwidth: float
) -> tuple[float, float]:
    """GFLOP of a training image, and the most images/s that `rate` FLOP/s and `bandwidth` bytes/s allow.

    Backward costs twice forward, but for the gradient of the pixels. Bytes, at 2 an activation and with all pointwise work
    fused: a layer reads its input and writes its output, backward reads both gradients' sources and writes one, and reads
    the output once more for the ReLU; a pooling of P activations moves 3.5 P. SGD moves 20 bytes a weight and step.
    """
    layers = list(convolutions(net, model.crop, classes, model))
    flop = 6 * sum(work for work, _, _ in layers) - 2 * layers[0][0]
    inner = sum(3 * before + 4 * after for _, before, after in layers) - layers[0][1]
    pooled = [after for (_, _, after), (_, before, _) in pairwise(layers) if before < after]
    weights = sum(p.numel() for p in VGG(net, classes, model).parameters())
    moved = 2 * (inner + 3.5 * sum(pooled)) + 20 * weights / batch
    return flop / 1e9, 1 / (flop / rate + moved / bandwidth)
