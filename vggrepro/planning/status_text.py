"""The text of a run's status: what runs, what failed with the end of its log, how much is done and left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vggrepro.planning.formatting import date, duration, terminal_table
from vggrepro.planning.status import STATES, RunStatus, StepStatus, TrainingStatus

COLOURS = {"done": "green", "running": "cyan", "stopped": "yellow", "failed": "red", "waiting": "dim"}
BAR = 50
"""Columns of the bar of the whole progress."""


def status_view(status: RunStatus, now: datetime, *, bar: bool) -> RenderableType:
    """All that is said of a run; with a `bar` in a terminal."""
    parts: list[RenderableType] = [Text(line) for line in summary_lines(status, now)]
    if bar and status.planned:
        parts.append(ProgressBar(total=1.0, completed=status.share, width=BAR))
    parts.append(_counts(status))
    trainings = [each for each in status.steps if each.training]
    if trainings:
        parts.append(_trainings(trainings, now))
    others = [each for each in status.steps if each.state in ("running", "stopped") and not each.training]
    parts += [Text(line, style=COLOURS[each.state]) for each in others for line in _other_lines(each)]
    parts += [Text(line, style="red") for each in status.of("failed") for line in _failure_lines(each)]
    parts += [Text(f"look: {note}", style="yellow") for note in status.notes]
    return Group(*parts)


def summary_lines(status: RunStatus, now: datetime) -> Iterator[str]:
    """Whole progress, and when it ends."""
    if status.planned is None:
        yield (
            f"{status.results}: results of a version that kept no plan: what waits is not known. Start snakemake with their "
            "settings, or see vggrepro plan"
        )
        return
    counts = f"{len(status.of('done'))} of {len(status.steps)} steps"
    if len(status.of("done")) == len(status.steps):
        yield f"{status.results}: everything is made ({counts})"
        return
    left = status.seconds_left or 0.0
    head = f"{status.results}: {status.share:.0%} of the work ({counts})"
    if status.of("running"):
        yield f"{head}, {duration(left)} to go, until {date(now + timedelta(seconds=left), now)}"
    else:
        yield f"{head}; nothing runs. The same snakemake command goes on, and takes {duration(left)}"


def _counts(status: RunStatus) -> Table:
    table = terminal_table("step", *STATES)
    for rule in dict.fromkeys(each.step["rule"] for each in status.steps):
        counts = [sum(each.step["rule"] == rule for each in status.of(state)) for state in STATES]
        texts = [Text(str(n), style=COLOURS[state]) if n else Text("") for n, state in zip(counts, STATES, strict=True)]
        table.add_row(rule, *texts)
    return table


def _trainings(statuses: list[StepStatus], now: datetime) -> Table:
    table = terminal_table(
        "training", "epoch", "done", "loss", "images/s", "to go", "on", "state kept", title="Trainings on their way"
    )
    for each in statuses:
        if each.training:
            table.add_row(*_training_cells(each, each.training, now))
    return table


def _training_cells(status: StepStatus, training: TrainingStatus, now: datetime) -> list[str]:
    runs = status.state == "running"
    left = duration(training.seconds_left) if training.seconds_left is not None else ""
    kept = "not yet" if training.kept is None else f"{duration(max(0.0, now.timestamp() - training.kept))} ago"
    return [
        training.run,
        f"{training.epoch}/{training.epochs}",
        f"{training.share:.0%}",
        "" if training.loss is None else f"{training.loss:.3f}",
        "" if training.images_per_s is None else f"{training.images_per_s:,.0f}",
        left if runs else status.state,
        f"{training.device} of {training.host}",
        kept,
    ]


def _other_lines(status: StepStatus) -> Iterator[str]:
    said = f": {status.last_lines[-1]}" if status.last_lines else ""
    advice = "" if status.state == "running" else "; the same snakemake command makes it again"
    yield f"{status.state}: {status.step['name']}{said}{advice}"


def _failure_lines(status: StepStatus) -> Iterator[str]:
    yield f"failed: {status.step['name']}. The end of its log, {status.log or 'which is not there'}:"
    yield from (f"    {line}" for line in status.last_lines)
