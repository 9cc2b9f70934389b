"""What the numbers of a released net may mean, and the same numbers in our layout.

A *reading* says in which order a file has channels, classes, inputs and kernels, and what input the net expects.
"""

from __future__ import annotations

import numpy as np
import torch

from vggrepro.external.formats import RGB, Array, ReleasedLayer, ReleasedNet
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import ReadingSettings

CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Mean RGB of the authors' released nets."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The input of torchvision's nets is (RGB in [0, 1] - MEAN) / STD."""

USUAL_READING = {"classes": "sorted", "full": "chw", "kernels": "hw"}
"""The usual reading in every format."""
FORMAT_READINGS: dict[str, dict[str, str]] = {
    "Caffe": {"channels": "bgr", "input": "caffe"},
    "MatConvNet": {"channels": "rgb", "input": "caffe"},
    "torchvision": {"channels": "rgb", "input": "torchvision"},
}
"""The usual reading in one format."""
READING_VALUES = {
    "channels": ("rgb", "bgr"),
    "input": ("caffe", "torchvision"),
    "classes": ("sorted", "devkit"),
    "full": ("chw", "hwc"),
    "kernels": ("hw", "wh"),
}
"""The values that each respect of a reading may have."""


def reading_of(released: ReleasedNet, declared: ReadingSettings) -> ReadingSettings:
    """The reading that the user declared, completed by what is usual in the file's format."""
    usual = USUAL_READING | FORMAT_READINGS[released.format]
    return ReadingSettings(**usual | declared.model_dump(exclude_none=True))


def differing_respects(reading: ReadingSettings, other: ReadingSettings) -> list[str]:
    """The respects in which two readings differ, but for the mean."""
    return [name for name in READING_VALUES if getattr(reading, name) != getattr(other, name)]


def reading_text(reading: ReadingSettings, respects: list[str] | None = None) -> str:
    """A reading in words, in all respects or in some: `channels bgr, input caffe, ...`."""
    return ", ".join(f"{name} {getattr(reading, name)}" for name in respects or READING_VALUES)


def tensors_in_our_layout(released: ReleasedNet, reading: ReadingSettings, net: VGG) -> dict[str, torch.Tensor]:
    """The weights of our net: input RGB of 0-255 less the mean (`mean_of`), features flattened channel by channel.

    Raises ValueError for a layer of another shape than the net's.
    """
    tensors: dict[str, torch.Tensor] = {}
    names = [name.removesuffix(".weight") for name, p in net.named_parameters() if p.ndim > 1]
    if len(names) != len(released.layers):
        raise ValueError(
            f"it has {len(released.layers)} layers with weights, {net.net} has {len(names)}: it is no {net.net}"
        )
    for name, layer in zip(names, released.layers, strict=True):
        weight = _in_our_layout(name, layer, reading)
        expected = tuple(net.get_parameter(f"{name}.weight").shape)
        if weight.shape != expected:
            raise ValueError(
                f"its {layer.name} has weights {list(layer.weight.shape)}, {name} of {net.net} {list(expected)}"
            )
        for kind, value in (("weight", weight), ("bias", layer.bias)):
            tensors[f"{name}.{kind}"] = torch.from_numpy(np.array(value, np.float32, order="C"))
    return tensors


def _in_our_layout(name: str, layer: ReleasedLayer, reading: ReadingSettings) -> Array:
    weight = layer.weight
    if name == "fc6":
        side = 7
        weight = weight.reshape(len(weight), -1)
        if reading.full == "hwc":
            weight = weight.reshape(len(weight), side, side, -1).transpose(0, 3, 1, 2)
        weight = weight.reshape(len(weight), -1, side, side)
    if reading.kernels == "wh" and weight.ndim == 4:
        weight = weight.transpose(0, 1, 3, 2)
    if name.endswith("conv1_1"):
        weight = weight[:, ::-1] if reading.channels == "bgr" else weight
        if reading.input == "torchvision":
            # W (x / 255 - m) / s = W / (255 s) (x - 255 m): exact even at the padded edge, which is 0 in both
            weight = (weight / (255 * np.array(STD)[:, None, None])).astype(np.float32)
    return weight.reshape(len(weight), -1) if name.startswith("fc") else weight


def mean_of(released: ReleasedNet, reading: ReadingSettings) -> RGB:
    """The mean RGB, 0-255, to subtract from images: the declared one, else the file's, else the usual one for the input."""
    if reading.mean is not None:
        return reading.mean
    if reading.input == "torchvision":
        return (255 * MEAN[0], 255 * MEAN[1], 255 * MEAN[2])
    return released.mean or CAFFE_MEAN
