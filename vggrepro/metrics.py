"""Errors from scores. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ranks(posteriors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """How many classes come before the true one, [N] of posteriors [N, classes]: 0 is a correct top-1 answer.

    Of classes with equal posteriors the lower number comes first, as in a stable sort.
    """
    true = np.take_along_axis(posteriors, labels[:, None], 1)
    # "not less or equal" rather than "greater": where a posterior is not a number, the true class is last, not first
    before: NDArray[np.int32] = (~(posteriors <= true)).sum(1, dtype=np.int32)
    tied = posteriors == true
    if tied.sum() > len(labels):  # rarely anything but the true class itself
        before += (tied & (np.arange(posteriors.shape[1]) < labels[:, None])).sum(1, dtype=np.int32)
    return before


TOP = {"top-1": 1, "top-5": 5}
"""How many answers each error allows."""


def wrong(found: NDArray[np.int32], quantity: str) -> NDArray[np.bool_]:
    """PAPER 4: which images count as errors, from the ranks of their true classes."""
    return found >= TOP[quantity]
