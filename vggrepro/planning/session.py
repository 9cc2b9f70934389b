"""What a run of the workflow says and keeps of its plan when it starts."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from vggrepro.core.files import lock
from vggrepro.planning.forecast import Machines
from vggrepro.planning.hardware import device_called, this_cpu, this_machine
from vggrepro.planning.outlook import outlook, write_plan
from vggrepro.planning.plan_text import start_line
from vggrepro.planning.rates import measured_rates, results_folders
from vggrepro.planning.steps import steps_of_dag
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.session import say

SESSION_LOCK = "plan/snakemake.lock"
"""Below the results: locked while a Snakemake is at work on them."""
ON_A_CLUSTER = "h100"
"""What a cluster is planned with: which GPUs its jobs get, the node that submits them does not know."""

_LOCKS: list[IO[str]] = []
"""Locks that are held until the process ends."""


def begin_session(plan: Plan, workflow: Any) -> None:  # noqa: ANN401
    """Write the plan among the results, print it in one line, and hold the lock by which others see that this run is on."""
    results, now = Path(plan.root), datetime.now().astimezone()
    (results / SESSION_LOCK).parent.mkdir(parents=True, exist_ok=True)
    file = (results / SESSION_LOCK).open("w")
    _LOCKS.append(file)
    lock(file)
    steps = steps_of_dag(plan, workflow.dag)
    try:
        machines = machines_of(workflow)
        view = outlook(steps, machines, measured_rates(results_folders(results.parent)))
        line = start_line(view, now)
    except ValueError as error:
        # a device that is not in the table, or a precision that it lacks: no step is predicted, and the run goes on
        view = replace(outlook(steps, Machines(this_cpu()), measured_rates([])), forecasts=())
        line = f"There is no plan: {error}"
    write_plan(view, now)
    say(workflow, line, sys.stderr)


def machines_of(workflow: Any) -> Machines:  # noqa: ANN401
    """What the jobs of a workflow run on: this machine, or on a cluster as many GPUs as its jobs may ask for.

    Raises ValueError where this machine's GPU is not in the table of hardware.
    """
    asked = _gpus_of_a_training(workflow)
    if workflow.executor_plugin.name == "slurm":
        device, jobs = device_called(ON_A_CLUSTER), workflow.nodes or 1
        return Machines(device, jobs * asked, asked, jobs * device.entry.cores)
    device, count = this_machine()
    limit = workflow.global_resources.get("gpu").value
    gpus = 1 if device.is_cpu or limit == 0 else min(count, limit or count)
    return Machines(device, gpus, min(asked, gpus), workflow.cores or device.entry.cores)


def _gpus_of_a_training(workflow: Any) -> int:  # noqa: ANN401
    trainings = (job for job in workflow.dag.jobs if job.rule.name == "train")
    return max((int(job.resources.get("gpu", 1)) for job in trainings), default=1)
