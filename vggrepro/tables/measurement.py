"""What a builder needs and what it gives, whatever the kind of the table. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
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


def trainings_note(spreads: Mapping[str, TrainingSpread], other_data: Collection[str]) -> Iterator[str]:
    """What intervals take for granted of trainings; where images are not the paper's, that it may not hold there."""
    quantities: dict[str, list[str]] = {}
    for quantity, spread in spreads.items():
        quantities.setdefault(spread.in_words, []).append(quantity)
    if not quantities:
        return
    words = "; ".join(f"{', '.join(names)}: {says}" for says, names in quantities.items())
    elsewhere = any(spread.assumed and quantity in other_data for quantity, spread in spreads.items())
    doubt = ". What is assumed is of the paper's nets on its images and may not hold on these" if elsewhere else ""
    yield f"Intervals are of the choice of images and of what training does. {words[0].upper()}{words[1:]}{doubt}."
