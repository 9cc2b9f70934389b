"""Arrays and lists of image ids of a stored result, read back and checked before they are believed. No torch."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from vggrepro.core.files import checked, checked_again, read_lines


def read_array(
    path: Path, dtype: DTypeLike, shape: tuple[int | None, ...], again: str, *, mapped: bool = False
) -> NDArray[Any]:
    """The array of a `.npy` file that is a part of the result in the file's folder; `mapped`: as a read-only memory map.

    None in `shape` stands for any length. Nothing is unpickled. Raises ValueError that names the file where it is missing,
    cut short, or of another type or shape; `again` says how to make the result again, such as "evaluate again".
    """
    with checked(path, again), path.open("rb") as file:
        got = read_header(file, path.stat().st_size)
        lengths = zip(shape, got.shape, strict=False)
        if got.dtype != dtype or len(got.shape) != len(shape) or any(n not in (None, length) for n, length in lengths):
            expected = _text(np.dtype(dtype), shape)
            raise ValueError(f"expected {expected}, got {_text(got.dtype, got.shape)}")
        file.seek(0)
        return npy.open_memmap(path, mode="r") if mapped else npy.read_array(file, allow_pickle=False)


class Header(NamedTuple):
    """What the header of a `.npy` file says."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(file: IO[bytes], size: int) -> Header:
    """The header of a `.npy` file of so many bytes; a ValueError unless just the array that it says follows, no objects."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"expected version 1 or 2 of the format, got {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    header = Header(*read(file))
    if header.dtype.hasobject:
        raise ValueError("holds Python's objects")
    expected, held = math.prod(header.shape) * header.dtype.itemsize, size - file.tell()
    if expected != held or min(header.shape, default=0) < 0:
        raise ValueError(
            f"its header says {header.dtype} {list(header.shape)}, {expected:,} bytes, but {held:,} follow"
        )
    return header


def read_part(path: Path, rows: slice, again: str) -> NDArray[Any]:
    """Some rows of a `.npy` file that this process has read and compared with its checksum before.

    By position, not through a memory map: a file that is cut while it is mapped kills the process (SIGBUS). Raises ValueError
    that names the file where it is cut by now.
    """
    with checked_again(path, again), path.open("rb", buffering=0) as file:
        shape, fortran, dtype = read_header(file, path.stat().st_size)
        first, last, _ = rows.indices(shape[0])
        if fortran and len(shape) > 1:
            # column after column, as NumPy writes what was chosen by columns: no row lies in one piece
            whole = np.empty(shape[::-1], dtype)
            if file.readinto(whole.reshape(-1).view(np.uint8).data) != whole.nbytes:
                raise ValueError("it was cut while it was read")
            return np.ascontiguousarray(whole.T[first:last])
        part = np.empty((max(last - first, 0), *shape[1:]), dtype)
        file.seek(first * part[:1].nbytes, os.SEEK_CUR)
        if file.readinto(part.reshape(-1).view(np.uint8).data) != part.nbytes:
            raise ValueError("it was cut while it was read")
        return part


def _text(dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> str:
    """`float32 [8, any]`."""
    return f"{dtype} [{', '.join('any' if n is None else str(n) for n in shape)}]"


def read_ids(path: Path, again: str) -> tuple[str, ...]:
    """The ids of the images of a stored result, one a line; a ValueError that names the file, as of `read_array`."""
    return tuple(read_lines(path, again))
