"""Numbers per class as posteriors: what is rounded, in per cent or before the soft-max is recognised. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS = 1000
"""Rows that are looked at together."""
MOST_DECIMALS = 7
"""A number with more decimals is not rounded: the sum of a row then differs from 1 by less than EXACT."""
EXACT = 1e-3
"""A row whose sum differs from 1 by less is a posterior as it is."""
WHOLES = {1.0: "1", 100.0: "100 (per cent)"}
"""What the rows of posteriors sum to, and how messages call it."""


class Posteriors(NamedTuple):
    """Posteriors of all images, and what was done to a file's numbers to get them."""

    values: NDArray[np.float32]
    """[N, classes]."""
    done: str
    """For the record; "" where the file's numbers are posteriors as they are."""


def posteriors_of(values: NDArray[Any], path: Path, *, logits: bool) -> Posteriors:
    """The rows of a file as posteriors [N, classes]; with `logits` after the soft-max.

    Rows that sum to 1 or to 100 within what the rounding of their numbers explains are divided by their sums. Raises
    ValueError for a row that is not finite, or that is no posterior, and for `logits` that are posteriors already.
    """
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise ValueError(f"{path}, row {int(finite.argmin()) + 1}: a number that is not finite")
    total, lowest = values.sum(1, dtype=np.float64), values.min(1)
    if ((abs(total - 1) < EXACT) & (lowest >= 0)).all():
        _refuse_logits(path, "every row is a posterior already", logits=logits)
        return Posteriors(values.astype(np.float32), "")
    for whole, called in WHOLES.items():
        if bool(_sums_to(values, total, whole).all()):
            _refuse_logits(path, f"every row sums to {called} within its decimals: these are posteriors", logits=logits)
            divided = (values / total[:, None]).astype(np.float32)
            return Posteriors(divided, f"rows that sum to {called} within their decimals were divided by their sums")
    if logits and lowest.min() >= 0 and values.max() <= 1:
        raise ValueError(
            f"{path}: all numbers lie from 0 to 1, but rows do not sum to 1 (row 1 to {total[0]:g}): such numbers are no "
            "scores before the soft-max; a soft-max over them would be wrong. Write the net's posteriors or its logits"
        )
    if logits and lowest.min() >= 0 and np.ptp(total) <= EXACT * total.mean():
        raise ValueError(
            f"{path}: no number is below 0 and every row sums to {total[0]:g}: these seem to be posteriors times a factor, no "
            "scores before the soft-max: divide them by it"
        )
    if logits:
        raised = np.exp(values - values.max(1, keepdims=True).astype(np.float64))
        return Posteriors((raised / raised.sum(1, keepdims=True)).astype(np.float32), "soft-max")
    _refuse(values, total, lowest, path)
    raise AssertionError("a row that is no posterior was found above")


def _refuse_logits(path: Path, because: str, *, logits: bool) -> None:
    if logits:
        raise ValueError(f"{path}: {because}: leave out --logits")


def _refuse(values: NDArray[Any], total: NDArray[np.float64], lowest: NDArray[Any], path: Path) -> None:
    """Raise the ValueError of a file whose rows are not all posteriors; logits are advised only where some may be."""
    whole = min(WHOLES, key=lambda whole: abs(float(np.median(total)) - whole))
    row = int(_sums_to(values, total, whole).argmin())
    advice = "write the net's posteriors, or its scores before the soft-max with --logits"
    if lowest.min() < 0 and not (np.median(lowest) >= 0 and np.median(abs(total - 1)) < EXACT):
        advice = "if these are scores before the soft-max, give --logits"
    raise ValueError(
        f"{path}, row {row + 1}: no posterior: it sums to {total[row]:g}, its smallest number is {lowest[row]:g}: {advice}"
    )


def _sums_to(values: NDArray[Any], total: NDArray[np.float64], whole: float) -> NDArray[np.bool_]:
    """[N]: whether a row of numbers that are not negative sums to `whole` within what their rounding explains."""
    right = np.empty(len(values), bool)
    for start in range(0, len(values), ROWS):
        part = slice(start, start + ROWS)
        rows = np.asarray(values[part], np.float64)
        more, less = _rounding(rows)
        fits = (total[part] - whole <= more + EXACT * whole) & (whole - total[part] <= less + EXACT * whole)
        # where most of a row is lost in rounding, what remains is no posterior
        right[part] = fits & (rows.min(1) >= 0) & (abs(total[part] - whole) <= whole / 2)
    return right


def _rounding(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much more and how much less than the numbers themselves their rounded values may sum to, [n] each.

    Numbers have so many decimals, or so many digits, or are of 16 bits. A number that was rounded to 0 only lost.
    """
    present = (rows != 0).sum(1)
    for decimals in range(MOST_DECIMALS):
        if _all_equal(rows, rows.round(decimals)):
            unit = 10.0**-decimals / 2
            return unit * present, unit * rows.shape[1]
    digits = next((share for share in (0.05, 0.005, 0.0005) if _all_equal(rows, _to_digits(rows, share))), None)
    if digits is None and _all_equal(rows, _to_bfloat16(rows)):
        digits = 2.0**-8
    slack = (digits or 0.0) * rows.sum(1)
    return slack, slack


def _all_equal(rows: NDArray[np.float64], rounded: NDArray[np.float64]) -> bool:
    # a number of 32 bits has seven digits
    return bool((abs(rows - rounded) <= 1e-6 * abs(rounded) + 1e-12).all())


def _to_digits(rows: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The numbers with so many digits that each changes by at most this share of itself."""
    size = 10.0 ** np.floor(np.log10(np.where(rows > 0, rows, 1.0)))
    unit = 2 * share * size
    rounded: NDArray[np.float64] = (rows / unit).round() * unit
    return rounded


def _to_bfloat16(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    bits = rows.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)
