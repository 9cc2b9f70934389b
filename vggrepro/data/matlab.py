"""The door that files of MATLAB come in by: what they unpack to is bounded before scipy reads them. No torch."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import IO, Any, Literal

from vggrepro.core import limits

HEADER, TAG, COMPRESSED, MATRIX = 128, 8, 15, 14
"""Of MATLAB 5: bytes of the header, bytes before each element, and the types of elements that are packed, and variables."""
CELL, STRUCT, OBJECT, CHAR, SPARSE, LAST = 1, 2, 3, 4, 5, 15
"""Classes of variables; those after the last have no dimensions."""
NUMBER_TYPES = frozenset({*range(1, 8), 9, 12, 13})
ELEMENT_TYPES = NUMBER_TYPES | {MATRIX, COMPRESSED, 16, 17, 18}
"""Types of elements: of numbers, and all."""
COMPLEX = 0x800
"""The flag of a variable that has imaginary parts, too."""
BYTES_PER_STEP = 1 << 20
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
    """A ValueError where packed elements become larger than an honest file's, or variables are smaller than they say."""
    size = file.seek(0, 2)
    file.seek(0)
    header = file.read(HEADER)
    if header[126:] not in (b"MI", b"IM"):  # of MATLAB 4, whose numbers lie in the file as they are
        return
    order: _Order = "big" if header[126:] == b"MI" else "little"
    allowed = max(limits.TEXT_BYTES, limits.UNPACKED_RATIO * size)
    while len(tag := file.read(TAG)) == TAG:
        kind, length = (int.from_bytes(tag[i : i + 4], order) for i in (0, 4))
        end = min(file.tell() + length, size)
        if kind == COMPRESSED:
            data = _unpacked(file, end, allowed)
            allowed -= len(data)
            if allowed < 0:
                raise ValueError(f"unpacks to more than {limits.UNPACKED_RATIO} times its bytes")
            _check_variables(memoryview(data), order)
        elif kind == MATRIX:
            _check_variable(memoryview(file.read(end - file.tell())), order)
        file.seek(end)


def _unpacked(file: IO[bytes], end: int, enough: int) -> bytearray:
    """What an element unpacks to; unpacking stops where it is more than `enough` bytes."""
    unpacker, data = zlib.decompressobj(), bytearray()
    while len(data) <= enough and not unpacker.eof:
        packed = unpacker.unconsumed_tail or file.read(min(BYTES_PER_STEP, end - file.tell()))
        if not packed:
            break
        data += unpacker.decompress(packed, BYTES_PER_STEP)
    return data


_Order = Literal["big", "little"]


def _check_variables(data: memoryview, order: _Order) -> None:
    for kind, content in _elements(data, order):
        if kind == MATRIX:
            _check_variable(content, order)


def _check_variable(data: memoryview, order: _Order) -> None:
    """A ValueError where a variable, or one inside of it, has fewer bytes than entries, which scipy takes memory for."""
    parts = list(_elements(data, order))
    flags = int.from_bytes(parts[0][1][:4], order) if parts else 0
    if len(parts) < 2 or not (1 <= (kind := flags & 255) <= LAST):
        return
    _check_types(flags, [of_part for of_part, _ in parts])
    sides = [int.from_bytes(parts[1][1][i : i + 4], order) for i in range(0, len(parts[1][1]), 4)]
    entries = prod(sides)
    if kind in (CELL, STRUCT, OBJECT):
        entries *= 1 if kind == CELL else max(1, _fields(parts, order))
        # each is an element of its own
        held = max(len(data) // TAG, 1)
    else:
        held = len(data)
    if kind != SPARSE and entries > held:
        raise ValueError(f"a variable of {len(data):,} bytes says that it has {' x '.join(map(str, sides))} entries")
    _check_variables(data, order)


def _check_types(flags: int, types: list[int]) -> None:
    """A ValueError for types of a variable's parts where scipy would read beside its tables, and end without a word."""
    kind, numbers = flags & 255, 0
    if kind > CHAR:
        # of sparse ones two indices come first
        numbers = (3 if kind == SPARSE else 1) + bool(flags & COMPLEX)
    given = types[3 : 3 + numbers]
    if set(types) - ELEMENT_TYPES or set(given) - NUMBER_TYPES or len(given) < numbers:
        listed = ", ".join(map(str, sorted(set(types))))
        raise ValueError(f"a variable of class {kind} has elements of types {listed}, which MATLAB does not write")


def _fields(parts: list[tuple[int, memoryview]], order: _Order) -> int:
    """The number of fields of a structure: the first part of four bytes after the name is the length of each field's name."""
    for (_, length), (_, names) in pairwise(parts[3:]):
        if len(length) == 4 and (each := int.from_bytes(length, order)):
            return len(names) // each
    return 0


def _elements(data: memoryview, order: _Order) -> Iterator[tuple[int, memoryview]]:
    """The elements one after the other, each with its type; one of at most four bytes may lie in its own tag."""
    place = 0
    while place + TAG <= len(data):
        word, length = (int.from_bytes(data[place + i : place + i + 4], order) for i in (0, 4))
        if small := word >> 16:
            yield word & 0xFFFF, data[place + 4 : place + 4 + small]
            place += TAG
        else:
            yield word, data[place + TAG : place + TAG + length]
            place += TAG + (length + TAG - 1) // TAG * TAG
