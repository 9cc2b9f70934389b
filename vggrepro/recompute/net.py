"""The nets, written out from the published Table 1 with torch's plain functions. Nothing of `vggrepro.nets` is called."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from vggrepro.paper.runs import Run
from vggrepro.paper.tables import PUBLISHED
from vggrepro.recompute.findings import NoSecondDefinitionError

Shapes = dict[str, tuple[int, ...]]
"""The shape of every parameter by its name: kernels [outputs, inputs, k, k], matrices [outputs, inputs], biases [outputs]."""


@cache
def convolutions(net: str) -> tuple[tuple[tuple[int, int] | None, ...], ...]:
    """Five blocks of (kernel size, channels), and None for LRN, from the column of a net in `table01.csv`.

    PAPER 4.1: in B-5x5 each pair of B's 3x3 convolutions is one 5x5. Raises NoSecondDefinitionError for another net.
    """
    with (PUBLISHED / "table01.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["row"].startswith("block")]
    if net.removesuffix("-5x5") not in rows[0]:
        raise NoSecondDefinitionError(f"{net}: not in tables/published/table01.csv, from which nets are computed again")
    blocks = []
    for row in rows:
        block: list[tuple[int, int] | None] = []
        for text in row[net.removesuffix("-5x5")].replace("**", "").split(", "):
            match = re.fullmatch(r"conv(\d)-(\d+)(?: x(\d+))?", text)
            block += [(int(match[1]), int(match[2]))] * int(match[3] or 1) if match else [None]
        if net.endswith("-5x5"):
            block = [(5, channels) for _, channels in filter(None, block[::2])]
        blocks.append(tuple(block))
    return tuple(blocks)


@dataclass(frozen=True)
class Sizes:
    """What settings decide of a net: the paper's is 32, 64, 4096, floor, 0.5."""

    unit: int
    """Pixels that stand for 32 of the paper."""
    width: int
    fc: int
    pooling: str
    dropout: float
    layers: tuple[int | str, ...] = ()
    """Of a user's own net, in place of Table 1's."""

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> Sizes:
        """The sizes in the `model` block of a record."""
        own = tuple(model.get("layers") or ())
        return cls(model["scale_unit"], model["width"], model["fc"], model["pooling"], model["dropout"], own)

    @property
    def averages(self) -> bool:
        """Whether the last layer follows the mean over a window instead of two FC layers."""
        return self.layers[-1:] == ("GAP",)

    @property
    def crop(self) -> int:
        """Side of the net's input: the paper's 224."""
        return 224 * self.unit // 32

    def pixels(self, scale: int) -> int:
        """A scale of the paper in pixels."""
        return round(scale * self.unit / 32)

    @property
    def poolings(self) -> int:
        """After the first so many blocks: five at 32 pixels, where a crop ends as 7x7."""
        return round(math.log2(self.unit))


Block = tuple[tuple[int, int] | str | None, ...]
"""(kernel size, channels) of convolutions, None for LRN, "BN" between a convolution and its ReLU."""


def blocks_of(net: str, sizes: Sizes) -> tuple[Block, ...]:
    """The five blocks of a net: of Table 1, or of the user's own list."""
    if not sizes.layers:
        return convolutions(net)
    blocks: list[list[tuple[int, int] | str | None]] = [[]]
    for layer in sizes.layers:
        if layer in ("M", "GAP"):
            blocks.append([])
        elif layer in ("LRN", "BN"):
            blocks[-1].append(None if layer == "LRN" else "BN")
        else:
            kernel, _, channels = str(layer).removeprefix("conv").rpartition("-")
            blocks[-1].append((int(kernel or 3), int(channels)))
    return tuple(map(tuple, blocks[:5]))


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What batch normalisation keeps beside its parameters."""


def parameter_shapes(net: str, outputs: int, sizes: Sizes) -> Shapes:
    """Every parameter of a net, in the order of its layers."""
    shapes: Shapes = {}
    inputs = 3
    for b, block in enumerate(blocks_of(net, sizes), start=1):
        i = 0
        for layer in block:
            if isinstance(layer, tuple):
                i += 1
                channels = max(1, layer[1] * sizes.width // 64)
                shapes[f"features.conv{b}_{i}.weight"] = (channels, inputs, layer[0], layer[0])
                shapes[f"features.conv{b}_{i}.bias"] = (channels,)
                inputs = channels
            elif layer == "BN":
                shapes |= {f"features.bn{b}_{i}.{name}": (inputs,) for name in ("weight", "bias", *STATISTICS[:2])}
                shapes[f"features.bn{b}_{i}.{STATISTICS[2]}"] = ()
    hidden = [] if sizes.averages else [("fc6", inputs * 49, sizes.fc), ("fc7", sizes.fc, sizes.fc)]
    for name, before, after in (*hidden, ("fc8", inputs if sizes.averages else sizes.fc, outputs)):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (after, before), (after,)
    return shapes


def wrong_shapes(expected: Shapes, tensors: Mapping[str, Tensor]) -> str:
    """The parameters that are missing, too many, or of another shape; empty where all are as Table 1 has them."""
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = sorted(name for name in {*expected, *got} if expected.get(name) != got.get(name))
    return "; ".join(f"{name}: by Table 1 {expected.get(name)}, stored {got.get(name)}" for name in names[:3])


def feature_map(net: str, weights: Mapping[str, Tensor], x: Tensor, sizes: Sizes) -> Tensor:
    """The convolutional part [B, C, h, w] for images [B, 3, H, W] whose mean is subtracted."""
    for b, block in enumerate(blocks_of(net, sizes), start=1):
        i = 0
        for layer, following in zip(block, (*block[1:], None), strict=True):
            if layer == "BN":
                mean, var, scale, shift = (
                    weights[f"features.bn{b}_{i}.{name}"] for name in (*STATISTICS[:2], "weight", "bias")
                )
                x = torch.relu(F.batch_norm(x, mean, var, scale, shift))
                continue
            if not isinstance(layer, tuple):
                # Krizhevsky's formula does not divide alpha by n, as torch does
                x = F.local_response_norm(x, size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)
                continue
            i += 1
            weight, bias = weights[f"features.conv{b}_{i}.weight"], weights[f"features.conv{b}_{i}.bias"]
            x = F.conv2d(x, weight, bias, padding=(layer[0] - 1) // 2)
            x = x if following == "BN" else torch.relu(x)
        if b <= sizes.poolings:
            x = F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=sizes.pooling == "ceil")
    return x


def crop_outputs(
    net: str, weights: Mapping[str, Tensor], x: Tensor, sizes: Sizes, kept: Tensor | None = None
) -> Tensor:
    """Outputs [B, outputs] of crops [B, 3, crop, crop]; `kept` [B, 2, fc] multiplies the first two FC layers (dropout)."""
    x = feature_map(net, weights, x, sizes)
    if sizes.averages:
        return F.linear(x.mean((2, 3)), weights["fc8.weight"], weights["fc8.bias"])
    x = x.flatten(1)
    for place, name in enumerate(("fc6", "fc7")):
        x = torch.relu(F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
        x = x if kept is None else x * kept[:, place]
    return F.linear(x, weights["fc8.weight"], weights["fc8.bias"])


def hidden_map(net: str, weights: Mapping[str, Tensor], x: Tensor, sizes: Sizes) -> Tensor:
    """The second FC layer's activations [B, fc, h, w] of whole images: PAPER 3.2: FC layers become convolutions."""
    x = feature_map(net, weights, x, sizes)
    if sizes.averages:
        return F.avg_pool2d(x, 7, 1)
    x = torch.relu(F.conv2d(x, weights["fc6.weight"].reshape(sizes.fc, -1, 7, 7), weights["fc6.bias"]))
    return torch.relu(F.conv2d(x, weights["fc7.weight"][:, :, None, None], weights["fc7.bias"]))


def output_map(net: str, weights: Mapping[str, Tensor], x: Tensor, sizes: Sizes) -> Tensor:
    """The map [B, outputs, h, w] of class scores or box vectors of whole images."""
    x = hidden_map(net, weights, x, sizes)
    return F.conv2d(x, weights["fc8.weight"][:, :, None, None], weights["fc8.bias"])


@dataclass(frozen=True)
class StoredNet:
    """The weights of a run, and what their file says of them."""

    run: str
    classes: int
    sizes: Sizes
    mean: tuple[float, float, float]
    weights: dict[str, Tensor]

    @property
    def net(self) -> str:
        """`D` of `D_256_s0`."""
        return self.run.split("_")[0]


@lru_cache(maxsize=2)
def read_net(path: Path) -> StoredNet:
    """The net in a file of weights. Raises ValueError for a file that vggrepro did not write."""
    with safe_open(path, "pt") as file:
        header = (file.metadata() or {}).get("vggrepro")
        if header is None:
            raise ValueError(
                f"{path}: its header does not say which net it holds: expected weights.safetensors of a run"
            )
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    about = json.loads(header)
    return StoredNet(about["run"], len(about["wnids"]), Sizes.of(about["model"]), tuple(about["mean"]), weights)


def wrong_layers(net: StoredNet) -> str:
    """How the layers of a stored net are not those of Table 1 in its sizes; empty where they are."""
    outputs = Run.parse(net.run).outputs(net.classes)
    return wrong_shapes(parameter_shapes(net.net, outputs, net.sizes), net.weights)
