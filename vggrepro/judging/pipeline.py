"""How a table is made: read, build, audit, judge, write. Each stage takes a `Table` and gives one with more in it. No torch.

The audit refuses a table with a number that was made under a deviation that nobody declared, and adds the footnotes of those
that were declared. Verdicts come last, because a cell that deviates from the paper's protocol cannot be compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from vggrepro.core.checksums import CHECKSUMS_SUFFIX, write_list
from vggrepro.judging.audit import Audit
from vggrepro.judging.footnotes import footnotes, noted
from vggrepro.judging.variants import judge_variants
from vggrepro.judging.verdicts import judge_table
from vggrepro.paper.protocol import QUANTITIES, rules_by_id
from vggrepro.paper.references import plain_quantity
from vggrepro.paper.tables import PublishedTable, cell_id
from vggrepro.paper.tasks import task_of
from vggrepro.scores.outcomes import write_outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import AuditFinding, Table, table_sources
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import TABLE_FORMATS, write_table

UNLIKE = (
    'The deltas of cells with a footnote "Not as in the paper" do not compare like with like: what made these numbers departs '
    "from the paper's protocol as the footnote says."
)
"""The note of a table with such cells."""


def make_table(number: str, settings: Settings, inputs: Inputs, *, runs: Path | None, out: Path) -> None:
    """Make Table `number` ("1" to "12", or "text") and write it, with its outcomes, into the folder `out`.

    Raises ValueError for a table that the paper does not have, and as `build_table` and `audit_table` do.
    """
    published = settings.table(number)
    table, measurement = build_table(published, settings, inputs)
    table = audit_table(table, published, settings, results=inputs.folder, runs=runs)
    table = judge_table(table, published, settings.higher)
    if table.variants:
        table = judge_variants(table, published, measurement, settings)
    write_outcomes(out / f"{table.name}.npz", measurement.outcomes)
    write_table(table, out)
    formats = (*TABLE_FORMATS, "npz")
    write_list(out / f"{table.name}{CHECKSUMS_SUFFIX}", [out / f"{table.name}.{ending}" for ending in formats])


def audit_table(
    table: Table, published: PublishedTable, settings: Settings, *, results: Path | None, runs: Path | None
) -> Table:
    """The table with findings and footnotes, by the records of the `results` that its cells are from and of their `runs`.

    Raises ValueError where a record is missing, is not what the settings say, or is of other weights, and where numbers
    are shown without a folder of runs.
    """
    paths = _paths_by_cell(table, published, settings.seeds)
    if not paths:
        return table
    if runs is None or results is None:
        raise ValueError(
            f"table {table.number} shows numbers of ours: give --runs, the folder of the runs' records (run.json)"
        )
    audit = Audit(runs, settings)
    findings = {}
    for (i, j), of_cell in paths.items():
        row, column = published.rows[i], published.columns[j]
        about = [finding for path in of_cell for finding in audit.of_result(results / path)]
        # a variant's records have to be as it declares; that it departs from the paper is what it is for
        if i < len(table.rows):
            quantity = task_of(row, column) if row.members else plain_quantity(column.quantity)
            differences = audit.of_settings("difference") if row.minus else ()
            findings[cell_id(table.name, i, j)] = _touching(quantity, [*about, *differences])
    of_table = noted(findings)
    marks, texts = footnotes(of_table, list(findings))
    rows = []
    for i, of_row in enumerate(table.rows):
        cells = (
            replace(cell, footnotes=marks.get(cell_id(table.name, i, j), ())) for j, cell in enumerate(of_row.cells)
        )
        rows.append(replace(of_row, cells=tuple(cells)))
    notes = (*table.notes, *([UNLIKE] if any(finding.deviates for finding in of_table) else []))
    return replace(table, rows=tuple(rows), footnotes=(*table.footnotes, *texts), notes=notes, findings=of_table)


def _paths_by_cell(table: Table, published: PublishedTable, seeds: Sequence[int]) -> dict[tuple[int, int], list[str]]:
    """The results of ours, below their folder, that each measured cell is from, by its row and column from 0.

    Imported scores have no record to audit.
    """
    paths = {}
    for place, sources in table_sources(table, published, seeds).items():
        names = [source.path.partition("/")[2] for source in sources]
        if ours := [name for name in names if not name.startswith("imported/")]:
            paths[place] = ours
    return paths


def _touching(quantity: str, findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """The findings that bear on a quantity, each once."""
    # what bears on top-1 bears on every quantity of posteriors that the paper does not have
    quantity = quantity if quantity in QUANTITIES else "top-1"
    rules = rules_by_id()
    return tuple(dict.fromkeys(finding for finding in findings if quantity in rules[finding.rule].touches))
