"""The chance that a claim is decided, held against outcomes that are drawn image by image and judged by the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import yaml

from tests.conftest import THOROUGH, cases
from vggrepro.judging.ledger import judge_claims
from vggrepro.paper.systems import evaluations_of
from vggrepro.planning import power
from vggrepro.planning.power import Assumptions, chances, questions
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, write_outcomes
from vggrepro.settings.loading import load_settings

PAPER = load_settings({})
IMAGES = 6_000


def cell(table: str, net: str) -> dict:
    keys = {"3": {"S": 256, "Q": 256}, "4": {"S": 256}}[table]
    return {"table": table, "net": net, **keys}


def claim(name: str, test: str, *pairs: tuple[dict, dict], **more) -> dict:
    base = {"id": name, "section": "4", "claim": name, "test": test, "quantity": "top-1"}
    return base | {"pairs": [{"cell": first, "against": second} for first, second in pairs]} | more


CLAIMS = [
    claim("deeper", "superiority", (cell("3", "E"), cell("3", "A"))),
    claim("no-gain", "non-inferiority", (cell("3", "A"), cell("3", "A-LRN")), margin=1.6, why="so"),
    claim("scales", "superiority", (cell("4", "D"), cell("3", "D")), (cell("4", "E"), cell("3", "E"))),
    claim("both", "superiority", (cell("3", "D"), cell("3", "A")), (cell("3", "E"), cell("3", "B"))),
]
NETS, SHARED, OWN = ("A", "A-LRN", "B", "D", "E"), 0.82, 0.05
"""Latent variance that all nets share, and that of a system alone; the rest is a net's and a seed's."""


@dataclass(frozen=True)
class World:
    """Nets whose errors are the printed ones but for what images and trainings do."""

    seeds: int
    training: float
    """Points."""
    rng: np.random.Generator

    def outcomes(self) -> dict[str, Outcomes]:
        """Of Tables 3 and 4: rows at S = 256, each system's errors image by image."""
        common = self.rng.standard_normal(IMAGES)
        entries: dict[str, list[OutcomeEntry]] = {"3": [], "4": []}
        of_run = {
            (net, seed): (self.rng.standard_normal(IMAGES), self.rng.normal(0, self.training / 100))
            for net in NETS
            for seed in range(self.seeds)
        }
        for table, net in (("3", net) for net in NETS):
            entries[table].append(self.entry(table, net, common, of_run))
        for net in ("D", "E"):
            entries["4"].append(self.entry("4", net, common, of_run))
        return {number: Outcomes(number, tuple(range(self.seeds)), tuple(each)) for number, each in entries.items()}

    def entry(self, table: str, net: str, common: np.ndarray, of_run: dict) -> OutcomeEntry:
        row = next(
            row
            for row in PAPER.table(table).rows
            if all(row.keys[key] == str(value) for key, value in cell(table, net).items() if key != "table")
        )
        printed = row.cells["top1_val"].value / 100
        stays, wrong = self.rng.standard_normal(IMAGES), []
        for seed in range(self.seeds):
            own, shift = of_run[net, seed]
            alone = (stays + self.rng.standard_normal(IMAGES)) / 2**0.5
            latent = SHARED**0.5 * common + (1 - SHARED - OWN) ** 0.5 * own + OWN**0.5 * alone
            wrong.append(latent > NormalDist().inv_cdf(1 - printed - shift))
        sources = tuple(evaluation.path for evaluation in evaluations_of(row.system))
        return OutcomeEntry(row.keys, "top-1", Errors(np.array(wrong), "images", sources))


def disagreement(world: World, draws: int = 30) -> tuple[float, float, float]:
    """What finished runs would say: on how many images two nets disagree, and two systems of one; what of it stays."""
    between, within, chance = [], [], []
    for _ in range(draws):
        tables = world.outcomes()
        wrong = {(number, e.row["net"]): e.outcome.wrong for number, each in tables.items() for e in each.entries}
        between.append(np.mean(wrong["3", "D"][0] != wrong["3", "E"][0]))
        difference = wrong["4", "D"].astype(float) - wrong["3", "D"]
        within.append(np.mean(difference[0] != 0))
        chance.append(np.mean((difference[0] - difference[-1]) ** 2) / 2)
    usual = power.USUAL_ERROR * (1 - power.USUAL_ERROR)
    error = PAPER.table("3").rows[0].cells["top1_val"].value / 100 - 0.015
    scale = usual / (error * (1 - error))
    stays = 1 - np.mean(chance) / np.mean(within) if world.seeds > 1 else power.STAYS
    return float(np.mean(between)) * scale, float(np.mean(within)) * scale, float(stays)


def simulated(folder: Path, world: World, simulations: int) -> dict[str, float]:
    """How often the ledger decides each claim."""
    (folder / "claims.yaml").write_text(yaml.safe_dump(CLAIMS, sort_keys=False))
    decided: Counter[str] = Counter()
    for _ in range(simulations):
        for number, outcomes in world.outcomes().items():
            write_outcomes(folder / f"table0{number}.npz", outcomes)
        ledger = judge_claims(PAPER, folder, path=folder / "claims.yaml")
        assert all(each.p is not None for each in ledger.claims), "every claim is tested"
        decided.update(each.id for each in ledger.claims if each.verdict not in ("undecided", "not run"))
    return {entry["id"]: decided[entry["id"]] / simulations for entry in CLAIMS}


def forecast(folder: Path, world: World, draws: int = 4000) -> dict[str, float]:
    """The same as the plan says it."""
    (folder / "claims.yaml").write_text(yaml.safe_dump(CLAIMS, sort_keys=False))
    between, within, stays = disagreement(world)
    assumed = Assumptions(world.seeds, {}, IMAGES, between, within, {"top-1": world.training}, stays)
    asked, others = questions(PAPER, folder / "claims.yaml")
    assert not others
    return {
        each.claim.id: each.decided
        for each in chances(asked, assumed, trained=[f"{net}_256_s0" for net in NETS], draws=draws)
    }


@pytest.mark.parametrize(("seeds", "training"), cases([(3, 0.6)], [(1, 0.1)]))
def test_chances_are_those_of_outcomes_that_are_drawn_image_by_image(tmp_path, seeds, training):
    """Within 3 points, beyond what so few simulations are off by themselves."""
    simulations = 400 if THOROUGH else 60
    said = forecast(tmp_path, World(seeds, training, np.random.default_rng(1)))
    found = simulated(tmp_path, World(seeds, training, np.random.default_rng(2)), simulations)
    for name, chance in said.items():
        noise = 2 * (max(chance * (1 - chance), 0.01) / simulations) ** 0.5
        assert abs(chance - found[name]) <= 0.03 + noise, f"{name}: said {chance:.2f}, found {found[name]:.2f}"
    assert any(0.1 < chance < 0.9 for chance in said.values()), "not all are sure: else nothing is compared"


def test_more_seeds_decide_more():
    asked, _ = questions(PAPER)
    few, many = (
        sum(each.decided for each in chances(asked, Assumptions(seeds, {}, 50_000), draws=300)) for seeds in (1, 4)
    )
    assert many > few + 10


def test_a_claim_on_nets_that_are_not_planned_has_no_chance_and_takes_none_from_others():
    """As with released nets, where nothing else is trained."""
    asked, _ = questions(PAPER)
    assumed, few = Assumptions(1, {}, 50_000), [f"{net}_256_s0" for net in NETS]
    on_few = [question for question in asked if question.runs <= set(few)]
    assert on_few
    every = chances(asked, assumed, trained=few, draws=100)
    assert {each.claim.id for each in every if each.decided is not None} == {each.claim.id for each in on_few}
    assert [each for each in every if each.decided is not None] == chances(on_few, assumed, trained=few, draws=100)
    assert all("is not planned" in each.reason for each in every if each.decided is None)


def test_a_claim_on_pictures_that_are_not_given_has_no_chance():
    asked, others = questions(PAPER)
    lacking = {each.claim.id: each.reason for each in others if "=PATH" in each.reason}
    assert lacking["transfer-voc2007"] == "needs voc2007=PATH"
    given = load_settings({"transfer": dict.fromkeys(["voc2007", "voc2012", "caltech101", "caltech256"], "/data")})
    more, _ = questions(given)
    assert {each.claim.id for each in more} == {each.claim.id for each in asked} | set(lacking)


@pytest.mark.parametrize(
    ("name", "variance"), [("one-googlenet", 1e4 * 0.071 * 0.929 / 50_000), ("voc-chatfield", 0.44**2)]
)
def test_beside_a_printed_number_all_that_the_choice_of_images_does_counts(name, variance):
    """As in the ledger, which knows no images of others; pictures of VOC are 4,952 and not 50,000."""
    settings = load_settings({"transfer": {"voc2007": "/data"}})
    question = next(each for each in questions(settings)[0] if each.claim.id == name)
    noise = power._Noise(np.random.default_rng(0), Assumptions(1, {}, 50_000), 10, None)
    assert power._estimates(question.pairs[0], question, noise).images == pytest.approx(variance, rel=0.01)


def test_a_claim_whose_gap_is_not_printed_has_no_chance_and_a_reason():
    _, others = questions(PAPER)
    assert {each.reason for each in others} >= {"the paper prints no gap", "needs unprinted=[scale-gap]"}
    assert all(each.decided in (None, 1.0) for each in others)
