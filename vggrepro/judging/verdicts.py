"""The verdict on every cell: it agrees with the published number, it differs, or the data are inconclusive. No torch.

How near is near enough is fixed in `tables/tolerances.yaml`, with its derivation and the error model, before there is any
result. A cell of other images, or of other settings than the paper's, says nothing about the paper and gets no such verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vggrepro.paper.tables import PublishedTable, Row
from vggrepro.paper.tolerances import DIFFERENCES, allowed_difference, rounding
from vggrepro.scores.statistics import NORMAL, POWER, Z
from vggrepro.tables.cells import Cell, Table, TableRow, Verdict

NOT_OURS = ("quoted", "not reported", "spanned", "claim")
"""Statuses of cells that nothing of ours belongs in."""


def judge_table(table: Table, published: PublishedTable, higher: str) -> Table:
    """The table with a verdict in every cell that has a delta, and a note on what the verdicts mean.

    `higher` says how a printed difference is read. Raises ValueError for a quantity without a tolerance.
    """
    deviating = {cell for finding in table.findings if finding.deviates for cell in finding.cells}

    def judged(i: int, j: int, cell: Cell) -> Cell:
        quantity = published.columns[j].quantity
        reason: Verdict = "other settings" if table.anchor(i, j) in deviating else ""
        reason = "other data" if quantity in table.other_data else reason
        return judge_cell(cell, toleranced_quantity(published.rows[i], quantity, higher), reason)

    # rows of variants are judged beside those that they vary
    table = table.with_cells(judged)
    return replace(table, notes=(*table.notes, *_legend(table.rows)))


def toleranced_quantity(row: Row, quantity: str, higher: str) -> str:
    """The quantity whose tolerance a cell is judged by: a printed difference has one of its own."""
    return DIFFERENCES[higher] if row.minus else quantity


def judge_cell(cell: Cell, quantity: str, incomparable: Verdict = "") -> Cell:
    """The cell with its verdict; `incomparable` is the verdict of a cell that cannot be compared with the paper's.

    It agrees where two one-sided tests at 5% put the difference from the number as printed within the tolerance, its rounding
    included. It differs where the difference exceeds that and the 95% interval excludes 0: a difference that is real and
    smaller is no larger than honest reproductions show among themselves. So images and seeds enough decide every cell. A
    counted value has no interval, and agrees if it rounds to the printed number.
    Raises ValueError for a quantity without a tolerance.
    """
    if cell.delta is None:
        return cell
    if cell.interval is None or cell.delta_interval is None or cell.delta_narrow is None:
        return replace(cell, verdict="agrees" if abs(cell.delta) <= rounding(cell.published) else "differs")
    if incomparable:
        return replace(cell, verdict=incomparable)
    tolerance = allowed_difference(quantity, cell.published)
    (low, high), (narrow_low, narrow_high) = cell.delta_interval, cell.delta_narrow
    verdict: Verdict = "inconclusive"
    if -tolerance < narrow_low <= narrow_high < tolerance:
        verdict = "agrees"
    elif abs(cell.delta) > tolerance and not low <= 0 <= high:
        verdict = "differs"
    # the smallest true difference that differs, by the rule above, with 80% power
    needed = max(tolerance, (high - low) / 2)
    detectable = needed + NORMAL.inv_cdf(POWER) * (cell.interval[1] - cell.interval[0]) / (2 * Z)
    return replace(cell, verdict=verdict, tolerance=tolerance, minimum_detectable_difference=detectable)


def _legend(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """The meaning of a table's verdicts, if one compares a cell with the paper's."""
    tolerances = {cell.tolerance for row in rows for cell in row.cells if cell.tolerance is not None}
    if not tolerances:
        return ()
    within = " or ".join(f"{tolerance:g}" for tolerance in sorted(tolerances))
    return (
        f"A number agrees with the published one where two one-sided tests at 5% put it within {within} points of it; it "
        "differs where the 95% interval of the difference excludes 0 and the difference is larger than that; else the data "
        "are inconclusive. How these tolerances follow from what independent reproductions show among themselves: "
        "tables/tolerances.yaml.",
    )
