"""Which weights and images a training is given."""

from __future__ import annotations

import pytest

from tests.workflow.planning import jobs, runs, snakemake
from vggrepro.paper.runs import Run
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.train import train_job

TABLE = """
mine:
  title: Other training scales
  keys: {net: net, S: train S, Q: test Q}
  values: {top1: {heading: top-1 val. error (%), quantity: top-1}}
"""
ROWS = """net,S,Q,protocol,top1
B,300,300,dense,-
B,[256;384],320,dense,-
"""


@pytest.fixture
def scales(tmp_path):
    """A folder of a user's table, with rows of B at two training scales that the paper has for no net."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tables.yaml").write_text(TABLE)
    (folder / "mine.csv").write_text(ROWS)
    return folder


def test_a_single_scale_is_trained_from_256_and_a_range_from_384_as_the_settings_of_later_stages_say(scales):
    given = {"smoke": True, "tables": str(scales), "data": {"rescaled": "pixels"}}
    plan = Plan.of(load_settings(given, look_for_files=True))
    asked = {name: train_job(plan, name) for name in ("B_300_s0", "B_384_s0", "B_256-384_s0")}
    parents = [job["parent"] for job in asked.values()]
    weights = "results/smoke/runs/{}_s0/weights.safetensors"
    assert parents == [[weights.format(name)] for name in ("B_256", "B_256", "B_384")]
    stores = [job["store"] for job in asked.values()]
    assert stores == [f"results/smoke/data/{name}" for name in ("train-300", "train-384", "train")]
    settings = plan.settings
    assert {settings.for_run(Run.parse(name)) for name in asked} == {settings.for_run(Run("B", "384"))}


def test_runs_at_other_scales_are_in_the_dag_beside_the_papers(tmp_path, scales):
    """The table of two rows needs A, then B at four scales, two of which are rescaled once."""
    config = ("--config", "smoke=true", f"tables={scales}", "data={rescaled: pixels}")
    done = snakemake(tmp_path, "mine", *config)
    assert runs(done) == {"A_256_s0"} | {f"B_{S}_s0" for S in ("256", "300", "384", "256-384")}
    expected = {"prepare": 2, "rescale": 3, "train": 5, "evaluate": 2, "table": 1, "mine": 1, "total": 14}
    assert jobs(done) == expected
