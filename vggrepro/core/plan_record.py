"""`plan/plan.json` among the results: what was predicted of every step before it began, and what it took. No torch.

The workflow writes the file when it starts. A step that is finished keeps the prediction that was made before it ran.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from vggrepro.core.checksums import data_checksum
from vggrepro.core.files import checked_again, read_json, write_json
from vggrepro.core.records import check_types

PLAN_FILE = "plan/plan.json"
"""Below a folder of results."""


class Prediction(TypedDict):
    """What a step was expected to take, on what."""

    device: str
    """Of `tables/hardware.yaml`, or `this machine`."""
    seconds: float
    low: float
    high: float
    model: float
    """Seconds by arithmetic and bytes alone, before measured steps of the same kind corrected them."""
    measured: int
    """How many measured steps of the same kind corrected it; with 0 the range is that of hardware nobody measured."""


class PlannedStep(TypedDict):
    """A job of the workflow."""

    name: str
    """`train D_256_s0`: unique."""
    rule: str
    size: str
    """What steps of a rule have in common that take the same share of the hardware: size of the net, precision."""
    needs: list[str]
    """Names of the steps whose results it reads."""
    outputs: list[str]
    """Below the folder of results; the recipe is called as the first."""
    log: str
    benchmark: str
    to_do: NotRequired[bool]
    """Whether it was still to be made when the plan was: older results of it, which may be there, are of other settings."""
    gpus: int
    threads: int
    """CPU threads that it computes with, or reads images with."""
    predicted: Prediction | None
    """None of a step that was made before anything was predicted."""


class PlanRecord(TypedDict):
    """`plan.json`."""

    at: str
    """When, with the offset from UTC."""
    machine: str
    """The name of the node that Snakemake ran on."""
    device: str
    gpus: int
    per_training: int
    """GPUs of a training."""
    cores: int
    steps: list[PlannedStep]
    checksum: NotRequired[int]
    """Of all else: in the file itself, because others read it while it is replaced."""


def write_plan_record(results: Path, record: PlanRecord) -> None:
    """Write the plan among the results, with its checksum."""
    write_json(results / PLAN_FILE, record | {"checksum": _checksum(record)})


def _checksum(record: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in record.items() if key != "checksum"}
    return data_checksum(json.dumps(rest, sort_keys=True).encode())


def read_plan(results: Path) -> PlanRecord | None:
    """The plan among the results; None where there is none. Raises ValueError that names the file where it is damaged."""
    file = results / PLAN_FILE
    if not file.exists():
        return None
    again = "start snakemake with the same settings, which writes it again"
    value: PlanRecord = read_json(file, again=again, listed=False)
    with checked_again(file, again):
        check_types(PlanRecord, value)
        if value.get("checksum", expected := _checksum(value)) != expected:
            raise ValueError("it has another checksum than it says")
    return value


def read_whole_plan(results: Path) -> PlanRecord | None:
    """The plan among the results; None where there is none, or one that is damaged or of an older version."""
    try:
        return read_plan(results)
    except ValueError:
        return None


@dataclass(frozen=True)
class PredictedAndMeasured:
    """A finished step: what was predicted, and what it took, in seconds."""

    step: PlannedStep
    predicted: Prediction
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times the prediction it took."""
        return self.seconds / max(self.predicted["seconds"], 1e-9)

    @property
    def within(self) -> bool:
        """Whether the time lay within the predicted range."""
        return self.predicted["low"] <= self.seconds <= self.predicted["high"]


def predicted_and_measured(results: Path, plan: PlanRecord) -> list[PredictedAndMeasured]:
    """The steps that have ended and were predicted before; a step whose time is not known is left out."""
    times = ((step, measured_seconds(results, step)) for step in plan["steps"])
    return [
        PredictedAndMeasured(step, step["predicted"], seconds)
        for step, seconds in times
        if seconds is not None and step["predicted"] is not None
    ]


def measured_seconds(results: Path, step: PlannedStep) -> float | None:
    """What a step took: a training over all attempts, any other in its last one. None where that is not known."""
    if step["rule"] == "train":
        record = next((results / name for name in step["outputs"] if name.endswith("run.json")), results)
        return _seconds_of_training(record)
    file = results / step["benchmark"]
    if not step["benchmark"] or not all((results / output).exists() for output in step["outputs"]):
        return None
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return float(next(csv.DictReader(lines, delimiter="\t"))["s"])
    except (OSError, ValueError, KeyError, StopIteration):
        return None


def _seconds_of_training(record: Path) -> float | None:
    try:
        return float(sum(attempt["seconds"] for attempt in read_json(record)["attempts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
