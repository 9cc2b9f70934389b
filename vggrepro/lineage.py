"""What a number came from: the trainings, and all that was made with their weights. No torch.

Read from what lies beside the results: `run.json` and `metrics.csv` of a training, `made.json` of a store.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.catalogue import Run
from vggrepro.files import read_json

OF_A_TRAINING = ("run", "settings", "parent", "initialised", "data", "drops", "epochs", "seconds", "attempts", "made")
"""What `run.json` says."""


@dataclass(frozen=True)
class Training:
    """A run as it was trained."""

    run: Run
    about: dict[str, Any]
    """`run.json`: settings, parent, data, attempts, digest of the weights, what made it."""
    metrics: list[dict[str, float]]
    """A line per epoch."""

    @property
    def processor_seconds(self) -> float:
        """Time of all GPUs (or CPU processes) over all attempts."""
        return float(sum(attempt["seconds"] * attempt["processes"] for attempt in self.about["attempts"]))

    @property
    def joules(self) -> float:
        """Energy of the GPUs over all attempts; NaN where the driver of one did not tell."""
        told = [attempt["joules"] for attempt in self.about["attempts"]]
        return math.nan if None in told else float(sum(told))

    @property
    def last(self) -> dict[str, float]:
        """The last line of its metrics."""
        return self.metrics[-1]

    @staticmethod
    def steering(row: dict[str, float]) -> float:
        """The validation error that steers the learning rate, from a line of metrics: of classes or of boxes."""
        return row["val_localisation"] if "val_localisation" in row else row["val_top1"]


def training(path: Path) -> Training:
    """The training whose `run.json` is given; a ValueError where it, or `metrics.csv` beside it, is not whole."""
    about = read_json(path, keys=OF_A_TRAINING)
    metrics = path.with_name("metrics.csv")
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    if not rows:
        raise ValueError(f"{metrics}: no epoch in it: train {about['run']} again")
    return Training(Run.parse(about["run"]), about, rows)
