"""Tables 11 and 12: the cells of SVMs on features (appendix B). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.runs import members_name
from vggrepro.paper.tables import Column, Published, PublishedTable, Row
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.scores import statistics
from vggrepro.scores.outcomes import OutcomeEntry, Shares
from vggrepro.scores.statistics import Estimate, share
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import (
    Cell,
    TableRow,
    Verdict,
    groups,
    measured_cell,
    published_cell,
    quoted_cell,
    row_keys,
    settings_differences,
)
from vggrepro.transfer.results import SVMResult, read_svm_result

FirstResult = Mapping[str, Sequence[SVMResult]]
"""The results of a table, by task."""


def svm_rows(
    published: PublishedTable, settings: Settings, folder: Path
) -> tuple[list[TableRow], tuple[str, ...], list[OutcomeEntry], Mapping[str, Verdict]]:
    """The rows of Table 11 or 12 from the results of SVMs below `folder`, its notes, the outcomes of its cells, and why some
    quantities cannot be compared with the paper's.

    A data set that was not given is not run. Raises ValueError for results of other tasks, nets or images.
    """
    made: list[TableRow] = []
    seen: dict[str, list[SVMResult]] = {}
    entries: list[OutcomeEntry] = []
    for row, group in zip(published.rows, groups(published), strict=True):
        cells = []
        for column in published.columns:
            printed, cell = row.cells[column.name], published_cell(row, column.name)
            if not row.ours:
                cell = quoted_cell(cell, printed)
            elif results := _results(row, column, settings, folder, seen):
                outcome = _outcome(results)
                entries.append(OutcomeEntry(row.keys, column.quantity, outcome))
                cell = _of_shares(cell, printed, outcome, results[0].metadata["part"])
            cells.append(cell)
        made.append(TableRow(row_keys(published, row), tuple(cells), group))
    return made, _notes(published, seen, settings), entries, _incomparable(seen, settings)


def _incomparable(seen: FirstResult, settings: Settings) -> dict[str, Verdict]:
    """By quantity. The tasks of Table 12 are of one data set."""
    other = {*_drawn(seen, settings), *_of_other_classes(seen, settings)}
    otherwise: Verdict = "other settings" if settings_differences(settings, but=BUT) else ""
    return {task.split("-")[0]: "other data" if task in other else otherwise for task in seen}


BUT = ("localise", "boxes", "merge")
"""The settings that do not move what is measured here."""


def _drawn(seen: FirstResult, settings: Settings) -> list[str]:
    return [task for task in seen if settings.transfer.paths[TASKS[task].data] is None]


def _of_other_classes(seen: FirstResult, settings: Settings) -> list[str]:
    drawn = _drawn(seen, settings)
    return [t for t, r in seen.items() if t not in drawn and len(r[0].metadata["classes"]) != TASKS[t].classes]


def _results(
    row: Row, column: Column, settings: Settings, folder: Path, seen: dict[str, list[SVMResult]]
) -> list[SVMResult]:
    """What came of a cell's SVMs, for every seed; nothing where one is missing."""
    task = task_of(row, column)
    folders = [folder / task / members_name(row.members, seed) for seed in settings.seeds]
    if not settings.transfer.given(TASKS[task].data) or not all(found.exists() for found in folders):
        return []
    results = [_result(found, task, seen.get(task, ())) for found in folders]
    seen[task] = [*seen.get(task, ()), *results]
    return results


def _result(folder: Path, task: str, others: Sequence[SVMResult]) -> SVMResult:
    """A result; a ValueError for that of another task or other nets, or of other images than those before it."""
    found = read_svm_result(folder)
    if (found.metadata["task"], "+".join(found.metadata["nets"])) != (task, folder.name):
        raise ValueError(
            f"{folder}: holds {found.metadata['task']} with {', '.join(found.metadata['nets'])}: classify again"
        )
    if others and others[0].metadata["data"] != found.metadata["data"]:
        raise ValueError(f"{folder} and {others[0].folder} are of different images: classify again")
    return found


def _outcome(results: Sequence[SVMResult]) -> Shares:
    """Mean precisions or recalls over seeds and splits; where there is one split, of resampled images too."""
    first = results[0]
    values = np.array([[r.values(k).mean() for k in range(len(r.scores))] for r in results])
    resampled = np.empty((len(results), 0))
    if values.shape[1] == 1:
        resampled = statistics.resampled([partial(_mean_of, r) for r in results], first.groups[0])
    # `data` is of the files of a set: its part says which of them were measured
    images = f"{first.metadata['data']} {first.metadata['part']}"
    how = tuple(f"{r.metadata['task']}/{r.folder.name}" for r in results)
    return Shares(values, resampled, len(first.scores[0]), len(np.unique(first.groups[0])), images, how)


def _of_shares(cell: Cell, printed: Published, found: Shares, part: str) -> Cell:
    """A mean precision or recall with its interval, over seeds and splits."""
    seeds, splits = found.values.shape
    estimate = estimated(found)
    per = found.values.mean(0) if splits > 1 else found.values[:, 0]
    made = measured_cell(
        cell, printed, found.sources, estimate.mean, lambda level: share(estimate.interval(level)), found.n, per
    )
    made = replace(made, seeds=seeds, splits=splits if splits > 1 else 0)
    if part == "test":
        return made
    # the published number is of the test part: a difference would compare two sets of images
    return replace(made, status="validation", delta=None, delta_interval=None, delta_narrow=None)


def estimated(found: Shares) -> Estimate:
    """The mean over seeds and splits, and its variance."""
    if found.resampled.size:
        return statistics.of_resamples(found.values[:, 0], found.resampled, found.groups)
    return statistics.of_splits(found.values, found.n)


def _mean_of(result: SVMResult, chosen: NDArray[np.int64]) -> float:
    # a class of which a resample has no image says nothing there
    values = result.values(0, chosen)
    said = values[~np.isnan(values)]
    return float(said.mean()) if len(said) else float("nan")


def _notes(published: PublishedTable, seen: FirstResult, settings: Settings) -> tuple[str, ...]:
    if not seen:
        first = next(row for row in published.rows if row.members)
        needed = TASKS[task_of(first, published.columns[0])].data
        return (f"Nothing of ours was run for this table: give the folders of its data sets, such as {needed}=PATH.",)
    notes = [_task_note(task, results) for task, results in seen.items()]
    firsts = [results[0] for results in seen.values()]
    if any(r.metadata["part"] == "val" for r in firsts):
        beside = any(r.metadata["submission"] for r in firsts)
        notes.append(
            'Cells "on val": the test labels are withheld, so val is measured and train alone trains; no difference is '
            f"taken from the published test figure.{' The files for the evaluation server lie beside the result.' * beside}"
        )
    differs = settings_differences(settings, but=BUT)
    if drawn := _drawn(seen, settings):
        notes.append(
            f"Images drawn by the program stand for {', '.join(drawn)}: the deltas there say nothing about the paper."
        )
    for task in _of_other_classes(seen, settings):
        notes.append(
            f"{task} has {len(seen[task][0].metadata['classes'])} classes here and {TASKS[task].classes} in the paper: "
            "the delta compares different data."
        )
    if differs:
        notes.append(
            f"The deltas do not compare like with like: the nets depart from the paper in {', '.join(differs)}."
        )
    return tuple(notes)


def _task_note(task: str, results: Sequence[SVMResult]) -> str:
    """What a column measures, on how many images, and with which C."""
    first, made = results[0], results[0].metadata
    named = {"11-point": "11-point mean AP", "area": "mean AP", "recall": "mean class recall"}[made["measure"]]
    costs = sorted({C for result in results for C in result.metadata["C"]})
    ends = {min(made["C from"]), max(made["C from"])} & set(costs)
    what = "persons" if task.startswith("actions") else "images"
    splits = f" in each of {len(first.scores)} splits" if len(first.scores) > 1 else ""
    return (
        f"{task}: {made['collection']}, {named} of {len(made['counted'])} classes, {len(first.scores[0]):,} {what} of its "
        f"{made['part']} part{splits}, C = {', '.join(f'{C:g}' for C in costs)}"
        f"{' (at the end of what was tried)' if ends and len(made['C from']) > 1 else ''}."
    )
