"""Plans in words: tables that a terminal shows in colour and a pipe as plain lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from vggrepro.core.planned import PredictedAndMeasured
from vggrepro.planning.forecast import Range, attained, total
from vggrepro.planning.outlook import Outlook, by_rule

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
UNITS = ((2 * DAY, DAY, "days"), (2 * HOUR, HOUR, "h"), (2 * MINUTE, MINUTE, "min"), (0.0, 1.0, "s"))
"""From so many seconds on, a unit."""
PLAIN_WIDTH, UNBOUNDED = 150, 10_000
"""Columns in a pipe: of tables that fill their line, and of lines that no width breaks."""


def console(plain_width: int = PLAIN_WIDTH) -> Console:
    """Where tables go: in a terminal as wide as it is, in a pipe of so many columns and without colours."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else plain_width, highlight=False)


def table(*columns: str, title: str = "") -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left", no_wrap=True)
    return made


def duration(seconds: float) -> str:
    """`3.4 days`, `12 min`."""
    unit, name = next((unit, name) for least, unit, name in UNITS if seconds >= least)
    return f"{amount(seconds / unit)} {name}"


def duration_range(seconds: Range) -> str:
    """`3.4 days (2.1 to 6.8)`; of a time that is about certain, the time alone."""
    unit, name = next((unit, name) for least, unit, name in UNITS if seconds.mid >= least)
    low, mid, high = (amount(value / unit) for value in seconds)
    return f"{mid} {name}" if low == mid == high else f"{mid} {name} ({low} to {high})"


def amount_range(numbers: Range, unit: str) -> str:
    """`1,200 kWh (700 to 2,400)`."""
    low, mid, high = map(amount, numbers)
    return f"{mid} {unit}" if low == mid == high else f"{mid} {unit} ({low} to {high})"


def size(count: float) -> str:
    """`143 GB`."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{amount(count / unit)} {name}"
    return f"{count / 1e3:.0f} kB" if count else ""


def amount(value: float) -> str:
    """Two digits: more would be made up."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2g}"


def plan_table(view: Outlook) -> Table:
    """A line for each kind of step."""
    made = table("step", "to make", "arithmetic", "time of all, one after another", "memory", "disk")
    counts = {rule: sum(step.rule == rule for step in view.steps.steps) for rule in by_rule(view.forecasts)}
    for rule, group in by_rule(view.forecasts).items():
        works = [each.step.work for each in group]
        operations = sum(work.operations for work in works)
        made.add_row(
            rule,
            f"{len(group)} of {counts[rule]}",
            f"{operations:.1e}" if operations else "",
            duration_range(total([each.seconds for each in group])),
            size(max(work.memory for work in works)),
            size(sum(work.disk for work in works)),
        )
    return made


def plan_lines(view: Outlook, now: datetime) -> Iterable[str]:
    """What a run costs, in sentences."""
    machines, ends = view.machines, view.ends(now)
    yield (
        f"{len(view.forecasts)} of {len(view.steps.steps)} steps are to be made, on {on_what(view)}: "
        f"{duration_range(view.seconds)}"
    )
    yield f"started now it ends at {date(ends[1], now)} (between {date(ends[0], now)} and {date(ends[2], now)})"
    yield f"no number of machines makes it shorter than {duration_range(view.chain)}: {chain(view.schedules[1].chain)}"
    if not machines.device.is_cpu:
        yield f"GPU hours: {amount_range(view.gpu_seconds.times(1 / HOUR), 'h')}"
    yield f"energy of what computes: {amount_range(view.joules.times(1 / 3.6e6), 'kWh')}"
    kept, for_a_while = (size(count) or "nothing" for count in (view.disk, view.disk_for_a_while))
    yield f"disk: {kept} of results, and {for_a_while} of checkpoints while it runs"
    if not view.is_measured:
        share = attained(machines.device, "fp32")
        yield (
            f"{machines.device.name} was never measured: it is taken to attain between {share.low:g} and {share.high:g} "
            f"of its data sheet ({machines.device.entry.source}). --calibrate on it, or its first epochs, narrow that"
        )
    yield from (f"look: {line}" for line in view.warnings())


def on_what(view: Outlook) -> str:
    """`4 x h100 (2 of them to a training)`, `AMD EPYC, 2 cores`."""
    machines = view.machines
    if machines.device.is_cpu:
        name = machines.device.name
        return name if name.endswith("cores") else f"{name}, {machines.cores} cores"
    together = f" ({machines.per_training} of them to a training)" if machines.per_training > 1 else ""
    return f"{machines.gpus} x {machines.device.name}{together} and {machines.cores} CPU cores"


def chain(names: Sequence[str]) -> str:
    """The steps of the critical path."""
    return " > ".join(names) or "nothing"


def date(when: datetime, now: datetime) -> str:
    """`14:05`, `Mon 14 Dec 2026`."""
    near = (when - now).total_seconds() < DAY / 2
    return when.strftime("%H:%M") if near else when.strftime("%a %d %b %Y, %H:%M")


def guesses_table(outcomes: Sequence[PredictedAndMeasured]) -> Table:
    """How good the last guesses were: a line for each kind of step."""
    made = table(
        "step", "finished", "predicted", "measured", "times", "within the range", title="Predicted and measured"
    )
    rules = dict.fromkeys(each.step["rule"] for each in outcomes)
    for rule in rules:
        group = [each for each in outcomes if each.step["rule"] == rule]
        predicted, measured = sum(each.predicted["seconds"] for each in group), sum(each.seconds for each in group)
        made.add_row(
            rule,
            str(len(group)),
            duration(predicted),
            duration(measured),
            f"{measured / predicted:.2f}" if predicted else "",
            f"{sum(each.within for each in group)} of {len(group)}",
        )
    return made


def start_line(view: Outlook, now: datetime) -> str:
    """The plan in one line."""
    mid = view.ends(now)[1]
    known = "" if view.is_measured else ", never measured"
    return (
        f"Plan: {len(view.forecasts)} of {len(view.steps.steps)} steps, {duration_range(view.seconds)} on "
        f"{on_what(view)}{known}; "
        f"ends at {date(mid, now)}. More: vggrepro plan, vggrepro status"
    )
