"""Comparisons of trainings by their records: how fast they were, and what they cost in time and memory. No torch.

Only trainings of the same work are compared: all that decides the work but the one thing that is asked about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from vggrepro.judging.comparisons import ClaimComparison, NotRunError, TestedComparison
from vggrepro.paper.claims import CellPlace, Claim, Tables
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import evaluations_of
from vggrepro.scores.statistics import Estimate
from vggrepro.tables.lineage import FinishedTraining


@dataclass(frozen=True, order=True)
class Work:
    """All that decides the work of a training, and what does it, but the number of processes and the seed."""

    run: Run
    """The net, S, the objective and the layers that move, for seed 0."""
    settings: str
    """All settings of the training as JSON: size of the net, batch, precision, compilation, where images are kept."""
    data: str
    """Digest of the training images."""
    device: str
    versions: str


@dataclass(frozen=True)
class _Measured:
    """The trainings of the same work on as many processes."""

    log_rates: list[float]
    """Logarithms of images per second, epoch by epoch."""
    peak_bytes: list[int]
    """Peak of the memory that each reserved on a GPU, by training."""


def _measurements(trainings: Sequence[FinishedTraining]) -> dict[tuple[Work, int], _Measured]:
    """Measurements of trainings on GPUs in one go, by work and number of processes."""
    measured: dict[tuple[Work, int], _Measured] = {}
    for training in trainings:
        about, attempts = training.about, training.about["attempts"]
        # the metrics do not say which attempt an epoch was part of, and processes share a CPU with who knows what
        if len(attempts) > 1 or attempts[0]["device"] == "CPU":
            continue
        work = Work(
            replace(training.run, seed=0),
            json.dumps(about["settings"], sort_keys=True),
            about["data"]["train"],
            attempts[0]["device"],
            json.dumps(about["made"]["versions"], sort_keys=True),
        )
        here = measured.setdefault((work, attempts[0]["processes"]), _Measured([], []))
        here.log_rates.extend(math.log(line["images_per_s"]) for line in training.metrics)
        # a batch in pieces needs less memory
        if attempts[0]["pieces"] == 1:
            here.peak_bytes.append(attempts[0]["peak_bytes"])
    return measured


def compare_speeds(claim: Claim, trainings: Sequence[FinishedTraining]) -> list[TestedComparison]:
    """Images per second on several GPUs against one, of the same work, epoch by epoch.

    Raises NotRunError where no work was done on both.
    """
    assert isinstance(claim.of, int)
    measured, comparisons = _measurements(trainings), []
    for work in sorted({work for work, _ in measured}):
        one, many = (measured.get((work, count), _Measured([], [])).log_rates for count in (1, claim.of))
        if min(len(one), len(many)) > 1:
            names = f"{work.run.label} on {claim.of} x {work.device}", f"{work.run.label} on one"
            comparisons.append(_ratio_of_rates(names, many, one))
    if not comparisons:
        raise NotRunError(
            f"no net was trained on one GPU and on {claim.of} of the same kind, with the same settings, images and versions, "
            "in one go and for two epochs each"
        )
    return comparisons


def compare_costs(claim: Claim, tables: Tables, trainings: Sequence[FinishedTraining]) -> list[TestedComparison]:
    """The time of the trainings behind two cells, each pair of the same work but for the net, epoch by epoch.

    Raises NotRunError where no such pair was trained.
    """
    return [
        _ratio_of_rates(names, against.log_rates, first.log_rates)
        for names, first, against in _pairs(claim, tables, trainings)
        if min(len(first.log_rates), len(against.log_rates)) > 1
    ] or _nothing_trained(claim)


def counted_bytes(claim: Claim, tables: Tables, trainings: Sequence[FinishedTraining]) -> list[tuple[str, int, int]]:
    """What is compared, and the peak memory of the trainings behind the two cells: counted, so that nothing is estimated.

    Raises NotRunError where no pair of the same work but for the net was trained.
    """
    return [
        (f"{names[0]} against {names[1]}", min(first.peak_bytes), max(against.peak_bytes))
        for names, first, against in _pairs(claim, tables, trainings)
        if first.peak_bytes and against.peak_bytes
    ] or _nothing_trained(claim)


def _nothing_trained(claim: Claim) -> NoReturn:
    names = " and ".join(place.label for place in claim.compared()[0])
    raise NotRunError(f"{names} were not both trained on a GPU, in one go, with the same settings, images and versions")


def _pairs(
    claim: Claim, tables: Tables, trainings: Sequence[FinishedTraining]
) -> Iterator[tuple[tuple[str, str], _Measured, _Measured]]:
    measured = _measurements(trainings)
    for place, against in claim.compared():
        ours, other = (_run_of(cell, tables) for cell in (place, against))
        for (work, processes), first in sorted(measured.items(), key=lambda item: item[0]):
            second = measured.get((replace(work, run=other), processes))
            if work.run == ours and second:
                yield (f"{ours.label} on {processes} x {work.device}", other.label), first, second


def _run_of(place: CellPlace, tables: Tables) -> Run:
    """The training behind a cell that one net measures."""
    [run] = {evaluation.run for evaluation in evaluations_of(place.row(tables).system or ())}
    return run


def _ratio_of_rates(names: tuple[str, str], many: Sequence[float], one: Sequence[float]) -> TestedComparison:
    """How many times as fast the first is: two means of logarithms of rates."""
    drawn = tuple((float(np.var(rate, ddof=1)) / len(rate), len(rate) - 1) for rate in (many, one))
    estimate = Estimate(float(np.mean(many) - np.mean(one)), 0.0, drawn)
    low, high = (math.exp(bound) for bound in estimate.interval())
    step = ClaimComparison(
        *names,
        at=("trainings", "trainings"),
        gain=math.exp(estimate.mean),
        interval=(low, high),
        n=len(one) + len(many),
        seeds=1,
    )
    return TestedComparison(step, estimate, "epochs")
