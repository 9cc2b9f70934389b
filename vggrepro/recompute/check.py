"""A folder of results, computed again from one end to the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vggrepro.core.leftovers import visible_files
from vggrepro.recompute.evaluations import Sample, recomputed_boxes, recomputed_labels, recomputed_scores
from vggrepro.recompute.findings import Finding, NoSecondDefinitionError, equal, skipped
from vggrepro.recompute.net import read_net, wrong_layers
from vggrepro.recompute.tables import recomputed_tables
from vggrepro.recompute.training import recomputed_training
from vggrepro.recompute.transfer import recomputed_features, recomputed_svms
from vggrepro.settings.models import Settings


@dataclass(frozen=True)
class Extent:
    """How much is computed again."""

    sample: Sample
    steps: int
    """First steps of every training."""
    only: tuple[str, ...] = ()
    """Paths below the folder of results that are checked, with all below them; empty for all."""

    def has(self, path: str) -> bool:
        """Whether a path is to be checked."""
        return not self.only or any(path == name or path.startswith(f"{name}/") for name in self.only)


def recompute(results: Path, settings: Settings | None, extent: Extent) -> Iterator[Finding]:
    """The findings on everything in a folder of results, one after another.

    `settings` are those that tables and data sets of transfer were made with; without them neither is checked, and that is
    said. What is damaged differs. Raises ValueError for a folder without results.
    """
    made = {kind: _paths(results, kind, marker) for kind, marker in MARKER_FILES.items()}
    if not any(made.values()):
        raise ValueError(
            f"{results}: no results in it: expected a folder such as results/smoke, with runs, scores, tables"
        )
    for kind, paths in made.items():
        for path in filter(extent.has, paths):
            yield from _named_damage(path, _findings(results, settings, extent, kind, path))
    if not extent.has("tables"):
        return
    if settings is None:
        yield skipped("tables", "cells, verdicts and claims", "give the settings that they were made with: --settings")
        return
    yield from _named_damage("tables", recomputed_tables(results, settings))


MARKER_FILES = {
    "runs": "weights.safetensors",
    "scores": "made.json",
    "answers": "made.json",
    "boxes": "made.json",
    "features": "made.json",
    "transfer": "made.json",
}
"""The folders of results, in the order in which they follow from one another, and a file that each result has."""


def _paths(results: Path, kind: str, marker: str) -> list[str]:
    return [file.parent.relative_to(results).as_posix() for file in visible_files(results / kind, f"**/{marker}")]


def _findings(results: Path, settings: Settings | None, extent: Extent, kind: str, path: str) -> Iterator[Finding]:
    if kind == "runs":
        return _run_findings(results, path, extent.steps)
    if kind == "scores":
        return recomputed_scores(results, path, extent.sample)
    if kind == "answers":
        return iter([recomputed_labels(results, path)])
    if kind == "boxes":
        return recomputed_boxes(results, path, extent.sample)
    given = settings.transfer.paths if settings else {}
    data_sets = {name: Path(folder) if folder else results / "data" / "drawn" / name for name, folder in given.items()}
    transfer = recomputed_features if kind == "features" else recomputed_svms
    return transfer(results, path, data_sets, extent.sample)


def _run_findings(results: Path, path: str, steps: int) -> Iterator[Finding]:
    """A run's layers, by Table 1, and its first steps; of a released net there are none."""
    net = read_net(results / path / "weights.safetensors")
    problem = wrong_layers(net)
    yield equal(path, "layers and kernels, by Table 1", not problem, problem)
    if (results / path / "run.json").exists():
        yield from recomputed_training(results, path.removeprefix("runs/"), steps=steps)
    elif (results / path / "adopted.json").exists():
        yield skipped(path, "training", "a released net: it was not trained here")
    else:
        yield skipped(path, "training", "neither run.json nor adopted.json lies beside its weights")


def _named_damage(path: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, and one that says so where something is damaged that they are read from, or defined in one place alone."""
    try:
        yield from findings
    except NoSecondDefinitionError as error:
        yield skipped(path, "what its net gives", str(error))
    except (ValueError, OSError, LookupError, TypeError) as error:
        yield Finding(path, "what is stored", "differs", f"it cannot be read: {error}")


def as_json_value(finding: Finding) -> dict[str, Any]:
    """A finding for JSON, which has no infinity: exact agreement has a difference of 0 and no digits."""
    return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(finding).items()}
