"""Results from another folder, of nets that began with random weights: audited as ours are, before a claim is judged by them.

What they were made with is known from their records alone. They have to be made with our settings in all but how they began.
Their table is made here, from their score stores: no table or outcome that lies in the folder is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vggrepro.core.leftovers import visible_files
from vggrepro.judging.audit import audit_table
from vggrepro.judging.comparisons import NotRunError
from vggrepro.paper.runs import Run
from vggrepro.scores.outcomes import Outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import Table
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import read_table


@dataclass(frozen=True)
class UnstagedResults:
    """A table of other results."""

    outcomes: Outcomes
    table: Table
    """Audited here."""

    def remarks(self, ours: Path) -> str:
        """What was done otherwise than in the paper, beyond what our table in the file `ours` says of its own results."""
        known = {(f.rule, f.did) for f in read_table(ours).findings} if ours.exists() else set()
        others = dict.fromkeys(
            f"{f.did} ({f.expected})" for f in self.table.findings if f.differs and (f.rule, f.did) not in known
        )
        return f"from random weights: {', '.join(others)}" if others else ""


def audited_unstaged(settings: Settings, number: str, of: str) -> UnstagedResults:
    """Table `number` of the nets that began with random weights of the kind `of`.

    Raises NotRunError where none are given, and where their records are missing or contradict our settings, and ValueError for
    a folder without results.
    """
    if not settings.staged:
        raise NotRunError("these nets start from random weights themselves (staged=false)")
    if of not in settings.unstaged:
        raise NotRunError(f"no results from random weights were given: unstaged={{{of}: FOLDER}}")
    folder = Path(settings.unstaged[of])
    records = visible_files(folder, "runs/*_256_s*/run.json")
    if not records:
        raise ValueError(
            f"unstaged.{of}: {folder}: no results of trainings at S = 256 in it: name a folder below results/"
        )
    seeds = tuple(sorted({Run.parse(file.parent.name).seed for file in records}))
    began = {"train": settings.train.model_copy(update={"init": of}), "staged": False, "seeds": seeds, "released": {}}
    theirs, scores = settings.model_copy(update=began), folder / "scores"
    try:
        published = settings.table(number)
        table, measurement = build_table(published, theirs, Inputs(scores))
        table = audit_table(table, published, theirs, results=scores, runs=folder / "runs")
    except ValueError as error:
        raise NotRunError(f"unstaged.{of}: {error}") from None
    if not measurement.outcomes.entries:
        raise NotRunError(
            f"unstaged.{of}: {scores}: no row of Table {number} was evaluated with every seed: evaluate there"
        )
    return UnstagedResults(measurement.outcomes, table)
