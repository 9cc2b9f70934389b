"""What a builder needs and what it gives, whatever the kind of the table. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vggrepro.scores.outcomes import Outcomes
from vggrepro.scores.trainings import TrainingSpread
from vggrepro.tables.cells import Cell


@dataclass(frozen=True)
class Inputs:
    """The folders of results that a table is made from."""

    folder: Path | None = None
    """Score stores, box stores or results of SVMs, by the kind of the table; Tables 1 and 2 need none."""
    imported: tuple[Path, ...] = ()
    """The stores of other systems (`vggrepro import`)."""
    workers: int = 1
    labels: tuple[Path, ...] = ()
    """The stores of other labels of the same images (`vggrepro labels`)."""

    def results(self, number: str) -> Path:
        """The folder; a ValueError where Table `number` needs it and it was not given."""
        if self.folder is None:
            raise ValueError(
                f"table {number} needs --scores: the folder of score stores (8 to 10: boxes; 11, 12: transfer)"
            )
        return self.folder


@dataclass(frozen=True)
class Measurement:
    """The cells of a table, measured."""

    cells: tuple[tuple[Cell, ...], ...]
    """Row by row."""
    notes: tuple[str, ...]
    outcomes: Outcomes
    """What each measured row made of every image."""
    other_data: frozenset[str] = frozenset()
    """Quantities that were measured on other images than the published numbers."""
    spreads: Mapping[str, TrainingSpread] = field(default_factory=dict)
    """By how much trainings differ in each quantity, pooled over all that was measured."""
