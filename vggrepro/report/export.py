"""All cells and claims as tidy data: a row per cell, per result behind a cell, per comparison of a claim. No torch.

`cells`, `sources` and `claims` are written as CSV, Parquet and JSON with the same columns; `<name>.schema.json` describes
the columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vggrepro.core.checksums import write_checksums
from vggrepro.core.files import atomic_file, write_text
from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import Ledger, read_ledger
from vggrepro.paper.tables import table_name
from vggrepro.paper.tolerances import rounding
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.cells import Cell, Table
from vggrepro.tables.lineage import CellSource, StoredResult


class TidyRecord(BaseModel):
    """A row of tidy data; the docstring under a field is the column's description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class CellRecord(TidyRecord):
    """A cell of a table: the published value, ours beside it, and how far apart they are. Errors are in per cent."""

    cell: str
    """Its id: table, row and column, counted from 1. In the report it is the cell's anchor."""
    table: str
    """Number of the table; `text` for the numbers that the paper prints in its text."""
    keys: str
    """JSON object: the key columns of the row in `tables/published/`, as printed there."""
    net: str
    """The net of the row; empty in rows of several nets, or of none."""
    S: str
    """Its training scale, as printed."""
    Q: str
    """Its test scales, as printed."""
    protocol: str
    """How it was evaluated, as printed; empty where the table has one protocol."""
    column: str
    """Heading of the column."""
    quantity: str
    """What is measured: top-1, top-5, localisation, a task of transfer, layers, parameters."""
    status: str
    """`measured`, `withheld` (labels), `quoted` (another paper's), `not reported` (a dash in the paper), `not run`, `spanned`
    (part of the cell on its left), `undefined`."""
    split: str
    """What ours is measured on: `val`, `test`, or other labels or images, such as `ReaL`. Empty where ours is not measured."""
    paper: str
    """The published value as printed, without the marks for bold."""
    paper_value: float | None
    """The printed number, the first if there are two."""
    paper_split: str
    """What it is of, in the same words; `withheld` where an evaluation server holds the test labels. Where it is not `split`,
    nothing is subtracted."""
    paper_bold: bool
    """Whether it is printed in bold."""
    paper_rounding: float | None
    """Half a unit of its last printed digit."""
    value: float | None
    """Ours: the mean over seeds, and over splits where there are several."""
    text: str
    """Ours in Table 1, whose cells are layers."""
    low: float | None
    """Lower end of its 95% interval."""
    high: float | None
    """Upper end."""
    delta: float | None
    """Ours less the published value."""
    delta_low: float | None
    """Lower end of its 95% interval, the rounding of the printed number included."""
    delta_high: float | None
    """Upper end."""
    delta_low_90: float | None
    """Lower end of its 90% interval, rounding not included: with both ends within the tolerance, the two numbers agree."""
    delta_high_90: float | None
    """Upper end."""
    verdict: str
    """`agrees`, `differs`, `inconclusive`; `other data` or `other settings` where it cannot be compared with the paper's;
    empty in a cell without a delta."""
    tolerance: float | None
    """How far ours may be from the published number and agree with it, the rounding of that number included."""
    minimum_detectable_difference: float | None
    """The smallest true difference that would be found to differ with 80% power."""
    best: bool
    """Whether ours is the best of its column, or of its group of rows where the paper marks groups."""
    deviations: str
    """Rules of `tables/protocol.yaml` that what made ours departs from, with spaces between."""
    choices: str
    """The same of choices, where the paper is unspecified, that are not the default."""
    n: int | None
    """Images, or persons, that were judged."""
    seeds: int | None
    """Trainings that the value is a mean over."""
    splits: int | None
    """Random splits that it is a mean over, where there are several."""
    spread: float | None
    """Standard deviation over seeds, or over splits where there are several."""
    evaluations: str
    """Paths, below the folder of results, of what it was made from, with spaces between; `sources` has a row for each."""
    weights: str
    """SHA-256 of the weights that made it, with spaces between."""
    data: str
    """Digest of the images that were judged."""
    commit: str
    """Commits of the code that made its sources, with spaces between."""


class SourceRecord(TidyRecord):
    """A result that a cell was made from: an evaluation, boxes, or what SVMs scored."""

    cell: str
    """Id of the cell."""
    path: str
    """Where it lies below the folder of results."""
    weight: float | None
    """Its share of the average of posteriors; none where boxes are pooled, or SVMs were trained."""
    less: bool
    """Whether it belongs to the system that is subtracted, where the paper prints a difference."""
    runs: str
    """The trainings whose weights made it, with spaces between."""
    protocol: str
    """dense, multi-crop or centre-crop; empty for SVMs."""
    Q: int | None
    """Test scale; none for SVMs, whose features are of several."""
    weights: str
    """SHA-256 of the weights, with spaces between."""
    data: str
    """Digest of the images."""
    device: str
    """What computed it."""
    seconds: float | None
    """How long it took, for all scales of the run and protocol together."""
    commit: str
    """Commit of the code."""
    at: str
    """When it was made."""


class ClaimRecord(TidyRecord):
    """A comparison that a claim of the paper is judged by, or a claim that is judged without one."""

    claim: str
    """Its id in `tables/claims.yaml`, or in the user's file."""
    section: str
    """Of the paper; empty for a claim of the user's."""
    says: str
    """What is claimed."""
    same_as: str
    """The id of the claim of which this is the same sentence on another quantity."""
    ours: bool
    """Whether it is not the paper's, but ours or the user's: judged apart."""
    file: str
    """Name of the user's file of claims that it is from; empty for one of `tables/claims.yaml`."""
    reference: str
    """The other labels or images that it was judged again on, such as `ReaL`; empty for the validation images themselves."""
    limits: str
    """What of the sentence cannot be judged without labels that evaluation servers hold."""
    test: str
    """superiority, ordering, non-inferiority, equivalence, arithmetic, speed or cost: see `tables/claims.yaml`."""
    quantity: str
    """What is compared: top-1, top-5, localisation, a task of transfer."""
    by: float
    """The difference that is claimed, where one is."""
    margin: float
    """In points: a gain below it is smaller than claimed (superiority, ordering); else a smaller difference is none."""
    verdict: str
    """`supported`, `smaller than claimed`, `refuted`, `undecided` or `not run`: of the claim, after Holm's correction."""
    reason: str
    """Why it was not run, what decided it, or what would."""
    tested: str
    """What the two p-values are of: `gain below 0.3`."""
    p: float | None
    """Of the claim, before correction."""
    p_holm: float | None
    """Of the claim, after it."""
    decides: bool
    """Whether this is the comparison that decides the claim."""
    cell: str
    """What is claimed to be better, or as good."""
    against: str
    """What it is compared with."""
    cell_id: str
    """The first as in `cells`; of results that are not shown, its table; of speed, `trainings`."""
    against_id: str
    """The second."""
    printed: float | None
    """The gain in print, where the paper prints both numbers."""
    gain: float | None
    """By how much the first is better, in points; of speed and cost, a ratio."""
    low: float | None
    """Lower end of its 95% interval."""
    high: float | None
    """Upper end."""
    n: int | None
    """Images; of speed, epochs."""
    seeds: int | None
    """Trainings of each."""
    p_for: float | None
    """p-value of this comparison for the claim."""
    p_against: float | None
    """And against it."""
    p_smaller: float | None
    """Of a gain below the margin, where a gain is claimed."""
    trainings: str
    """What the p-values take for granted of trainings."""
    needed: str
    """What would decide it, were it so in truth."""
    papers: bool
    """Whether images and settings are the paper's: else the verdict is of these images, not of the paper."""


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
        _cell_record(
            settings,
            table,
            row,
            column,
            cell,
            [results[s.path] for s in lineage.cell_sources(settings, table.number, row, cell)],
        )
        for table in tables
        for row, column, cell in _cells(table)
    ]


def source_records(
    settings: Settings, tables: Sequence[Table], results: Mapping[str, StoredResult]
) -> list[SourceRecord]:
    """A record per cell and result that it was made from."""
    return [
        _source_record(table.anchor(row, column), source, results[source.path])
        for table in tables
        for row, column, cell in _cells(table)
        for source in lineage.cell_sources(settings, table.number, row, cell)
    ]


def _cells(table: Table) -> list[tuple[int, int, Cell]]:
    return [(r, c, cell) for r, row in enumerate(table.rows) for c, cell in enumerate(row.cells)]


def _cell_record(
    settings: Settings, table: Table, row: int, column: int, cell: Cell, made_from: Sequence[StoredResult]
) -> CellRecord:
    published = settings.table(table.number)
    about, keys = published.columns[column], _keys(settings, table, row)
    otherwise = [note for note in table.findings if note.differs and table.anchor(row, column) in note.cells]
    low, high = cell.interval or (None, None)
    delta_low, delta_high = cell.delta_interval or (None, None)
    narrow = cell.delta_narrow or (None, None)
    value = lineage.table_rows(settings, table.number)[row].cells[about.name].value
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


def _keys(settings: Settings, table: Table, row: int) -> dict[str, str]:
    """The key columns of a row."""
    printed = lineage.table_rows(settings, table.number)[row].keys
    return {name: text for name, text in printed.items() if name not in table.columns}


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
