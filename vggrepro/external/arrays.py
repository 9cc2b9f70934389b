"""The door that arrays of others come in by: a header is held against the bytes that follow. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vggrepro.core import limits
from vggrepro.core.arrays import read_header
from vggrepro.core.files import open_zip

NPY = ".npy"


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy, as a read-only memory map; a ValueError that names the file where it is none."""
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size)
        mapped: NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r")
    except Exception as error:
        raise ValueError(_message(path, error)) from None
    return mapped


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz by name, other files in it left out; a ValueError that names the file where it is none."""
    with open_zip(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(NPY)]
        if (size := sum(member.file_size for member in members)) > limits.ARRAY_BYTES:
            raise ValueError(f"{path}: unpacks to {size:,} bytes, expected at most {limits.ARRAY_BYTES:,}")
        try:
            return {member.filename.removesuffix(NPY): _read_member(archive, member) for member in members}
        except Exception as error:
            raise ValueError(_message(path, error)) from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        _check_header(file, member.file_size)
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], size: int) -> None:
    """A ValueError unless a .npy file of so many bytes holds just the array that its header says."""
    read_header(file, size)
    held = size - file.tell()
    if held > limits.ARRAY_BYTES:
        raise ValueError(f"{held:,} bytes, expected at most {limits.ARRAY_BYTES:,}")


def _message(path: Path, error: Exception) -> str:
    # numpy and zipfile raise many kinds of errors for other files
    return f"{path}: not arrays of NumPy that can be read without unpickling: {error}"
