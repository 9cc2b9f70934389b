"""From comparisons to decisions: whether a claim is supported, refuted or undecided, and what would decide it. No torch.

Superiority is tested by McNemar's exact test (one seed), or by the nested variance of images and seeds, or of splits, both
two-sided. It is refuted where the sign is the other one, and where there is no gain (0 or less) and a gain of the margin is
excluded. A true gain, however small, is never refuted by many images: it ends as supported. Equivalence is tested by two
one-sided tests, and refuted where the difference lies outside the margin.

Of several pairs each has to hold: the largest p-value is that of all (intersection-union). One that fails is enough to
refute: the smallest p-value, times their number. The p-values of all claims are corrected by Holm's method; claims that were
not run, and those of arithmetic, have none and are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vggrepro.judging.comparisons import Step, TestedStep
from vggrepro.paper.claims import Claim
from vggrepro.scores.statistics import holm, images_needed, seeds_needed

ALPHA = 0.05

Decision = Literal["supported", "refuted", "undecided", "not run"]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict."""

    id: str
    section: str
    claim: str
    test: str
    quantity: str
    by: float
    margin: float
    why: str
    verdict: Decision = "not run"
    reason: str = ""
    """Why it was not run, what decided it, or what would."""
    p: float | None = None
    """Of the decision that the outcomes lean to, before correction."""
    p_holm: float | None = None
    steps: tuple[Step, ...] = ()
    weakest: int = 0
    """The step that decides: its estimate stands for the claim."""


def unjudged(claim: Claim) -> JudgedClaim:
    """The claim before anything is known of it."""
    return JudgedClaim(
        claim.id, claim.section, claim.claim, claim.test, claim.quantity, claim.by, claim.margin, claim.why
    )


def leaning(claim: Claim, comparisons: Sequence[TestedStep]) -> JudgedClaim:
    """The claim with its steps and the decision that the outcomes lean to, before correction."""
    steps = tuple(comparison.step for comparison in comparisons)
    p_for = max(step.p_for for step in steps)
    p_against = min(1.0, len(steps) * min(step.p_against for step in steps))
    if p_for <= p_against:
        weakest = max(range(len(steps)), key=lambda i: steps[i].p_for)
    else:
        weakest = min(range(len(steps)), key=lambda i: steps[i].p_against)
    verdict: Decision = "supported" if p_for <= p_against else "refuted"
    return replace(unjudged(claim), verdict=verdict, p=min(p_for, p_against), steps=steps, weakest=weakest)


def corrected(
    claims: Sequence[JudgedClaim], comparisons: Mapping[str, Sequence[TestedStep]]
) -> tuple[JudgedClaim, ...]:
    """The claims with their verdicts after Holm's correction; `comparisons` are those of each tested claim, by its id."""
    p_values = {claim.id: claim.p for claim in claims if claim.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    undecided = sum(p > ALPHA for p in adjusted.values())
    return tuple(
        _decided(claim, adjusted[claim.id], comparisons[claim.id], undecided) if claim.id in adjusted else claim
        for claim in claims
    )


def _decided(claim: JudgedClaim, p_holm: float, comparisons: Sequence[TestedStep], undecided: int) -> JudgedClaim:
    """The claim with its verdict; `undecided` is the number of claims that are."""
    if p_holm <= ALPHA:
        return replace(claim, p_holm=p_holm)
    # the smallest p-value of the undecided claims decides next, and is compared with this
    tail = ALPHA / undecided
    steps = tuple(
        replace(comparison.step, needed=_needed(claim, comparison, tail, len(comparisons)))
        for comparison in comparisons
    )
    needed = steps[claim.weakest].needed
    reason = f"{needed} would decide it" if needed else "no number of images or seeds would decide it"
    return replace(claim, verdict="undecided", p_holm=p_holm, steps=steps, reason=reason)


def _needed(claim: JudgedClaim, comparison: TestedStep, tail: float, steps: int) -> str:
    """How many images or seeds would decide a step with 80% power, if the truth is as it was estimated."""
    step, estimate, unit = comparison.step, comparison.estimate, comparison.unit
    distance, tail = _distance(claim, estimate.mean, tail, steps)
    images = images_needed(estimate, distance, step.n, tail) if unit == "images" else None
    draws = seeds_needed(estimate, distance, tail)
    parts = []
    if images:
        parts.append(f"{_rounded_up(images):,} images in place of {step.n:,}")
    if draws:
        parts.append(f"{draws} {'seeds' if unit == 'images' else unit} in place of {estimate.drawn[0][1] + 1}")
    if images and not estimate.drawn:
        # one seed does not show how many would do
        parts.append("more seeds")
    return " or ".join(parts)


def _distance(claim: JudgedClaim, gain: float, tail: float, steps: int) -> tuple[float, float]:
    """How far a gain is from what would decide a step, and the chance of error that its test may have."""
    if claim.test in ("superiority", "ordering"):
        distance = gain if gain > 0 else max(claim.margin - gain, -gain)
        return distance, tail / 2 if gain > 0 or not claim.margin else tail / steps
    if claim.test == "equivalence":
        return abs(claim.margin - abs(gain - claim.by)), tail
    return abs(gain - math.log(claim.by - claim.margin)), tail


def _rounded_up(number: int) -> int:
    """To two digits, because it is an estimate of an estimate."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit
