"""Which claims a budget buys: trainings and evaluations in the order in which they decide most for an hour of the device.

A claim costs every step behind its cells that is not made yet; what another claim has paid for is free. One step after another
is bought: the claim, or one seed more of all that was bought, that adds most chance of a decision for its cost.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vggrepro.paper.claims import CellPlace
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import published_table
from vggrepro.paper.tasks import task_of
from vggrepro.planning.forecast import Forecast
from vggrepro.planning.outlook import Outlook
from vggrepro.planning.power import Assumptions, ClaimChance, Question, chances
from vggrepro.settings.models import Settings

PRICED_TIMES = {"minute": 60.0, "min": 60.0, "hour": 3600.0, "h": 3600.0, "day": 86400.0, "week": 604800.0}
MOST_SEEDS = 10
LEAST_GAIN = 0.05
"""Claims decided that a purchase has to add: less is not worth its place in the list."""
BUDGET_DRAWS = 500


@dataclass(frozen=True)
class Budget:
    """Seconds of a kind of device."""

    seconds: float
    kind: str
    """`GPU` or `core`."""


def parse_budget(text: str) -> Budget:
    """`48 GPU hours`, `2 GPU days`, `500 core hours`. Raises ValueError for anything else."""
    units = "|".join(PRICED_TIMES)
    match = re.fullmatch(rf"\s*([0-9][0-9,]*(?:\.[0-9]+)?)\s*(gpu|core)[\s-]*({units})s?\s*", text, re.IGNORECASE)
    if not match or not (amount := float(match[1].replace(",", ""))):
        raise ValueError(
            f"--budget {text!r}: expected a number and its unit, such as '48 GPU hours' or '500 core hours'"
        )
    kind = "GPU" if match[2].lower() == "gpu" else "core"
    return Budget(amount * PRICED_TIMES[match[3].lower()], kind)


@dataclass(frozen=True)
class Purchase:
    """What is bought next."""

    what: str
    """The claim, or a number of seeds."""
    runs: tuple[str, ...]
    """The trainings that it adds."""
    seconds: float
    """What it costs."""
    adds: float
    """Claims that are decided, on average, beyond those before."""
    total: float
    """What all until here costs."""


@dataclass(frozen=True)
class Bought:
    """What a budget buys."""

    purchases: tuple[Purchase, ...]
    seeds: int
    chances: tuple[ClaimChance, ...]
    """Of the claims that were bought."""
    targets: tuple[str, ...]
    """What Snakemake is to make for the first seed, below the results."""
    cheapest: float
    """Seconds of the cheapest claim."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Numbers of the tables whose cells are compared."""
        places = (place for each in self.chances for pair in each.claim.compared() for place in pair)
        return tuple(dict.fromkeys(place.table for place in places))

    @property
    def decided(self) -> float:
        """How many claims are decided on average."""
        return sum(each.decided or 0.0 for each in self.chances)


class Market:
    """What every claim costs on some machines, and what it brings."""

    def __init__(self, view: Outlook, asked: Sequence[Question], assumed: Assumptions, kind: str) -> None:
        self.view, self.assumed, self.kind = view, assumed, kind
        self.settings = view.steps.plan.settings
        self._needs = {step.name: step.needs for step in view.steps.steps}
        self._makers = {step.outputs[0]: step.name for step in view.steps.steps}
        self._cost = {each.step.name: self._seconds(each) for each in view.forecasts}
        # of a training that was begun only the rest is paid for, but all of it with another seed
        self._anew = {e.step.name: self._seconds(e) / max(e.left, 1e-9) for e in (*view.made, *view.forecasts)}
        targets = {question.claim.id: self._targets(question) for question in asked}
        self.asked = [question for question in asked if targets[question.claim.id] is not None]
        self.targets = {name: found for name, found in targets.items() if found is not None}
        self._values: dict[int, Mapping[str, float]] = {}
        self._of_seeds: dict[tuple[str, int], float] = {}
        self.steps = {name: self._closure(found) for name, found in self.targets.items()}

    def _seconds(self, forecast: Forecast) -> float:
        count = forecast.gpus if self.kind == "GPU" else (0 if forecast.gpus else forecast.threads)
        return forecast.seconds.mid * count

    def _targets(self, question: Question) -> tuple[str, ...] | None:
        """The results that a claim's cells are measured from; None where the plan does not make one of them."""
        places = (place for pair in question.claim.compared() for place in pair)
        found = [target for place in places for target in targets_of(place, question.claim.quantity, self.settings)]
        return tuple(dict.fromkeys(found)) if all(target in self._makers for target in found) else None

    def _closure(self, targets: Iterable[str]) -> frozenset[str]:
        """Names of all steps behind some results."""
        found: set[str] = set()
        stack = [self._makers[target] for target in targets]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack.extend(self._needs[name])
        return frozenset(found)

    def cost(self, steps: Iterable[str], seeds: int) -> float:
        """Seconds of the device for some steps with so many seeds; what has no seed is made once."""
        return sum(self._cost_of(name, seeds) for name in steps)

    def _cost_of(self, name: str, seeds: int) -> float:
        """What is left of a step for each seed; all of it for a seed that the plan does not have."""
        if not has_seed(name):
            return self._cost.get(name, 0.0)
        if (name, seeds) not in self._of_seeds:
            others = [with_seed_number(name, seed) for seed in range(seeds)]
            costs = [
                self._cost.get(other, 0.0) if other in self._needs else self._anew.get(name, 0.0) for other in others
            ]
            self._of_seeds[name, seeds] = sum(costs)
        return self._of_seeds[name, seeds]

    def values(self, seeds: int) -> Mapping[str, float]:
        """The chance of every claim with so many seeds, were all of them tested together."""
        if seeds not in self._values:
            expected = chances(self.asked, replace(self.assumed, seeds=seeds), draws=BUDGET_DRAWS)
            self._values[seeds] = {each.claim.id: each.decided or 0.0 for each in expected}
        return self._values[seeds]


def has_seed(name: str) -> bool:
    """Whether a step is made again for every seed."""
    return re.search(r"_s[0-9]+\b|^answers ", name) is not None


def with_seed_number(name: str, seed: int) -> str:
    """The name of a step of seed 0 with another seed."""
    return re.sub(r"(_s|^answers )0(?=[ +]|$)", rf"\g<1>{seed}", name)


def targets_of(place: CellPlace, quantity: str, settings: Settings) -> list[str]:
    """The folders of results, below the results, that a cell is measured from; none for a number of others."""
    table, row = settings.table(place.table), place.row(settings.table)
    folder = table.kind.results
    if row.members:
        column = next(column for column in table.columns if column.quantity == quantity)
        members = "+".join(run.name for run in row.members)
        return [f"{folder}/{task_of(row, column)}/{members}"]
    return list(dict.fromkeys(f"{folder}/{e.job}" for e in evaluations_of(row.system or ())))


def buy(market: Market, budget: Budget) -> Bought:
    """Buy one thing after another while the budget lasts."""
    claims: list[str] = []
    steps: frozenset[str] = frozenset()
    seeds, spent, purchases = 1, 0.0, list[Purchase]()
    while offers := _offers(market, claims, steps, seeds, spent, budget.seconds):
        best = max(offers, key=lambda offer: (offer.adds / max(offer.seconds, 1.0), offer.what))
        if best.what in market.steps:
            claims.append(best.what)
            steps |= market.steps[best.what]
        else:
            seeds += 1
        spent = market.cost(steps, seeds)
        purchases.append(replace(best, total=spent))
    chosen = [question for question in market.asked if question.claim.id in claims]
    trained = [name.partition(" ")[2] for name in steps if name.startswith(("train ", "adopt "))]
    expected = chances(chosen, replace(market.assumed, seeds=seeds), trained=trained) if chosen else []
    targets = tuple(dict.fromkeys(target for name in claims for target in market.targets[name]))
    cheapest = min((market.cost(each, 1) for each in market.steps.values()), default=0.0)
    return Bought(tuple(purchases), seeds, tuple(expected), targets, cheapest)


def _offers(
    market: Market, claims: Sequence[str], steps: frozenset[str], seeds: int, spent: float, limit: float
) -> list[Purchase]:
    """What can still be paid for, and adds something: a claim more, or a seed more of all."""
    value = market.values(seeds)
    offers = [
        _offer(name, behind - steps, market.cost(steps | behind, seeds) - spent, value[name])
        for name, behind in market.steps.items()
        if name not in claims
    ]
    if claims and seeds < MOST_SEEDS:
        later = market.values(seeds + 1)
        gain = sum(later[name] - value[name] for name in claims)
        offers.append(_offer(f"seed {seeds + 1}", frozenset(), market.cost(steps, seeds + 1) - spent, gain))
    return [offer for offer in offers if offer.adds >= LEAST_GAIN and spent + offer.seconds <= limit]


def _offer(what: str, added: Iterable[str], seconds: float, adds: float) -> Purchase:
    runs = sorted(name.removeprefix("train ") for name in added if name.startswith("train "))
    return Purchase(what, tuple(runs), seconds, adds, 0.0)


def snakemake_line(bought: Bought, root: str, config: Sequence[str]) -> str:
    """The command that makes just what was bought."""
    seeds = range(bought.seeds)
    targets = [f"{root}/{with_seeds}" for target in bought.targets for with_seeds in _seeded(target, seeds)]
    given = [each for each in config if not each.startswith("seeds=")] + [f"seeds={list(seeds)}".replace(" ", "")]
    return " ".join(["snakemake --cores all", *targets, "--config", *map(shlex.quote, given)])


def _seeded(target: str, seeds: Iterable[int]) -> list[str]:
    return [re.sub(r"_s0(?=[/+]|$)", f"_s{seed}", target) for seed in seeds]


def judging_lines(bought: Bought, root: str, config: Mapping[str, object]) -> list[str]:
    """The commands that make tables and verdicts of it; cells of systems that were not bought stay empty."""
    settings = json.dumps({**config, "seeds": list(range(bought.seeds))})
    made = [
        f"vggrepro table {table.number} --settings {shlex.quote(settings)} --scores {root}/{table.kind.results} "
        f"--runs {root}/runs --out {root}/tables"
        for table in (published_table(number) for number in bought.tables)
    ]
    judged = f"vggrepro claims --settings {shlex.quote(settings)} --tables {root}/tables --out {root}/claims"
    return [*made, judged]
