"""A table whose every number is held against the records of what made it. No torch, no markup.

Each measured cell gets the footnotes of what its runs, all they began from, and its evaluations did otherwise than the paper.
One deviation that nobody declared, and there is no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vggrepro.core.arrays import read_array
from vggrepro.core.files import read_json
from vggrepro.judging import verdicts
from vggrepro.judging.audit import Audit, Finding
from vggrepro.judging.footnotes import footnotes, noted
from vggrepro.paper.protocol import protocol_rules
from vggrepro.paper.runs import Evaluation, members_name
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import PublishedTable, Row, table_label
from vggrepro.paper.tasks import task_of
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Cell, Table

CellIndex = tuple[int, int]
"""Row and column of a cell, from 0."""
Findings = Mapping[CellIndex, tuple[Finding, ...]]


def audited_table(table: Table, settings: Settings, folder: Path | None, runs: Path | None) -> Table:
    """A table made from what lies below `folder`, with the footnotes that follow from `run.json` of the runs below `runs`.

    A cell that deviates from the paper's protocol cannot be compared with it, and loses its verdict; one that does not keeps
    it. Raises ValueError where a record is missing, is not what the settings say, or is of other weights, and where numbers
    are shown without a folder of runs.
    """
    published = settings.table(table.number)
    measured = [
        (i, j)
        for i, (row, printed) in enumerate(zip(table.rows, published.rows, strict=True))
        for j, cell in enumerate(row.cells)
        if table.kind == "errors" and cell.value is not None and _made_here(printed)
    ]
    if not measured:
        return table
    if runs is None or folder is None:
        raise ValueError(
            f"table {table.number} shows numbers of ours: give --runs, the folder of the runs' records (run.json)"
        )
    found = dict(_found(published, measured, settings, folder, Audit(runs, settings)))
    marks, texts = footnotes(found)
    rows = [[*row.cells] for row in table.rows]
    for i, j in measured:
        cell = _judged(rows[i][j], found[i, j], published.rows[i], published.columns[j].quantity, settings)
        rows[i][j] = replace(cell, footnotes=marks[i, j])
    made = [replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True)]
    before = verdicts.verdict_legend([*table.rows])
    return replace(
        table,
        rows=tuple(made),
        notes=tuple(note for note in table.notes if note not in before) + verdicts.verdict_legend(made),
        footnotes=(*table.footnotes, *texts),
        findings=noted({table.anchor(*place): about for place, about in found.items()}),
    )


def _made_here(row: Row) -> bool:
    """Whether evaluations of ours, or SVMs on them, are behind a row."""
    return bool(row.members or _evaluations(row))


def _evaluations(row: Row) -> list[Evaluation]:
    return [e for system in (row.system, row.minus) if system for e in evaluations_of(system)]


def _found(
    published: PublishedTable, measured: Sequence[CellIndex], settings: Settings, folder: Path, audit: Audit
) -> Iterator[tuple[CellIndex, tuple[Finding, ...]]]:
    """What the records of each measured cell tell of its quantity; every result is looked at once."""
    seen: dict[str, tuple[Finding, ...]] = {}
    merging = audit.of_merging() if published.kind.results == "boxes" else ()
    for i, j in measured:
        row, column = published.rows[i], published.columns[j]
        task = task_of(row, column) if row.members else None
        if task:
            paths = [f"{task}/{members_name(row.members, seed)}" for seed in settings.seeds]
        else:
            paths = [e.seeded(seed).path for seed in settings.seeds for e in _evaluations(row)]
        for path in paths:
            if path not in seen:
                seen[path] = _of_result(folder / path, audit, svms=task is not None)
        about = dict.fromkeys(finding for path in paths for finding in (*seen[path], *merging))
        yield (i, j), tuple(finding for finding in about if (task or column.quantity) in finding.rule.touches)


def _of_result(folder: Path, audit: Audit, *, svms: bool) -> tuple[Finding, ...]:
    made = read_json(folder / "made.json")
    if svms:
        return audit.of_svms(folder, made)
    labels = read_array(folder / "labels.npy", np.int64, (None,), "evaluate again", mapped=True)
    return audit.of_evaluation(folder, made, len(labels))


def _judged(cell: Cell, found: Sequence[Finding], row: Row, quantity: str, settings: Settings) -> Cell:
    """The cell with the verdict that its records allow: settings may differ that had no part in it."""
    if cell.verdict in ("", "other data"):
        return cell
    deviates = any(finding.deviates for finding in found)
    return verdicts.judge(
        cell, verdicts.quantity_of(row, quantity, settings.higher), "other settings" if deviates else ""
    )


def deviations_section(tables: Sequence[Table]) -> dict[str, Any]:
    """What the report says of deviations and choices: rule by rule what the paper says, what was done, by whom, and where."""
    by_what: dict[tuple[str, str, str], dict[str, Any]] = {}
    of_table = {t.name: len({cell for note in t.findings for cell in note.cells}) for t in tables if t.findings}
    for table in tables:
        for note in table.findings:
            row = by_what.setdefault((note.rule, note.did, note.expected), {"note": note, "about": {}, "where": []})
            row["about"] |= dict.fromkeys(note.about)
            label, n = table_label(table.number), len(note.cells)
            row["where"].append((table.name, label, f" ({n} of {of_table[table.name]})" * (n < of_table[table.name])))
    order = [rule.id for held in protocol_rules().values() for rule in held]
    listed = [_row(row, len(of_table)) for _, row in sorted(by_what.items(), key=lambda item: order.index(item[0][0]))]
    return {
        "deviations": [row for row in listed if row["kind"] == "paper"],
        "choices": [row for row in listed if row["kind"] == "choice"],
        "rules": sum(rule.kind == "paper" for held in protocol_rules().values() for rule in held),
        "broken": len({note.rule for table in tables for note in table.findings if note.kind == "paper"}),
        "audited": bool(listed),
    }


def _row(row: Mapping[str, Any], tables: int) -> dict[str, Any]:
    note, about, where = row["note"], list(row["about"]), row["where"]
    return {
        "kind": note.kind,
        "section": note.section if note.kind == "paper" else f"{note.section}, choice {note.choice}",
        "says": note.says,
        "did": note.did,
        "differs": note.differs,
        "expected": note.expected,
        "about": ", ".join(about) if len(about) <= FEW else f"{about[0]} and {len(about) - 1} more",
        "all": ", ".join(about),
        "where": [] if len(where) == tables and not any(part for *_, part in where) else where,
    }


FEW = 2
"""Runs or evaluations that the report names."""
