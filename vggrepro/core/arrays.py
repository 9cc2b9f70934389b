"""Arrays and lists of image ids of a stored result, read back and checked before they are believed. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from vggrepro.core.files import checked, read_lines


def read_array(
    path: Path, dtype: DTypeLike, shape: tuple[int | None, ...], again: str, *, mapped: bool = False
) -> NDArray[Any]:
    """The array of a `.npy` file that is a part of the result in the file's folder; `mapped`: as a read-only memory map.

    None in `shape` stands for any length. Nothing is unpickled. Raises ValueError that names the file where it is missing,
    cut short, or of another type or shape; `again` says how to make the result again, such as "evaluate again".
    """
    with checked(path, again):
        array = _open(path, mapped=mapped)
        lengths = zip(shape, array.shape, strict=False)
        if array.dtype != dtype or array.ndim != len(shape) or any(n not in (None, length) for n, length in lengths):
            expected = _text(np.dtype(dtype), shape)
            raise ValueError(f"expected {expected}, got {_text(array.dtype, array.shape)}")
        return array


def _open(path: Path, *, mapped: bool) -> NDArray[Any]:
    if mapped:
        return map_array(path)
    with path.open("rb") as file:
        return npy.read_array(file, allow_pickle=False)


def map_array(path: Path) -> NDArray[Any]:
    """A read-only memory map of a `.npy` file that this process has read and compared with its checksum before."""
    return npy.open_memmap(path, mode="r")


def _text(dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> str:
    """`float32 [8, any]`."""
    return f"{dtype} [{', '.join('any' if n is None else str(n) for n in shape)}]"


def read_ids(path: Path, again: str) -> tuple[str, ...]:
    """The ids of the images of a stored result, one a line; a ValueError that names the file, as of `read_array`."""
    return tuple(read_lines(path, again))
