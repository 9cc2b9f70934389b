"""Quantities of averaged posteriors that the paper does not print, each by one function. No torch.

A column of a user's table names one. Whoever adds a function to `MEASURES` adds a quantity: its interval comes from resampled
images, and two systems are compared on the same resamples. `top-N`, for any N, is a share of images and needs no function.
Numpy is imported where it computes: settings are read before the program chooses numpy's instructions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15
"""Of confidence, equally wide, as in most reports of calibration (Guo et al., 2017)."""


@dataclass(frozen=True)
class RankedImages:
    """How N images come out under a system: the place of the true class, and how sure the system is of its first one."""

    ranks: NDArray[np.int32]
    """[N]: how many classes come before the true one."""
    confidence: NDArray[np.float64]
    """[N]: the posterior of the first class."""
    labels: NDArray[np.int64]
    """[N]: the true classes."""

    def of(self, images: NDArray[np.int64]) -> RankedImages:
        """The same of some images, of which one may come several times."""
        return RankedImages(self.ranks[images], self.confidence[images], self.labels[images])


def mean_class_error(answers: RankedImages) -> float:
    """The mean over classes of the top-1 error among the images of the class, 0 to 1."""
    import numpy as np

    images = np.bincount(answers.labels)
    wrong = np.bincount(answers.labels, answers.ranks > 0)
    return float((wrong[images > 0] / images[images > 0]).mean())


def bin_numbers(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """[N]: the bin of each confidence, 0 to `BINS` - 1; a bin holds its upper end."""
    import numpy as np

    above: NDArray[np.int64] = np.ceil(confidence * BINS).astype(np.int64)
    return np.clip(above, 1, BINS) - 1  # averages of posteriors may exceed 1 by rounding


def calibration_error(answers: RankedImages) -> float:
    """Expected calibration error (Guo et al. 2017), 0 to 1: by how much confidence and accuracy differ, bin by bin."""
    import numpy as np

    place = bin_numbers(answers.confidence)
    right = (answers.ranks == 0) - answers.confidence
    return float(np.abs(np.bincount(place, right)).sum() / len(right))


MEASURES: dict[str, Callable[[RankedImages], float]] = {
    "mean per-class error": mean_class_error,
    "ECE": calibration_error,
}
"""By the name of the quantity: a function of all answers to a value from 0 to 1, of which less is better."""


def allowed_labels(quantity: str) -> int | None:
    """N of `top-N`; None for another quantity."""
    match = re.fullmatch("top-([1-9][0-9]{0,3})", quantity, re.ASCII)
    return int(match[1]) if match else None
