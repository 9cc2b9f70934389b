"""The door that files of MATLAB come in by: what they unpack to is bounded before scipy reads them. No torch."""

from __future__ import annotations

import zlib
from typing import IO, Any

from vggrepro.core import limits

HEADER, TAG, COMPRESSED = 128, 8, 15
"""Of MATLAB 5: bytes of the header, bytes before each element, and the type of an element that is packed."""
BLOCK = 1 << 20
"""Bytes that are unpacked at a time."""


def read_mat(file: IO[bytes], where: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The variables in a .mat file, as `scipy.io.loadmat` gives them; a ValueError that calls the file `where` it is none."""
    from scipy.io import loadmat

    try:
        _check_unpacked(file)
        file.seek(0)
        variables: dict[str, Any] = loadmat(file, **options)
    except NotImplementedError:
        raise ValueError(f"{where}: is of MATLAB 7.3 (HDF5): load it in MATLAB and save it with -v7") from None
    except Exception as error:  # scipy raises many kinds of errors for other files
        raise ValueError(f"{where}: cannot be read as MATLAB's: {error}") from None
    return variables


def _check_unpacked(file: IO[bytes]) -> None:
    """A ValueError where packed elements become larger than those of an honest file."""
    size = file.seek(0, 2)
    file.seek(0)
    order = "big" if file.read(HEADER)[126:] == b"MI" else "little"
    allowed = max(limits.TEXT_BYTES, limits.UNPACKED_RATIO * size)
    while len(tag := file.read(TAG)) == TAG:
        kind, length = (int.from_bytes(tag[i : i + 4], order) for i in (0, 4))  # type: ignore[arg-type]
        end = min(file.tell() + length, size)
        if kind == COMPRESSED:
            allowed -= _unpacked_bytes(file, end, allowed)
        if allowed < 0:
            raise ValueError(f"unpacks to more than {limits.UNPACKED_RATIO} times its bytes")
        file.seek(end)


def _unpacked_bytes(file: IO[bytes], end: int, enough: int) -> int:
    """The bytes that an element unpacks to; counting stops where they are more than `enough`."""
    unpacker, count = zlib.decompressobj(), 0
    while count <= enough and not unpacker.eof:
        packed = unpacker.unconsumed_tail or file.read(min(BLOCK, end - file.tell()))
        if not packed:
            break
        count += len(unpacker.decompress(packed, BLOCK))
    return count
