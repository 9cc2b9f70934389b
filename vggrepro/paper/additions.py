"""What a user adds to a table of the paper: systems at its end, variants of its rows, columns of references. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vggrepro.paper.references import JUDGED, on_reference
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation, System
from vggrepro.paper.tables import Column, Published, PublishedTable, Row


def with_systems(table: PublishedTable, systems: Mapping[str, System]) -> PublishedTable:
    """A table that compares methods, with rows added at its end for the user's systems, of which the paper prints nothing."""
    cells = {column.name: Published("-", None) for column in table.columns}
    added = [
        Row({**dict.fromkeys(table.headings, ""), "method": name}, cells, system, name=name)
        for name, system in systems.items()
    ]
    return replace(table, rows=(*table.rows, *added))


def with_variants(table: PublishedTable, variants: Iterable[tuple[str, Run]]) -> PublishedTable:
    """A table with a row added for each variant, by name, and each row that measures the run that it varies alone."""
    cells = {column.name: Published("-", None) for column in table.columns}
    key, added = next(iter(table.headings), ""), []
    for name, run in variants:
        for place, row in enumerate(table.rows):
            if row.name or row.minus or not _measures(row, run.varied):
                continue
            system = row.system and tuple((member.varied_as(run.variant), weight) for member, weight in row.system)
            # what names a row of the paper must not name the variant's, too
            named = {column: f"{row.keys[column]} ({name})" for column in (key, "net", "systems") if column in row.keys}
            keys = {**row.keys, **named}
            members = tuple(replace(member, variant=run.variant) for member in row.members)
            added.append(Row(keys, cells, system, members=members, name=name, varies=place))
    return replace(table, rows=(*table.rows, *added))


def _measures(row: Row, run: Run) -> bool:
    """Whether a row measures one run alone."""
    members = [member.run if isinstance(member, Evaluation) else None for member, _ in row.system or ()]
    return {*members, *row.members} == {run}


def with_references(table: PublishedTable, references: Iterable[str]) -> PublishedTable:
    """A table of averaged posteriors, with columns at its right end for what it measures on validation images, by reference.

    The paper prints nothing there, so that no cell of them is compared with it: their split is the reference.
    """
    added = [
        Column(
            name=f"{column.name} {reference}",
            heading=f"{column.quantity} error (%), {reference}",
            quantity=on_reference(column.quantity, reference),
            split=reference,
        )
        for reference in references
        for column in table.columns
        if column.split == "val" and column.quantity in JUDGED
    ]
    cells = {column.name: Published("-", None) for column in added}
    rows = tuple(replace(row, cells={**row.cells, **cells}) for row in table.rows)
    return replace(table, columns=(*table.columns, *added), rows=rows)
