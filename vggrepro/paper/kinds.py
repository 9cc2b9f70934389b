"""The kinds of tables: what differs between them, as data. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggrepro.paper.measures import MEASURES

LABEL_COLUMNS = ("group", "method", "number", "section", "row")
"""Key columns of any table from which nothing follows."""


@dataclass(frozen=True)
class TableKind:
    """What differs between the kinds of tables."""

    name: Literal["layers", "parameters", "scores", "boxes", "svms"]
    results: Literal["", "scores", "boxes", "transfer"] = ""
    """The folder of results that cells are measured from; empty where cells follow from the nets alone."""
    layout: Literal["errors", "layers", "parameters"] = "errors"
    """How cells are printed; `kind` in a table's JSON."""
    numbers: bool = True
    """Whether printed cells are numbers, not layers."""
    averages: bool = False
    """Whether a system is a weighted average. Boxes are pooled, and an SVM's result stands alone."""
    measured_by: tuple[str, ...] = ()
    """The key columns that say what a row measures."""
    needed: tuple[str, ...] = ()
    """Those that a measured row has to fill in beside its nets; a quoted row fills in none."""
    quantities: tuple[str, ...] = ()
    """What its columns measure, where that does not follow from the row, too (`task_of`); `top-N` besides, for averages."""
    splits: tuple[str, ...] = ("",)
    """The images that its columns are measured on."""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Every key column that its CSV may have."""
        return (*self.measured_by, *LABEL_COLUMNS)


_NETS = ("net", "S", "Q", "systems", "protocol")

TABLE_KINDS = {
    kind.name: kind
    for kind in (
        TableKind("layers", layout="layers", numbers=False, quantities=("layers",)),
        TableKind("parameters", layout="parameters", quantities=("parameters",)),
        TableKind(
            "scores",
            "scores",
            averages=True,
            measured_by=(*_NETS, "minus"),
            needed=("protocol",),
            quantities=(*MEASURES, "top-1", "top-5", "top-2"),
            splits=("val", "withheld", "claims"),
        ),
        TableKind(
            "boxes",
            "boxes",
            measured_by=(*_NETS, "objective", "layers"),
            needed=("protocol", "objective", "layers"),
            quantities=("localisation",),
            splits=("val", "withheld"),
        ),
        TableKind("svms", "transfer", measured_by=("systems", "input", "combined"), splits=("test", "withheld")),
    )
}
"""Every kind of table, as `tables.yaml` names it."""
