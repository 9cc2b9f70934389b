"""All cells and claims as tidy data: a row per cell, per result behind a cell, per comparison of a claim. No torch.

`cells`, `sources` and `claims` are written as CSV, Parquet and JSON with the same columns, which `tidy_records.py` declares
and `<name>.schema.json` describes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggrepro.core.checksums import write_checksums
from vggrepro.core.files import atomic_file, write_text
from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import Ledger, read_ledger
from vggrepro.paper.tables import PublishedTable, table_name
from vggrepro.paper.tolerances import rounding
from vggrepro.report.tidy_records import CellRecord, ClaimRecord, SourceRecord, TidyRecord
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.cells import Cell, CellSource, Table, table_sources
from vggrepro.tables.lineage import StoredResult


def claim_records(judged: Ledger) -> list[ClaimRecord]:
    """A record per comparison of every claim, and one for each claim without any."""
    return [
        _claim_record(claim, k, papers=judged.papers)
        for claim in judged.claims
        for k in range(max(1, len(claim.steps)))
    ]


def _claim_record(judged: JudgedClaim, k: int, *, papers: bool) -> ClaimRecord:
    """The record of comparison `k` of a claim, or of a claim without any."""
    step = judged.steps[k] if judged.steps else None
    # of what both have, what a claim and its record call the same
    same = set(ClaimRecord.model_fields) - {"claim", "printed"}
    of_claim: dict[str, Any] = {name: value for name, value in vars(judged).items() if name in same}
    # a claim without any comparison has numbers and texts of none
    numbers, texts = "gain n seeds p_for p_against p_smaller", "cell against trainings needed"
    of_step: dict[str, Any] = {name: getattr(step, name, None) for name in numbers.split(" ")}
    of_step |= {name: getattr(step, name, "") for name in texts.split(" ")}
    low, high = step.interval if step else (None, None)
    cell_id, against_id = step.at if step else ("", "")
    return ClaimRecord(
        **of_claim,
        **of_step,
        claim=judged.id,
        says=judged.claim,
        decides=k == judged.weakest,
        printed=judged.printed[k] if step and judged.printed else None,
        cell_id=cell_id,
        against_id=against_id,
        low=low,
        high=high,
        papers=papers,
    )


def cell_records(settings: Settings, tables: Sequence[Table], results: Mapping[str, StoredResult]) -> list[CellRecord]:
    """A record per cell of every table, in the tables' order."""
    return [
        _cell_record(published, table, row, column, cell, [results[source.path] for source in sources])
        for table, published, row, column, cell, sources in _cells(settings, tables)
    ]


def source_records(
    settings: Settings, tables: Sequence[Table], results: Mapping[str, StoredResult]
) -> list[SourceRecord]:
    """A record per cell and result that it was made from."""
    return [
        _source_record(table.anchor(row, column), source, results[source.path])
        for table, _, row, column, _, sources in _cells(settings, tables)
        for source in sources
    ]


def _cells(
    settings: Settings, tables: Sequence[Table]
) -> Iterator[tuple[Table, PublishedTable, int, int, Cell, tuple[CellSource, ...]]]:
    """Every cell, with its table, that table as published, its row and column from 0, and what it came from."""
    for table in tables:
        published = settings.table(table.number)
        sources = table_sources(table, published, settings.seeds)
        for r, row in enumerate(table.rows):
            yield from ((table, published, r, c, cell, sources.get((r, c), ())) for c, cell in enumerate(row.cells))


def _cell_record(
    published: PublishedTable, table: Table, row: int, column: int, cell: Cell, made_from: Sequence[StoredResult]
) -> CellRecord:
    about, printed = published.columns[column], published.rows[row]
    keys = {name: text for name, text in printed.keys.items() if name not in table.columns}
    otherwise = [note for note in table.findings if note.differs and table.anchor(row, column) in note.cells]
    low, high = cell.interval or (None, None)
    delta_low, delta_high = cell.delta_interval or (None, None)
    narrow = cell.delta_narrow or (None, None)
    value = printed.cells[about.name].value
    return CellRecord(
        cell=table.anchor(row, column),
        table=table.number,
        keys=json.dumps(keys, ensure_ascii=False),
        **{name: keys.get(name, "") for name in ("net", "S", "Q", "protocol")},
        column=about.heading,
        quantity=about.quantity,
        status="measured" if cell.status == "validation" else cell.status,
        split=_split_of_ours(cell, about.split),
        paper=cell.published,
        paper_value=value,
        paper_split=about.split if about.split in PAPER_SPLITS else "",
        paper_bold=cell.published_bold,
        paper_rounding=None if value is None else rounding(cell.published),
        value=cell.value,
        text=cell.text,
        low=low,
        high=high,
        delta=cell.delta,
        delta_low=delta_low,
        delta_high=delta_high,
        delta_low_90=narrow[0],
        delta_high_90=narrow[1],
        verdict=cell.verdict,
        tolerance=cell.tolerance,
        minimum_detectable_difference=cell.minimum_detectable_difference,
        best=cell.best,
        deviations=_words(note.rule for note in otherwise if note.kind == "paper"),
        choices=_words(note.rule for note in otherwise if note.kind == "choice"),
        n=cell.n or None,
        seeds=cell.seeds or None,
        splits=cell.splits or None,
        spread=cell.spread,
        evaluations=_words(result.path for result in made_from),
        weights=_words(digest for result in made_from for digest in result.weights.values()),
        data=_words(result.data for result in made_from),
        commit=_words(result.about["made"]["commit"] for result in made_from),
    )


PAPER_SPLITS = ("val", "test", "withheld")
"""What published numbers are of; other columns are the user's."""


def _split_of_ours(cell: Cell, split: str) -> str:
    """What ours is measured on: val where the published number is of withheld test images, else what the column is of."""
    if cell.status == "validation":
        return "val"
    return split if cell.status == "measured" else ""


def _source_record(cell: str, source: CellSource, result: StoredResult) -> SourceRecord:
    about = result.about
    return SourceRecord(
        cell=cell,
        path=source.path,
        weight=None if source.weight is None else float(source.weight),
        less=source.less,
        runs=_words(result.runs),
        protocol=about.get("protocol", ""),
        Q=about.get("Q"),
        weights=_words(result.weights.values()),
        data=result.data,
        device=about.get("device", ""),
        seconds=about.get("seconds"),
        commit=about["made"]["commit"],
        at=about["made"]["at"],
    )


def _words(words: Iterable[str]) -> str:
    """Each word once, in order."""
    return " ".join(dict.fromkeys(words))


def export_tidy_data(settings: Settings, results: Path, out: Path) -> None:
    """Write `cells`, `sources` and `claims` of what lies below `results` (a folder such as `results/smoke`) into `out`."""
    tables = [render.read_table(results / "tables" / f"{table_name(n)}.json") for n in settings.table_numbers()]
    results_by_path = lineage.stored_results(results)
    _write(out, "cells", CellRecord, cell_records(settings, tables, results_by_path))
    _write(out, "sources", SourceRecord, source_records(settings, tables, results_by_path))
    _write(out, "claims", ClaimRecord, claim_records(read_ledger(results / "claims" / "claims.json")))
    write_checksums(out, without=("crate.zip",))  # which holds its own


TYPES = {"string": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean"}
"""Pandas' nullable types for the types of a JSON schema."""


def _write(out: Path, name: str, kind: type[TidyRecord], records: Sequence[TidyRecord]) -> None:
    """Write records as CSV, Parquet and JSON, and their schema."""
    import pandas as pd

    schema = kind.model_json_schema()
    rows = [record.model_dump() for record in records]
    columns = {key: TYPES[_type(about)] for key, about in schema["properties"].items()}
    frame = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    with atomic_file(out / f"{name}.csv") as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    with atomic_file(out / f"{name}.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    # keys in the columns' order, not sorted
    write_text(out / f"{name}.json", json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    write_text(out / f"{name}.schema.json", json.dumps(schema, indent=1, ensure_ascii=False) + "\n")


def _type(about: Mapping[str, Any]) -> str:
    """The type of a column whose description is given, whether or not it may be missing."""
    kinds = [option["type"] for option in about.get("anyOf", [about])]
    return str(next(kind for kind in kinds if kind != "null"))
