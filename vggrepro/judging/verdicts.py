"""What a cell says of the published number: it agrees, it differs, or the data cannot tell. No torch.

How near is near enough is fixed in `tables/tolerances.yaml`, with its derivation and the error model, before there is any
result. A cell of other images, or of other settings than the paper's, says nothing about the paper and gets no such verdict.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml

from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT
from vggrepro.paper.tables import PublishedTable, Row
from vggrepro.scores.statistics import NORMAL, POWER, Z
from vggrepro.tables.cells import MARKS, Cell, Table, TableRow, Verdict

TOLERANCES = ROOT / "tables" / "tolerances.yaml"

Z_ONE_SIDED = NORMAL.inv_cdf(0.95)


@cache
def read_tolerances(path: Path = TOLERANCES) -> Mapping[str, float]:
    """How far apart two numbers of a quantity may be and agree, in points of per cent; a ValueError that names what is wrong.

    Each must be what its own derivation comes to: a tolerance cannot be moved without saying why.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = {name: (float(entry["tolerance"]), entry["from"]) for name, entry in read.items()}
        derived = {name: derive(**parts) for name, (_, parts) in found.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected quantities, each with tolerance and from (sampling, training, implementation): {error}"
        ) from None
    for name, (tolerance, parts) in found.items():
        if not math.isclose(tolerance, derived[name]):
            raise ValueError(f"{path}: {name}: {parts} come to {derived[name]}, but the tolerance is {tolerance}")
    return {name: tolerance for name, (tolerance, _) in found.items()}


def derive(*, sampling: float, training: float, implementation: float) -> float:
    """How far two honest reproductions are apart, 19 times in 20, to 0.1 points: see the file."""
    return round(Z * math.sqrt(sampling**2 + 2 * training**2 + 2 * implementation**2), 1)


def tolerances_digest() -> str:
    """SHA-256 of the file."""
    return file_digest(TOLERANCES)


def with_verdicts(
    rows: list[TableRow], published: PublishedTable, incomparable: Mapping[str, Verdict], higher: str
) -> list[TableRow]:
    """Rows with a verdict in every cell that has a delta.

    `incomparable` says of quantities why they cannot be compared with the paper's; one that is not in it can be. `higher` is
    the setting that says how a printed difference is read.
    """
    made = []
    for row, printed in zip(rows, published.rows, strict=True):
        cells = [
            judge(cell, quantity_of(printed, column.quantity, higher), incomparable.get(column.quantity, ""))
            for cell, column in zip(row.cells, published.columns, strict=True)
        ]
        made.append(replace(row, cells=tuple(cells)))
    return made


def verdict_legend(rows: list[TableRow]) -> tuple[str, ...]:
    """What the verdicts of a table mean, if it has any that speak of the paper."""
    told = {cell.tolerance for row in rows for cell in row.cells if cell.tolerance is not None}
    if not told:
        return ()
    within = " or ".join(f"{tolerance:g}" for tolerance in sorted(told))
    return (
        f"A number agrees with the published one where two one-sided tests at 5% put it within {within} points of it; it "
        "differs where the 95% interval of the difference excludes 0 and the difference is larger than that; else the data "
        "cannot tell. How these tolerances follow from what independent reproductions show among themselves: "
        "tables/tolerances.yaml.",
    )


def verdict_counts(tables: Iterable[Table]) -> str:
    """How many cells of ours say what of the published number: `12 agree, 2 differ, 5 on val`."""
    ours = [cell for table in tables for row in table.rows for cell in row.cells if cell.status not in NOT_OURS]
    said = Counter(cell.verdict or MARKS.get(cell.status, "") for cell in ours)
    words = {"agrees": "agree", "differs": "differ"}
    order = ("agrees", "differs", "cannot be told", "other settings", "other data", *MARKS.values())
    return ", ".join(f"{said[name]} {words.get(name, name)}" for name in dict.fromkeys(order) if said[name])


NOT_OURS = ("quoted", "not reported", "spanned")


def quantity_of(row: Row, quantity: str, higher: str) -> str:
    """By which tolerance a cell is judged: a printed difference has one of its own."""
    if not row.minus:
        return quantity
    return "difference in points" if higher == "points" else "relative difference"


def judge(cell: Cell, quantity: str, incomparable: Verdict = "") -> Cell:
    """The cell with its verdict.

    It agrees where two one-sided tests at 5% put the difference within the tolerance. It differs where the 95% interval
    excludes 0 and the difference exceeds the tolerance: a difference that is real and smaller is no larger than honest
    reproductions show among themselves. Raises ValueError for a quantity without a tolerance.
    """
    if cell.delta is None or cell.delta_interval is None or cell.delta_narrow is None:
        return cell
    if incomparable:
        return replace(cell, verdict=incomparable)
    if quantity not in read_tolerances():
        raise ValueError(f"{TOLERANCES}: no tolerance for {quantity}: derive one before looking at results")
    tolerance = read_tolerances()[quantity]
    (low, high), (narrow_low, narrow_high) = cell.delta_interval, cell.delta_narrow
    verdict: Verdict = "cannot be told"
    if -tolerance < narrow_low <= narrow_high < tolerance:
        verdict = "agrees"
    elif abs(cell.delta) > tolerance and not low <= 0 <= high:
        verdict = "differs"
    return replace(cell, verdict=verdict, tolerance=tolerance, tellable=_tellable(cell, tolerance))


def _tellable(cell: Cell, tolerance: float) -> float:
    """The smallest true difference that differs, by the rule above, with 80% power."""
    assert cell.delta_interval is not None
    assert cell.interval is not None
    needed = max(tolerance, (cell.delta_interval[1] - cell.delta_interval[0]) / 2)
    return needed + NORMAL.inv_cdf(POWER) * (cell.interval[1] - cell.interval[0]) / (2 * Z)
