"""What was measured of steps: this machine's earlier runs, a calibration, the epochs of trainings that are on their way.

A measured step says how many times its modelled time it took. Only steps of the same rule, size of net and device say
something of each other: the share of the hardware that a net an eighth as wide attains is another one.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from vggrepro.core.files import read_json
from vggrepro.core.plan_record import PredictedAndMeasured, predicted_and_measured, read_whole_plan
from vggrepro.planning.hardware import devices
from vggrepro.training.files import METRICS, RUN_RECORD

if TYPE_CHECKING:
    from vggrepro.planning.steps import Step

CALIBRATION = Path("results/calibration.json")
AS_CALIBRATED = {"train": ("train",), "evaluate": ("evaluate", "boxes", "features", "why")}
"""The rules that a calibrated piece of work stands for."""
FEW = 3
"""Measured steps up to which their own spread says nothing of others."""
SPREAD = (0.75, 1.33)
"""Around the ratio of few measured steps."""


@dataclass(frozen=True)
class Correction:
    """How many times the modelled time steps of a kind took."""

    low: float
    mid: float
    high: float
    n: int


@dataclass(frozen=True)
class MeasuredRates:
    """All that was measured: ratios by rule, size and device."""

    ratios: dict[tuple[str, str, str], list[float]]

    def of(self, step: Step, device: str) -> Correction | None:
        """The correction of a step on a device; None where nothing of its kind was measured."""
        ratios = self.ratios.get((step.rule, step.work.size, device))
        if not ratios:
            return None
        middle = median(ratios)
        low, high = (middle * factor for factor in SPREAD) if len(ratios) <= FEW else (min(ratios), max(ratios))
        return Correction(low, middle, high, len(ratios))


def measured_rates(folders: Iterable[Path], calibration: Path = CALIBRATION) -> MeasuredRates:
    """What the results in some folders and a calibration say.

    A folder whose plan cannot be read, such as one of an older version, says nothing.
    """
    ratios: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for folder in folders:
        for outcome in _outcomes(folder):
            key = outcome.step["rule"], outcome.step["size"], outcome.predicted["device"]
            ratios[key].append(outcome.seconds / outcome.predicted["model"])
    for (rule, size, device), ratio in _calibrated(calibration):
        ratios[rule, size, device].append(ratio)
    return MeasuredRates(dict(ratios))


def results_folders(root: Path = Path("results")) -> list[Path]:
    """The folders of results below the current folder."""
    return sorted(path.parent.parent for path in root.glob("*/plan/plan.json"))


def _outcomes(folder: Path) -> list[PredictedAndMeasured]:
    plan = read_whole_plan(folder)
    outcomes = predicted_and_measured(folder, plan) if plan else []
    return [
        each for each in outcomes if each.predicted["model"] > 0 and each.seconds > 0 and _was_as_planned(folder, each)
    ]


def _was_as_planned(folder: Path, outcome: PredictedAndMeasured) -> bool:
    """Whether a step ran on the kind of device that it was planned on, as far as its record says."""
    planned, outputs = outcome.predicted["device"], outcome.step["outputs"]
    expected = devices()[planned].entry.matches if planned in devices() else "CPU"
    records = [folder / name for name in outputs if name.endswith(RUN_RECORD)]
    records += [file for name in outputs[:1] for file in sorted((folder / name).glob("**/made.json"))[:1]]
    try:
        return all(expected in str(read_json(record).get("device", expected)) for record in records)
    except (ValueError, AttributeError):
        return False


def _calibrated(file: Path) -> Iterator[tuple[tuple[str, str, str], float]]:
    """What `--calibrate` measured, for every rule that it stands for."""
    if not file.exists():
        return
    entries: list[dict[str, Any]] = read_json(file, again="calibrate again", listed=False)
    for entry in entries:
        for rule in AS_CALIBRATED[entry["work"]]:
            yield (rule, entry["size"], entry["device"]), float(entry["ratio"])


@dataclass(frozen=True)
class EpochsDone:
    """How far an unfinished training is."""

    epochs: int
    seconds: float
    """Of these epochs."""


def epochs_done(state: Path) -> EpochsDone:
    """The epochs of a training that are kept in its folder of checkpoints; none where nothing is kept or can be read."""
    try:
        with (state / METRICS).open(encoding="utf-8", newline="") as lines:
            seconds = [float(row["seconds"]) for row in csv.DictReader(lines)]
    except (ValueError, TypeError, KeyError, OSError):
        return EpochsDone(0, 0.0)
    return EpochsDone(len(seconds), sum(seconds))
