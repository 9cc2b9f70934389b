"""XXH3, the checksum of an image in a store, compiled with numba: for loops that hold no lock of the interpreter.

`core.checksums.data_checksum` computes the same with the xxhash library, whose function can be called from Python alone. Only
data of more than 240 bytes is hashed here, because XXH3 has four other ways for less, which no image needs to be fast.
Specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

SHORT = 240
"""Bytes up to which XXH3 takes another way."""

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
    "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d"
    "8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc"
    "8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def _words(first: int, count: int) -> NDArray[np.uint64]:
    """Words of 64 bits of the secret, from a byte on."""
    return np.frombuffer(_SECRET, "<u8", count, first).astype(np.uint64)


_KEYS, _SCRAMBLE = _words(0, 23), _words(128, 8)
_LAST, _MERGE = _words(121, 8), _words(11, 8)
_PRIME = np.uint64(0x9E3779B185EBCA87)
_START = np.array(
    [0xC2B2AE3D, 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x85EBCA77,
     0x27D4EB2F165667C5, 0x9E3779B1], np.uint64,
)  # fmt: skip
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(inline="always")
def _add_stripe(sums, data, first, keys, key) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Add 64 bytes: `data[first : first + 8]`, under the keys from `key` on."""
    for i in range(8):
        mixed = data[first + i] ^ keys[key + i]
        sums[i] += data[first + (i ^ 1)] + (mixed & _LOW) * (mixed >> _HALF)


@njit(inline="always")
def _folded(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The two halves of a product of 128 bits, one over the other."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low, middle, other = a0 * b0, a1 * b0, a0 * b1
    carry = (low >> _HALF) + (middle & _LOW) + (other & _LOW)
    high = a1 * b1 + (middle >> _HALF) + (other >> _HALF) + (carry >> _HALF)
    return (a * b) ^ high


@njit(types.uint64(types.uint8[::1]), cache=True, nogil=True)
def xxh3_of(data: NDArray[np.uint8]) -> np.uint64:
    """The checksum of more than 240 bytes."""
    sums, words = _START.copy(), data[: len(data) // 8 * 8].view(np.uint64)
    blocks = (len(data) - 1) // 1024
    for block in range(blocks):
        for stripe in range(16):
            _add_stripe(sums, words, 128 * block + 8 * stripe, _KEYS, stripe)
        for i in range(8):
            sums[i] = (sums[i] ^ (sums[i] >> np.uint64(47)) ^ _SCRAMBLE[i]) * np.uint64(0x9E3779B1)
    for stripe in range((len(data) - 1 - 1024 * blocks) // 64):
        _add_stripe(sums, words, 128 * blocks + 8 * stripe, _KEYS, stripe)
    last = np.empty(64, np.uint8)
    last[:] = data[len(data) - 64 :]
    _add_stripe(sums, last.view(np.uint64), 0, _LAST, 0)
    total = np.uint64(len(data)) * _PRIME
    for i in range(0, 8, 2):
        total += _folded(sums[i] ^ _MERGE[i], sums[i + 1] ^ _MERGE[i + 1])
    total ^= total >> np.uint64(37)
    total *= np.uint64(0x165667919E3779F9)
    return total ^ (total >> _HALF)
