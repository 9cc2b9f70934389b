"""What a recomputation found: numbers that agree within a stated tolerance, numbers that differ, and what was not computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

CheckStatus = Literal["agrees", "differs", "not recomputed"]


class NoSecondDefinitionError(ValueError):
    """Something that only the code that is checked defines."""


@dataclass(frozen=True)
class Finding:
    """One thing that was computed again, or could not be."""

    about: str
    """A path below the folder of results: `runs/D_256_s0`, `scores/D_256_s0/dense/256`, `tables/table03`."""
    what: str
    """`loss of steps 1 to 3`, `posteriors of 4 of 400 images`."""
    status: CheckStatus
    note: str = ""
    """Where the largest difference is, or why nothing was computed."""
    difference: float | None = None
    """The largest."""
    tolerance: float | None = None
    digits: float | None = None
    """To how many decimal digits the numbers agree: of relative differences, significant ones."""

    @property
    def line(self) -> str:
        """For people."""
        text = f"{self.about}: {self.what}: {self.status}"
        if self.digits is not None and self.status == "agrees":
            text += " exactly" if math.isinf(self.digits) else f" to {self.digits:.1f} digits"
        if self.difference is not None and self.tolerance is not None and self.difference:
            text += f" (largest difference {self.difference:.2g}, tolerance {self.tolerance:.2g})"
        return text + (f": {self.note}" if self.note else "")


def compared_numbers(
    about: str,
    what: str,
    ours: ArrayLike,
    stored: ArrayLike,
    *,
    tolerance: ArrayLike,
    scale: ArrayLike = 1.0,
    note: str = "",
) -> Finding:
    """The finding on arrays of equal shape, of which no difference, in units of `scale`, may exceed its tolerance.

    A NaN in either differs. The finding names the difference that is the most tolerances wide, and its tolerance.
    """
    first, second = np.asarray(ours, np.float64), np.asarray(stored, np.float64)
    if first.shape != second.shape:
        return Finding(about, what, "differs", f"computed again: shape {first.shape}, stored: {second.shape}")
    if not first.size:
        return Finding(about, what, "agrees", note, 0.0, digits=math.inf)
    differences = np.nan_to_num(np.abs(first - second) / np.maximum(np.asarray(scale, np.float64), 1e-300), nan=np.inf)
    tolerances = np.broadcast_to(np.asarray(tolerance, np.float64), differences.shape)
    place = np.unravel_index(int((differences / np.maximum(tolerances, 1e-300)).argmax()), differences.shape)
    worst, allowed, largest = float(differences[place]), float(tolerances[place]), float(differences.max())
    digits = math.inf if largest == 0 else max(0.0, -math.log10(largest))
    agree = bool((differences <= tolerances).all())
    return Finding(about, what, "agrees" if agree else "differs", note, worst, allowed, digits)


def equal(about: str, what: str, same: bool, note: str = "") -> Finding:
    """The finding on something that has no tolerance; `note` says how it differs."""
    return Finding(about, what, "agrees", digits=math.inf) if same else Finding(about, what, "differs", note)


def skipped(about: str, what: str, why: str) -> Finding:
    """Something that could not be computed again, and why."""
    return Finding(about, what, "not recomputed", why)


def summary(findings: Iterable[Finding]) -> str:
    """How many findings of each status."""
    counts = {"agrees": 0, "differs": 0, "not recomputed": 0}
    for finding in findings:
        counts[finding.status] += 1
    return f"{counts['agrees']} agree, {counts['differs']} differ, {counts['not recomputed']} could not be recomputed"
