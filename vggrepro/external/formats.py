"""Released nets as their files have them: Caffe's `.caffemodel`, MatConvNet's `.mat`, PyTorch's checkpoints of
torchvision's layout (`pytorch_files.py`). Nothing is unpickled but tensors and numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import limits
from vggrepro.core.files import read_regular
from vggrepro.data.matlab import read_mat
from vggrepro.external.pytorch_files import read_pytorch_net

Array = NDArray[np.float32]
RGB = tuple[float, float, float]


class ReleasedLayer(NamedTuple):
    """A layer with weights."""

    name: str
    """In its file."""
    weight: Array
    """[outputs, inputs, height, width] of a convolution; [outputs, inputs] of a fully connected layer, if not as one."""
    bias: Array
    """[outputs]."""


@dataclass(frozen=True)
class ReleasedNet:
    """A net as its file has it."""

    format: str
    layers: tuple[ReleasedLayer, ...]
    """In the order of the net; the last three are fully connected."""
    mean: RGB | None = None
    """Mean RGB that images are reduced by, where the file says it."""
    wnids: tuple[str, ...] | None = None
    """The classes in the order of the outputs, where the file says it."""
    numbers: str = "fp32"
    """What the weights are kept in."""


def read_released_net(path: Path) -> ReleasedNet:
    """The net in a file; a ValueError that names the file where it is none of the formats, damaged, or no such net.

    What a file begins with decides which format it has, not how its name ends.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(1024)
    net = _read_start(path, start)
    if len(net.layers) < 4:
        raise ValueError(
            f"{path}: expected convolutions and three fully connected layers, got {len(net.layers)} layers"
        )
    for layer in net.layers:
        if layer.weight.ndim == 1:
            raise ValueError(
                f"{path}: layer {layer.name} normalises, as batch normalisation does: it is no net of the paper"
            )
        if layer.bias.shape != layer.weight.shape[:1] or layer.weight.ndim not in (2, 4):
            raise ValueError(
                f"{path}: layer {layer.name} has weights {layer.weight.shape} and biases {layer.bias.shape}"
            )
        if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
            raise ValueError(f"{path}: layer {layer.name} has weights that are not finite")
    return net


def _read_start(path: Path, start: bytes) -> ReleasedNet:
    for beginning, problem in NO_NETS.items():
        if re.match(beginning, start, re.IGNORECASE):
            raise ValueError(f"{path}: {problem}")
    if start.startswith(b"MATLAB"):
        return _read_mat(path)
    if start.startswith(TORCH_STARTS) or re.fullmatch(rb'.{8}\{\s*".*', start, re.DOTALL):
        layers, numbers = read_pytorch_net(path)
        return ReleasedNet("torchvision", tuple(ReleasedLayer(*layer) for layer in layers), numbers=numbers)
    if path.suffix == ".mat":
        return _read_mat(path)
    if path.suffix == ".caffemodel":
        return _read_caffe(path)
    raise ValueError(
        f"{path}: expected a net of Caffe (.caffemodel), MatConvNet (.mat) or PyTorch (.pth, .safetensors), got a file that "
        f"begins with {start[:16]!r}: fetch it again"
    )


TORCH_STARTS = (b"PK", b"\x80")
"""What PyTorch's files begin with: a zip, or, in old files, a pickle."""
NO_NETS = {
    rb"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`",
    rb"(\xef\xbb\xbf)?\s*<\s*(!doctype|html|head|body|script|meta|\?xml)": (
        "a web page, not a net: the download failed, or asks for a confirmation: fetch the file again in a browser"
    ),
    rb"\s*\{\s*\"": "JSON, not a net: fetch the file again",
    rb"\x89HDF": "HDF5, as Keras and MATLAB 7.3 write it, is not read: convert it to .safetensors or, in MATLAB, to -v7",
    rb"\x1f\x8b": "compressed with gzip: unpack it first",
}
"""What files begin with that are no net, and what to do then."""

# Caffe. Numbers of fields are those of its caffe.proto; fields that are not named here are skipped.

LAYER_LISTS = {100: (1, 7), 2: (4, 6)}
"""Of a net: the field of its layers (100, or 2 in the files of 2014), and in a layer the fields of name and blobs."""
V0, V0_FIELDS = 1, (1, 50)
"""The field that holds everything in a layer of the oldest files, and in it the fields of name and blobs."""
LEGACY_SHAPE, DATA, DOUBLES, SHAPE, DIM = (1, 2, 3, 4), 5, 8, 7, 1
"""Of a blob: its four sides in older files; its numbers in single or double precision; its shape in newer files."""

Wire = int | memoryview
"""A number, or the bytes of anything longer."""


def _fields(data: memoryview) -> Iterator[tuple[int, Wire]]:
    """Number and value of every field of a message in protocol buffers' wire format; a ValueError where it is cut short."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        if length < 0 or at + length > len(data):
            raise ValueError("cut short, or no message of protocol buffers")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where the next field begins."""
    value, shift = 0, 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("cut short, or no message of protocol buffers")


def _message(data: Wire) -> dict[int, list[Wire]]:
    """The values of every field; none for a number, which is no message."""
    values: dict[int, list[Wire]] = {}
    for number, value in _fields(data if isinstance(data, memoryview) else memoryview(b"")):
        values.setdefault(number, []).append(value)
    return values


def _blob(data: Wire) -> Array:
    fields = _message(data)
    dims: list[int] = []
    for shape in fields.get(SHAPE, []):
        for value in _message(shape).get(DIM, []):
            at = 0
            while isinstance(value, memoryview) and at < len(value):
                dim, at = _varint(value, at)
                dims.append(dim)
            dims += [] if isinstance(value, memoryview) else [value]
    dims = dims or [int(value) for n in LEGACY_SHAPE for value in fields.get(n, [0])[-1:] if isinstance(value, int)]
    field, kind = (DOUBLES, "<f8") if DOUBLES in fields else (DATA, "<f4")
    numbers = np.frombuffer(b"".join(v for v in fields.get(field, []) if isinstance(v, memoryview)), kind)
    if math.prod(dims) != len(numbers):
        raise ValueError(f"a blob of shape {dims} has {len(numbers)} numbers")
    return numbers.astype(np.float32).reshape(dims)


def _read_caffe(path: Path) -> ReleasedNet:
    try:
        net = _message(memoryview(read_regular(path, limits.NET_BYTES)))
        layers = [layer for number, names in LAYER_LISTS.items() for layer in _caffe_layers(net.get(number, []), names)]
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a complete net of Caffe: {error}") from None
    return ReleasedNet("Caffe", tuple(layers))


def _caffe_layers(messages: list[Wire], names: tuple[int, int]) -> Iterator[ReleasedLayer]:
    for message in messages:
        fields, (name, blobs) = _message(message), names
        if V0 in fields and name != V0:
            fields, (name, blobs) = _message(fields[V0][0]), V0_FIELDS
        arrays = [_blob(blob) for blob in fields.get(blobs, [])]
        if not arrays:
            continue
        label = bytes(fields[name][0]).decode() if isinstance(fields.get(name, [0])[0], memoryview) else "without name"
        if len(arrays) != 2:
            raise ValueError(f"layer {label} has {len(arrays)} blobs, expected weights and biases")
        weight, bias = arrays
        # the blobs of 2014 have four sides: a fully connected layer's are 1 x 1 x outputs x inputs
        yield ReleasedLayer(
            label, weight.reshape(weight.shape[2:]) if weight.shape[:2] == (1, 1) else weight, bias.reshape(-1)
        )


# MatConvNet


def _read_mat(path: Path) -> ReleasedNet:
    with path.open("rb") as file:
        net: Any = read_mat(file, str(path))
    try:
        if "net" in net:
            net = _struct(net["net"])
        layers = [layer for cell in net["layers"].ravel() if (layer := _mat_layer(_struct(cell)))]
        meta = _struct(net["meta"]) if "meta" in net else net
        mean = _mean(_struct(meta["normalization"])["averageImage"]) if "normalization" in meta else None
        classes = _struct(meta["classes"])["name"].ravel() if "classes" in meta else []
        wnids = tuple(str(name.ravel()[0]) for name in classes) or None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: no net of MatConvNet (layers, weights, meta): {error}") from None
    if wnids and not all(re.fullmatch(r"n\d{8}", name) for name in wnids):
        raise ValueError(f"{path}: the names of its classes are no WNIDs, the first is {wnids[0]!r}")
    return ReleasedNet("MatConvNet", tuple(layers), mean, wnids)


def _struct(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """The fields of a MATLAB struct, of which scipy makes an array [1, 1] of records; through the cell that it lies in."""
    while value.dtype.names is None:
        if value.dtype != object:
            raise ValueError(f"expected a struct, got numbers or text of the type {value.dtype}")
        value = value.ravel()[0]
    record = value.ravel()[0]
    return {name: record[name] for name in value.dtype.names}


def _mat_layer(fields: Mapping[str, Any]) -> ReleasedLayer | None:
    """A layer with weights: in a cell `weights`, or, in older files, in `filters` and `biases`."""
    if "filters" in fields:
        weight, bias = fields["filters"], fields["biases"]
    elif "weights" in fields and fields["weights"].size == 2:
        weight, bias = fields["weights"].ravel()
    else:
        return None
    # height x width x inputs x outputs; MATLAB drops last sides of 1
    weight = weight.reshape(weight.shape + (1,) * (4 - weight.ndim))
    kernel = np.ascontiguousarray(weight.transpose(3, 2, 0, 1), np.float32)
    return ReleasedLayer(str(fields["name"].ravel()[0]), kernel, bias.ravel().astype(np.float32))


def _mean(image: NDArray[Any]) -> RGB:
    """The mean RGB of an average image [H, W, 3], or of three numbers."""
    red, green, blue = (image.reshape(-1) if image.size == 3 else image.mean((0, 1))).tolist()
    return red, green, blue
