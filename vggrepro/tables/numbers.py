"""Numbers and intervals as they are printed. No torch."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from vggrepro.tables import markup
from vggrepro.tables.cells import CellInterval

RANGE = " to "


def rounded(value: float, decimals: int = 1) -> Decimal:
    """The value to so many decimals, half away from zero: 27.75 is 27.8. To nine first, because floats fall short."""
    return Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def printed_number(value: float | Decimal, *, signed: bool = False, decimals: int = 1) -> str:
    """A number as it is printed: a true minus sign, and none before zero."""
    number = rounded(float(value), decimals)
    return f"{number:{'+' if signed else ''}f}".replace("-", markup.MINUS) if number else f"{abs(number):f}"


def printed_interval(bounds: CellInterval | None, *, signed: bool = False, decimals: int = 1) -> str:
    """An interval as it is printed: `1.2 to 3.4`."""
    if bounds is None:
        return ""
    return RANGE.join(printed_number(bound, signed=signed, decimals=decimals) for bound in bounds)


FEW_IMAGES = 2000
"""Below this number of images one more of them moves an error by more than 0.05 points."""


def decimals_of_images(n: int) -> int:
    """One decimal as in the paper; two where an image is more than half of it, so that no count is rounded away."""
    return 2 if 0 < n < FEW_IMAGES else 1


def printed_p(value: float | None) -> str:
    """A p-value as it is printed."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
