"""Comparisons of trainings by their records: how fast they were, and what they cost in time and memory. No torch.

Only trainings of the same work are compared: all that decides the work but the one thing that is asked about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

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

    log_rates: list[list[float]]
    """Logarithms of images per second, epoch by epoch, of each training."""
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
        here.log_rates.append([math.log(line["images_per_s"]) for line in training.metrics])
        # a batch in pieces needs less memory
        if attempts[0]["pieces"] == 1:
            here.peak_bytes.append(attempts[0]["peak_bytes"])
    return measured


def compare_speeds(claim: Claim, trainings: Sequence[FinishedTraining]) -> list[TestedComparison]:
    """Images per second on several GPUs against one, of the same work.

    Raises NotRunError where no work was done on both.
    """
    assert isinstance(claim.of, int)
    measured, comparisons = _measurements(trainings), []
    for work in sorted({work for work, _ in measured}):
        one, many = (measured.get((work, count), _Measured([], [])).log_rates for count in (1, claim.of))
        if _is_enough(one, many):
            names = f"{work.run.label} on {claim.of} x {work.device}", f"{work.run.label} on one"
            comparisons.append(_ratio_of_rates(names, many, one))
    if not comparisons:
        raise NotRunError(
            f"no net was trained on one GPU and on {claim.of} of the same kind, with the same settings, images and versions, "
            "in one go and for two epochs each"
        )
    return comparisons


def compare_costs(claim: Claim, tables: Tables, trainings: Sequence[FinishedTraining]) -> list[TestedComparison]:
    """The time of the trainings behind two cells, each pair of the same work but for the net.

    Raises NotRunError where no such pair was trained.
    """
    return [
        _ratio_of_rates(names, against.log_rates, first.log_rates)
        for names, first, against in _pairs(claim, tables, trainings)
        if _is_enough(first.log_rates, against.log_rates)
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


def step_differences(claim: Claim, trainings: Sequence[FinishedTraining]) -> list[tuple[str, float]]:
    """What is compared, and by how much the first steps on several GPUs and on one differ: of the same run in fp32.

    The largest relative difference, over the steps that are kept, of the loss and of the norm of the change of all weights.
    Raises NotRunError where no such run was trained on both.
    """
    assert isinstance(claim.of, int)
    steps: dict[tuple[str, ...], dict[int, tuple[str, list[dict[str, Any]]]]] = {}
    for training in trainings:
        about, kept = training.about, training.about.get("first_steps")
        if kept and about["settings"]["train"]["precision"] == "fp32":
            made_of = json.dumps([about[key] for key in ("settings", "parent", "data")], sort_keys=True)
            same = (training.run.label, training.run.name, made_of)
            began = about["attempts"][0]
            steps.setdefault(same, {})[began["processes"]] = f"{began['processes']} x {began['device']}", kept
    pairs = [(name, of[1], of[claim.of]) for (name, *_), of in sorted(steps.items()) if {1, claim.of} <= of.keys()]
    if not pairs:
        raise NotRunError(
            f"no run was trained in fp32 on one GPU and on {claim.of}, with the same seed, settings and images: these are two "
            "folders of results, whose run.json files vggrepro claims --runs takes"
        )
    return [
        (f"{name} on {where} and on {alone}", _largest_difference(many, one))
        for name, (alone, one), (where, many) in pairs
    ]


def _largest_difference(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> float:
    many, one = (
        np.array([(step["loss"], math.hypot(*(change for *_, change in step["norms"].values()))) for step in steps])
        for steps in (first[: len(second)], second[: len(first)])
    )
    return float(np.max(np.abs(many - one) / np.abs(one)))


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


def _is_enough(*sides: Sequence[Sequence[float]]) -> bool:
    """Whether each side has two epochs, of one training or of several."""
    return all(sum(map(len, side)) > 1 for side in sides)


ONE_TRAINING = "one on a side: its epochs are compared. How speed differs from one training to the next is not measured"
SEVERAL_TRAININGS = "speed is compared from one training to the next"


def _ratio_of_rates(
    names: tuple[str, str], many: Sequence[Sequence[float]], one: Sequence[Sequence[float]]
) -> TestedComparison:
    """How many times as fast the first is: two means of logarithms of rates, of trainings or, of a single one, of epochs."""
    trainings = min(len(many), len(one))
    sides = [[float(np.mean(epochs)) for epochs in side] if len(side) > 1 else side[0] for side in (many, one)]
    drawn = tuple((float(np.var(rates, ddof=1)) / len(rates), len(rates) - 1) for rates in sides)
    estimate = Estimate(float(np.mean(sides[0]) - np.mean(sides[1])), 0.0, drawn)
    low, high = (math.exp(bound) for bound in estimate.interval())
    step = ClaimComparison(
        *names,
        at=("trainings", "trainings"),
        gain=math.exp(estimate.mean),
        interval=(low, high),
        n=sum(len(epochs) for side in (many, one) for epochs in side),
        seeds=trainings,
        trainings=SEVERAL_TRAININGS if trainings > 1 else ONE_TRAINING,
    )
    return TestedComparison(step, estimate, "epochs" if trainings == 1 else "trainings")
