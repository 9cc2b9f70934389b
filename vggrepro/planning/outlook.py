"""A whole run before it starts: every step's forecast, the time on so many machines, energy, disk, and what does not fit."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from vggrepro.core.plan_record import PlannedStep, PlanRecord, read_whole_plan, write_plan_record
from vggrepro.data.writer import free_bytes
from vggrepro.paper.runs import Run
from vggrepro.planning.forecast import Forecast, Machines, Range, forecast, memory_problem, total
from vggrepro.planning.rates import MeasuredRates, epochs_done
from vggrepro.planning.steps import Step, Steps
from vggrepro.planning.timeline import PendingStep, Timeline, schedule_steps
from vggrepro.workflow.plan import Plan

USED = Range(0.6, 0.8, 1.0)
"""Share of its watts that a device draws while it computes."""
AS_IN_OTHER_EPOCHS = Range(0.9, 1.0, 1.15)
"""Around the time of the epochs that are left, by those that are done."""


@dataclass(frozen=True)
class Outlook:
    """What a run is expected to cost from now on."""

    steps: Steps
    machines: Machines
    forecasts: tuple[Forecast, ...]
    """Of the steps that are still to be made."""
    timelines: tuple[Timeline, Timeline, Timeline]
    """With the low, the expected and the high time of every step."""
    rates: MeasuredRates
    """What was measured before."""

    @property
    def made(self) -> tuple[Forecast, ...]:
        """Of the steps that are made: what each would take again, as it does with another seed.

        Raises ValueError as `outlook` does.
        """
        steps = (step for step in self.steps.steps if not step.to_do)
        return tuple(forecast(step, self.machines, self.rates) for step in steps)

    @property
    def seconds(self) -> Range:
        """Until the report is there."""
        return Range(*(each.seconds for each in self.timelines))

    @property
    def chain(self) -> Range:
        """The critical path: what no number of machines makes shorter."""
        return Range(*(each.chain_seconds for each in self.timelines))

    @property
    def gpu_seconds(self) -> Range:
        """Seconds of all GPUs."""
        return total([each.seconds.times(each.gpus) for each in self.forecasts])

    @property
    def core_seconds(self) -> Range:
        """Seconds of all CPU threads of steps that no GPU computes."""
        return total([each.seconds.times(each.threads) for each in self.forecasts if not each.gpus])

    @property
    def joules(self) -> Range:
        """Energy of the devices and CPUs that compute."""
        energies = [each.seconds.times(each.watts) for each in self.forecasts]
        return Range(*(share * energy for share, energy in zip(USED, total(energies), strict=True)))

    @property
    def disk(self) -> float:
        """Bytes of results that are still to be written."""
        return sum(each.step.work.disk for each in self.forecasts)

    @property
    def disk_for_a_while(self) -> float:
        """Bytes of checkpoints at a time."""
        sizes = sorted((each.step.work.for_a_while for each in self.forecasts), reverse=True)
        at_a_time = max(1, self.machines.gpus // self.machines.per_training)
        return sum(sizes[:at_a_time])

    @property
    def is_measured(self) -> bool:
        """Whether the dearest work was corrected by a measurement, or its share of the hardware is measured."""
        dear = [each for each in self.forecasts if each.step.work.on_device]
        entry = self.machines.device.entry
        return all(each.measured or each.left < 1 for each in dear) or entry.measured is not None

    def ends(self, now: datetime) -> tuple[datetime, datetime, datetime]:
        """When the run ends, if it starts now."""
        low, mid, high = (now + timedelta(seconds=min(seconds, 3e9)) for seconds in self.seconds)
        return low, mid, high

    def warnings(self) -> list[str]:
        """What does not fit: memory, and the disk of the results."""
        device, lines = self.machines.device, dict[str, list[str]]()
        for each in self.forecasts:
            if each.step.work.on_device and (text := memory_problem(each.step.work, device, max(1, each.gpus))):
                lines.setdefault(text, []).append(each.step.name)
        found = [
            f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} {text}" for text, names in lines.items()
        ]
        needed, free = self.disk + self.disk_for_a_while, free_bytes(Path(self.steps.plan.root))
        if needed > free:
            found.append(f"{needed / 1e9:,.0f} GB are to be written, and {free / 1e9:,.0f} GB are free here")
        if unknown := {each.step.rule for each in self.forecasts if not each.step.work.modelled}:
            found.append(f"not modelled, taken as seconds: {', '.join(sorted(unknown))}")
        return found


def outlook(steps: Steps, machines: Machines, rates: MeasuredRates) -> Outlook:
    """What is expected of the steps that are still to be made.

    Raises ValueError where the device cannot compute in the precision of the settings.
    """
    root = Path(steps.plan.root)
    forecasts = tuple(_forecast(step, steps.plan, root, machines, rates) for step in steps.to_do)
    low, mid, high = (_timeline(forecasts, machines, bound) for bound in range(3))
    return Outlook(steps, machines, forecasts, (low, mid, high), rates)


def _forecast(step: Step, plan: Plan, root: Path, machines: Machines, rates: MeasuredRates) -> Forecast:
    """The forecast of a step; the epochs that a begun training has left take as long as those before them."""
    if step.rule != "train":
        return forecast(step, machines, rates)
    run = Run.parse(step.wildcards["run"])
    epochs, done = plan.settings.for_run(run).train.epochs, epochs_done(root / "state" / run.name)
    left = max(0.0, 1 - done.epochs / epochs)
    whole = forecast(step, machines, rates, left)
    if not done.epochs or math.isnan(done.seconds):
        return whole
    each = done.seconds / done.epochs
    return replace(whole, seconds=AS_IN_OTHER_EPOCHS.times(each * (epochs - done.epochs)), measured=done.epochs)


def _timeline(forecasts: Iterable[Forecast], machines: Machines, bound: int) -> Timeline:
    pending = [
        PendingStep(each.step.name, each.step.needs, each.seconds[bound], each.gpus, 0 if each.gpus else each.threads)
        for each in forecasts
    ]
    return schedule_steps(pending, gpus=machines.gpus, cores=machines.cores)


def by_rule(forecasts: Iterable[Forecast]) -> Mapping[str, list[Forecast]]:
    """Forecasts of the steps of each rule, in the order of the steps."""
    groups: dict[str, list[Forecast]] = {}
    for each in forecasts:
        groups.setdefault(each.step.rule, []).append(each)
    return groups


def plan_record(view: Outlook, old: PlanRecord | None, now: datetime) -> PlanRecord:
    """The record of a plan. A step that is made keeps what was predicted of it when it was planned."""
    known = {step["name"]: step["predicted"] for step in old["steps"]} if old else {}
    fresh = {each.step.name: each.as_record(view.machines.device.name) for each in view.forecasts}
    steps = [
        PlannedStep(
            name=step.name,
            rule=step.rule,
            size=step.work.size,
            needs=list(step.needs),
            outputs=list(step.outputs),
            log=step.log,
            benchmark=step.benchmark,
            to_do=step.to_do,
            gpus=view.machines.gpus_of(step),
            threads=view.machines.threads_of(step),
            predicted=fresh.get(step.name) or known.get(step.name),
        )
        for step in view.steps.steps
    ]
    return PlanRecord(
        at=now.isoformat(timespec="seconds"),
        machine=socket.gethostname(),
        device=view.machines.device.name,
        gpus=0 if view.machines.device.is_cpu else view.machines.gpus,
        per_training=view.machines.per_training,
        cores=view.machines.cores,
        steps=steps,
    )


def write_plan(view: Outlook, now: datetime) -> None:
    """Write `plan.json` among the results; a damaged one of before is replaced."""
    results = Path(view.steps.plan.root)
    write_plan_record(results, plan_record(view, read_whole_plan(results), now))
