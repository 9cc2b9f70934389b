"""The paper's claims as typed values: `tables/claims.yaml`, checked. No torch.

The file documents its keys. A wrong entry is a ValueError that names the file, the claim and the key.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vggrepro.core.paths import ROOT
from vggrepro.core.printable import shortened
from vggrepro.core.validation import FrozenModel, nearest_hint, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.named_cells import with_named_cells
from vggrepro.paper.tables import Published, PublishedTable, Row, cell_id, table_label
from vggrepro.paper.tolerances import DIFFERENCES, allowed_difference

CLAIMS_FILE = ROOT / "tables" / "claims.yaml"

ClaimTest = Literal[
    "superiority", "ordering", "non-inferiority", "equivalence", "arithmetic", "speed", "equality", "cost"
]
RATIOS: tuple[ClaimTest, ...] = ("speed", "cost")
"""The tests of a ratio of two trainings, not of a gain in points."""
Tables = Callable[[str], PublishedTable]
"""The table of a number, with the rows that the user adds to it: `Settings.table`."""
PrintedCell = Annotated[dict[str, str | int], Field(min_length=1)]
"""A table and the key columns that name its row there. In a user's file it may be the text of a system: `named_cells.py`."""


class Pair(FrozenModel):
    """Two cells that are compared."""

    cell: PrintedCell
    """The cell that is claimed to be better, or as good."""
    against: PrintedCell


class Claim(FrozenModel):
    """An entry of the file, which describes its keys."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    section: str
    """Of the paper; empty in a user's file."""
    claim: str
    test: ClaimTest
    quantity: str = ""
    same_as: str = ""
    """The id of the claim of which this is the same sentence on another quantity."""
    ours: bool = False
    table: str = ""
    pairs: tuple[Pair, ...] = ()
    order: tuple[PrintedCell, ...] = ()
    by: float = 0.0
    number: str = ""
    relative: bool = False
    """Whether the gain is read relative to the first cell: by the setting `higher`, where both readings have a margin."""
    of: Literal["parameters", "filters", "most-weights", "time", "memory"] | int | None = None
    margin: Annotated[float, Field(ge=0)] = 0.0
    why: str = ""
    limits: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        needed = {
            "superiority": ("quantity", "pairs"),
            "ordering": ("quantity", "order"),
            "non-inferiority": ("quantity", "pairs", "margin", "why"),
            "equivalence": ("quantity", "pairs", "margin", "why"),
            "arithmetic": ("of",),
            "speed": ("of", "by", "margin", "why"),
            "equality": ("of", "margin", "why"),
            "cost": ("of", "pairs"),
        }[self.test]
        keys = self.model_fields_set - {"id", "section", "claim", "test", "ours", "limits", "same_as", "number"}
        given = keys | ({"by"} if self.number else set())
        optional = {"table", "by", "relative", "margin", "why"} if "pairs" in needed or "order" in needed else set()
        if missing := [key for key in needed if key not in given or getattr(self, key) in ("", ())]:
            raise ValueError(f"{', '.join(missing)}: needed for a test of {self.test}")
        if unused := sorted(keys - set(needed) - optional):
            raise ValueError(f"{', '.join(unused)}: means nothing for a test of {self.test}")
        if self.test == "ordering" and len(self.order) < 2:
            raise ValueError("order: expected two cells at least, worst first")
        meant = {
            "arithmetic": ("parameters", "filters", "most-weights"),
            "cost": ("time", "memory"),
            "speed": ("a number of processes",),
            "equality": ("a number of processes",),
        }.get(self.test, ())
        is_count = isinstance(self.of, int) and self.test in ("speed", "equality")
        if self.of is not None and self.of not in meant and not is_count:
            raise ValueError(f"of: expected {' or '.join(meant)} for a test of {self.test}, got {self.of!r}")
        if self.by and self.test in ("ordering", "non-inferiority"):
            raise ValueError(f"by: means nothing for a test of {self.test}: sizes are judged by the cells")
        if self.by and self.margin and self.test == "superiority":
            raise ValueError("margin: means nothing beside by: the claim is of a gain above that")
        return self

    @property
    def holds(self) -> tuple[float, float]:
        """Between which gains the claim is true: in points, positive where the first cell is better; of speed, ratios."""
        return true_between(self.test, by=self.by, margin=self.margin)

    def compared(self) -> tuple[tuple[CellPlace, CellPlace], ...]:
        """The pairs of cells, the one that is claimed to be better first."""
        if self.order:
            places = [self._place(cell) for cell in self.order]
            return tuple(zip(places[1:], places[:-1], strict=True))
        return tuple((self._place(pair.cell), self._place(pair.against)) for pair in self.pairs)

    def _place(self, cell: Mapping[str, Any]) -> CellPlace:
        keys = {key: str(value) for key, value in cell.items() if key not in ("table", "of")}
        return CellPlace(str(cell.get("table", self.table)), tuple(keys.items()), str(cell.get("of", "")))


def true_between(test: ClaimTest, *, by: float, margin: float) -> tuple[float, float]:
    """Between which gains a claim is true. It is refuted where the gain lies outside: the same rule for every test."""
    regions = {
        "superiority": (by, math.inf),
        "ordering": (0.0, math.inf),
        "non-inferiority": (-margin, math.inf),
        "equivalence": (by - margin, by + margin),
        "speed": (by - margin, math.inf),
        "equality": (-margin, margin),
        # dearer at all
        "cost": (1.0, math.inf),
    }
    return regions[test]


@dataclass(frozen=True)
class CellPlace:
    """A cell of a table, by the key columns of its row."""

    table: str
    keys: tuple[tuple[str, str], ...]
    """(key column, value) that select the row."""
    of: str = ""
    """The name of other results that the cell is of; empty for the results that are judged."""

    @property
    def label(self) -> str:
        """The cell as a reader sees it: `Table 3: D, 256, 256`."""
        row = ", ".join(value for _, value in self.keys if value)
        return f"{table_label(self.table)}: {row}{f' ({self.of})' if self.of else ''}"

    def cell(self, quantity: str, tables: Tables) -> str:
        """The id of the cell that measures `quantity`; of other results, which are not shown, the name of the table."""
        table = tables(self.table)
        if self.of:
            return table.name
        row = next(r for r, row in enumerate(table.rows) if self.matches(row.keys))
        column = next((c for c, column in enumerate(table.columns) if column.quantity == quantity), 0)
        return cell_id(table.name, row, column)

    def row(self, tables: Tables) -> Row:
        """The printed row that the keys select."""
        return next(row for row in tables(self.table).rows if self.matches(row.keys))

    def is_absent(self, tables: Tables) -> bool:
        """Whether the cell is of a system that somebody may import, and nobody did."""
        table = tables(self.table)
        return table.compares_methods and not any(self.matches(row.keys) for row in table.rows)

    def printed(self, quantity: str, tables: Tables) -> Published:
        """What the paper prints there, in the column that is measured here: no test error for a validation error."""
        column = next(column for column in tables(self.table).columns if column.quantity == quantity)
        return self.row(tables).cells[column.name]

    def matches(self, row: Mapping[str, str]) -> bool:
        """Whether the keys select this row."""
        return all(row.get(key) == value for key, value in self.keys)


def printed_gains(claim: Claim, tables: Tables) -> tuple[float | None, ...]:
    """By how many points the first cell of every pair is better in print; None where the paper does not print both."""
    gains = []
    for place, against in claim.compared() if claim.quantity else ():
        better, worse = (_printed_value(each, claim.quantity, tables) for each in (place, against))
        sign = 1 if tables(place.table).higher_is_better else -1
        gains.append(None if better is None or worse is None else round(sign * (better - worse), 6) + 0.0)
    return tuple(gains)


def _printed_value(place: CellPlace, quantity: str, tables: Tables) -> float | None:
    return None if place.of or place.is_absent(tables) else place.printed(quantity, tables).value


SMALLEST_MARGIN = 0.05
"""Half of the smallest difference that two printed numbers can have."""


def margin_of_gains(gains: Sequence[float | None]) -> float:
    """The margin of a gain: half of the smallest printed one, rounded down to 0.1, and no less than `SMALLEST_MARGIN`."""
    smallest = min(gain for gain in gains if gain is not None)
    return max(SMALLEST_MARGIN, math.floor(10 * smallest / 2 + 1e-6) / 10)


def load_claims(
    tables: Tables, path: Path = CLAIMS_FILE, *, higher: str = "points", named_in: Sequence[str] = ()
) -> tuple[Claim, ...]:
    """Every claim of the file, one for each quantity that it is judged on.

    `higher` is how the setting of that name reads "7% higher" (choice 8). Each cell has to select one row of its table, which
    may be that of an imported system (one that is not there makes the claim "not run"), and a quantity measured there; what it
    is compared with may be a number that the paper quotes. Of a user's file, `named_in` are the tables in which cells are
    found by the text of their systems, and a system that is not there is an error.
    Raises ValueError that names the file, the claim, the wrong key and, of a name, the nearest one.
    """
    entries = read_yaml(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: expected a list of claims, each with id, section, claim, test")
    claims = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: claim {entry.get('id', f'number {number}')}"
        for single in _singles(entry, tables, higher, where):
            if named_in:
                if "ours" in single:
                    raise ValueError(
                        f"{where}: ours: means nothing here: every claim of your own is apart from the paper's"
                    )
                single = {"section": "", **with_named_cells(single, tables, named_in, where)}
            claim = validated(Claim, single, where)
            for place, against in claim.compared():
                _check_place(place, claim, tables, where, shared=not named_in)
                _check_place(against, claim, tables, where, shared=not named_in, quoted=True)
            claims.append(_completed(claim, tables, where))
    if repeated := [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]:
        raise ValueError(f"{path}: claim {repeated[0]}: id: expected a different one for each claim")
    return tuple(claims)


def _stated(tables: Tables, number: str, where: str) -> tuple[Row, Published]:
    """A number that the text prints, by its name, and its row."""
    rows = [row for row in tables("text").rows if row.keys["number"] == number]
    if len(rows) != 1:
        raise ValueError(f"{where}: number: text.csv has no number called {number!r}")
    return rows[0], next(cell for cell in rows[0].cells.values() if cell.value is not None)


def _singles(entry: Mapping[str, Any], tables: Tables, higher: str, where: str) -> list[dict[str, Any]]:
    """An entry for each quantity that is listed: the first under the entry's id, the others under `id-quantity`."""
    listed, margins = entry.get("quantity"), entry.get("margin")
    quantities = listed if isinstance(listed, list) and listed else [listed]
    if listed is not None and not all(isinstance(quantity, str) for quantity in quantities):
        raise ValueError(
            f"{where}: quantity: expected a text or a list of texts, such as top-1, got {shortened(listed)}"
        )
    singles = []
    for quantity in quantities:
        single = dict(entry) | ({"quantity": quantity} if quantity else {})
        if isinstance(margins, Mapping):
            if set(margins) != set(quantities):
                keys = ", ".join(map(str, quantities))
                raise ValueError(f"{where}: margin: expected a number, or one each for {keys}, got {dict(margins)}")
            single["margin"] = margins[quantity]
        elif margins in ("tolerance", "half"):
            row, printed = _stated(tables, str(entry.get("number")), where)
            assert printed.value is not None, "a number that the text prints"
            # CHOICE 8: how a difference between two rows is read
            single["relative"] = bool(row.minus) and higher == "relative"
            if margins == "tolerance":
                single["margin"] = allowed_difference(DIFFERENCES[higher], printed.text)
            else:
                single["margin"] = printed.value / 2
                # the claim is of any gain, not of one above the number
                del single["number"]
        if quantity != quantities[0]:
            single |= {"id": f"{entry.get('id')}-{quantity}", "same_as": str(entry.get("id"))}
        singles.append(single)
    return singles


def _completed(claim: Claim, tables: Tables, where: str) -> Claim:
    """The claim with the size that the text prints, and the margin of a gain that follows from print."""
    changes: dict[str, Any] = {}
    if claim.number:
        changes["by"] = _stated(tables, claim.number, where)[1].value
    is_gain = claim.test in ("superiority", "ordering")
    if is_gain and "margin" not in claim.model_fields_set and not changes.get("by", claim.by):
        gains = printed_gains(claim, tables)
        if None in gains:
            raise ValueError(
                f"{where}: margin: needed, because the paper does not print all the numbers that are compared"
            )
        changes |= {"margin": margin_of_gains(gains), "why": claim.why or "half of the smallest printed gain"}
    return claim.model_copy(update=changes)


def _check_place(
    place: CellPlace, claim: Claim, tables: Tables, where: str, *, shared: bool, quoted: bool = False
) -> None:
    """A ValueError for a cell that is not there, or not measured; `shared`: its system may be imported elsewhere."""
    try:
        table = tables(place.table)
    except ValueError as error:
        raise ValueError(f"{where}: table: {error}") from None
    rows = [row for row in table.rows if place.matches(row.keys)]
    if shared and place.is_absent(tables) and set(dict(place.keys)) <= set(table.rows[0].keys):
        return  # judged to be not run
    if len(rows) != 1:
        raise ValueError(
            f"{where}: expected one row of table {place.table} with {dict(place.keys)}, got {len(rows)}. Its key columns: "
            f"{', '.join(table.rows[0].keys)}{_nearest_row(place, table)}"
        )
    quantities = {column.quantity for column in table.columns}
    known = claim.quantity in quantities or claim.test == "cost"
    measured = rows[0].ours and not rows[0].minus
    if known and quoted and not rows[0].ours and _printed_value(place, claim.quantity, tables) is not None:
        return
    if not measured or not known:
        raise ValueError(
            f"{where}: quantity: {claim.quantity!r} of {place.label} is not measured. Measured there: "
            f"{', '.join(sorted(quantities))}{nearest_hint(claim.quantity, sorted(quantities))}"
        )


def _nearest_row(place: CellPlace, table: PublishedTable) -> str:
    """The nearest column, or value of a column, to the first that the table does not have."""
    for key, value in place.keys:
        if key not in table.rows[0].keys:
            return nearest_hint(key, list(table.rows[0].keys))
        values = list(dict.fromkeys(row.keys[key] for row in table.rows))
        if value not in values:
            return nearest_hint(value, values)
    return ""
