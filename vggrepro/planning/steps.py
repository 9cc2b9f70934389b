"""The steps of a run, as the workflow's DAG has them: what each reads, whether it is still to be made, and its work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.core.paths import ROOT
from vggrepro.planning.work import StepWork, work_of
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.plan import Plan


@dataclass(frozen=True)
class Step:
    """A job of the workflow."""

    name: str
    """`train D_256_s0`."""
    rule: str
    wildcards: Mapping[str, str]
    needs: tuple[str, ...]
    """Names of the steps whose results it reads."""
    outputs: tuple[str, ...]
    """Below the folder of results."""
    log: str
    benchmark: str
    to_do: bool
    """Whether its results are missing, or are of other settings."""
    threads: int
    work: StepWork


@dataclass(frozen=True)
class Steps:
    """All steps of some settings, each after those that it needs."""

    plan: Plan
    steps: tuple[Step, ...]

    @property
    def to_do(self) -> tuple[Step, ...]:
        """Those that are still to be made."""
        return tuple(step for step in self.steps if step.to_do)


def steps_of_dag(plan: Plan, dag: Any) -> Steps:  # noqa: ANN401
    """The steps of Snakemake's DAG; a target that makes nothing, such as `all`, is none."""
    jobs = [job for job in dag.jobs if job.output]
    names = {job: step_name(job.rule.name, job.wildcards_dict) for job in jobs}
    steps = {
        names[job]: Step(
            names[job],
            job.rule.name,
            dict(job.wildcards_dict),
            tuple(sorted(names[other] for other in dag.dependencies[job] if other in names)),
            tuple(below(plan, output) for output in job.output),
            next((below(plan, log) for log in job.log), ""),
            below(plan, job.benchmark) if job.benchmark else "",
            dag.needrun(job),
            _threads(job),
            work_of(plan, job.rule.name, job.wildcards_dict),
        )
        for job in jobs
    }
    return Steps(plan, tuple(_in_order(steps)))


def step_name(rule: str, wildcards: Mapping[str, str]) -> str:
    """`evaluate D_256_s0 dense`."""
    return " ".join([rule, *wildcards.values()])


def below(plan: Plan, path: object) -> str:
    """A path as it is found from the folder of results."""
    return os.path.relpath(str(path), plan.root)


def _threads(job: Any) -> int:  # noqa: ANN401
    try:
        return max(1, int(job.threads))
    except (TypeError, ValueError):
        return 1


def _in_order(steps: Mapping[str, Step]) -> Iterator[Step]:
    """Steps after those that they need."""
    done: set[str] = set()
    stack = sorted(steps, reverse=True)
    while stack:
        name = stack[-1]
        missing = [need for need in steps[name].needs if need not in done]
        if name not in done and missing:
            stack.extend(missing)
            continue
        stack.pop()
        if name not in done:
            done.add(name)
            yield steps[name]


def planned_steps(config: Mapping[str, Any], targets: Sequence[str] = ()) -> Steps:
    """The steps of a configuration in the current folder, by Snakemake's own DAG, without running anything.

    Raises ValueError for wrong settings, and for a target that is none.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    plan = Plan.of(load_settings(config, look_for_files=True))
    quiet = OutputSettings(quiet={Quietness.ALL})
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        SnakemakeApi(quiet) as api,
    ):
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=os.cpu_count()),
            config_settings=ConfigSettings(config=dict(config)),
            snakefile=ROOT / "Snakefile",
        )
        workflow.dag(DAGSettings(targets=set(targets)))
        try:
            inner = workflow._workflow
            inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
            inner._build_dag()
        except (WorkflowError, RuleException) as error:
            raise ValueError(f"{' '.join(targets) or 'all'}: Snakemake cannot plan it: {str(error).strip()}") from None
        return steps_of_dag(plan, inner.dag)
