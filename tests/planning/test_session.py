"""What a run keeps of its plan when it starts, on the machine that it is on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vggrepro.core.plan_record import read_plan
from vggrepro.planning import session
from vggrepro.planning.hardware import device_called
from vggrepro.planning.session import begin_session, machines_of
from vggrepro.planning.steps import planned_steps
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.plan import Plan


class Resources(dict):
    """As Snakemake has them: what is not there has the value None."""

    def get(self, name: str, default: object = None) -> object:
        return default if default is not None and name not in self else SimpleNamespace(value=super().get(name))


def workflow(executor: str = "local", *, gpu: int | None = None, asked: int = 1, nodes: int | None = None):
    """As much of a workflow as a session looks at, with one training that asks for so many GPUs."""
    job = SimpleNamespace(rule=SimpleNamespace(name="train"), resources={"gpu": asked}, output=[])
    return SimpleNamespace(
        executor_plugin=SimpleNamespace(name=executor),
        global_resources=Resources({} if gpu is None else {"gpu": gpu}),
        output_settings=SimpleNamespace(log_handler_settings={}),
        dag=SimpleNamespace(jobs=[job]),
        nodes=nodes,
        cores=8,
    )


@pytest.fixture
def eight_gpus(monkeypatch):
    monkeypatch.setattr(session, "this_machine", lambda: (device_called("a100"), 8))


@pytest.mark.parametrize(
    ("limit", "asked", "expected"), [(None, 1, (8, 1)), (4, 4, (4, 4)), (2, 4, (2, 2)), (99, 1, (8, 1))]
)
def test_no_more_gpus_are_planned_with_than_there_are_and_are_allowed(eight_gpus, limit, asked, expected):
    machines = machines_of(workflow(gpu=limit, asked=asked))
    assert (machines.gpus, machines.per_training) == expected


def test_on_a_cluster_as_many_gpus_as_its_jobs_may_ask_for():
    machines = machines_of(workflow("slurm", asked=4, nodes=50))
    assert (machines.gpus, machines.per_training) == (200, 4)


def test_a_gpu_that_nobody_knows_predicts_nothing_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    steps = planned_steps({"smoke": True}, ["table3"])
    monkeypatch.setattr(session, "steps_of_dag", lambda plan, dag: steps)

    def unknown():
        raise ValueError("a GPU of tomorrow is not in the table")

    monkeypatch.setattr(session, "this_machine", unknown)
    plan = Plan.of(load_settings({"smoke": True}))
    begin_session(plan, workflow())
    assert "There is no plan: a GPU of tomorrow is not in the table" in capsys.readouterr().err
    kept = read_plan(tmp_path / plan.root)
    assert len(kept["steps"]) == len(steps.steps)
    assert {step["predicted"] for step in kept["steps"]} == {None}
