"""Tables 11 and 12: mean precisions and recalls of linear SVMs on features (appendix B). No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.runs import members_name
from vggrepro.paper.tables import Column, PublishedTable, Row
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.scores.outcomes import OutcomeEntry, Outcomes, Shares
from vggrepro.scores.statistics import resampled
from vggrepro.scores.trainings import TrainingSpread, spreads_by_quantity
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Cell, published_cell, quoted_cell, share_cell
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.notes import trainings_note
from vggrepro.transfer.results import SVMResult, read_svm_result

MEASURE_NAMES = {"11-point": "11-point mean AP", "area": "mean AP", "recall": "mean class recall"}
"""What notes call a measure."""

CellResults = Mapping[tuple[int, int], Sequence[SVMResult]]
"""The results of each cell that was run, one per seed, by row and column from 0."""

TaskResults = Mapping[str, Sequence[SVMResult]]
"""The same by task, whichever cell they belong to."""


def measure_svms(published: PublishedTable, settings: Settings, inputs: Inputs) -> Measurement:
    """The mean precision or recall of every cell, from the results of its SVMs; a data set that was not given is not run.

    Raises ValueError for results of other tasks or nets, and where the results of a task are of different images.
    """
    by_cell, by_task = _read_results(published, settings, inputs.results(published.number))
    outcomes = {place: _outcome(results) for place, results in by_cell.items()}
    entries = [
        OutcomeEntry(published.rows[i].keys, published.columns[j].quantity, outcome)
        for (i, j), outcome in outcomes.items()
    ]
    spreads = spreads_by_quantity([(entry.quantity, entry.outcome) for entry in entries])
    cells = tuple(
        tuple(
            _cell(row, column, outcomes.get((i, j)), by_cell.get((i, j)), spreads)
            for j, column in enumerate(published.columns)
        )
        for i, row in enumerate(published.rows)
    )
    other_data = frozenset(
        task.split("-")[0] for task in (*_drawn(by_task, settings), *_of_other_classes(by_task, settings))
    )
    return Measurement(
        cells=cells,
        notes=(*_notes(published, by_task, settings), *trainings_note(spreads, other_data)),
        outcomes=Outcomes(published.number, settings.seeds, tuple(entries)),
        other_data=other_data,
        spreads=spreads,
    )


def _read_results(published: PublishedTable, settings: Settings, folder: Path) -> tuple[CellResults, TaskResults]:
    """The results of every cell whose SVMs were trained for all seeds, by cell and by task."""
    by_cell: dict[tuple[int, int], list[SVMResult]] = {}
    by_task: dict[str, list[SVMResult]] = {}
    for i, row in enumerate(published.rows):
        for j, column in enumerate(published.columns) if row.members else ():
            task = task_of(row, column)
            paths = [folder / task / members_name(row.members, seed) for seed in settings.seeds]
            if settings.transfer.given(TASKS[task].data) and all(path.exists() for path in paths):
                by_cell[i, j] = [_read_result(path, task) for path in paths]
                by_task.setdefault(task, []).extend(by_cell[i, j])
    for results in by_task.values():
        _check_same_images(results)
    return by_cell, by_task


def _read_result(folder: Path, task: str) -> SVMResult:
    result = read_svm_result(folder)
    metadata = result.metadata
    if (metadata["task"], "+".join(metadata["nets"])) != (task, folder.name):
        raise ValueError(f"{folder}: holds {metadata['task']} with {', '.join(metadata['nets'])}: classify again")
    return result


def _check_same_images(results: Sequence[SVMResult]) -> None:
    first, *others = results
    for other in others:
        if other.metadata["data"] != first.metadata["data"]:
            raise ValueError(f"{other.folder} and {first.folder} are of different images: classify again")


def _outcome(results: Sequence[SVMResult]) -> Shares:
    """Mean precisions or recalls over seeds and splits; where there is one split, of resampled images too."""
    first = results[0]
    values = np.array([[r.values(k).mean() for k in range(len(r.scores))] for r in results])
    means = np.empty((len(results), 0))
    if values.shape[1] == 1:
        means = resampled([partial(_mean_value, result) for result in results], first.groups[0])
    # `data` is the digest of the files of a set: its part says which of them were measured
    images = f"{first.metadata['data']} {first.metadata['part']}"
    sources = tuple(f"{result.metadata['task']}/{result.folder.name}" for result in results)
    return Shares(values, means, len(first.scores[0]), len(np.unique(first.groups[0])), images, sources)


def _mean_value(result: SVMResult, images: NDArray[np.int64]) -> float:
    """The mean over the classes that some of the resampled images are of."""
    values = result.values(0, images)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _cell(
    row: Row,
    column: Column,
    outcome: Shares | None,
    results: Sequence[SVMResult] | None,
    spreads: Mapping[str, TrainingSpread],
) -> Cell:
    printed, cell = row.cells[column.name], published_cell(row, column.name)
    if not row.members:
        return quoted_cell(cell, printed, column.split)
    if outcome is None or results is None:
        return cell  # not run
    return share_cell(cell, printed, outcome, results[0].metadata["part"], spreads[column.quantity])


def _drawn(by_task: TaskResults, settings: Settings) -> list[str]:
    """The tasks whose images were drawn by the program."""
    return [task for task in by_task if settings.transfer.paths[TASKS[task].data] is None]


def _of_other_classes(by_task: TaskResults, settings: Settings) -> list[str]:
    """The tasks whose data set has another number of classes than the paper's."""
    drawn = _drawn(by_task, settings)
    return [
        task
        for task, results in by_task.items()
        if task not in drawn and len(results[0].metadata["classes"]) != TASKS[task].classes
    ]


def _notes(published: PublishedTable, by_task: TaskResults, settings: Settings) -> Iterator[str]:
    if not by_task:
        row = next(row for row in published.rows if row.members)
        data = TASKS[task_of(row, published.columns[0])].data
        yield f"Nothing of ours was run for this table: give the folders of its data sets, such as {data}=PATH."
        return
    for task, results in by_task.items():
        yield _task_note(task, results)
    records = [results[0].metadata for results in by_task.values()]
    if any(record["part"] == "val" for record in records):
        files = " The files for the evaluation server lie beside the result."
        yield (
            'Cells "on val": the test labels are withheld, so val is measured and train alone trains; no difference is '
            f"taken from the published test figure.{files if any(record['submission'] for record in records) else ''}"
        )
    if drawn := _drawn(by_task, settings):
        yield f"Images drawn by the program stand for {', '.join(drawn)}: the deltas there say nothing about the paper."
    for task in _of_other_classes(by_task, settings):
        here = len(by_task[task][0].metadata["classes"])
        yield f"{task} has {here} classes here and {TASKS[task].classes} in the paper: the delta compares different data."


def _task_note(task: str, results: Sequence[SVMResult]) -> str:
    """What a column measures, on how many images, and with which C."""
    first, metadata = results[0], results[0].metadata
    costs = sorted({C for result in results for C in result.metadata["C"]})
    tried = metadata["C from"]
    at_the_end = len(tried) > 1 and {min(tried), max(tried)} & set(costs)
    pictures = "persons" if task.startswith("actions") else "images"
    splits = f" in each of {len(first.scores)} splits" if len(first.scores) > 1 else ""
    return (
        f"{task}: {metadata['collection']}, {MEASURE_NAMES[metadata['measure']]} of {len(metadata['counted'])} classes, "
        f"{len(first.scores[0]):,} {pictures} of its {metadata['part']} part{splits}, "
        f"C = {', '.join(f'{C:g}' for C in costs)}{' (at the edge of the grid)' if at_the_end else ''}."
    )
