"""How far a training has come: its learning rate, its place in the epoch, what it measured, what it cost."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from vggrepro.core.devices import Meter, device_name
from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.objectives import Loss
from vggrepro.training.processes import ProcessGroup


@dataclass
class Schedule:
    """PAPER 3.1: the rate is divided by 10 when validation accuracy stops improving, three times; then the end.

    With `drop_epochs` the drops are fixed, and validation images steer nothing.
    """

    settings: TrainSettings
    drops: list[int] = field(default_factory=list)
    """Epochs after which the rate dropped."""
    best: float = -1.0
    waited: int = 0
    finished: bool = False

    @property
    def learning_rate(self) -> float:
        """The rate of the epoch to come."""
        return self.settings.learning_rate * 0.1 ** len(self.drops)

    def after(self, epoch: int, accuracy: float) -> None:
        """Take note of the validation accuracy after an epoch (counted from 1)."""
        fixed = self.settings.drop_epochs
        if accuracy > self.best:
            self.best, self.waited = accuracy, 0
        else:
            self.waited += 1
        drop = epoch in fixed if fixed is not None else self.waited >= self.settings.patience
        if drop and fixed is None and len(self.drops) == self.settings.drops:
            self.finished = True
        elif drop:
            self.drops.append(epoch)
            self.waited = 0
        self.finished = self.finished or epoch >= self.settings.epochs


@dataclass
class EpochPart:
    """How much of an epoch is done, and what its images gave so far."""

    epoch: int = 1
    """Counted from 1."""
    batches: int = 0
    seen: int = 0
    seconds: float = 0.0
    sums: Tensor = field(default_factory=lambda: torch.zeros(3))
    """Summed loss, wrong answers, and the number of images that count, of this process."""

    def add(self, loss: Loss, images: int) -> None:
        """Take note of a global batch of `images`, and of what this process's part of it gave."""
        found = torch.stack([loss.sum.detach(), loss.wrong, loss.counted])
        self.sums = self.sums.to(found.device) + found
        self.batches, self.seen = self.batches + 1, self.seen + images

    def as_json(self, world: ProcessGroup) -> dict[str, Any]:
        """To be read back as it is, with the sums of all processes: floats come back to the last bit."""
        return {**vars(self), "sums": world.total(self.sums).tolist()}

    @classmethod
    def from_json(cls, said: dict[str, Any], world: ProcessGroup) -> EpochPart:
        """The inverse of `as_json`: the main process goes on with the sums of all."""
        return cls(**{**said, "sums": torch.tensor(said["sums"]) * world.main})


@dataclass
class TrainingProgress:
    """How far a training has come: what a state keeps beside weights and momentum."""

    schedule: Schedule
    part: EpochPart = field(default_factory=EpochPart)
    rows: list[dict[str, float]] = field(default_factory=list)
    """A line of metrics for every finished epoch."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Of every attempt, this one last: when it began, on what, and what it used until its last state."""

    def begin(self, meter: Meter, world: ProcessGroup, pieces: int) -> None:
        """A new attempt, by so many processes, each of which computes its part of a batch in so many pieces."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self.attempts.append({"began": began, "device": device_name(meter.device), "processes": world.size})
        self.read(meter, world, pieces)

    def read(self, meter: Meter, world: ProcessGroup, pieces: int) -> None:
        """Take note of what the attempt used: seconds, the most memory of a process, energy of all GPUs where it is told."""
        joules = float(world.total(torch.tensor(meter.joules, dtype=torch.float64)))
        self.attempts[-1] |= {
            "pieces": pieces,
            "seconds": meter.seconds,
            "peak_bytes": int(world.largest(meter.peak_bytes)),
            "joules": None if math.isnan(joules) else joules,
        }

    def as_json(self, iteration: int, world: ProcessGroup) -> dict[str, Any]:
        """To be read back by `go_on`."""
        return {
            "iteration": iteration,
            "schedule": {name: value for name, value in vars(self.schedule).items() if name != "settings"},
            "part": self.part.as_json(world),
            "rows": self.rows,
            "attempts": self.attempts,
        }

    def go_on(self, said: dict[str, Any], world: ProcessGroup) -> None:
        """Take over the course of earlier attempts."""
        vars(self.schedule).update(said["schedule"])
        self.part, self.rows = EpochPart.from_json(said["part"], world), said["rows"]
        self.attempts = said["attempts"] + self.attempts


METRIC_COLUMNS = ("epoch", "iteration", "learning_rate", "loss", "train_", "val_", "images_per_s", "seconds")
"""How the names of metrics begin, in their order."""


def _place(name: str) -> tuple[int, str]:
    return next(i for i, start in enumerate(METRIC_COLUMNS) if name.startswith(start)), name


def metrics_csv(rows: list[dict[str, float]]) -> str:
    """`metrics.csv`: a line per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted(rows[0], key=_place), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue()
