"""Where the report's numbers come from: a cell links to results, a result to trainings, a training to its parent. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggrepro.report.repeated import varying_columns
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage
from vggrepro.tables.cells import CellSource, Table, table_sources
from vggrepro.tables.lineage import FinishedTraining, StoredResult

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
"""Keys of `made.json` that have a column of their own or are too long for a page."""


COLUMNS = {"data": "images", "on": "on", "commit": "commit", "at": "made (UTC)"}
"""Of the results: what may be the same for all."""


@dataclass(frozen=True)
class Origins:
    """The content of the report's section on origins, and the link of each cell."""

    links: Mapping[str, Mapping[tuple[int, int], str]]
    """By table: the anchor that a cell links to, by its row and column, counted from 0."""
    systems: Sequence[Mapping[str, Any]]
    """Cells that were computed from several results."""
    results: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str]
    """Of the results: key and heading of those that differ."""
    alike: Sequence[str]
    """Of the others, what all results have."""


def origins_of(
    settings: Settings,
    tables: Sequence[Table],
    trainings: Sequence[FinishedTraining],
    results_by_path: Mapping[str, StoredResult],
    released_runs: Collection[str] = (),
) -> Origins:
    """The origins of all cells of `tables`, from what `lineage.stored_results` returned.

    `released_runs` are runs of released nets: they were not trained here, but the report lists them.
    """
    links: dict[str, dict[tuple[int, int], str]] = {}
    systems: dict[tuple[str, int, tuple[CellSource, ...]], dict[str, Any]] = {}
    for table in tables:
        links_of_table = links[table.name] = {}
        for (r, c), sources in table_sources(table, settings.table(table.number), settings.seeds).items():
            if r >= len(table.rows):
                # of a variant
                continue
            if len(sources) == 1:
                links_of_table[r, c] = _anchor(sources[0].path)
            else:
                key = table.name, r, sources
                systems.setdefault(key, _system(table, r, c, sources))
                links_of_table[r, c] = systems[key]["id"]
    stale = lineage.stale_results(trainings, results_by_path)
    runs_on_page = {training.run.name for training in trainings} | set(released_runs)
    results = [_result(result, runs_on_page, stale=path in stale) for path, result in results_by_path.items()]
    return Origins(links, list(systems.values()), results, *varying_columns(COLUMNS, results))


def _anchor(path: str) -> str:
    """`scores/D_256_s0/dense/256` -> `e-D_256_s0-dense-256`."""
    return "e-" + path.partition("/")[2].replace("/", "-")


def _system(table: Table, row: int, column: int, sources: Sequence[CellSource]) -> dict[str, Any]:
    """The results of a cell, grouped by their weight in its fusion."""
    groups: dict[str, list[dict[str, str]]] = {}
    for source in sources:
        share = "all boxes of" if source.weight is None else f"{source.weight} of"
        name = f"less {share}" if source.less else share
        groups.setdefault(name, []).append({"href": _anchor(source.path), "text": source.path.partition("/")[2]})
    anchor = table.anchor(row, column)
    keys = ", ".join(key for key in table.rows[row].keys if key)
    return {"id": f"from-{anchor}", "cell": anchor, "name": f"Table {table.number}: {keys}", "groups": groups}


def _result(result: StoredResult, runs_on_page: set[str], *, stale: bool) -> dict[str, Any]:
    record = result.about
    features = [f"features/{part['run']}/{part['name']}" for part in record.get("features", [])]
    made_from = [{"href": _anchor(path), "text": path} for path in features] or [
        {"href": f"run-{run}" if run in runs_on_page else "", "text": run}
        for run in result.runs or [record.get("file", "")]
    ]
    return {
        "id": _anchor(result.path),
        "path": result.path,
        "from": made_from,
        "weights": ", ".join(digest[:12] for digest in result.weights.values()),
        "stale": stale,
        "data": result.data[:12],
        "on": f"{record['device']}, {record['seconds']:,.0f} s" if "device" in record else record["made"]["processor"],
        "commit": record["made"]["commit"][:10],
        "at": record["made"]["at"][:16].replace("T", " "),
        "more": flattened_values({key: value for key, value in record.items() if key not in SETTINGS_SHOWN}),
    }


def flattened_values(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of nested settings: (`train.batch`, `16`)."""
    pairs = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            pairs += flattened_values(inner, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, inner)) if isinstance(inner, list) else "not set" if inner is None else str(inner)
            pairs.append((prefix + name, text))
    return pairs
