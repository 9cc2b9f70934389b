"""Variants as lines of text, one for each column of a table: what every printed form of them shows. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from vggrepro.tables.cells import MARKS, Cell, Difference, Table
from vggrepro.tables.numbers import decimals_of_images, printed_interval, printed_number, printed_p

VARIANTS_HEADING = "Not of the paper: variants"
VARIANTS_NOTE = (
    "A variant is a run of the user's own, beside the row of ours that it varies. A difference is the variant's number less "
    "that row's, image by image, with a 95% interval by images and by what training does. A verdict is given after Holm's "
    "correction over the differences in this list: at 5%, the chance of any false one is at most 5%. Inconclusive means "
    "that the data cannot tell: a true difference of the size in brackets would be found with 80% power."
)
VARIANT_HEADINGS = (
    "variant",
    "what differs (usual)",
    "number",
    "here (95%)",
    "row varied",
    "difference (95%)",
    "p",
    "verdict",
    "n",
)
"""Headings of `VariantLine.texts`."""


@dataclass(frozen=True)
class VariantLine:
    """A variant's number in one column beside that of the row that it varies."""

    anchor: str
    """The id of the cell."""
    verdict: str
    texts: tuple[str, ...]
    """By `VARIANT_HEADINGS`; the first two are empty where they are those of the line above."""


def variant_lines(table: Table) -> list[VariantLine]:
    """The lines of all variants of a table."""
    lines = []
    for i, row in enumerate(table.variants, start=len(table.rows)):
        changes = "; ".join(f"{change.key} {change.own} ({change.usual})" for change in row.changes)
        about = ", ".join(filter(None, row.keys)), changes
        for j, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            if cell.status in ("measured", "validation", "not run"):
                difference = row.differences[j]
                texts = _texts(cell, table.rows[row.varies].cells[j], difference)
                verdict = difference.verdict if difference else ""
                lines.append(VariantLine(table.anchor(i, j), verdict, (*about, column, *texts)))
                about = "", ""
    return lines


def _texts(cell: Cell, varied: Cell, difference: Difference | None) -> tuple[str, ...]:
    """What stands behind the heading of the column."""
    decimals = decimals_of_images(cell.n)
    here, usual = (_number(each, decimals) for each in (cell, varied))
    interval = f" ({printed_interval(cell.interval, decimals=decimals)})" if cell.interval else ""
    images = f"{cell.n:,}" if cell.n else ""
    if difference is None:
        return here + interval, usual, "", "", "", images
    value = printed_number(difference.value, signed=True, decimals=decimals)
    bounds = printed_interval(difference.interval, signed=True, decimals=decimals)
    needed = printed_number(difference.minimum_detectable_difference, decimals=decimals)
    verdict = f"{difference.verdict} ({needed})" if difference.verdict == "inconclusive" else difference.verdict
    return here + interval, usual, f"{value} ({bounds})", printed_p(difference.p_holm), verdict, images


def _number(cell: Cell, decimals: int) -> str:
    return MARKS.get(cell.status, "") if cell.value is None else printed_number(cell.value, decimals=decimals)
