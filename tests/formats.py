"""Released nets in the formats of their programs, written as those programs do: to test the readers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from scipy.io import savemat
from torch import nn

from vggrepro.nets.vgg import VGG
from vggrepro.paper.nets import blocks_of

Layers = list[tuple[str, np.ndarray, np.ndarray]]


def layers_of(net: VGG) -> Layers:
    """Names, weights and biases of all layers, as our nets have them."""
    named = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    stems = [name.removesuffix(".weight") for name in named if name.endswith(".weight")]
    return [(stem.removeprefix("features."), named[f"{stem}.weight"], named[f"{stem}.bias"]) for stem in stems]


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _blob(values: np.ndarray, shape: tuple[int, ...], form: str) -> bytes:
    flat = values.astype("<f4").ravel()
    if form == "new":
        dims = b"".join(_varint(side) for side in shape)
        return _field(7, _field(1, dims)) + _field(5, flat.tobytes())
    if form == "double":
        return _field(7, b"".join(_field(1, side) for side in shape)) + _field(8, flat.astype("<f8").tobytes())
    sides = (1,) * (4 - len(shape)) + shape
    head = b"".join(_field(k, side) for k, side in enumerate(sides, start=1))
    if form == "unpacked":
        return head + b"".join(_varint(5 << 3 | 5) + struct.pack("<f", v) for v in flat)
    return head + _field(5, flat.tobytes())


def write_caffe(path: Path, layers: Layers, form: str = "2014") -> None:
    """A .caffemodel: `new` (LayerParameter), `2014` (V1LayerParameter), `oldest` (V0), and how blobs keep their numbers."""
    parts = [_field(1, b"VGG_ILSVRC"), _field(3, b"data"), _field(5, 1)]
    for name, weight, bias in layers:
        if name == "conv1_1":
            weight = weight[:, ::-1]  # Caffe's images are BGR
        blobs = [_blob(weight, weight.shape, form), _blob(bias, bias.shape, form)]
        if form in ("new", "double"):
            layer = _field(1, name.encode()) + _field(2, b"Convolution") + b"".join(_field(7, b) for b in blobs)
            parts.append(_field(100, layer + _varint(11 << 3 | 1) + struct.pack("<d", 1.0)))
        elif form == "oldest":
            layer = _field(1, name.encode()) + _field(2, b"conv") + b"".join(_field(50, b) for b in blobs)
            parts.append(_field(2, _field(2, b"data") + _field(1, layer)))
        else:
            layer = _field(2, b"data") + _field(4, name.encode()) + _field(5, 4) + b"".join(_field(6, b) for b in blobs)
            parts.append(_field(2, layer))
        parts.append(_field(100 if form == "new" else 2, _field(1 if form == "new" else 4, b"relu")))
    path.write_bytes(b"".join(parts))


def write_mat(path: Path, layers: Layers, wnids: list[str], mean: tuple[float, ...], *, old: bool = False) -> None:
    """A .mat of MatConvNet: fully connected layers are convolutions, kernels height x width x inputs x outputs."""
    cells = []
    for name, weight, bias in layers:
        if name == "fc6":
            weight = weight.reshape(len(weight), -1, 7, 7)
        kernel = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim)).transpose(2, 3, 1, 0).astype(np.float32)
        layer = {"name": name, "type": "conv", "stride": np.array([[1.0, 1.0]])}
        if old:
            layer |= {"filters": kernel, "biases": bias[None]}
        else:
            pair = np.empty((1, 2), object)
            pair[0, 0], pair[0, 1] = kernel, bias[:, None]
            layer |= {"weights": pair}
        cells += [layer, {"name": f"relu_{name}", "type": "relu"}]
    stacked = np.empty((1, len(cells)), object)
    for i, cell in enumerate(cells):
        stacked[0, i] = cell
    names = np.empty((1, len(wnids)), object)
    names[0, :] = wnids
    image = np.array(mean, np.float32)
    about = {
        "normalization": {
            "averageImage": np.tile(image, (8, 8, 1)) if old else image[None, None],
            "imageSize": [8, 8, 3],
        },
        "classes": {"name": names, "description": names},
    }
    savemat(path, {"layers": stacked} | (about if old else {"meta": about}))


def torchvision_like(net: VGG) -> nn.Sequential:
    """A net of torchvision's layout with the weights of ours, for RGB in [0, 1] less a mean, over a standard deviation."""
    std, modules = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), []
    for b, block in enumerate(blocks_of(net.net), start=1):
        for i in range(len(block)):
            ours = net.get_submodule(f"features.conv{b}_{i + 1}")
            conv = nn.Conv2d(*ours.weight.shape[1::-1], 3, padding=1)
            conv.load_state_dict(ours.state_dict())
            modules += [conv, nn.ReLU()]
        modules.append(nn.MaxPool2d(2, 2) if 2**b <= net.model.scale_unit else nn.Identity())
    modules[0].weight.data *= 255 * std
    head = [net.fc6, nn.ReLU(), nn.Dropout(), net.fc7, nn.ReLU(), nn.Dropout(), net.fc8]
    whole = nn.Module()
    whole.features, whole.classifier = nn.Sequential(*modules), nn.Sequential(*head)
    return whole.eval()
