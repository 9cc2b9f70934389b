"""What a budget buys: never more than it has, dearer things only for more, and commands that make just that."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from vggrepro.paper.runs import Run
from vggrepro.planning.budget import Budget, Market, buy, judging_lines, parse_budget, snakemake_line
from vggrepro.planning.forecast import Machines
from vggrepro.planning.hardware import device_called
from vggrepro.planning.outlook import Outlook, outlook
from vggrepro.planning.power import Assumptions, questions
from vggrepro.planning.rates import MeasuredRates
from vggrepro.planning.steps import planned_steps


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> Outlook:
    """The paper on one H100, in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        return outlook(planned_steps({}), Machines(device_called("h100"), cores=16), MeasuredRates({}))


@pytest.fixture(scope="module")
def market(view) -> Market:
    asked, _ = questions(view.steps.plan.settings)
    return Market(view, asked, Assumptions(1, {}, 50_000), "GPU")


def test_more_money_decides_more_and_no_budget_is_exceeded(market):
    decided = []
    for hours in (30, 150, 600, 1500):
        bought = buy(market, parse_budget(f"{hours} GPU hours"))
        assert not bought.purchases or bought.purchases[-1].total <= hours * 3600
        decided.append(bought.decided)
    assert decided == sorted(decided)
    assert decided[-1] > decided[1] > 0


def test_a_budget_that_buys_nothing_says_what_the_cheapest_claim_costs(market):
    bought = buy(market, Budget(60, "GPU"))
    assert not bought.purchases
    assert bought.cheapest > 3600


def test_seeds_are_bought_where_they_decide_more_than_other_nets(market):
    assert buy(market, parse_budget("2000 GPU hours")).seeds > 1


def test_trainings_that_are_bought_come_with_those_that_they_are_initialised_from(market):
    bought = buy(market, parse_budget("600 GPU hours"))
    runs = {run for purchase in bought.purchases for run in purchase.runs}
    parents = {parent.name for parent in (Run.parse(run).parent() for run in runs) if parent}
    assert parents <= runs


def test_what_is_made_already_costs_nothing(view, market):
    made = replace(view, forecasts=tuple(each for each in view.forecasts if each.step.name != "train A_256_s0"))
    asked, _ = questions(view.steps.plan.settings)
    cheaper = Market(made, asked, market.assumed, "GPU")
    assert cheaper.cost(cheaper.steps["lrn"], 1) < market.cost(market.steps["lrn"], 1)


def test_another_seed_of_what_is_made_costs_as_much_as_the_first(view, market):
    """Of a finished run nothing is left for seed 0, and all of it for seed 1."""
    steps = replace(view.steps, steps=tuple(replace(step, to_do=False) for step in view.steps.steps))
    finished = Market(outlook(steps, view.machines, MeasuredRates({})), market.asked, market.assumed, "GPU")
    closure = market.steps["lrn"]
    assert finished.cost(closure, 1) == 0
    assert finished.cost(closure, 3) == pytest.approx(market.cost(closure, 3) - market.cost(closure, 1))


def test_the_printed_command_makes_just_what_was_bought(market, tmp_path, monkeypatch):
    """Its targets, planned again, need the trainings that were bought and no other."""
    bought = buy(market, parse_budget("300 GPU hours"))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(snakemake_line(bought, "results/paper", ["seeds=[7]"]))
    assert words[-1] == f"seeds={list(range(bought.seeds))}".replace(" ", "")
    targets = words[3 : words.index("--config")]
    planned = planned_steps({"seeds": list(range(bought.seeds))}, targets)
    trained = {step.wildcards["run"] for step in planned.steps if step.rule == "train"}
    runs = {run for purchase in bought.purchases for run in purchase.runs}
    assert trained == {run.replace("_s0", f"_s{seed}") for run in runs for seed in range(bought.seeds)}
    assert any(line.startswith("vggrepro claims") for line in judging_lines(bought, "results/paper", {}))


@pytest.mark.parametrize("text", ["48", "48 hours", "GPU hours", "-3 GPU hours", "0 GPU hours", "48 TPU hours", "1e9"])
def test_a_budget_without_a_unit_is_asked_for_one(text):
    with pytest.raises(ValueError, match="48 GPU hours"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("48 GPU hours", 172800), ("2 gpu-days", 172800), ("1,000 core h", 3.6e6)]
)
def test_budgets_are_read_in_the_ways_they_are_written(text, seconds):
    assert parse_budget(text).seconds == seconds
