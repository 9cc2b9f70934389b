"""From stores to a table: the errors of its systems become cells. No torch, no markup.

Each kind of table, as `tables.yaml` names it, has a builder that measures its cells; what all tables have in common is done
in `build_table`. No verdict is given: `judging` does that later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, product

import numpy as np

from vggrepro.localisation.errors import localisation_errors
from vggrepro.localisation.stores import read_boxes
from vggrepro.paper.references import reference_of
from vggrepro.paper.systems import System, evaluations_of, is_imported
from vggrepro.paper.tables import PublishedTable, Row
from vggrepro.scores.outcomes import (
    Outcome,
    OutcomeEntry,
    Outcomes,
    SystemOutcomes,
    classification_errors,
)
from vggrepro.scores.ranks import TOP
from vggrepro.scores.stores import open_evaluations, read_scores
from vggrepro.scores.trainings import spreads_by_quantity
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Table, TableRow, system_cell
from vggrepro.tables.imported import imported_errors, imported_notes, imported_system, open_imported
from vggrepro.tables.layers import measure_layers, measure_parameters
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.measures import measured_quantities
from vggrepro.tables.notes import data_notes, papers_images, trainings_note
from vggrepro.tables.references import on_other_images, on_other_labels
from vggrepro.tables.svms import measure_svms
from vggrepro.tables.variants import variant_row


def build_table(published: PublishedTable, settings: Settings, inputs: Inputs) -> tuple[Table, Measurement]:
    """The table with its cells measured from `inputs`, and the measurement, with what each row made of every image.

    Raises ValueError where inputs are needed and not given, and for stores that are damaged or do not fit together.
    """
    measurement = BUILDERS[published.kind.name](published, settings, inputs)
    measured = [
        (row, row_keys(published, row), cells) for row, cells in zip(published.rows, measurement.cells, strict=True)
    ]
    own = [each for each in measured if each[0].varies is None]
    groups = group_sizes([keys for _, keys, _ in own])
    rows = [TableRow(keys, cells, group) for (_, keys, cells), group in zip(own, groups, strict=True)]
    # imported scores may be of other images than ours: the best is marked among the paper's rows
    printed = sum(not row.name for row, *_ in own)
    rows[:printed] = _with_best(published, rows[:printed])
    above = _headings_above(published)
    table = Table(
        number=published.number,
        name=published.name,
        title=published.title,
        section=published.section,
        caption=published.caption,
        keys=tuple(published.headings.values()),
        above=above,
        columns=tuple(column.heading for column in published.columns),
        rows=tuple(rows),
        footnotes=tuple(published.footnotes.items()),
        notes=measurement.notes,
        kind=published.kind.layout,
        higher_is_better=published.higher_is_better,
        other_data=tuple(sorted(measurement.other_data)),
        variants=tuple(variant_row(*each, settings) for each in measured if each[0].varies is not None),
    )
    return table, measurement


@dataclass(frozen=True)
class SystemErrors:
    """The errors of a table's systems, and what they were measured on."""

    outcomes: SystemOutcomes
    papers: bool
    """Whether on the paper's own images."""
    notes: Iterable[str]
    """On our data."""
    notes_on_added: Iterable[str]
    """On what the user adds."""


def averaged_errors(published: PublishedTable, settings: Settings, inputs: Inputs) -> SystemErrors:
    """Tables 3 to 7 and the numbers in the text (section 4): classification errors of averaged posteriors.

    On the validation images and, in columns of their own, on what the user names besides. Raises ValueError for stores that
    are damaged, of other evaluations, or of different images.
    """
    stores = open_evaluations(inputs.results(published.number), published.evaluations(settings.seeds), read_scores)
    imported = open_imported(inputs, settings) if published.compares_methods else {}
    references = [
        *(on_other_labels(folder, settings, stores, imported) for folder in inputs.labels),
        *(on_other_images(name, published, settings, inputs) for name in settings.validation),
    ]
    # an imported system alone may be of other images: it is measured apart
    systems = [system for system in published.systems if not is_imported(system)]
    own = sorted({column.quantity for column in published.columns if column.split == "val"} - set(TOP))
    outcomes: dict[System, dict[str, Outcome]] = {}
    for part in (
        classification_errors(systems, settings.seeds, {**stores, **imported}),
        *(reference.errors(systems, settings.seeds) for reference in references),
        *([measured_quantities(own, systems, settings.seeds, stores)] if own else ()),
        *({imported_system(store): imported_errors(store)} for store in imported.values()),
        *(reference.imported_errors() for reference in references),
    ):
        for system, by_quantity in part.items():
            outcomes.setdefault(system, {}).update(by_quantity)
    added = [note for reference in references for note in reference.notes]
    if published.compares_methods:
        added += imported_notes(published, imported, outcomes)
    return SystemErrors(outcomes, all(map(papers_images, stores.values())), data_notes(stores, settings), added)


def merged_errors(published: PublishedTable, settings: Settings, inputs: Inputs) -> SystemErrors:
    """Tables 8 to 10 (appendix A): localisation errors of merged boxes.

    Raises ValueError for stores that are damaged, of other evaluations, or of different images.
    """
    evaluations = published.evaluations(settings.seeds) if settings.localisation else ()
    stores = open_evaluations(inputs.results(published.number), evaluations, read_boxes)
    imported = open_imported(inputs, settings) if published.compares_methods else {}

    def merge_of(system: System) -> MergeSettings:
        # boxes of a variant may be merged otherwise
        return settings.of(evaluations_of(system)[0].run).merge

    outcomes = {
        **localisation_errors(published.systems, settings.seeds, stores, merge_of, inputs.workers),
        **{imported_system(store): imported_errors(store) for store in imported.values()},
    }
    notes = data_notes(stores, settings, "" if settings.localisation else ": localisation is switched off")
    added = imported_notes(published, imported, outcomes) if published.compares_methods else ()
    return SystemErrors(outcomes, all(map(papers_images, stores.values())), notes, added)


def measure_systems(
    errors_of: Callable[[PublishedTable, Settings, Inputs], SystemErrors],
    published: PublishedTable,
    settings: Settings,
    inputs: Inputs,
) -> Measurement:
    """Tables 3 to 10 and the text: a row is a system, whose errors in each quantity become its cells."""
    errors = errors_of(published, settings, inputs)
    other_data = published.quantities
    if errors.papers:
        other_data = frozenset(quantity for quantity in published.quantities if reference_of(quantity))
    # a printed difference has no outcome of its own
    entries = [
        OutcomeEntry(keys, quantity, outcome)
        for keys, system in published.kept_systems
        for quantity, outcome in errors.outcomes.get(system, {}).items()
    ]
    # by how much trainings differ, pooled over all systems of ours that were run
    spreads = spreads_by_quantity([each for by_quantity in errors.outcomes.values() for each in by_quantity.items()])
    cells = tuple(
        tuple(system_cell(row, column, errors.outcomes, settings.higher, spreads) for column in published.columns)
        for row in published.rows
    )
    notes = (*errors.notes, *trainings_note(spreads, other_data), *errors.notes_on_added)
    return Measurement(cells, notes, Outcomes(published.number, settings.seeds, tuple(entries)), other_data, spreads)


BUILDERS: dict[str, Callable[[PublishedTable, Settings, Inputs], Measurement]] = {
    "layers": measure_layers,
    "parameters": measure_parameters,
    "scores": partial(measure_systems, averaged_errors),
    "boxes": partial(measure_systems, merged_errors),
    "svms": measure_svms,
}
"""By the kind of a table: how its cells are measured."""


def row_keys(published: PublishedTable, row: Row) -> tuple[str, ...]:
    """A row's keys as printed. In fusions a member is written as a system: net/train S/test Q."""
    return tuple(published.texts.get(name, {}).get(row.keys[name], row.keys[name]) for name in published.headings)


def group_sizes(keys: Sequence[tuple[str, ...]]) -> list[int]:
    """For each row the size of the group that starts there, 0 within a group. Rows of a group share the first key shown."""
    first = [shown[0] for shown in keys]
    starts = [i for i, key in enumerate(first) if i == 0 or key != first[i - 1]]
    sizes = dict(zip(starts, np.diff([*starts, len(first)]).tolist(), strict=True))
    return [sizes.get(i, 0) for i in range(len(first))]


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
