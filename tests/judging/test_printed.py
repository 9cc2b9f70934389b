"""The paper's sentences hold for the paper's own numbers: outcomes that are made to equal them support every claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import judge_claims
from vggrepro.paper.claims import load_claims, printed_gains
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import published_table, unprinted_tables
from vggrepro.scores.outcomes import Errors, Outcome, OutcomeEntry, Outcomes, Shares, write_outcomes
from vggrepro.scores.statistics import RESAMPLES
from vggrepro.settings.loading import load_settings

SETTINGS = load_settings({"unprinted": list(unprinted_tables())})
IMAGES = 50_000
NOISE = 10
"""Images that each system gets wrong instead of others, by chance."""

NOT_SHOWN = {"multi-crop-top-5": "printed as 7.5 with crops and dense, for D"}
"""The claims that the printed numbers do not show, and why."""

NO_OUTCOMES = {
    "initialisation",
    "initialisation-top-5",
    "four-gpus",
    "four-gpus-same",
    "lrn-time",
    "lrn-memory",
    "parameters",
}
"""The claims about trainings and numbers of parameters; `weights-of-depth` needs Table 2 too."""

IN_WORDS = {
    "text": {"B-5x5": 37.0, "B, the": 30.0},
    "scale-gap": {"": 31.0},
    "boxes-256": {"fc SCR": 38.0, "fc PCR": 36.0, "all PCR": 35.0},
    "voc-scales": {"": 89.0},
    "caltech-scales": {"": 80.0},
}
"""By table, where the paper prints no numbers: numbers for which its words are true, by the start of a row's last keys."""


def number_of(table: str, row: dict[str, str], printed: float | None) -> float | None:
    if printed is not None or table not in IN_WORDS:
        return printed
    name = row.get("number") or f"{row.get('layers', '')} {row.get('objective', '')}".strip()
    return next((value for start, value in IN_WORDS[table].items() if name.startswith(start)), None)


def made_errors(rng: np.random.Generator, percent: float, sources: tuple[str, ...]) -> Errors:
    """The hardest images are wrong, so that systems differ by little more than their errors do."""
    wrong = np.arange(IMAGES) < round(percent * IMAGES / 100)
    for value in (True, False):
        wrong[rng.choice(np.flatnonzero(wrong == value), NOISE, replace=False)] ^= True
    return Errors(wrong[None], "val", sources)


def made_shares(rng: np.random.Generator, percent: float, quantity: str, sources: tuple[str, ...]) -> Shares:
    value, spread = percent / 100, np.array([-1e-4, 0, 1e-4])
    if quantity.startswith("caltech"):
        return Shares(value + spread[None], np.empty((1, 0)), 20_000, 1, quantity, sources)
    return Shares(np.array([[value]]), value + rng.normal(0, 1e-4, (1, RESAMPLES)), 5_000, 5_000, quantity, sources)


def judge_made(folder: Path, *, trained: bool) -> dict[str, JudgedClaim]:
    """The claims on made-up outcomes: of trainings that differ by what is assumed of one seed, or of nothing that varies."""
    rng = np.random.default_rng(0)
    for number in SETTINGS.table_numbers("scores", "boxes", "svms"):
        write_made(folder, number, rng, trained=trained)
    return {claim.id: claim for claim in judge_claims(SETTINGS, folder).claims}


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> dict[str, JudgedClaim]:
    return judge_made(tmp_path_factory.mktemp("printed"), trained=False)


@pytest.fixture(scope="module")
def judged_as_one_seed(tmp_path_factory) -> dict[str, JudgedClaim]:
    return judge_made(tmp_path_factory.mktemp("trained"), trained=True)


def write_made(folder: Path, number: str, rng: np.random.Generator, *, trained: bool) -> None:
    table, entries = published_table(number), []
    for row in table.rows:
        for column in table.columns if row.ours and not row.minus else ():
            value = number_of(number, row.keys, row.cells[column.name].value)
            known = {(entry.quantity, *entry.row.values()) for entry in entries}
            if value is not None and (column.quantity, *row.keys.values()) not in known:
                paths = [e.path for e in evaluations_of(row.system or ())] + [f"task/{run.name}" for run in row.members]
                sources, svms = tuple(paths) if trained else (), table.kind.name == "svms"
                outcome: Outcome = (
                    made_shares(rng, value, column.quantity, sources) if svms else made_errors(rng, value, sources)
                )
                entries.append(OutcomeEntry(row.keys, column.quantity, outcome))
    write_outcomes(folder / f"{table.name}.npz", Outcomes(number, (0,), tuple(entries)))


CLAIMS = {claim.id: claim for claim in load_claims(SETTINGS.table)}


@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in NO_OUTCOMES and name != "weights-of-depth"])
def test_the_printed_numbers_support_every_claim_and_refute_none(judged, name):
    expected = {"smaller than claimed", "undecided"} if name in NOT_SHOWN else {"supported"}
    assert judged[name].verdict in expected, judged[name]


@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in NO_OUTCOMES and name != "weights-of-depth"])
def test_one_training_that_equals_the_printed_numbers_refutes_no_claim(judged_as_one_seed, name):
    """What another training would have given may leave a claim undecided."""
    expected = {"supported", "undecided"} | ({"smaller than claimed"} if name in NOT_SHOWN else set())
    assert judged_as_one_seed[name].verdict in expected


def test_what_is_printed_shows_every_claim_but_those_that_are_listed():
    """Read off the tables alone: each printed gain lies where the claim says."""
    hidden = set()
    for name, claim in CLAIMS.items():
        (low, high), gains = claim.holds if claim.quantity else (0, 0), printed_gains(claim, SETTINGS.table)
        if any(gain is not None and not low < gain < high for gain in gains):
            hidden.add(name)
    assert hidden == set(NOT_SHOWN)


def test_every_other_claim_says_what_it_was_not_run_for(judged):
    assert {name for name, claim in judged.items() if claim.verdict == "not run"} == NO_OUTCOMES | {"weights-of-depth"}


def test_ours_stands_apart_from_the_papers_claims(judged):
    assert {claim.id for claim in judged.values() if claim.ours} == {"scale-384", "scale-384-top-5"}
    family = [claim for claim in judged.values() if claim.p is not None and not claim.ours]
    ours = [claim for claim in judged.values() if claim.ours]
    # the largest p-value of a family is its own correction or more, the smallest at most the family's size times
    assert all(claim.p_holm <= 2 * claim.p * (1 + 1e-9) for claim in ours)
    assert max(claim.p_holm / claim.p for claim in family if claim.p_holm < 1) > 2
