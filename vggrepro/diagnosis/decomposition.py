"""The error decomposition: the error of every step, its paired difference to the step before, and their files. No torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from vggrepro.core.files import atomic_folder, read_json, write_json, write_text
from vggrepro.data.store import Store
from vggrepro.diagnosis.steps import MISTAKE_BASE, DecompositionStep
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import System, evaluations_of
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.statistics import nested_interval, wilson
from vggrepro.scores.stores import Scores, mixture_ranks, read_scores

PointInterval = tuple[float, float]
"""A 95% interval in percentage points."""

Ranks = NDArray[np.int32]
"""[N]: the rank of every image's true class."""


@dataclass(frozen=True)
class StepEffect:
    """The effect of a step on one error."""

    points: float
    """Error after less error before, in percentage points."""
    interval: PointInterval
    mended: int
    """Images that were wrong before and are right after."""
    broken: int
    """Images that were right before and are wrong after."""


@dataclass(frozen=True)
class MeasuredStep:
    """A step with its errors. The fields are keys of `why.json`."""

    name: str
    says: str
    """What the step changes."""
    errors: dict[str, float]
    """In per cent, by quantity."""
    intervals: dict[str, PointInterval]
    changes: dict[str, StepEffect]
    """By quantity: against the step before, or of a mistake against the step that it is made on. Empty for the first step."""
    published: dict[str, str]
    where: str
    """The table that prints the published errors."""
    source: str
    """`computed`, or the score stores that were averaged."""


@dataclass(frozen=True)
class Decomposition:
    """All measured steps for one set of weights: the content of `why.json`."""

    run: str
    images: int
    data: str
    steps: list[MeasuredStep]
    mistakes: list[MeasuredStep]
    base: str
    """Name of the step that mistakes are made on."""
    missing: list[str]
    """Names of the steps that were not measured, each with the reason."""
    made: dict[str, Any]
    """Settings, hardware, code and time of the computation."""


def measured_step(step: DecompositionStep, ranks: Ranks, ranks_before: Ranks | None) -> MeasuredStep:
    """The errors of a step, and their changes against the ranks of another step on the same images."""
    errors, intervals, changes = {}, {}, {}
    for quantity in TOP:
        wrong = wrong_images(ranks, quantity)
        errors[quantity] = 100 * float(wrong.mean())
        low, high = wilson(int(wrong.sum()), len(wrong))
        intervals[quantity] = 100 * low, 100 * high
        if ranks_before is not None:
            changes[quantity] = _change(wrong_images(ranks_before, quantity), wrong)
    source = ", ".join(e.path for e, _ in step.system) or "computed"
    return MeasuredStep(
        step.name, step.says, errors, intervals, changes, dict(step.published or {}), step.where, source
    )


def _change(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> StepEffect:
    """The paired difference of two errors on the same images."""
    difference = after.astype(float) - before
    low, high = nested_interval(difference[None])
    mended, broken = int((before & ~after).sum()), int((after & ~before).sum())
    return StepEffect(100 * float(difference.mean()), (100 * low, 100 * high), mended, broken)


def open_step_stores(folder: Path, system: System, *, weights: Mapping[str, str], data: str) -> dict[str, Scores]:
    """The score stores of a system below `folder`, by the path of the evaluation.

    `weights` gives digests of weights by the run's name, `data` the digest of the images. Raises ValueError for scores of
    other images, or of other weights of a run that `weights` has.
    """
    stores = {e.path: read_scores(folder / e.path) for e in evaluations_of(system)}
    for evaluation in evaluations_of(system):
        metadata = stores[evaluation.path].metadata
        expected = weights.get(evaluation.run.name, metadata["weights"])
        if (metadata["data"], metadata["weights"]) != (data, expected):
            raise ValueError(f"{folder / evaluation.path}: scores of other images or weights: evaluate again")
    return stores


def stored_ranks(
    folder: Path, steps: Sequence[DecompositionStep], *, weights: Mapping[str, str], data: str
) -> dict[str, Ranks]:
    """Ranks of the true classes under the system of each step, by the step's name. Raises as `open_step_stores`."""
    stores: dict[str, Scores] = {}
    for step in steps:
        stores |= open_step_stores(folder, step.system, weights=weights, data=data)
    return mixture_ranks(stores, {step.name: {e.path: share for e, share in step.system} for step in steps})


def unmeasured_steps(
    steps: Sequence[DecompositionStep], *, scores_folder: Path | None, devkit: Path | None
) -> dict[str, str]:
    """Why a step cannot be measured with the given score stores and devkit, by the name of the step."""
    reasons = {}
    for step in steps:
        absent = [e.path for e, _ in step.system if not _is_stored(scores_folder, e.path)]
        if absent:
            reasons[step.name] = f"there are no scores {absent[0]}"
        elif step.devkit_order and not devkit:
            reasons[step.name] = "needs ILSVRC's devkit, which was not given"
    return reasons


def _is_stored(scores_folder: Path | None, path: str) -> bool:
    return scores_folder is not None and (scores_folder / path / "made.json").exists()


def write_decomposition(
    run: Run,
    *,
    store: Store,
    steps: Sequence[DecompositionStep],
    mistakes: Sequence[DecompositionStep],
    ranks: Mapping[str, Ranks],
    missing: Mapping[str, str],
    metadata: dict[str, Any],
    out: Path,
) -> None:
    """Write the errors of all steps, from the ranks by step name: `why.json`, `why.csv` and `flips.csv` in the folder `out`.

    `missing` gives the reasons for steps that were not measured.
    """
    before = [None, *steps[:-1], *(steps[MISTAKE_BASE] for _ in mistakes)]
    pairs = list(zip(before, (*steps, *mistakes), strict=True))
    measured = [measured_step(step, ranks[step.name], ranks[base.name] if base else None) for base, step in pairs]
    decomposition = Decomposition(
        run=run.name,
        images=len(store),
        data=str(store.about["data set"]),
        steps=measured[: len(steps)],
        mistakes=measured[len(steps) :],
        base=steps[MISTAKE_BASE].name,
        missing=[f"{name}: {reason}" for name, reason in missing.items()],
        made=metadata,
    )
    flips = [
        flip for base, step in pairs if base for flip in _flips(step.name, ranks[base.name], ranks[step.name], store)
    ]
    with atomic_folder(out, "why.json") as root:
        write_json(root / "why.json", asdict(decomposition))
        write_text(root / "why.csv", _csv(ERROR_COLUMNS, _error_rows(decomposition)))
        write_text(root / "flips.csv", _csv(FLIP_COLUMNS, flips))


FLIP_COLUMNS = ("step", "error", "change", "image", "class", "rank before", "rank after")


def _flips(name: str, before: Ranks, after: Ranks, store: Store) -> Iterator[list[Any]]:
    """A row for every image that a step mends or breaks, with the ranks of its true class."""
    wnids = store.about["wnids"]
    for quantity in TOP:
        was_wrong, is_wrong = wrong_images(before, quantity), wrong_images(after, quantity)
        for i in np.flatnonzero(was_wrong != is_wrong).tolist():
            change = "mended" if was_wrong[i] else "broken"
            yield [name, quantity, change, store.ids[i], wnids[store.labels[i]], int(before[i]), int(after[i])]


ERROR_COLUMNS = (
    *("kind", "name", "error", "here", "low", "high"),
    *("change", "change low", "change high", "mended", "broken"),
    *("paper", "table", "n", "source"),
)


def _error_rows(decomposition: Decomposition) -> Iterator[list[Any]]:
    """A row for every error of every step and mistake."""
    measured = [("step", step) for step in decomposition.steps] + [("mistake", step) for step in decomposition.mistakes]
    for kind, step in measured:
        for quantity, error in step.errors.items():
            change = step.changes.get(quantity)
            effect = [change.points, *change.interval, change.mended, change.broken] if change else [""] * 5
            values = [error, *step.intervals[quantity], *effect]
            printed = [f"{value:.6g}" if isinstance(value, float) else value for value in values]
            paper = step.published.get(quantity, "")
            yield [kind, step.name, quantity, *printed, paper, step.where, decomposition.images, step.source]


def _csv(columns: Sequence[str], rows: Iterator[list[Any]] | list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def read_decomposition(folder: Path) -> Decomposition:
    """The decomposition in a folder that `write_decomposition` wrote; a ValueError that names the file if it is damaged."""
    path = folder / "why.json"
    try:
        return TypeAdapter(Decomposition).validate_python(read_json(path))
    except ValueError as error:
        raise ValueError(
            f"{path}: no error decomposition, or a damaged one: delete {folder} and run vggrepro why again ({error})"
        ) from None
