"""How far a training has come: its place in the epoch, what it measured, what it cost."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggrepro.core.devices import Meter, device_name
from vggrepro.core.records import ProgressRecord, check_types
from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.objectives import Loss
from vggrepro.training.processes import ProcessGroup
from vggrepro.training.schedule import Schedule


@dataclass
class EpochProgress:
    """How much of an epoch is done, and the sums over its images so far."""

    epoch: int = 1
    """Counted from 1."""
    batches: int = 0
    seen: int = 0
    """Images of all processes."""
    seconds: float = 0.0
    sums: Tensor = field(default_factory=lambda: torch.zeros(3))
    """Summed loss, wrong images, and images that count, of this process."""

    def add(self, loss: Loss, images: int) -> None:
        """Add a global batch of `images`, and the loss of this process's part of it."""
        sums = torch.stack([loss.sum.detach(), loss.wrong, loss.counted])
        self.sums = self.sums.to(sums.device) + sums
        self.batches, self.seen = self.batches + 1, self.seen + images

    def row(self, group: ProcessGroup, *, run: str, error: str) -> dict[str, float]:
        """Mean loss, training error, seconds and images/s of a whole epoch. Raises ValueError where no image counted."""
        loss, wrong, counted = group.total(self.sums).tolist()
        if not counted:
            raise ValueError(f"{run}: no crop of epoch {self.epoch} held enough of a box: lower boxes.min_inside")
        return {
            "loss": loss / counted,
            f"train_{error}": wrong / counted,
            "seconds": self.seconds,
            "images_per_s": self.seen / self.seconds,
        }

    def check_loss(self, group: ProcessGroup, run: str) -> None:
        """Raise ValueError where the loss is not a number. Every process has to call this."""
        loss = float(group.total(self.sums)[0])
        if not math.isfinite(loss):
            raise ValueError(
                f"{run}: the loss is {loss} in epoch {self.epoch}: training diverged. "
                "Lower train.learning_rate, or initialise in stages (staged: true)"
            )

    def as_json(self, group: ProcessGroup) -> dict[str, Any]:
        """With the sums of all processes: floats come back to the last bit."""
        return {**vars(self), "sums": group.total(self.sums).tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any], group: ProcessGroup) -> EpochProgress:
        """The inverse of `as_json`: the main process goes on with the sums of all."""
        return cls(**{**values, "sums": torch.tensor(values["sums"]) * group.main})


@dataclass
class TrainingProgress:
    """How far a training has come: what a checkpoint keeps beside weights and momentum."""

    schedule: Schedule
    epoch: EpochProgress = field(default_factory=EpochProgress)
    iteration: int = 0
    """Steps taken."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """A line of metrics for every finished epoch."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Of every attempt, this one last: when it began, on what, and what it used until its last checkpoint."""
    first_steps: list[dict[str, Any]] = field(default_factory=list)
    """The first steps in numbers: see `first_steps.step_numbers`."""

    def add(self, loss: Loss, images: int) -> None:
        """Add a step on a global batch of `images`, and the loss of this process's part of it."""
        self.epoch.add(loss, images)
        self.iteration += 1

    def end_epoch(self, row: dict[str, float], accuracy: float) -> None:
        """Keep the metrics of an epoch, let its validation accuracy steer the schedule, and turn to the next epoch."""
        self.rows.append(row)
        self.schedule.after(self.epoch.epoch, accuracy)
        self.epoch = EpochProgress(self.epoch.epoch + 1)

    def begin_attempt(self, meter: Meter, group: ProcessGroup, pieces: int) -> None:
        """Begin an attempt by a group of processes, each of which computes its part of a batch in so many pieces."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self.attempts.append({"began": began, "device": device_name(meter.device), "processes": group.size})
        self.measure(meter, group, pieces)

    def measure(self, meter: Meter, group: ProcessGroup, pieces: int) -> None:
        """Record what the attempt used: seconds, the most memory of a process, energy of all GPUs where it is known."""
        joules = float(group.total(torch.tensor(meter.joules, dtype=torch.float64)))
        self.attempts[-1] |= {
            "pieces": pieces,
            "seconds": meter.seconds,
            "peak_bytes": int(group.largest(meter.peak_bytes)),
            "joules": None if math.isnan(joules) else joules,
        }

    def as_json(self, group: ProcessGroup) -> dict[str, Any]:
        """What `from_json` reads back. Every process has to call this."""
        return {
            "iteration": self.iteration,
            "schedule": self.schedule.as_json(),
            "part": self.epoch.as_json(group),
            "rows": self.rows,
            "attempts": self.attempts,
            "first_steps": self.first_steps,
        }

    @classmethod
    def from_json(
        cls, values: dict[str, Any], settings: TrainSettings, group: ProcessGroup, folder: Path | None
    ) -> TrainingProgress:
        """The progress of earlier attempts. Raises ValueError for values of another format, which names their `folder`."""
        try:
            check_types(ProgressRecord, values)
        except ValueError as error:
            raise ValueError(
                f"{folder}: a checkpoint of another version of vggrepro ({error}): go on with that version, or delete the "
                "folder to train anew"
            ) from None
        return cls(
            Schedule(settings, **values["schedule"]),
            EpochProgress.from_json(values["part"], group),
            values["iteration"],
            values["rows"],
            values["attempts"],
            values.get("first_steps", []),
        )


def check_not_stuck(rows: list[dict[str, float]], *, run: str, epochs: int, classes: int) -> None:
    """Raise ValueError where the loss of so many epochs stayed at that of a net that knows nothing of its classes."""
    chance = math.log(classes)
    if len(rows) >= epochs and all(row["loss"] > 0.995 * chance for row in rows[-epochs:]):
        raise ValueError(
            f"{run}: for {epochs} epochs the loss stayed at ln({classes}) = {chance:.2f}, that of "
            "a net that knows nothing. Deep nets do so when they begin with small random weights: initialise in stages "
            "(staged: true), or with train.init: glorot; lower train.learning_rate; or allow more train.stuck_epochs"
        )


METRIC_COLUMNS = ("epoch", "iteration", "learning_rate", "loss", "train_", "val_", "images_per_s", "seconds")
"""How the names of metrics begin, in their order."""


def _column_place(name: str) -> tuple[int, str]:
    return next(i for i, start in enumerate(METRIC_COLUMNS) if name.startswith(start)), name


def metrics_csv(rows: list[dict[str, float]]) -> str:
    """`metrics.csv`: a line per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted(rows[0], key=_column_place), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue()


def epoch_line(row: dict[str, float], error: str, *, epochs: int, seconds: float, waited: float) -> str:
    """A line of the log after an epoch, `seconds` after the first began; its steps `waited` so many for their images."""
    left = seconds / row["epoch"] * (epochs - row["epoch"])
    return (
        f"epoch {row['epoch']:.0f}/{epochs}, loss {row['loss']:.4f}, "
        f"{error} error {row[f'train_{error}']:.1%} train, {row[f'val_{error}']:.1%} val, rate {row['learning_rate']:g}, "
        f"{row['images_per_s']:.0f} images/s, {waited:.1f} s of waiting for images, at most {left:.0f} s to go"
    )
