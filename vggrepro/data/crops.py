"""The training crops of a batch from a prepared store, read, checked, rescaled and cut while the interpreter's lock is free.

Threads that hold the lock wait for each other, and the thread that feeds a GPU waits for all of them. Here a batch of pixels
is one call that lets the lock go; of JPEGs the lock is held while libjpeg-turbo is called, not while it decodes. What a crop
is, `Store.image` and `transforms.training_crop` say; what cannot be read here is left to them: they name what is wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from vggrepro.data.resample import resample
from vggrepro.data.store import Store, decode_jpeg
from vggrepro.data.transforms import Draws, Pixels, rescaled_sizes, training_crop
from vggrepro.data.xxh3 import SHORT, xxh3_of

FILES_AT_ONCE = 32
"""Image files that are read in one call."""

_BYTES, _NUMBERS, _FLAGS = types.uint8[::1], types.int64[::1], types.boolean[::1]
_PAIRS, _ROWS = types.int64[:, ::1], types.uint8[:, ::1]
# of the C library, which Python itself is linked with
_pread = types.ExternalFunction("pread", types.int64(types.int32, types.uintp, types.uintp, types.int64))


class _Cuts(NamedTuple):
    """Where the crops of a batch lie in their images."""

    sizes: NDArray[np.int64]
    """[B, 2]: height and width of the stored images."""
    rescaled: NDArray[np.int64]
    """[B, 2]: after rescaling to each one's S."""
    corners: NDArray[np.int64]
    """[B, 2]: top and left, in the rescaled image."""
    mirrored: NDArray[np.bool_]
    """[B]."""


def training_crops(
    store: Store, numbers: NDArray[np.int64], draws: Draws, crop: int, *, flip: bool, out: Pixels
) -> None:
    """Write into `out` [B, crop, crop, 3] the crops of the images `numbers`: see `transforms.training_crop`.

    Raises ValueError where the bytes of an image are not those that were written, and for a file that cannot be decoded.
    """
    sizes = store.stored_sizes(numbers)
    rescaled = rescaled_sizes(sizes, draws.S[numbers])
    cuts = _Cuts(sizes, rescaled, draws.corners(numbers, rescaled, crop), draws.flip[numbers] & flip)
    rows = np.reshape(out, (len(numbers), crop, 3 * crop), copy=False)
    done = np.zeros(len(numbers), np.bool_)
    checksums = store.checksums(numbers)
    if checksums is not None:
        places = store.places(numbers)
        if store.keeps_pixels:
            _read_pixels(store.descriptor, *places, checksums, *cuts, rows, done)
        else:
            _decode_files(store.descriptor, *places, checksums, cuts, rows, done)
    for row in np.flatnonzero(~done):
        i = numbers[row]
        training_crop(store.image(i), draws, i, crop, flip=flip, out=out[row])


def _decode_files(
    descriptor: int,
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    checksums: NDArray[np.uint64],
    cuts: _Cuts,
    rows: Pixels,
    done: NDArray[np.bool_],
) -> None:
    """Read image files, decode them and cut out their crops; `done` says of which."""
    # the same memory for all: fresh memory is cleared by the system, and given back while the lock is held
    room = np.empty(3 * cuts.sizes.prod(1).max(initial=0), np.uint8)
    data = np.empty(FILES_AT_ONCE * lengths.max(initial=0), np.uint8)
    sizes, rescaled, corners, mirrored = (values.tolist() for values in cuts)
    # all of Python's own work on the batch at once, before decoding has driven it out of the cache
    images = list(zip(sizes, map(tuple, rescaled), map(tuple, corners), mirrored, rows, strict=True))
    view, good = data.data, [False] * len(images)
    for first in range(0, len(images), FILES_AT_ONCE):
        part = slice(first, first + FILES_AT_ONCE)
        ends = np.cumsum(lengths[part])
        _read_files(descriptor, offsets[part], lengths[part], checksums[part], ends, data, done[part])
        begins = (ends - lengths[part]).tolist()
        for row, begin, end, whole in zip(
            range(len(images))[part], begins, ends.tolist(), done[part].tolist(), strict=True
        ):
            (height, width), *cut = images[row]
            image = decode_jpeg(view[begin:end], room) if whole else None
            if image is not None and image.shape == (height, width, 3):
                good[row] = _cut(image.reshape(height, 3 * width), *cut)
    done[:] = good


@njit(cache=True, nogil=True)
def _read(descriptor, offset, length, checksum, into):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Read an image's bytes from a file; whether all came, and have their checksum."""
    got = 0
    while got < length:
        count = _pread(descriptor, into.ctypes.data + got, length - got, offset + got)
        if count <= 0:
            return False
        got += count
    return length > SHORT and xxh3_of(into) == checksum


@njit(
    types.boolean(types.Array(types.uint8, 2, "C", readonly=True), types.UniTuple(types.int64, 2),
                  types.UniTuple(types.int64, 2), types.boolean, _ROWS), cache=True, nogil=True,
)  # fmt: skip
def _cut(pixels, rescaled, corner, mirrored, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write a crop of an image [H, 3 W] into `out` [h, 3 w], see `transforms.window`; False where it does not lie in it."""
    height, width = out.shape[0], out.shape[1] // 3
    top, left = corner
    if top < 0 or left < 0 or top + height > rescaled[0] or left + width > rescaled[1]:
        return False
    if rescaled[0] != pixels.shape[0] or 3 * rescaled[1] != pixels.shape[1]:
        resample(pixels, rescaled, corner, mirrored, out)
        return True
    for y in range(height):
        row = pixels[top + y, 3 * left : 3 * (left + width)]
        if mirrored:
            for x in range(width):
                for colour in range(3):
                    out[y, 3 * (width - 1 - x) + colour] = row[3 * x + colour]
        else:
            out[y, :] = row
    return True


@njit(
    types.void(types.int32, _NUMBERS, _NUMBERS, types.uint64[::1], _PAIRS, _PAIRS, _PAIRS, _FLAGS,
               types.uint8[:, :, ::1], _FLAGS), cache=True, nogil=True,
)  # fmt: skip
def _read_pixels(descriptor, offsets, lengths, checksums, sizes, rescaled, corners, mirrored, out, done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Read images of pixels and cut out their crops; `done` says which could be."""
    data = np.empty(max(lengths.max(), 0) if len(lengths) else 0, np.uint8)
    for i in range(len(lengths)):
        (height, width), length = sizes[i], lengths[i]
        if height < 1 or length != 3 * height * width:
            continue
        image = data[:length]
        if _read(descriptor, offsets[i], length, checksums[i], image):
            place, corner = (rescaled[i, 0], rescaled[i, 1]), (corners[i, 0], corners[i, 1])
            done[i] = _cut(image.reshape(height, 3 * width), place, corner, mirrored[i], out[i])


@njit(types.void(types.int32, _NUMBERS, _NUMBERS, types.uint64[::1], _NUMBERS, _BYTES, _FLAGS), cache=True, nogil=True)
def _read_files(descriptor, offsets, lengths, checksums, ends, data, done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Read image files one after another into `data`; `done` says which could be."""
    for i in range(len(lengths)):
        done[i] = _read(descriptor, offsets[i], lengths[i], checksums[i], data[ends[i] - lengths[i] : ends[i]])
