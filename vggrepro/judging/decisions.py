"""From comparisons to decisions: what they show of a claim, after correction, or what would decide it. No torch.

A claim is true between two gains (`true_between`), and one rule holds for every test: it is supported where the gain is shown
to lie inside, and refuted where it is shown to lie outside.

    superiority, ordering   above 0, or above the claimed size; two-sided, because no difference at all is a likely truth
    non-inferiority         above the margin's loss. "No gain from X" is this with the roles swapped: without X it is no worse
    equivalence             within the margin of the claimed difference: two one-sided tests
    speed, cost             above the claimed ratio less the margin; above 1

A gain that is shown to be below the margin of a superiority is "smaller than claimed", also if it is shown to be above 0.

Of several pairs each has to hold: the largest p-value is that of all (intersection-union). One that fails is enough to
refute: the smallest p-value, times their number. Holm's method corrects the p-values of a family: the paper's claims, each on
each quantity. Claims that were not run, and those of arithmetic or of counted bytes, have none and are not in it. Claims that
are ours are corrected among themselves, and so are those of each file of the user's, and all of them again on each reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from vggrepro.judging.comparisons import ClaimComparison, TestedComparison
from vggrepro.paper.claims import RATIOS, Claim, ClaimTest, true_between
from vggrepro.scores.statistics import ENDLESS, SMALLEST_P, Estimate, holm, images_needed, seeds_needed, splits_needed

ALPHA = 0.05

Decision = Literal["supported", "smaller than claimed", "refuted", "undecided", "not run"]
"""Of claims. Nothing is shown of an undecided one, where a cell would be inconclusive (`tables/cells.py`)."""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict."""

    id: str
    section: str
    claim: str
    test: ClaimTest
    quantity: str
    by: float
    margin: float
    why: str
    verdict: Decision = "not run"
    reason: str = ""
    """Why it was not run, what decided it, or what would."""
    tested: str = ""
    """What the p-values are of, in words, `gain above 0`: what the verdict says or, undecided, what the outcomes lean to."""
    p: float | None = None
    """Of what was tested, before correction."""
    p_holm: float | None = None
    steps: tuple[ClaimComparison, ...] = ()
    weakest: int = 0
    """The step that decides: its estimate stands for the claim."""
    same_as: str = ""
    """The id of the claim of which this is the same sentence on another quantity."""
    ours: bool = False
    """Whether it is no sentence of the paper: it is judged apart from the paper's claims."""
    file: str = ""
    """The name of the user's file of claims that it is from; empty for one of `tables/claims.yaml`."""
    reference: str = ""
    """The other labels or images that it was judged again on; `same_as` is the claim itself."""

    @property
    def papers(self) -> bool:
        """Whether it is a sentence of the paper, judged on the validation images and their own labels."""
        return not (self.ours or self.reference)

    limits: str = ""
    """What of the sentence cannot be judged without labels that evaluation servers hold."""
    printed: tuple[float | None, ...] = ()
    """The gain of every pair in print; None where the paper does not print both numbers."""


@dataclass(frozen=True)
class Hypothesis:
    """What comparisons may show of a claim: that gains lie inside a region, or outside. In points; of speed, ratios."""

    decision: Decision
    low: float
    high: float
    inside: bool
    sides: int = 1
    """2 where the p-value is two-sided."""
    is_ratio: bool = False

    def p(self, comparison: TestedComparison) -> float:
        """The p-value of one comparison: small where its gain surely lies there."""
        estimate, (low, high) = comparison.estimate, self._bounds()
        # McNemar's test is of no difference at all
        if comparison.exact is not None and self.sides == 2 and (self.low, self.high) == (0, math.inf):
            in_favour = estimate.mean > 0 if self.inside else estimate.mean < 0
            return max(SMALLEST_P, comparison.exact) if in_favour else 1.0
        return min(1.0, self.sides * (estimate.equivalent if self.inside else estimate.outside)(low, high))

    def distance(self, estimate: Estimate) -> float:
        """How far an estimate is from the nearest edge of the region, on the scale that it is tested on."""
        return min(abs(estimate.mean - bound) for bound in self._bounds())

    def in_words(self, steps: int) -> str:
        """`gain above 0`, `gain outside 5.9 to 8.1`; of several steps, whether of each or of one."""
        if math.isinf(self.high):
            where = f"{'above' if self.inside else 'below'} {self.low:g}"
        else:
            where = f"{'between' if self.inside else 'outside'} {self.low:g} and {self.high:g}"
        of_steps = f", {'each' if self.inside else 'one'} of {steps}" if steps > 1 else ""
        return f"{'ratio' if self.is_ratio else 'gain'} {where}{of_steps}"

    def _bounds(self) -> tuple[float, float]:
        # a ratio is tested by its logarithm
        return (math.log(self.low), math.log(self.high)) if self.is_ratio else (self.low, self.high)


def hypotheses(claim: Claim | JudgedClaim) -> tuple[Hypothesis, ...]:
    """What comparisons may show of a claim: the first that they do show is the verdict."""
    low, high = true_between(claim.test, by=claim.by, margin=claim.margin)
    is_gain, is_ratio = claim.test in ("superiority", "ordering"), claim.test in RATIOS
    sides = 2 if is_gain else 1
    refuted = Hypothesis("refuted", low, high, inside=False, sides=sides, is_ratio=is_ratio)
    supported = Hypothesis("supported", low, high, inside=True, sides=sides, is_ratio=is_ratio)
    if not is_gain or not claim.margin:
        return refuted, supported
    return refuted, Hypothesis("smaller than claimed", claim.margin, math.inf, inside=False), supported


def unjudged(claim: Claim, printed: tuple[float | None, ...] = ()) -> JudgedClaim:
    """The claim before anything is known of it."""
    names = ("id", "section", "claim", "test", "quantity", "by", "margin", "why", "same_as", "ours", "limits")
    return JudgedClaim(**{name: getattr(claim, name) for name in names}, printed=printed)


@dataclass(frozen=True)
class _Tested:
    """A hypothesis about all comparisons of a claim."""

    hypothesis: Hypothesis
    p: float
    weakest: int
    """The comparison that its p-value is from."""


def _tested(claim: Claim | JudgedClaim, comparisons: Sequence[TestedComparison]) -> list[_Tested]:
    results = []
    for hypothesis in hypotheses(claim):
        p_values = [hypothesis.p(comparison) for comparison in comparisons]
        p = max(p_values) if hypothesis.inside else min(p_values)
        times = 1 if hypothesis.inside else len(p_values)
        results.append(_Tested(hypothesis, min(1.0, times * p), p_values.index(p)))
    return results


P_NAMES: dict[Decision, str] = {"supported": "p_for", "refuted": "p_against", "smaller than claimed": "p_smaller"}
"""The p-value in a step of what would lead to a decision."""


def leaning(
    claim: Claim, comparisons: Sequence[TestedComparison], printed: tuple[float | None, ...] = ()
) -> JudgedClaim:
    """The claim with its steps and the decision that the outcomes lean to, before correction: that of the smallest p-value."""
    steps = []
    for comparison in comparisons:
        p_values: dict[str, Any] = {P_NAMES[each.decision]: each.p(comparison) for each in hypotheses(claim)}
        steps.append(replace(comparison.step, **p_values))
    likeliest = min(_tested(claim, comparisons), key=lambda tested: tested.p)
    return _with_verdict(replace(unjudged(claim, printed), steps=tuple(steps)), likeliest)


def _with_verdict(claim: JudgedClaim, tested: _Tested) -> JudgedClaim:
    return replace(
        claim,
        verdict=tested.hypothesis.decision,
        tested=tested.hypothesis.in_words(len(claim.steps)),
        p=tested.p,
        weakest=tested.weakest,
    )


def corrected(
    claims: Sequence[JudgedClaim], comparisons: Mapping[str, Sequence[TestedComparison]]
) -> tuple[JudgedClaim, ...]:
    """The claims with their verdicts after Holm's correction; `comparisons` are those of each tested claim, by its id."""
    p_values = {claim.id: claim.p for claim in claims if claim.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
    undecided = sum(p > ALPHA for p in adjusted.values())
    return tuple(
        _decided(claim, adjusted[claim.id], comparisons[claim.id], undecided) if claim.id in adjusted else claim
        for claim in claims
    )


AT_LIMIT = 1e-9
"""Less than this from the limit of a claim, in points, is rounding."""


def _decided(claim: JudgedClaim, p_holm: float, comparisons: Sequence[TestedComparison], undecided: int) -> JudgedClaim:
    """The claim with its verdict; `undecided` is the number of claims that are."""
    assert claim.p is not None, "it was tested"
    if p_holm <= ALPHA:
        # a claim's tests are nested or exclude each other, so that one correction holds for all of them
        correction = p_holm / max(claim.p, SMALLEST_P)
        shown = next(each for each in _tested(claim, comparisons) if correction * each.p <= ALPHA * (1 + 1e-9))
        return replace(_with_verdict(claim, shown), p_holm=min(1.0, correction * shown.p))
    # the smallest p-value of the undecided claims decides next, and is compared with this
    tail = ALPHA / undecided
    leans_to = next(each for each in hypotheses(claim) if each.decision == claim.verdict)
    steps = tuple(
        replace(step, needed=_needed(leans_to, comparison, tail, len(comparisons)))
        for step, comparison in zip(claim.steps, comparisons, strict=True)
    )
    needed, weakest = steps[claim.weakest].needed, comparisons[claim.weakest]
    reason = f"{needed} would decide it"
    if not needed:
        at_limit = leans_to.distance(weakest.estimate) < AT_LIMIT
        alone = f"no number of {weakest.unit} alone would decide it, nor of seeds"
        reason = "the estimate lies at the limit itself: no sample would decide it" if at_limit else alone
    return replace(claim, verdict="undecided", p_holm=p_holm, steps=steps, reason=reason)


def _needed(hypothesis: Hypothesis, comparison: TestedComparison, tail: float, steps: int) -> str:
    """What sample would decide a step with 80% power, if the truth is as it was estimated: more images, splits or seeds."""
    step, estimate, unit = comparison.step, comparison.estimate, comparison.unit
    distance = hypothesis.distance(estimate)
    tail /= hypothesis.sides * (1 if hypothesis.inside else steps)
    images = images_needed(estimate, distance, step.n, tail) if unit == "images" else None
    draws = splits_needed(estimate, distance, tail)
    seeds = seeds_needed(estimate, distance, tail)
    parts = [
        f"{_rounded_up(images):,} images in place of {step.n:,}" if images else "",
        f"{_rounded_up(draws):,} {unit} in place of {estimate.drawn[0][1] + 1}" if draws else "",
        f"{_rounded_up(seeds):,} seeds in place of {step.seeds}" if seeds else "",
    ]
    return " or ".join(filter(None, parts)) or _needed_together(comparison, distance, tail)


def _needed_together(comparison: TestedComparison, distance: float, tail: float) -> str:
    """More seeds and more images, where neither alone would do; none where the estimate lies at the very limit."""
    step, estimate = comparison.step, comparison.estimate
    seeds = seeds_needed(estimate, distance, tail, images=ENDLESS)
    if comparison.unit != "images" or not seeds:
        return ""
    # with the fewest seeds no number of images would be enough in practice
    images = images_needed(estimate, distance, step.n, tail, seeds=2 * seeds)
    assert images is not None, "unlimited images are enough with half as many seeds"
    return f"{_rounded_up(2 * seeds):,} seeds on {_rounded_up(images):,} images, in place of {step.seeds} on {step.n:,}"


def _rounded_up(number: int) -> int:
    """The number rounded up to two digits, because it is an estimate of an estimate."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit
