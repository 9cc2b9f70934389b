"""What tables of scores and tables of boxes have in common: rows measure systems, whose errors become cells. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vggrepro.localisation.stores import BoxStore
from vggrepro.paper.references import plain_quantity, reference_of
from vggrepro.paper.systems import System, evaluations_of, with_seed
from vggrepro.paper.tables import Column, PublishedTable, Row
from vggrepro.scores.outcomes import Errors, Outcome, OutcomeEntry, Outcomes, Shares
from vggrepro.scores.stores import Scores
from vggrepro.scores.trainings import TrainingSpread, spreads_by_quantity
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Cell, difference_cell, error_cell, published_cell, quoted_cell, share_cell
from vggrepro.tables.imported import errors_of_imported, imported_notes
from vggrepro.tables.measurement import Measurement, trainings_note
from vggrepro.tables.references import Reference

SystemErrors = Mapping[System, Mapping[str, Outcome]]
"""The outcome of each system that was run, by quantity: errors of top-1 and top-5, or localisation; or a user's quantity."""

ILSVRC_IMAGES = ("ILSVRC-2012", 50_000, 1_000)
"""Data set, validation images and classes of the published errors."""


def systems_measurement(
    published: PublishedTable,
    settings: Settings,
    ours: SystemErrors,
    references: Sequence[Reference],
    *,
    notes: tuple[str, ...],
    papers: bool,
) -> Measurement:
    """A table of systems, ours and imported ones: `papers` says whether ours were measured on the paper's own images.

    `notes` are those of the table's kind; what intervals assume and how imported systems compare with others is added.
    """
    errors, imported = {**ours, **errors_of_imported(references)}, references[0].imported
    # by how much trainings differ, pooled over all systems of ours that were run
    spreads = spreads_by_quantity([each for by_quantity in errors.values() for each in by_quantity.items()])
    elsewhere = frozenset(quantity for quantity in published.quantities if reference_of(quantity))
    other_data = elsewhere if papers else published.quantities
    return Measurement(
        cells=_cells(published, errors, settings.higher, spreads),
        notes=(
            *notes,
            *trainings_note(spreads, other_data),
            *(note for reference in references for note in reference.notes),
            *imported_notes(published, imported, errors),
        ),
        outcomes=_outcomes(published, settings.seeds, errors),
        other_data=other_data,
    )


def measured_systems(published: PublishedTable) -> list[System]:
    """The systems whose errors a table needs, each once."""
    kept = [system for _, system in _kept_systems(published)]
    of_rows = [system for row in published.rows for system in (row.system, row.minus) if system]
    return list(dict.fromkeys([*kept, *of_rows]))


def run_mixtures(
    systems: Iterable[System], seeds: Sequence[int], stores: Collection[str]
) -> dict[tuple[System, int], dict[str, Fraction]]:
    """The weight of each store, by its path, in every system and seed; of systems whose `stores` are there for every seed."""
    mixtures = {
        system: {seed: {member.path: weight for member, weight in with_seed(system, seed)} for seed in seeds}
        for system in systems
    }
    return {
        (system, seed): mixture
        for system, by_seed in mixtures.items()
        if all(path in stores for mixture in by_seed.values() for path in mixture)
        for seed, mixture in by_seed.items()
    }


def _kept_systems(published: PublishedTable) -> Sequence[tuple[Mapping[str, str], System]]:
    """The systems whose outcomes are kept, with their key columns: those of rows, and their members alone where asked for."""
    systems = [(row.keys, row.system) for row in published.rows if row.system and not row.minus]
    if not published.members_alone:
        return systems
    alone = [
        (keys | {"Q": str(member.Q)}, ((member, Fraction(1)),))
        for keys, system in systems
        for member in evaluations_of(system)
    ]
    return [*systems, *alone]


def _cells(
    published: PublishedTable, errors: SystemErrors, higher: str, spreads: Mapping[str, TrainingSpread]
) -> tuple[tuple[Cell, ...], ...]:
    """The cells of all rows; `higher` says how a printed difference is read (CHOICE 8)."""
    return tuple(
        tuple(_cell(row, column, errors, higher, spreads) for column in published.columns) for row in published.rows
    )


def _cell(row: Row, column: Column, errors: SystemErrors, higher: str, spreads: Mapping[str, TrainingSpread]) -> Cell:
    printed, cell = row.cells[column.name], published_cell(row, column.name)
    if row.system is None:
        return quoted_cell(cell, printed, column.split)
    if column.split == "withheld":
        return replace(cell, status="withheld")
    if row.system not in errors or (row.minus and row.minus not in errors):
        return cell  # not run
    if column.quantity not in errors[row.system]:
        # what lists of labels leave out, and not what a reference was not measured on
        return cell if plain_quantity(column.quantity) in errors[row.system] else replace(cell, status="not reported")
    ours, spread = errors[row.system][column.quantity], spreads[column.quantity]
    if isinstance(ours, Shares):
        return share_cell(cell, printed, ours, "test", spread)
    less = errors[row.minus][column.quantity] if row.minus else None
    if isinstance(less, Errors):
        return difference_cell(cell, printed, ours, less, higher=higher, spread=spread)
    return error_cell(cell, printed, ours, spread)


def _outcomes(published: PublishedTable, seeds: tuple[int, ...], errors: SystemErrors) -> Outcomes:
    """The outcome of every row that was run, in each quantity; a printed difference has none of its own."""
    entries = [
        OutcomeEntry(keys, quantity, outcome)
        for keys, system in _kept_systems(published)
        for quantity, outcome in errors.get(system, {}).items()
    ]
    return Outcomes(published.number, seeds, tuple(entries))


def papers_images(store: Scores | BoxStore) -> bool:
    """Whether a store is of the images and classes that the published errors are of."""
    return (store.metadata["data set"], len(store), store.classes) == ILSVRC_IMAGES


def data_notes(store: Scores | BoxStore, settings: Settings, *, about_images: Sequence[str] = ()) -> tuple[str, ...]:
    """On which images errors were measured, and that these are others than the paper's, if they are."""
    notes = [
        f"Measured on {store.metadata['data set']}, {len(store):,} validation images of {store.classes} classes, preset "
        f"{settings.preset}.",
        *about_images,
    ]
    if not papers_images(store):
        notes.append(
            "The deltas compare different data: the published errors are of the paper's nets on ILSVRC-2012, "
            f"ours of the {settings.preset} preset's nets on other images. They say nothing about the paper."
        )
    return (*notes, *_released_note(settings), *_seeds_note(settings))


def _released_note(settings: Settings) -> Iterator[str]:
    nets = [f"{run.label} ({Path(release.file).name})" for run, release in settings.releases.items()]
    if nets:
        yield f"Not trained here, but taken as released: {', '.join(nets)}. What needs other nets is not run."


def _seeds_note(settings: Settings) -> Iterator[str]:
    if len(settings.seeds) > 1:
        yield f"Mean and standard deviation over the seeds {', '.join(map(str, settings.seeds))}."
