"""Variants in the DAG: runs like the paper's, beside them; only what differs is made."""

from __future__ import annotations

import pytest

from vggrepro.paper.runs import Run
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.evaluate import boxes_job, evaluate_job
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import table_job
from vggrepro.workflow.train import train_job

LESS = {"of": "C/256", "train": {"weight_decay": 1e-4}}


def plan_with(variants: object, **more: object) -> Plan:
    return Plan.of(load_settings({"smoke": True, "variants": variants, **more}))


def jobs_of(plan: Plan) -> dict[str, object]:
    """What decides every job of the paper's that makes weights, scores or boxes."""
    runs = [run for run in plan.runs if not Run.parse(run).variant]
    answers: dict[str, object] = {f"train {run}": train_job(plan, run) for run in runs}
    answers |= {f"scores {run}": evaluate_job(plan, run, "dense") for run in runs if run in plan.classifiers}
    return answers | {f"boxes {run}": boxes_job(plan, run, "dense") for run in runs if run in plan.localisers}


def test_variants_add_runs_for_every_seed_and_change_no_job_of_the_papers():
    plain = Plan.of(load_settings({"smoke": True, "seeds": [0, 1]}))
    varied = plan_with({"less decay": LESS, "z": {"of": "D-PCR/384", "merge": {"threshold": 0.5}}}, seeds=[0, 1])
    added = [f"{run}_s{seed}" for seed in (0, 1) for run in ("C_256_less-decay", "D_384_pcr_z")]
    assert [run for run in varied.runs if run not in plain.runs] == added
    assert jobs_of(varied) == jobs_of(plain)


def test_parents_are_shared_and_come_before_their_children():
    plan = plan_with({"x": LESS | {"of": ["C/256", "C/384"]}, "y": {"of": "D/384", "from": "C (x)/256"}})
    weights = "results/smoke/runs/{}_s0/weights.safetensors"
    assert train_job(plan, "C_256_x_s0")["parent"] == [weights.format("A_256")]
    assert train_job(plan, "C_384_x_s0")["parent"] == [weights.format("C_256_x")]
    assert train_job(plan, "D_384_y_s0")["parent"] == [weights.format("C_256_x")]
    assert plan.runs.index("C_256_x_s0") < plan.runs.index("C_384_x_s0")


def test_a_changed_variant_changes_its_own_jobs_alone():
    """A child's recipe has the content of its parent's weights, so that it follows by itself."""
    first, second = (
        plan_with({"x": {**LESS, "train": {"weight_decay": decay}}, "y": LESS | {"of": "D/256"}})
        for decay in (1e-4, 1e-3)
    )
    changed = [run for run in first.runs if train_job(first, run) != train_job(second, run)]
    assert changed == ["C_256_x_s0"]


def test_a_variant_of_how_a_run_is_tested_is_not_trained_again():
    plan = plan_with({"order": {"of": "C/256", "evaluate": {"average": "posteriors"}}})
    assert "C_256_order_s0" in plan.runs
    assert "C_256_order_s0" not in plan.trained
    job = evaluate_job(plan, "C_256_order_s0", "dense")
    assert job["weights"] == "results/smoke/runs/C_256_s0/weights.safetensors"
    assert '"average":"posteriors"' in job["settings"]
    assert "results/smoke/runs/C_256_order_s0/run.json" not in table_job(plan, "table03")["runs"]


def test_the_tables_that_measure_the_varied_run_measure_the_variant():
    plan = plan_with({"x": LESS})
    measuring = [
        name for name in plan.tables if any("C_256_x_s0" in store for store in table_job(plan, name)["scores"])
    ]
    assert measuring == ["table03", "table04"]
    assert "results/smoke/runs/C_256_x_s0/run.json" in table_job(plan, "table03")["runs"]


@pytest.mark.parametrize(
    ("variants", "more", "message"),
    [
        (
            {"x": LESS | {"of": "B/384"}},
            {},
            r"variants\.x\.of: B/384 is not in the DAG \(did you mean '[BDE]/\d+'\?\)\. The DAG has A/256",
        ),
        ({"x": LESS | {"of": "D-PCR/384"}}, {"localisation": False}, r"variants\.x\.of: D-PCR/384 is not in the DAG"),
        ({"x": {"of": "C/256", "from": "B/384"}}, {}, r"variants\.x\.from: B/384 is not in the DAG"),
        ({"x": LESS}, {"ours": False}, r"variants\.x\.of: C/256 is not in the DAG. The DAG has no run"),
    ],
)
def test_a_variant_of_what_is_not_in_the_dag_is_refused_before_anything_runs(variants, more, message):
    with pytest.raises(ValueError, match=message):
        plan_with(variants, **more)
