"""The paper's claims as typed values: `tables/claims.yaml`, checked. No torch.

The file documents its keys. A wrong entry is a ValueError that names the file, the claim and the key.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vggrepro.core.files import read_yaml
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.paper.tables import PublishedTable, cell_id

CLAIMS_FILE = ROOT / "tables" / "claims.yaml"

ClaimTest = Literal["superiority", "ordering", "non-inferiority", "equivalence", "arithmetic", "speed"]
Tables = Callable[[str], PublishedTable]
"""The table of a number, with the rows that the user adds to it: `Settings.table`."""
PrintedCell = Annotated[dict[str, str | int], Field(min_length=1)]


class Pair(FrozenModel):
    """Two cells that are compared."""

    cell: PrintedCell
    """The cell that is claimed to be better, or as good."""
    against: PrintedCell


class Claim(FrozenModel):
    """An entry of the file, which describes its keys."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    section: str
    claim: str
    test: ClaimTest
    quantity: str = ""
    table: str = ""
    pairs: tuple[Pair, ...] = ()
    order: tuple[PrintedCell, ...] = ()
    by: float = 0.0
    of: Literal["parameters", "filters"] | int | None = None
    margin: Annotated[float, Field(ge=0)] = 0.0
    why: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        needed = {
            "superiority": ("quantity", "pairs", "margin", "why"),
            "ordering": ("quantity", "order", "margin", "why"),
            "non-inferiority": ("quantity", "pairs", "margin", "why"),
            "equivalence": ("quantity", "pairs", "margin", "why"),
            "arithmetic": ("of",),
            "speed": ("of", "by", "margin", "why"),
        }[self.test]
        keys = self.model_fields_set - {"id", "section", "claim", "test"}
        optional = {"table", "by"} if "pairs" in needed or "order" in needed else set()
        if missing := [key for key in needed if key not in keys or getattr(self, key) in ("", ())]:
            raise ValueError(f"{', '.join(missing)}: needed for a test of {self.test}")
        if unused := sorted(keys - set(needed) - optional):
            raise ValueError(f"{', '.join(unused)}: means nothing for a test of {self.test}")
        if self.test == "ordering" and len(self.order) < 2:
            raise ValueError("order: expected two cells at least, worst first")
        if (self.test == "speed") != isinstance(self.of, int) and self.of is not None:
            raise ValueError(
                f"of: a number of processes for a test of speed, parameters or filters else, got {self.of!r}"
            )
        if self.by and self.test in ("superiority", "ordering", "non-inferiority"):
            raise ValueError(f"by: means nothing for a test of {self.test}: sizes are judged by the cells")
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
        "superiority": (0.0, math.inf),
        "ordering": (0.0, math.inf),
        "non-inferiority": (-margin, math.inf),
        "equivalence": (by - margin, by + margin),
        "speed": (by - margin, math.inf),
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
        row = ", ".join(value for _, value in self.keys)
        table = f"Table {self.table}" if self.table.isdigit() else "numbers in the text"
        return f"{table}: {row}{f' ({self.of})' if self.of else ''}"

    def cell(self, quantity: str, tables: Tables) -> str:
        """The id of the cell that measures `quantity`; of other results, which are not shown, the name of the table."""
        table = tables(self.table)
        if self.of:
            return table.name
        row = next(r for r, row in enumerate(table.rows) if self.matches(row.keys))
        column = next(c for c, column in enumerate(table.columns) if column.quantity == quantity)
        return cell_id(table.name, row, column)

    def matches(self, row: Mapping[str, str]) -> bool:
        """Whether the keys select this row."""
        return all(row.get(key) == value for key, value in self.keys)


def load_claims(tables: Tables, path: Path = CLAIMS_FILE) -> tuple[Claim, ...]:
    """Every claim of the file; a ValueError that names the file, the claim and the first wrong key.

    Each cell has to select one row of its table, which may be that of an imported system, and a quantity measured there.
    """
    entries = read_yaml(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: expected a list of claims, each with id, section, claim, test")
    claims = []
    for number, entry in enumerate(entries, start=1):
        claim = validated(Claim, entry, f"{path}: claim {entry.get('id', f'number {number}')}")
        for place in dict.fromkeys(place for pair in claim.compared() for place in pair):
            _check_place(place, claim, tables, path)
        claims.append(claim)
    if repeated := [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]:
        raise ValueError(f"{path}: claim {repeated[0]}: id: expected a different one for each claim")
    return tuple(claims)


def _check_place(place: CellPlace, claim: Claim, tables: Tables, path: Path) -> None:
    where = f"{path}: claim {claim.id}"
    try:
        table = tables(place.table)
    except ValueError as error:
        raise ValueError(f"{where}: table: {error}") from None
    rows = [row for row in table.rows if place.matches(row.keys)]
    if len(rows) != 1:
        raise ValueError(
            f"{where}: expected one row of table {place.table} with {dict(place.keys)}, got {len(rows)}. Its key columns: "
            f"{', '.join(table.rows[0].keys)}"
        )
    quantities = {column.quantity for column in table.columns}
    if not rows[0].ours or rows[0].minus or claim.quantity not in quantities:
        raise ValueError(
            f"{where}: quantity: {claim.quantity!r} of {place.label} is not measured. Measured there: "
            f"{', '.join(sorted(quantities))}"
        )
