"""The packed file of What-if, as the page shows it: its chips, its rows, and the script that reads the rest. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Len
from typing_extensions import TypedDict

from vggrepro.core.paths import ROOT
from vggrepro.core.records import typed_record
from vggrepro.paper.systems import PROTOCOLS


class PackedEvaluation(TypedDict):
    """A chip of the page."""

    run: str
    protocol: Literal[PROTOCOLS]  # type: ignore[valid-type]
    Q: int


class PackedRow(TypedDict):
    """A row of a table with its exact counts."""

    table: str
    name: str
    published: list[float | None]
    weights: list[int]
    wrong: Annotated[list[int], Len(2, 2)]


class Closeness(TypedDict):
    """How far packed errors are from exact ones, and on what that was measured."""

    rows: int
    random: int
    members: int
    largest: dict[str, float]
    mean: dict[str, float]


class Packed(TypedDict):
    """What `write_whatif` writes."""

    images: Annotated[int, Gt(0)]
    z: float
    trainings: Annotated[list[float], Len(2, 2)]
    evaluations: list[PackedEvaluation]
    seed: int
    seeds: int
    rows: list[PackedRow]
    closeness: Closeness
    settled: Annotated[list[int], Len(2, 2)]
    pairs: int
    bits: int
    open: str
    margins: str


def whatif_section(file: Path) -> dict[str, Any]:
    """What the report's template needs of a packed file: chips by run and protocol, rows by table, and the file itself."""
    packed = typed_record(file, kind=Packed, again="pack it again")
    chips = [e | {"number": number} for number, e in enumerate(packed["evaluations"])]
    rows = [{"table": row["table"], "name": row["name"], "number": k} for k, row in enumerate(packed["rows"])]
    return {
        "images": packed["images"],
        "runs": _grouped(chips, "run"),
        "protocols": _grouped(sorted(chips, key=lambda chip: PROTOCOLS.index(chip["protocol"])), "protocol"),
        "scales": _grouped(sorted(chips, key=lambda chip: chip["Q"]), "Q"),
        "tables": _grouped(rows, "table"),
        "closeness": packed["closeness"],
        "bits": packed["bits"],
        "seed": packed["seed"] if packed["seeds"] > 1 else None,
        "script": (ROOT / "reports" / "whatif.js").read_text(encoding="utf-8"),
        "packed": {key: value for key, value in packed.items() if key not in ("made", "margins")},
        "margins": packed["margins"],
    }


def _grouped(items: Sequence[Mapping[str, Any]], key: str) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    return [(name, list(members)) for name, members in groupby(items, key=lambda item: item[key])]
