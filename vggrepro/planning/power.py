"""The chance that a claim of the paper is decided, if the paper's printed gap is the truth. No torch.

What a run would estimate of every claim is drawn many times: printed gaps, with the noise of images and of trainings that the
tolerances or finished runs say. Each draw is judged by the ledger's rule: the same hypotheses, p-values, and Holm's correction
over all claims that are tested. Images are not drawn one by one; a test holds the chances against a simulation that does,
judged by the ledger itself.

The noise of a system's error has three parts, of which two systems share what they have in common:

- of trainings: each net's error moves by the `training` of `tables/tolerances.yaml`, besides the chance of single images;
- of a net's images: in another training other images are wrong; it falls with the number of seeds;
- of a system's images: what dense evaluation and crops of the same weights differ by. A part of it stays in every training.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.judging.decisions import ALPHA, Decision, Hypothesis, hypotheses
from vggrepro.paper.claims import CLAIMS_FILE, RATIOS, CellPlace, Claim, load_claims, printed_gains
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import Row
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.paper.tolerances import tolerance_of
from vggrepro.scores.statistics import NORMAL, holm
from vggrepro.scores.trainings import SeedSpread, training_spread
from vggrepro.settings.models import Settings

POWER_DRAWS = 2_000
BETWEEN, WITHIN = 0.14, 0.04
"""Share of the images on which two nets of the family, and two systems of the same nets, disagree where the error is
`USUAL_ERROR`: what `tables/tolerances.yaml` derives its tolerances from."""
STAYS = 0.5
"""Share of what two systems of the same nets differ by that every training repeats; the rest falls with more seeds."""
USUAL_ERROR = 0.27
OF_VALIDATION = ("top-1", "top-5", "localisation")
"""Quantities that are measured on the validation images; those of transfer have images, or splits, of their own."""
TAILS = np.logspace(-12, math.log10(0.5), 90)
"""p-values between which others are interpolated."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Assumptions:
    """What is taken to be true besides the printed gaps."""

    seeds: int
    images: Mapping[str, int]
    """By quantity; of what is not here, `usual_images`."""
    usual_images: int
    between: float = BETWEEN
    within: float = WITHIN
    training: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation between trainings of one net in points, by quantity; of what is not here, that of the tolerances."""
    stays: float = STAYS
    source: str = "tables/tolerances.yaml"
    """Where disagreement and spread are from."""

    def n(self, quantity: str, error: float) -> float:
        """Images of a quantity; of transfer as many as the tolerance's `sampling` comes to at an error, from 0 to 1."""
        if quantity in self.images or quantity in OF_VALIDATION:
            return self.images.get(quantity, self.usual_images)
        return min(self.usual_images, 1e4 * error * (1 - error) / tolerance_of(quantity).sources.sampling ** 2)

    def spread(self, quantity: str) -> float:
        """Variance between trainings of one net, in points squared."""
        return self.training.get(quantity, tolerance_of(quantity).sources.training) ** 2


@dataclass(frozen=True)
class PrintedSystem:
    """A system that a claim compares."""

    key: str
    """The same for the same system."""
    shares: Mapping[str, float]
    """The share of each training in it; empty for a printed number of others."""
    error: float
    """Printed, from 0 to 1."""


@dataclass(frozen=True)
class PrintedPair:
    """Two systems, and by how many points the first is better in print."""

    first: PrintedSystem
    second: PrintedSystem
    gain: float
    scale: float = 1.0
    """What a point of the difference of errors is in the gain: a relative one is larger."""

    @cached_property
    def times(self) -> float:
        """How many times the variance of one training the difference has."""
        runs = {*self.first.shares, *self.second.shares}
        return sum((self.first.shares.get(run, 0.0) - self.second.shares.get(run, 0.0)) ** 2 for run in runs)


@dataclass(frozen=True)
class Question:
    """A claim that can be asked of printed numbers."""

    claim: Claim
    pairs: tuple[PrintedPair, ...]
    beside: tuple[Mapping[str, float], ...]
    """Shares of the trainings in all systems of the claim's tables, over which their spread is pooled."""

    def pooled(self, trained: Collection[str] | None) -> int:
        """How many of these systems share no training, those of few nets first; of those of `trained` nets alone."""
        seen: set[str] = set()
        count = 0
        for shares in sorted(self.beside, key=len):
            if shares and not seen & set(shares) and (trained is None or set(shares) <= set(trained)):
                seen |= set(shares)
                count += 1
        return count

    @property
    def runs(self) -> frozenset[str]:
        """The trainings that it needs, those of seed 0."""
        return frozenset(run for pair in self.pairs for system in (pair.first, pair.second) for run in system.shares)


@dataclass(frozen=True)
class ClaimChance:
    """What is expected of a claim."""

    claim: Claim
    decided: float | None
    """The chance of any verdict but undecided; None where the paper prints no gap, or the trainings are not planned."""
    supported: float = 0.0
    reason: str = ""
    """Why there is no chance to be told."""
    runs: frozenset[str] = frozenset()


def questions(settings: Settings, path: Path = CLAIMS_FILE) -> tuple[list[Question], list[ClaimChance]]:
    """The claims of the file that have a chance to be told, and the others with the reason."""
    asked, others = [], []
    for claim in load_claims(settings.table, path, higher=settings.higher):
        reason = _why_not(claim, settings)
        if reason:
            sure = 1.0 if claim.test == "arithmetic" else None
            others.append(ClaimChance(claim, sure, supported=sure or 0.0, reason=reason))
        else:
            asked.append(_question(claim, settings))
    return asked, others


def _why_not(claim: Claim, settings: Settings) -> str:
    if claim.test == "arithmetic":
        return "follows from the layers, without a training"
    if claim.test in (*RATIOS, "equality"):
        return "is judged by the records of trainings on GPUs"
    places = [place for pair in claim.compared() for place in pair]
    if missing := [place.table for place in places if place.table not in settings.table_numbers()]:
        return f"needs unprinted=[{missing[0]}]"
    if any(place.is_absent(settings.table) for place in places):
        return "compares a system that is not imported"
    pictures = [data for place in places for data in _pictures(place, claim, settings)]
    if lacking := [data for data in pictures if not settings.transfer.given(data)]:
        return f"needs {lacking[0]}=PATH"
    if None in printed_gains(claim, settings.table):
        return "the paper prints no gap"
    return ""


def _pictures(place: CellPlace, claim: Claim, settings: Settings) -> list[str]:
    """The data set of transfer that a cell of ours is measured on, if it is measured by SVMs."""
    row, columns = place.row(settings.table), settings.table(place.table).columns
    return [TASKS[task_of(row, each)].data for each in columns if row.members and each.quantity == claim.quantity]


def _question(claim: Claim, settings: Settings) -> Question:
    gains = [gain for gain in printed_gains(claim, settings.table) if gain is not None]
    pairs = []
    for (place, against), gain in zip(claim.compared(), gains, strict=True):
        first, second = (_system(each, claim, settings) for each in (place, against))
        scale = 1 / first.error if claim.relative and first.error else 1.0
        pairs.append(PrintedPair(first, second, gain * scale, scale))
    tables = dict.fromkeys(place.table for pair in claim.compared() for place in pair)
    rows = [row for table in tables for row in settings.table(table).rows if row.ours and not row.minus]
    return Question(claim, tuple(pairs), tuple(map(_shares, rows)))


def _system(place: CellPlace, claim: Claim, settings: Settings) -> PrintedSystem:
    row, printed = place.row(settings.table), place.printed(claim.quantity, settings.table).value or 0.0
    higher = settings.table(place.table).higher_is_better
    error = (100 - printed if higher else printed) / 100
    members = ",".join(f"{member.path}*{weight}" for member, weight in row.system or ())
    return PrintedSystem(members or f"{place.label}/{claim.quantity}", _shares(row), error)


def _shares(row: Row) -> dict[str, float]:
    """The share of each training in a row's system: nets are averaged last."""
    runs = dict.fromkeys([e.run.name for e in evaluations_of(row.system or ())] or [run.name for run in row.members])
    return {run: 1 / len(runs) for run in runs}


def chances(
    asked: Sequence[Question],
    assumed: Assumptions,
    *,
    trained: Collection[str] | None = None,
    draws: int = POWER_DRAWS,
    seed: int = 0,
) -> list[ClaimChance]:
    """The chance of every claim that it is decided, all of them judged together; the paper's apart from those that are ours.

    `trained` are the runs (of seed 0) whose systems are evaluated; None for all. A claim on others has no chance, and no part
    in Holm's correction, because the ledger does not test it.
    """
    noise = _Noise(np.random.default_rng(seed), assumed, draws, trained)
    results: dict[str, ClaimChance] = {}
    for question in asked if trained is not None else ():
        if missing := sorted(question.runs - set(trained or ())):
            reason = f"needs {missing[0].removesuffix('_s0')}, which is not planned"
            results[question.claim.id] = ClaimChance(question.claim, None, reason=reason, runs=question.runs)
    for mine in (False, True):
        family = [each for each in asked if each.claim.ours is mine and each.claim.id not in results]
        p_values = [_p_values(question, noise) for question in family]
        for question, decisions in zip(family, _decisions(family, p_values), strict=True):
            decided = float(np.mean([decision != "undecided" for decision in decisions]))
            supported = float(np.mean([decision == "supported" for decision in decisions]))
            results[question.claim.id] = ClaimChance(question.claim, decided, supported, runs=question.runs)
    return [results[question.claim.id] for question in asked]


class _Noise:
    """Draws of what differs from the printed numbers: of trainings, of nets' images and of systems' images."""

    def __init__(
        self, rng: np.random.Generator, assumed: Assumptions, draws: int, trained: Collection[str] | None
    ) -> None:
        self.rng, self.assumed, self.draws, self.trained = rng, assumed, draws, trained
        self._known: dict[tuple[str, ...], Values] = {}

    def of(self, *key: str) -> Values:
        """Standard normal draws [draws], always the same for a key."""
        if key not in self._known:
            self._known[key] = self.rng.standard_normal(self.draws)
        return self._known[key]

    def chi2(self, *key: str, df: int) -> Values:
        """Draws of a sum of df squares over df, always the same for a key."""
        if key not in self._known:
            self._known[key] = self.rng.chisquare(df, self.draws) / df
        return self._known[key]

    def variances(self, system: PrintedSystem, quantity: str) -> tuple[float, float]:
        """Two variances of one seed's error, in points squared: by the images of a net, and by those of the system itself."""
        n, usual = self.assumed.n(quantity, system.error), USUAL_ERROR * (1 - USUAL_ERROR)
        share = system.error * (1 - system.error) / usual
        own = share * self.assumed.within / 2
        net = share * max(0.0, self.assumed.between - self.assumed.within) / 2
        return (1e4 * net / n, 1e4 * own / n) if system.shares else (0.0, 0.0)

    def against_a_number(self, system: PrintedSystem, quantity: str, times: float) -> float:
        """The variance of a system's error that the ledger takes where it is compared with a printed number of others.

        The images that both get wrong are not known, so that all that the choice of images does counts; seeds take away what
        trainings disagree on, of which a system has so many `times` what one net has.
        """
        assumed, chance = self.assumed, system.error * (1 - system.error)
        between = assumed.within + times * max(0.0, assumed.between - assumed.within)
        disagreed = between * chance / (USUAL_ERROR * (1 - USUAL_ERROR))
        return 1e4 * (chance - disagreed / 2 * (1 - 1 / assumed.seeds)) / assumed.n(quantity, system.error)

    def error(self, system: PrintedSystem, quantity: str) -> Values:
        """What is measured of a system less what is printed, in points [draws]."""
        net, own = self.variances(system, quantity)
        seeds, stays = self.assumed.seeds, self.assumed.stays
        result = math.sqrt(own * (stays + (1 - stays) / seeds)) * self.of("system", system.key, quantity)
        for run, share in system.shares.items():
            deviation = math.sqrt((self.assumed.spread(quantity) + net) / seeds)
            result = result + share * deviation * self.of("run", run, quantity)
        return result


@dataclass(frozen=True)
class _Estimates:
    """What the ledger would estimate of a pair, over all draws."""

    mean: Values
    images: float
    """Variance from the choice of images."""
    trainings: Values
    """Variance from trainings, as it is estimated."""
    df: NDArray[np.int64]

    def above(self, value: float) -> Values:
        """One-sided p-values of the hypothesis that the truth is at most `value`: see `Estimate.above`."""
        if math.isinf(value):
            return np.full(self.mean.shape, 0.0 if value < 0 else 1.0)
        distance = self.mean - value
        p: Values = np.where(
            self.df == self.df.min(), *(self._tail(np.abs(distance), df) for df in (self.df.min(), self.df.max()))
        )
        return np.where(distance > 0, p, 1 - p)

    def below(self, value: float) -> Values:
        """The same of the hypothesis that the truth is at least `value`."""
        return _Estimates(-self.mean, self.images, self.trainings, self.df).above(-value)

    def _tail(self, distance: Values, df: int) -> Values:
        from scipy.special import stdtrit

        normal = np.array([NORMAL.inv_cdf(float(tail)) for tail in TAILS]) ** 2
        student = stdtrit(int(df), TAILS) ** 2
        # the square of the distance that each tail has, [draws, tails], from far to near
        squares = normal * self.images + student * self.trainings[:, None]
        square = distance[:, None] ** 2
        place = np.clip((squares > square).sum(1), 1, len(TAILS) - 1)
        rows = np.arange(len(distance))
        far, near = (np.sqrt(squares[rows, place - step]) for step in (1, 0))
        share = np.clip((far - distance) / np.maximum(far - near, 1e-300), 0.0, 1.0)
        logs = np.log(TAILS)
        tail: Values = np.exp(logs[place - 1] + share * (logs[place] - logs[place - 1]))
        return tail


def _p_values(question: Question, noise: _Noise) -> list[tuple[Hypothesis, Values]]:
    """The p-values of each hypothesis about a claim, over all its pairs, as `judging.decisions` combines them."""
    estimates = [_estimates(pair, question, noise) for pair in question.pairs]
    results = []
    for hypothesis in hypotheses(question.claim):
        each = np.stack([_p(hypothesis, estimate) for estimate in estimates])
        p = each.max(0) if hypothesis.inside else np.minimum(1.0, len(each) * each.min(0))
        results.append((hypothesis, p))
    return results


def _p(hypothesis: Hypothesis, estimate: _Estimates) -> Values:
    low, high = hypothesis.low, hypothesis.high
    if hypothesis.inside:
        p = np.maximum(estimate.above(low), estimate.below(high))
    else:
        p = np.minimum(estimate.below(low), estimate.above(high))
    limited: Values = np.minimum(1.0, hypothesis.sides * p)
    return limited


def _estimates(pair: PrintedPair, question: Question, noise: _Noise) -> _Estimates:
    quantity, seeds = question.claim.quantity, noise.assumed.seeds
    gain = pair.gain + pair.scale * (noise.error(pair.second, quantity) - noise.error(pair.first, quantity))
    nets, owns = zip(*(noise.variances(system, quantity) for system in (pair.first, pair.second)), strict=True)
    stays, falls = noise.assumed.stays * sum(owns), (1 - noise.assumed.stays) * sum(owns)
    images = pair.scale**2 * (stays + (pair.times * max(nets) + falls) / seeds)
    if not pair.second.shares:
        images = pair.scale**2 * noise.against_a_number(pair.first, quantity, pair.times)
    # what single images do to the spread over seeds: of one net's error, or of the difference of two systems of it
    chance = max(nets) + falls / 2 if pair.times else falls
    variance, df = _spread(question, noise, chance, same=not pair.times)
    return _Estimates(gain, images, pair.scale**2 * (pair.times or 1.0) * variance / seeds, df)


def _spread(question: Question, noise: _Noise, chance: float, *, same: bool) -> tuple[Values, NDArray[np.int64]]:
    """The variance of trainings that the ledger would take, and its degrees of freedom: see `scores/trainings.py`."""
    quantity, seeds = question.claim.quantity, noise.assumed.seeds
    sources = tolerance_of(quantity).sources
    prior, df = (0.0, 1) if same else (sources.training**2, sources.df)
    freedom = (len(question.pairs) if same else question.pooled(noise.trained)) * (seeds - 1)
    if not freedom:
        return np.full(noise.draws, prior), np.full(noise.draws, df)
    true = 0.0 if same else noise.assumed.spread(quantity)
    tables = ",".join(sorted({place.table for pair in question.claim.compared() for place in pair}))
    measured = (true + chance) * noise.chi2("spread", tables, quantity, str(same), str(freedom), df=freedom)
    spreads = [training_spread([SeedSpread(float(m), chance, freedom)], prior=prior, df=df) for m in measured]
    return np.array([spread.variance for spread in spreads]), np.array([spread.df for spread in spreads])


def _decisions(
    family: Sequence[Question], p_values: Sequence[Sequence[tuple[Hypothesis, Values]]]
) -> list[list[Decision]]:
    """The verdict of every claim in every draw, after Holm's correction over the family."""
    if not family:
        return []
    smallest = np.stack([np.min([p for _, p in each], axis=0) for each in p_values])
    adjusted = holm(smallest)
    return [_verdicts(each, smallest[number], adjusted[number]) for number, each in enumerate(p_values)]


def _verdicts(tested: Sequence[tuple[Hypothesis, Values]], smallest: Values, adjusted: Values) -> list[Decision]:
    correction = adjusted / np.maximum(smallest, 1e-100)
    verdicts: list[Decision] = []
    for draw in range(len(smallest)):
        shown = (h.decision for h, p in tested if correction[draw] * p[draw] <= ALPHA * (1 + 1e-9))
        verdicts.append(next(shown, "undecided") if adjusted[draw] <= ALPHA else "undecided")
    return verdicts
