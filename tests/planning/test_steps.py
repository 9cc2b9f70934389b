"""The steps of a plan are Snakemake's own jobs, each with its work; what is made already is not made again."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.core.paths import ROOT
from vggrepro.core.plan_record import PLAN_FILE, predicted_and_measured, read_plan
from vggrepro.paper.runs import Run
from vggrepro.planning.forecast import Machines
from vggrepro.planning.hardware import device_called
from vggrepro.planning.outlook import outlook, write_plan
from vggrepro.planning.rates import MeasuredRates, measured_rates
from vggrepro.planning.steps import Steps, planned_steps
from vggrepro.planning.work import WORK

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING_MEASURED = MeasuredRates({})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def smoke(folder, monkeypatch) -> Steps:
    """The steps of the smoke preset in a folder without results; read anew, because tests add results."""
    monkeypatch.chdir(folder)
    return planned_steps({"smoke": True})


def on_cpu(steps: Steps, rates: MeasuredRates = NOTHING_MEASURED):
    return outlook(steps, Machines(device_called("cpu"), cores=16), rates)


def test_every_rule_that_makes_something_has_its_work():
    rules = {
        name
        for file in (ROOT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(
            r"^(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert rules == set(WORK)


def test_all_trainings_are_there_each_after_the_one_that_it_is_initialised_from(smoke):
    names = [step.name for step in smoke.steps]
    trained = [Run.parse(step.wildcards["run"]) for step in smoke.steps if step.rule == "train"]
    assert {run.name for run in trained} == set(smoke.plan.trained)
    for run in trained:
        parent = smoke.plan.settings.parent(run)
        assert not parent or names.index(f"train {parent.name}") < names.index(f"train {run.name}")
    assert all(step.to_do for step in smoke.steps)


def test_a_target_needs_no_more_than_what_is_behind_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    steps = planned_steps({"smoke": True}, ["table3"])
    assert {step.rule for step in steps.steps} == {"prepare", "train", "evaluate", "table"}
    assert not any(Run.parse(step.wildcards["run"]).localises for step in steps.steps if step.rule == "train")


def test_a_target_that_is_none_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="table99: Snakemake cannot plan it"):
        planned_steps({"smoke": True}, ["table99"])


def test_of_a_training_that_was_begun_only_the_epochs_that_are_left_count(smoke, folder):
    whole = {each.step.name: each for each in on_cpu(smoke).forecasts}["train A_256_s0"]
    state = folder / smoke.plan.root / "state/A_256_s0"
    state.mkdir(parents=True)
    (state / "metrics.csv").write_text("epoch,seconds\n1,100\n2,140\n")
    rest = {each.step.name: each for each in on_cpu(smoke).forecasts}["train A_256_s0"]
    epochs = smoke.plan.settings.train.epochs
    assert rest.seconds.mid == pytest.approx(120 * (epochs - 2))
    assert rest.left == pytest.approx(1 - 2 / epochs)
    assert whole.left == 1.0


def test_a_finished_step_keeps_the_prediction_of_before_it_ran(smoke, folder):
    view = on_cpu(smoke)
    write_plan(view, NOW)
    results = folder / smoke.plan.root
    before = read_plan(results)
    # as if the first step were made, and another device planned for the rest
    first, *rest = view.forecasts
    write_plan(outlook_without(view, first), NOW)
    after = read_plan(results)
    assert after["steps"][0]["predicted"] == before["steps"][0]["predicted"] is not None
    assert len(after["steps"]) == len(before["steps"])


def outlook_without(view, forecast):
    from dataclasses import replace

    return replace(view, forecasts=tuple(each for each in view.forecasts if each is not forecast))


def test_what_was_predicted_stands_beside_what_was_measured_and_corrects_the_next_plan(smoke, folder):
    view = on_cpu(smoke)
    write_plan(view, NOW)
    results = folder / smoke.plan.root
    step = next(each for each in read_plan(results)["steps"] if each["rule"] == "prepare")
    for output in step["outputs"]:
        (results / output).mkdir(parents=True)
    benchmark = results / step["benchmark"]
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n30.0\t0:00:30\n")
    [outcome] = predicted_and_measured(results, read_plan(results))
    assert outcome.seconds == 30.0
    assert outcome.ratio == pytest.approx(30.0 / step["predicted"]["seconds"])
    rates = measured_rates([results])
    correction = rates.of(next(s for s in smoke.steps if s.name == step["name"]), "cpu")
    assert correction.mid == pytest.approx(30.0 / step["predicted"]["model"])
    assert correction.n == 1


def test_a_plan_of_an_older_form_is_no_obstacle_to_a_new_one(smoke, folder):
    file = folder / smoke.plan.root / PLAN_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"steps": []}')
    assert measured_rates([folder / smoke.plan.root]).ratios == {}
    write_plan(on_cpu(smoke), NOW)
    assert read_plan(folder / smoke.plan.root)["steps"]


def test_a_changed_digit_of_a_plan_is_found(smoke, folder):
    write_plan(on_cpu(smoke), NOW)
    file = folder / smoke.plan.root / PLAN_FILE
    plan = json.loads(file.read_text())
    plan["gpus"] += 1
    file.write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"plan\.json: damaged \(it has another checksum"):
        read_plan(folder / smoke.plan.root)


def test_the_command_prints_a_plan_and_its_json(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["plan", "table1", "--config", "smoke=true", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 steps are to be made" in said
    assert "never measured" not in said or "cpu was never measured" in said
    assert "\x1b" not in said
    assert cli.main(["plan", "--config", "smoke=true", "--device", "h100", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["device"] == "h100"
    assert len(record["steps"]) > 90


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "h1000"], "did you mean 'h100'"),
        (["--config", "smoek=true"], "did you mean 'smoke'"),
        (["--config", "smoke"], "--config: "),
        (["--budget", "48"], "expected a number and its unit"),
        (["--budget", "48 GPU hours", "--device", "cpu"], "cpu has core hours"),
        (["--device", "h100", "--budget", "10 core hours"], "h100 has GPU hours"),
        (["--device", "cpu", "--gpus", "4"], "cpu is no GPU"),
        (["--device", "h100", "--per-training", "4"], "--per-training 4: there are 1 GPUs"),
        (["--device", "t4", "--precision", "bf16"], "t4: it does not compute in bf16"),
        (["--device", "h100", "--precision", "fp8"], "precision"),
        (["--config", "evaluate=3", "--precision", "bf16"], "evaluate: expected keys and values"),
        (["--device", "h100", "--calibrate"], "--calibrate measures this machine"),
    ],
)
def test_what_is_wrong_in_a_call_is_one_message(arguments, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["plan", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_every_seed_trains_and_tests_all_nets_and_each_step_has_a_forecast(folder, monkeypatch):
    """How long many seeds take to plan, `bench/planning.py` measures."""
    monkeypatch.chdir(folder)
    one, three = (planned_steps({"seeds": list(range(seeds))}) for seeds in (1, 3))
    for rule in ("train", "evaluate"):
        counts = [sum(step.rule == rule for step in planned.steps) for planned in (one, three)]
        assert counts[1] == 3 * counts[0] > 0
    view = outlook(three, Machines(device_called("h100"), cores=16), NOTHING_MEASURED)
    assert len(view.forecasts) == len(three.steps)
