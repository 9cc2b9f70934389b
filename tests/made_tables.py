"""Tables made from stores without any record: built and judged, not audited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vggrepro.judging.verdicts import judge_table
from vggrepro.scores.outcomes import Outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import Table
from vggrepro.tables.measurement import Inputs


def table_with_outcomes(
    number: str, settings: Settings, folder: Path | None = None, *, imported: Sequence[Path] = (), workers: int = 1
) -> tuple[Table, Outcomes]:
    """Table `number` from the stores in `folder`, and the outcome of every measured row."""
    published = settings.table(number)
    table, measurement = build_table(published, settings, Inputs(folder, tuple(imported), workers))
    return judge_table(table, published, settings.higher), measurement.outcomes


def judged_table(
    number: str, settings: Settings, folder: Path | None = None, *, imported: Sequence[Path] = (), workers: int = 1
) -> Table:
    """The table alone."""
    return table_with_outcomes(number, settings, folder, imported=imported, workers=workers)[0]
