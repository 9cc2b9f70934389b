"""Where the report's numbers came from: cells lead to results, results to trainings, these to their parents. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggrepro.settings.models import Settings
from vggrepro.tables import lineage
from vggrepro.tables.cells import Table
from vggrepro.tables.lineage import CellSource, StoredResult, Training

SETTINGS_SHOWN = (
    "run",
    "nets",
    "protocol",
    "Q",
    "weights",
    "data",
    "device",
    "seconds",
    "made",
    "features",
    "classes",
    "counted",
)
"""What `made.json` says that has a column of its own, or is too long for a page."""


@dataclass(frozen=True)
class Origins:
    """What the report's section is filled with, and where each cell leads to."""

    links: Mapping[str, Mapping[tuple[int, int], str]]
    """By table: the anchor that a cell leads to, by its row and column from 0."""
    systems: Sequence[Mapping[str, Any]]
    """Cells that are made from several results."""
    results: Sequence[Mapping[str, Any]]


def origins_of(
    settings: Settings,
    tables: Sequence[Table],
    trainings: Sequence[Training],
    made: Mapping[str, StoredResult],
    adopted: Collection[str] = (),
) -> Origins:
    """The origins of all cells of some tables, from the results that `lineage.results` found.

    `adopted` are the runs that were not trained here, but have a place in the report.
    """
    links: dict[str, dict[tuple[int, int], str]] = {}
    systems: dict[tuple[str, int, tuple[CellSource, ...]], dict[str, Any]] = {}
    for table in tables:
        of_table = links[table.name] = {}
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                sources = lineage.cell_sources(settings, table.number, r, cell)
                if len(sources) == 1:
                    of_table[r, c] = _anchor(sources[0].path)
                elif sources:
                    key = table.name, r, sources
                    systems.setdefault(key, _system(table, r, c, sources))
                    of_table[r, c] = systems[key]["id"]
    stale = lineage.stale_results(trainings, made)
    shown = {training.run.name for training in trainings} | set(adopted)
    results = [_result(result, shown, stale=path in stale) for path, result in made.items()]
    return Origins(links, list(systems.values()), results)


def _anchor(path: str) -> str:
    """`scores/D_256_s0/dense/256` -> `e-D_256_s0-dense-256`."""
    return "e-" + path.partition("/")[2].replace("/", "-")


def _system(table: Table, row: int, column: int, sources: Sequence[CellSource]) -> dict[str, Any]:
    """What a cell was made from: results in groups that count the same."""
    groups: dict[str, list[dict[str, str]]] = {}
    for source in sources:
        share = "all boxes of" if source.weight is None else f"{source.weight} of"
        name = f"less {share}" if source.less else share
        groups.setdefault(name, []).append({"href": _anchor(source.path), "text": source.path.partition("/")[2]})
    anchor = table.anchor(row, column)
    keys = ", ".join(key for key in table.rows[row].keys if key)
    return {"id": f"from-{anchor}", "cell": anchor, "name": f"Table {table.number}: {keys}", "groups": groups}


def _result(result: StoredResult, shown: set[str], *, stale: bool) -> dict[str, Any]:
    about = result.about
    features = [f"features/{part['run']}/{part['name']}" for part in about.get("features", [])]
    made_from = [{"href": _anchor(path), "text": path} for path in features] or [
        {"href": f"run-{run}" if run in shown else "", "text": run} for run in result.runs or [about.get("file", "")]
    ]
    return {
        "id": _anchor(result.path),
        "path": result.path,
        "from": made_from,
        "weights": ", ".join(digest[:12] for digest in result.weights.values()),
        "stale": stale,
        "data": result.data[:12],
        "on": f"{about['device']}, {about['seconds']:,.0f} s" if "device" in about else about["made"]["processor"],
        "commit": about["made"]["commit"][:10],
        "at": about["made"]["at"][:16].replace("T", " "),
        "more": flattened_values({key: value for key, value in about.items() if key not in SETTINGS_SHOWN}),
    }


def flattened_values(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of settings, blocks opened: `train.batch`, `16`."""
    found = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            found += flattened_values(inner, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, inner)) if isinstance(inner, list) else "not set" if inner is None else str(inner)
            found.append((prefix + name, text))
    return found
