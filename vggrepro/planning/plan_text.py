"""The text of a plan: what a run costs, in a table and in sentences, and how good earlier predictions were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table

from vggrepro.core.plan_record import PredictedAndMeasured
from vggrepro.planning.forecast import attained, total
from vggrepro.planning.formatting import HOUR, amount_range, date, duration, duration_range, size, terminal_table
from vggrepro.planning.outlook import Outlook, by_rule


def plan_table(view: Outlook) -> Table:
    """A line for each kind of step."""
    table = terminal_table("step", "to make", "arithmetic", "time of all, one after another", "memory", "disk")
    counts = {rule: sum(step.rule == rule for step in view.steps.steps) for rule in by_rule(view.forecasts)}
    for rule, group in by_rule(view.forecasts).items():
        works = [each.step.work for each in group]
        operations = sum(work.operations for work in works)
        table.add_row(
            rule,
            f"{len(group)} of {counts[rule]}",
            f"{operations:.1e}" if operations else "",
            duration_range(total([each.seconds for each in group])),
            size(max(work.memory for work in works)),
            size(sum(work.disk for work in works)),
        )
    return table


def plan_lines(view: Outlook, now: datetime) -> Iterable[str]:
    """What a run costs, in sentences."""
    machines, ends = view.machines, view.ends(now)
    yield (
        f"{len(view.forecasts)} of {len(view.steps.steps)} steps are to be made, on {on_what(view)}: "
        f"{duration_range(view.seconds)}"
    )
    yield f"started now it ends at {date(ends[1], now)} (between {date(ends[0], now)} and {date(ends[2], now)})"
    yield f"no number of machines makes it shorter than {duration_range(view.chain)}: {chain(view.timelines[1].chain)}"
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


def guesses_table(outcomes: Sequence[PredictedAndMeasured]) -> Table:
    """How good the last guesses were: a line for each kind of step."""
    table = terminal_table(
        "step", "finished", "predicted", "measured", "times", "within the range", title="Predicted and measured"
    )
    rules = dict.fromkeys(each.step["rule"] for each in outcomes)
    for rule in rules:
        group = [each for each in outcomes if each.step["rule"] == rule]
        predicted, measured = sum(each.predicted["seconds"] for each in group), sum(each.seconds for each in group)
        table.add_row(
            rule,
            str(len(group)),
            duration(predicted),
            duration(measured),
            f"{measured / predicted:.2f}" if predicted else "",
            f"{sum(each.within for each in group)} of {len(group)}",
        )
    return table


def start_line(view: Outlook, now: datetime) -> str:
    """The plan in one line."""
    mid = view.ends(now)[1]
    known = "" if view.is_measured else ", never measured"
    return (
        f"Plan: {len(view.forecasts)} of {len(view.steps.steps)} steps, {duration_range(view.seconds)} on "
        f"{on_what(view)}{known}; "
        f"ends at {date(mid, now)}. More: vggrepro plan, vggrepro status"
    )
