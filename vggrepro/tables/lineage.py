"""What a number came from: the trainings, and all that was made with their weights. No torch.

Read from what lies beside the results: `run.json` and `metrics.csv` of a training, `made.json` of a store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.core.files import checked, read_rows
from vggrepro.core.leftovers import visible_files
from vggrepro.core.records import TrainingRecord, typed_record
from vggrepro.paper.runs import Run
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Table, table_sources

OF_A_TRAINING = (
    "run",
    "settings",
    "parent",
    "initialised",
    "data",
    "drops",
    "epochs",
    "seconds",
    "attempts",
    "weights",
    "device",
    "made",
)
"""What `run.json` says."""


@dataclass(frozen=True)
class FinishedTraining:
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
        """Energy of the GPUs over all attempts; NaN where a driver did not report it."""
        joules = [attempt["joules"] for attempt in self.about["attempts"]]
        return math.nan if None in joules else float(sum(joules))

    @property
    def last(self) -> dict[str, float]:
        """The last line of its metrics."""
        return self.metrics[-1]

    @staticmethod
    def steering(row: dict[str, float]) -> float:
        """The validation error that steers the learning rate, from a line of metrics: of classes or of boxes."""
        return row["val_localisation"] if "val_localisation" in row else row["val_top1"]


def read_training(path: Path) -> FinishedTraining:
    """The training whose `run.json` is given; a ValueError where it, or `metrics.csv` beside it, is not whole."""
    again, metrics = "train the run again", path.with_name("metrics.csv")
    about = typed_record(path, OF_A_TRAINING, kind=TrainingRecord, again=again)
    with checked(path, again):
        run = Run.parse(about["run"])
    rows = read_rows(metrics, again)
    with checked(metrics, again):
        numbers = [{name: float(value) for name, value in row.items()} for row in rows]
    if not numbers:
        raise ValueError(f"{metrics}: no epoch in it: train {run.name} again")
    return FinishedTraining(run, about, numbers)


@dataclass(frozen=True)
class StoredResult:
    """What a net, or SVMs on its features, made of a set of images."""

    path: str
    """Below the folder of results: `scores/D_256_s0/dense/256`, `transfer/voc2007/D_256-512_s0`."""
    about: dict[str, Any]
    """`made.json`: digests of weights and data, settings, device, seconds, what made it."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The trainings whose weights made it; none for a system of somebody else."""
        return tuple(self.weights)

    @property
    def weights(self) -> dict[str, str]:
        """Digest of the weights, by run."""
        parts = self.about.get("features", [self.about])
        return {part["run"]: part["weights"] for part in parts if "run" in part}

    @property
    def data(self) -> str:
        """Digest of the images."""
        return str(self.about.get("data", ""))


RESULT_FOLDERS = ("scores", "boxes", "features", "transfer")
"""The folders of results that nets make."""


def _keys_of(path: str) -> tuple[str, ...]:
    """What the record of a result has to say: an imported system is of no run, SVMs are of several."""
    if path.startswith("scores/imported/"):
        return ("made",)
    return ("made", "features") if path.startswith("transfer/") else ("made", "run", "weights")


def stored_results(folder: Path) -> dict[str, StoredResult]:
    """Every result below a folder such as `results/smoke`, by its path there."""
    files = visible_files(folder, *(f"{kind}/**/made.json" for kind in RESULT_FOLDERS))
    paths = [file.parent.relative_to(folder).as_posix() for file in files]
    return {
        path: StoredResult(path, typed_record(file, _keys_of(path))) for path, file in zip(paths, files, strict=True)
    }


def results_of_table(settings: Settings, table: Table) -> list[str]:
    """The paths of all results that a table's cells came from, each once."""
    sources = table_sources(table, settings.table(table.number), settings.seeds)
    return list(dict.fromkeys(source.path for of_cell in sources.values() for source in of_cell))


def stale_results(trainings: Sequence[FinishedTraining], made: Mapping[str, StoredResult]) -> dict[str, str]:
    """The results that were made with other weights than their run has now: path and run."""
    now = {training.run.name: training.about["weights"] for training in trainings}
    pairs = ((path, run, digest) for path, result in made.items() for run, digest in result.weights.items())
    return {path: run for path, run, digest in pairs if now.get(run, digest) != digest}
