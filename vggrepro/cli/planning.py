"""Commands that look ahead and around: what a run costs, and how far it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from vggrepro.cli.app import command_group
from vggrepro.cli.options import Positive, about

command = command_group("Planning")


@command
def plan(
    *targets: Annotated[str, about("targets of the workflow, such as table5; without one, everything")],
    config: Annotated[tuple[str, ...], about("settings, as snakemake takes them: smoke=true seeds=[0,1,2]")] = (),
    device: Annotated[str, about("h100, a100, rtx4090, cpu, ... of tables/hardware.yaml, or this machine")] = "this",
    precision: Annotated[str | None, about("fp32, tf32 or bf16, in place of that of the settings")] = None,
    gpus: Annotated[
        Positive | None, about("how many GPUs a node has; not given: those of this machine, else one")
    ] = None,
    nodes: Annotated[Positive, about("how many such nodes")] = 1,
    per_training: Annotated[Positive, about("GPUs of a training")] = 1,
    cores: Annotated[Positive | None, about("CPU cores of a node; not given: those that go with the device")] = None,
    calibrate: Annotated[
        bool, about("first measure this machine for a minute; the result is kept and used from then on")
    ] = False,
    claims: Annotated[bool, about("the chance that each claim of the paper is decided")] = False,
    budget: Annotated[
        str | None, about("'48 GPU hours' or '500 core hours': which claims, trainings and seeds that buys")
    ] = None,
    as_json: Annotated[bool, about("print the plan as JSON", name="--json")] = False,
) -> None:
    """Say what a run costs before it starts: time, memory, disk, energy, a date; of what is there already, nothing."""
    from vggrepro.core.plan_record import predicted_and_measured, read_whole_plan
    from vggrepro.planning.formatting import console
    from vggrepro.planning.outlook import outlook, plan_record
    from vggrepro.planning.plan_text import guesses_table, plan_lines, plan_table
    from vggrepro.planning.rates import measured_rates, results_folders
    from vggrepro.planning.steps import planned_steps

    wanted = _budget(budget, device)
    values = _with_precision(_config(config), precision)
    if calibrate:
        _calibrate(values, device)
    machines = _machines(device, gpus=gpus, nodes=nodes, per_training=per_training, cores=cores)
    steps = planned_steps(values, targets)
    view, now = outlook(steps, machines, measured_rates(results_folders())), datetime.now().astimezone()
    results = Path(steps.plan.root)
    earlier = read_whole_plan(results)
    if as_json:
        _print_json(plan_record(view, earlier, now))
        return
    out = console()
    if wanted or claims:
        _print_claims(out, view, config, values, wanted)
        return
    if view.forecasts:
        out.print(plan_table(view))
    for line in plan_lines(view, now):
        out.print(line, markup=False, soft_wrap=True)
    if earlier and (outcomes := predicted_and_measured(results, earlier)):
        out.print(guesses_table(outcomes))


def _print_claims(out: Any, view: Any, config: tuple[str, ...], values: Mapping[str, Any], budget: Any) -> None:  # noqa: ANN401
    """The chances of claims, or what a budget buys of them."""
    from vggrepro.planning.assumptions import assumptions_of
    from vggrepro.planning.budget import Market, buy, judging_lines, snakemake_line
    from vggrepro.planning.chances_text import bought_lines, bought_table, chances_table, claims_lines
    from vggrepro.planning.data_sizes import data_set
    from vggrepro.planning.power import chances, questions

    plan = view.steps.plan
    root, seeds = Path(plan.root), len(plan.settings.seeds)
    assumed = assumptions_of(root, seeds, data_set(plan.settings, root).val)
    asked, others = questions(plan.settings)
    if budget is None:
        of_seed = f"_s{plan.settings.seeds[0]}"
        trained = [f"{run.removesuffix(of_seed)}_s0" for run in plan.runs if run.endswith(of_seed)]
        every = chances(asked, assumed, trained=trained)
        expected = [each for each in every if each.decided is not None]
        others += [each for each in every if each.decided is None]
        out.print(chances_table(expected, others))
        lines = claims_lines(expected, assumed)
    else:
        bought = buy(Market(view, asked, assumed, budget.kind), budget)
        if bought.purchases:
            out.print(bought_table(bought, budget))
        commands = [snakemake_line(bought, plan.root, config), *judging_lines(bought, plan.root, values)]
        lines = bought_lines(bought, budget, assumed, commands if bought.purchases else [])
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _budget(text: str | None, device: str) -> Any:  # noqa: ANN401
    """The budget; a ValueError for one in GPU hours on a device that is none."""
    from vggrepro.planning.budget import parse_budget
    from vggrepro.planning.hardware import device_called

    budget = parse_budget(text) if text else None
    kind = device_called(device)
    if budget and (budget.kind == "GPU") == kind.is_cpu:
        unit = "core hours" if kind.is_cpu else "GPU hours"
        raise ValueError(f"--budget {text!r}: {kind.name} has {unit}: give those, or another --device")
    return budget


def _calibrate(values: Mapping[str, Any], device: str) -> None:
    """Raises ValueError where another device than this machine's is asked for."""
    from vggrepro.planning.hardware import THIS

    if device != THIS:
        raise ValueError(f"--calibrate measures this machine: leave out --device {device}")
    from vggrepro.planning.calibration import calibrate_machine
    from vggrepro.settings.loading import load_settings

    calibrate_machine(load_settings(values))


@command
def status(
    results: Annotated[
        Path | None, about("folder of results; not given: the one below results/ that was written last")
    ] = None,
    /,
    *,
    watch: Annotated[bool, about("look again and again until everything is made or nothing runs")] = False,
    every: Annotated[Positive, about("seconds between two looks")] = 5,
    as_json: Annotated[bool, about("print the status as JSON", name="--json")] = False,
) -> None:
    """Say how far a run is, from its results alone: what is done, runs, waits and failed, and how long it takes."""
    from vggrepro.planning.status import read_status, status_record
    from vggrepro.planning.watching import newest_results, show_status, watch_status

    folder = results or newest_results()
    if as_json:
        _print_json(status_record(read_status(folder), datetime.now().astimezone()))
    elif watch:
        watch_status(folder, every)
    else:
        show_status(read_status(folder))


def _machines(device: str, *, gpus: int | None, nodes: int, per_training: int, cores: int | None) -> Any:  # noqa: ANN401
    """Raises ValueError for an unknown device, and for trainings on more GPUs than there are."""
    from vggrepro.planning.forecast import Machines
    from vggrepro.planning.hardware import THIS, device_called, this_machine, with_cores

    kind = device_called(device)
    count = gpus or (this_machine()[1] if device == THIS else 1)
    if kind.is_cpu and (gpus or per_training > 1):
        raise ValueError(f"--gpus: {kind.name} is no GPU: name one with --device")
    if per_training > count * nodes:
        raise ValueError(f"--per-training {per_training}: there are {count * nodes} GPUs: give more --gpus or --nodes")
    kind = with_cores(kind, cores) if cores else kind
    return Machines(kind, count * nodes, per_training, kind.entry.cores * nodes * (1 if kind.is_cpu else count))


def _config(entries: tuple[str, ...]) -> dict[str, Any]:
    """Settings as Snakemake reads them from its command line; a ValueError for an entry without `=`."""
    from snakemake.cli import parse_config

    try:
        values: dict[str, Any] = parse_config(list(entries))
    except ValueError as error:
        raise ValueError(f"--config: {error}") from None
    return values


def _with_precision(config: Mapping[str, Any], precision: str | None) -> dict[str, Any]:
    if precision is None:
        return dict(config)
    given = {name: config.get(name, {}) for name in ("train", "evaluate")}
    # what is no block stays, for the check of all settings
    blocks = {name: {**block, "precision": precision} for name, block in given.items() if isinstance(block, Mapping)}
    return {**config, **blocks}


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
