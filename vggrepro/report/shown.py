"""What a report shows, read once from the files of a run, and its figures in the order of the page. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggrepro.core.plan_record import predicted_and_measured, read_plan
from vggrepro.diagnosis.evidence import Evidence
from vggrepro.judging.ledger import Ledger
from vggrepro.localisation.sensitivity import read_sensitivity
from vggrepro.paper.tables import published_table
from vggrepro.report.figures import argument, localisation, trainings, verdicts
from vggrepro.report.figures.classes import draw_agreement, draw_class_errors
from vggrepro.report.figures.dag import draw_dag
from vggrepro.report.figures.drawing import Figure
from vggrepro.report.figures.flips import draw_flips
from vggrepro.report.figures.predicted import draw_predicted_cost
from vggrepro.report.sweeps import draw_sweeps
from vggrepro.scores.outcomes import read_outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Table
from vggrepro.tables.lineage import FinishedTraining, StoredResult


@dataclass(frozen=True, kw_only=True)
class ShownResults:
    """The results that a report shows. None stands for what was not made."""

    settings: Settings
    table_files: Mapping[Path, Table]
    """Each table by its JSON file, beside which its outcomes lie."""
    trainings: Sequence[FinishedTraining]
    folder: Path | None
    """The folder of results, such as `results/smoke`."""
    stored: Mapping[str, StoredResult]
    """Evaluations, boxes and SVMs, by path below the folder of results."""
    ledger: Ledger | None
    evidence: Evidence | None
    merging: Path | None
    """Folder of the sensitivity analysis."""
    flips: Path | None
    """Folder of the images on which two systems differ."""

    @property
    def tables(self) -> list[Table]:
        """All tables, in the report's order."""
        return list(self.table_files.values())


def draw_figures(shown: ShownResults, folder: Path) -> list[Figure]:
    """Draw every figure for which there are results into `folder`, in the order of the page."""
    groups = (_of_the_run, _of_depth_and_scale, _of_images, _of_trainings, _of_boxes)
    return [figure for group in groups for figure in group(shown, folder) if figure]


def _of_the_run(shown: ShownResults, folder: Path) -> Iterator[Figure]:
    if shown.stored:
        yield draw_dag(shown.settings, shown.tables, shown.trainings, shown.stored, folder)
    yield from verdicts.draw_deltas(shown.tables, folder)
    if shown.ledger:
        yield from verdicts.draw_claims(shown.ledger, folder)
        yield from verdicts.draw_kept(shown.ledger, folder)


def _of_depth_and_scale(shown: ShownResults, folder: Path) -> Iterator[Figure | None]:
    by_figure = {published_table(table.number).figure: (path, table) for path, table in shown.table_files.items()}
    if "depth" in by_figure:
        yield argument.draw_error_against_depth(by_figure["depth"][1], folder)
    if "scale" in by_figure:
        yield argument.draw_error_against_scale(read_outcomes(by_figure["scale"][0].with_suffix(".npz")), folder)
    if "depth" in by_figure and shown.trainings:
        table = by_figure["depth"][1]
        rows = shown.settings.table(table.number).own_rows
        yield trainings.draw_error_against_cost(table, rows, shown.trainings, folder)


def _of_images(shown: ShownResults, folder: Path) -> Iterator[Figure | None]:
    if shown.evidence:
        yield draw_class_errors(shown.evidence, folder)
        yield draw_agreement(shown.evidence, folder)
    yield from draw_sweeps(shown.tables, folder)
    if shown.flips:
        yield draw_flips(shown.flips, folder)


def _of_trainings(shown: ShownResults, folder: Path) -> Iterator[Figure | None]:
    if shown.trainings:
        yield from trainings.draw_learning_curves(shown.trainings, folder)
        yield trainings.draw_cost(shown.trainings, folder)
    if shown.folder and (plan := read_plan(shown.folder)):
        yield draw_predicted_cost(predicted_and_measured(shown.folder, plan), folder)


def _of_boxes(shown: ShownResults, folder: Path) -> Iterator[Figure]:
    if shown.merging:
        points, examples = read_sensitivity(shown.merging)
        yield localisation.draw_sensitivity(points, shown.settings.merge, folder)
        if examples:
            yield localisation.draw_boxes(examples, shown.merging, folder)
