"""From stores to a table: one builder for each kind of table, as `tables.yaml` names it. No torch, no markup.

A builder measures the cells; what all tables have in common is done here. No verdict is given: `judging` does that later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, product

import numpy as np

from vggrepro.paper.tables import PublishedTable, published_table
from vggrepro.scores.outcomes import Outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.boxes import measure_boxes
from vggrepro.tables.cells import Table, TableRow, group_sizes, row_keys
from vggrepro.tables.layers import measure_layers, measure_parameters
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.scores import measure_scores
from vggrepro.tables.svms import measure_svms
from vggrepro.tables.variants import variant_rows

BUILDERS: dict[str, Callable[[PublishedTable, Settings, Inputs], Measurement]] = {
    "layers": measure_layers,
    "parameters": measure_parameters,
    "scores": measure_scores,
    "boxes": measure_boxes,
    "svms": measure_svms,
}
"""By the kind of a table: how its cells are measured."""


def build_table(published: PublishedTable, settings: Settings, inputs: Inputs) -> tuple[Table, Outcomes]:
    """The table with its cells measured from `inputs`, and the outcome of every measured row for each image.

    Raises ValueError where inputs are needed and not given, and for stores that are damaged or do not fit together.
    """
    measurement = BUILDERS[published.kind.name](published, settings, inputs)
    own = replace(published, rows=published.own_rows)
    rows = [
        TableRow(row_keys(own, row), cells, group)
        for row, cells, group in zip(own.rows, measurement.cells[: len(own.rows)], group_sizes(own), strict=True)
    ]
    # imported scores may be of other images than ours: the best is marked among the paper's rows
    printed = len(published_table(published.number).rows)
    table = Table(
        number=published.number,
        name=published.name,
        title=published.title,
        section=published.section,
        caption=published.caption,
        keys=tuple(published.headings.values()),
        above=_headings_above(published),
        columns=tuple(column.heading for column in published.columns),
        rows=(*_with_best(published, rows[:printed]), *rows[printed:]),
        footnotes=tuple(published.footnotes.items()),
        notes=measurement.notes,
        kind=published.kind.layout,
        higher_is_better=published.higher_is_better,
        other_data=tuple(sorted(measurement.other_data)),
        variants=variant_rows(published, settings, measurement.cells),
    )
    return table, measurement.outcomes


def _headings_above(published: PublishedTable) -> tuple[tuple[str, int], ...]:
    """The headings over key columns, from left to right: `(("", 1), ("smallest image side", 2))`."""
    over = {key: text for text, keys in published.above.items() for key in keys}
    texts = [over.get(key, "") for key in published.headings]
    return tuple((text, len(list(same))) for text, same in groupby(texts)) if over else ()


def _with_best(published: PublishedTable, rows: Sequence[TableRow]) -> tuple[TableRow, ...]:
    """Mark our best value in each column: of the whole table, or of each group where the paper does so."""
    if published.best == "none":
        return tuple(rows)
    groups = np.cumsum([row.group > 0 for row in rows]) if published.best == "group" else np.zeros(len(rows))
    marked = [list(row.cells) for row in rows]
    best = max if published.higher_is_better else min
    for column, group in product(range(len(published.columns)), set(groups)):
        inside = [cells for cells, its_group in zip(marked, groups, strict=True) if its_group == group]
        values = {value for cells in inside if (value := cells[column].value) is not None}
        for cells in inside:
            if len(values) > 1 and cells[column].value == best(values):
                cells[column] = replace(cells[column], best=True)
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True))
