"""The mean colour of a training set and the principal components of its colours. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Colours:
    """Colour statistics of a training set."""

    mean: tuple[float, float, float]
    """Mean R, G, B, 0-255: the only preprocessing (PAPER 2.1)."""
    eigenvalues: tuple[float, float, float]
    """Of the covariance of RGB in [0, 1], descending. [0, 1] is the scale of the PCA constants in common use."""
    eigenvectors: tuple[tuple[float, float, float], ...]
    """[3, 3]: eigenvectors in columns, R, G and B in rows."""

    @classmethod
    def of(cls, count: float, total: NDArray[np.float64], products: NDArray[np.float64]) -> Colours:
        """From the number of pixels, the sum of RGB [3] and the sum of its outer products [3, 3], 0-255."""
        mean = total / count
        values, vectors = np.linalg.eigh((products / count - np.outer(mean, mean)) / 255**2)
        vectors = vectors[:, ::-1] * np.where(
            vectors[0, ::-1] > 0, -1, 1
        )  # the sign is arbitrary: here the first row is negative
        return cls(_triple(mean), _triple(values[::-1].clip(0)), tuple(_triple(row) for row in vectors))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = (float(value) for value in values)
    return r, g, b


@dataclass(frozen=True)
class Sums:
    """Sums of which `Colours` are computed, in whole numbers, so that the order of images does not matter."""

    count: int = 0
    total: NDArray[np.int64] | int = 0
    products: NDArray[np.int64] | int = 0

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> Sums:
        """The sums over the pixels [H, W, 3] of an image."""
        # float64 holds these sums exactly for any image under 10^11 pixels, and multiplies with BLAS
        pixels = image.reshape(-1, 3).astype(np.float64)
        return cls(len(pixels), pixels.sum(0).astype(np.int64), (pixels.T @ pixels).astype(np.int64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.count + other.count, self.total + other.total, self.products + other.products)

    def as_row(self) -> list[int]:
        """Thirteen numbers: the count, the three sums, the nine products."""
        return [self.count, *np.ravel(self.total), *np.ravel(self.products)] if self.count else [0] * 13

    @classmethod
    def from_rows(cls, rows: NDArray[np.int64]) -> Sums:
        """The sums over all images whose rows of `as_row` are given, [N, 13]."""
        totals = rows.sum(0)
        return cls(int(totals[0]), totals[1:4], totals[4:].reshape(3, 3))

    def colours(self) -> Colours:
        """The colour statistics of the summed pixels."""
        return Colours.of(self.count, np.asarray(self.total, np.float64), np.asarray(self.products, np.float64))
