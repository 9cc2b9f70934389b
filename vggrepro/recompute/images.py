"""Pixels: read, rescaled, cut and mirrored by PIL and by indices. Nothing of `vggrepro.data.transforms` is called."""

from __future__ import annotations

import io
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vggrepro.core.records import StoreRecord, typed_record
from vggrepro.data.store import Store

Pixels = NDArray[np.uint8]
"""[H, W, 3]: R, G, B."""


def store_digest(folder: Path) -> str:
    """The digest of a prepared store. Raises ValueError where its record is missing or damaged."""
    return str(typed_record(folder / "store.json", ("digest",), kind=StoreRecord)["digest"])


def decoded(data: bytes) -> Pixels:
    """An image file as RGB; EXIF is ignored."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def stored_image(store: Store, i: int) -> Pixels:
    """Image `i` of a prepared store: in its original size, or as it was rescaled once and for all."""
    entry = store.index[i]
    with (store.folder / "images.bin").open("rb") as file:
        file.seek(int(entry["offset"]))
        data = file.read(int(entry["length"]))
    if store.about["encoding"] != "pixels":
        return decoded(data)
    size = int(entry["height"]), int(entry["width"])
    return np.frombuffer(data, np.uint8).reshape(*(rescaled_size(size, store.smallest) if store.smallest else size), 3)


def rescaled_size(size: tuple[int, int], smallest: int) -> tuple[int, int]:
    """PAPER 3.1, 3.2: isotropically, so that the smallest side is `smallest`; the other side is rounded half up."""
    scale = Fraction(smallest, min(size))
    return floor(size[0] * scale + Fraction(1, 2)), floor(size[1] * scale + Fraction(1, 2))


def rescaled(image: Pixels, smallest: int) -> Pixels:
    """The whole image with its smallest side `smallest`. CHOICE 6: PIL's antialiased bilinear filter."""
    height, width = rescaled_size((image.shape[0], image.shape[1]), smallest)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def rescaled_once(image: Pixels, smallest: int) -> Pixels:
    """The same, rounded to bytes at the end alone: what `train.on_device` does to images that it enlarges."""
    height, width = rescaled_size((image.shape[0], image.shape[1]), smallest)
    channels = [
        Image.fromarray(image[..., c].astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        for c in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1).round().astype(np.uint8)


def centre_corner(height: int, width: int, crop: int) -> tuple[int, int]:
    """Top and left of the central crop."""
    return (height - crop) // 2, (width - crop) // 2


def grid_corners(height: int, width: int, crop: int, kind: str) -> list[tuple[int, int]]:
    """PAPER 3.2: top and left of the 5x5 crops, regularly over the `whole` image or its central `square` (CHOICE 5)."""
    if kind == "square":
        side = min(height, width)
        top, left = centre_corner(height, width, side)
        return [(top + y, left + x) for y, x in grid_corners(side, side, crop, "whole")]
    return [(round(Fraction(a * (height - crop), 4)), round(Fraction(b * (width - crop), 4)))
            for a in range(5) for b in range(5)]  # fmt: skip


def cut(image: Pixels, corner: tuple[int, int], crop: int) -> Pixels:
    """The square crop at a corner."""
    return image[corner[0] : corner[0] + crop, corner[1] : corner[1] + crop]


def net_input(views: list[Pixels], shift: NDArray[np.float64]) -> Tensor:
    """Views of one shape as a tensor [B, 3, H, W], R, G, B added to each: [B, 3], or [3] for all."""
    values = np.stack(views).astype(np.float64) + np.reshape(shift, (-1, 1, 1, 3))
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32))
