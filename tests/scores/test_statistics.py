"""Intervals and tests against scipy, against slow versions, and by how often simulations find them right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vggrepro.scores import statistics
from vggrepro.scores.statistics import Estimate, holm, mcnemar_exact, nested, nested_interval, wilson
from vggrepro.scores.trainings import (
    TrainingSpread,
    spread_of_shares,
    spread_of_values,
    training_spread,
    with_trainings,
)

NEAR = 0.015
"""How far the coverage in a simulation may be from 95%."""


# Intervals


@pytest.mark.parametrize("level", [0.95, 0.90])
@pytest.mark.parametrize(("errors", "n"), [(0, 10), (1, 10), (5, 10), (270, 1000), (13_500, 50_000), (50, 50)])
def test_wilson_is_scipys(errors, n, level):
    expected = stats.binomtest(errors, n).proportion_ci(level, method="wilson")
    assert wilson(errors, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("errors", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(errors, n):
    with pytest.raises(ValueError, match="expected 0 <= errors <= n"):
        wilson(errors, n)


@pytest.mark.parametrize(("p", "n"), [(0.27, 500), (0.08, 500), (0.27, 50_000), (0.08, 50_000)])
def test_intervals_of_cells_hold_the_error_19_times_in_20(p, n):
    counts = np.random.default_rng(0).binomial(n, p, 20_000)
    bounds = {k: wilson(k, n) for k in set(counts.tolist())}
    held = np.mean([bounds[k][0] <= p <= bounds[k][1] for k in counts.tolist()])
    assert held == pytest.approx(0.95, abs=NEAR)


@pytest.mark.parametrize("shares", [[0.2, 0.08, 0.05, 0.67], [0.25, 0.02, 0.02, 0.71], [0.05, 0.03, 0.0, 0.92]])
def test_paired_intervals_hold_the_difference_19_times_in_20(shares):
    rng, n, held = np.random.default_rng(0), 400, 0
    for _, first, second, _ in rng.multinomial(n, shares, 4000):
        difference = np.zeros((1, n))
        difference[0, :first], difference[0, first : first + second] = 1, -1
        low, high = nested_interval(difference)
        held += low <= shares[1] - shares[2] <= high
    assert held / 4000 == pytest.approx(0.95, abs=NEAR)


def trained(rng: np.random.Generator, seeds: int, n: int, spread: float) -> np.ndarray:
    """Random outcomes [seeds, n] with mean 0.3: images differ in difficulty, trainings in quality."""
    difficulty = rng.beta(0.6, 1.4, n)
    return (rng.random((seeds, n)) < difficulty + rng.normal(0, spread, seeds)[:, None]).astype(float)


def spread_of_nets(*nets: np.ndarray) -> TrainingSpread:
    """The spread of trainings, with the prior of top-1."""
    return training_spread(map(spread_of_values, nets), prior=0.00102**2, df=4)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.06])
@pytest.mark.parametrize(
    ("seeds", "least", "most"),
    [(1, 0.935, 0.965), (2, 0.925, 0.98), (3, 0.93, 0.975), (5, 0.935, 0.97), (10, 0.935, 0.965)],
)
def test_nested_intervals_hold_the_truth_19_times_in_20(seeds, least, most, spread):
    """Every trial draws new images and new trainings of two nets, whose spread is pooled."""
    if seeds == 1 and spread:
        pytest.skip("one seed does not show the spread of trainings")
    rng, trials, held = np.random.default_rng(seeds), 2500, 0
    for _ in range(trials):
        a, b = (trained(rng, seeds, 300, spread) for _ in range(2))
        low, high = with_trainings(nested(a - b), spread_of_nets(a, b), 2).interval()
        held += low <= 0 <= high
    assert least <= held / trials <= most


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    alike = np.repeat((rng.random(1000) < 0.3)[None], 3, 0).astype(float)
    apart = np.stack([rng.random(1000) < p for p in (0.2, 0.3, 0.4)]).astype(float)
    width = [with_trainings(nested(net), spread_of_nets(net), 1).half() for net in (alike, apart)]
    assert width[1] > 2 * width[0]


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_interval_has_length_zero(seeds):
    low, high = nested_interval(np.zeros((seeds, 400)))
    assert low < 0 < high


# Estimates


estimates = st.builds(
    Estimate,
    st.floats(-0.1, 0.1),
    st.floats(1e-8, 1e-3),
    st.lists(st.tuples(st.floats(1e-8, 1e-3), st.integers(1, 9)), max_size=2).map(tuple),
    trainings=st.tuples(st.floats(0, 1e-3), st.integers(1, 16)),
)


@given(estimates, st.floats(-0.2, 0.2))
def test_an_interval_excludes_the_values_that_its_test_rejects(estimate, value):
    low, high = estimate.interval()
    p = estimate.differs(value)
    assert (low <= value <= high) == (p >= 0.05) or p == pytest.approx(0.05, abs=1e-6)


@given(estimates, st.floats(-0.2, 0.2))
def test_above_and_below_are_two_sides_of_one_test(estimate, value):
    mirrored = replace(estimate, mean=-estimate.mean)
    assert estimate.below(value) == mirrored.above(-value)
    assert estimate.above(value) + estimate.below(value) == pytest.approx(1)


def test_an_estimate_over_images_alone_is_tested_as_a_normal_mean():
    estimate = Estimate(0.01, 0.004**2)
    assert estimate.above(0) == pytest.approx(stats.norm.sf(0.01 / 0.004))
    assert estimate.differs(0.002) == pytest.approx(2 * stats.norm.sf(0.008 / 0.004))


def test_an_estimate_over_splits_alone_is_tested_by_students_t():
    values = np.array([0.42, 0.47, 0.44, 0.46])
    estimate = statistics.of_splits(values[None], 10**9)
    for value in (0.41, 0.44, 0.5):
        greater, less = (stats.ttest_1samp(values, value, alternative=side).pvalue for side in ("greater", "less"))
        assert (estimate.above(value), estimate.below(value)) == pytest.approx((greater, less), abs=1e-7)
    low, high = 0.43, 0.47
    sides = (stats.ttest_1samp(values, low, alternative="greater"), stats.ttest_1samp(values, high, alternative="less"))
    assert estimate.equivalent(low, high) == pytest.approx(max(side.pvalue for side in sides), abs=1e-7)


def test_p_values_of_far_values_are_small_but_never_0():
    assert 0 < Estimate(1.0, 1e-9, ((1e-9, 1),)).above(0) < 1e-4
    assert Estimate(1.0, 1e-9).above(0) <= 1e-100
    assert Estimate(0.0, 1e-9).above(0) == 0.5


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_two_one_sided_tests_are_wrong_at_most_once_in_20(margin):
    """The truth lies at the very edge of the margin."""
    rng, n, wrong = np.random.default_rng(1), 1000, 0
    for _, first, second, _ in rng.multinomial(n, [0.2, 0.06 + margin, 0.06, 0.68 - margin], 4000):
        difference = np.zeros((1, n))
        difference[0, :first], difference[0, first : first + second] = 1, -1
        wrong += nested(difference).equivalent(-margin, margin) <= 0.05
    assert wrong / 4000 <= 0.05 + 0.007  # two standard errors of the simulation


# McNemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (1, 1), (0, 6), (10, 25), (400, 333), (3600, 3400)])
def test_mcnemar_is_scipys_exact_test(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)


@pytest.mark.parametrize("n", [1, 5, 20, 101, 1000])
def test_mcnemar_is_wrong_at_most_once_in_20(n):
    """Exactly, for two equal systems that disagree on n images: the total chance of the counts that it rejects."""
    rejected = [k for k in range(n + 1) if mcnemar_exact(k, n - k) <= 0.05]
    assert stats.binom.pmf(rejected, n, 0.5).sum() <= 0.05


# Many tests


def holm_step_by_step(p_values: list[float], level: float) -> list[bool]:
    """The slow way: reject the smallest p-value while it is at most the level over the number of p-values left."""
    left, rejected = dict(enumerate(p_values)), set()
    while left and min(left.values()) <= level / len(left):
        i = min(left, key=lambda i: left[i])
        rejected.add(i)
        del left[i]
    return [i in rejected for i in range(len(p_values))]


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_steps_reject(p_values, level):
    adjusted = holm(p_values)
    clear = [abs(p - level) > 1e-12 for p in adjusted]
    by_steps = holm_step_by_step(p_values, level)
    assert [p <= level for p, c in zip(adjusted, clear, strict=True) if c] == [
        r for r, c in zip(by_steps, clear, strict=True) if c
    ]


def test_holm_leaves_a_single_p_value_as_it_is():
    assert holm([0.03]) == [0.03]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# Planning


def test_the_images_needed_detect_the_difference_four_times_in_five():
    n, shares = 400, [0.2, 0.09, 0.05, 0.66]
    before = nested(np.concatenate([np.ones(36), -np.ones(20), np.zeros(344)])[None])
    needed = statistics.images_needed(before, 0.04, n, 0.025)
    counts = np.random.default_rng(0).multinomial(needed, shares, 2000)
    detected = np.mean([mcnemar_exact(first, second) <= 0.05 for _, first, second, _ in counts.tolist()])
    assert detected == pytest.approx(0.80, abs=0.04)


def test_the_differences_that_50_000_images_detect():
    """With 80% power at 5%: 0.47 points between nets that disagree on 14% of the images, 0.25 where they do on 4%."""
    for disagree, gap in ((0.14, 0.0047), (0.04, 0.0025)):
        assert statistics.images_needed(Estimate(gap, disagree / 50_000), gap, 50_000, 0.025) == pytest.approx(
            50_000, rel=0.02
        )


def test_no_number_of_images_detects_a_difference_where_seeds_vary_too_much():
    wide = Estimate(0.002, 1e-6, trainings=(1e-4, 16), seeds=2)
    assert statistics.images_needed(wide, 0.002, 50_000, 0.025) is None
    seeds = statistics.seeds_needed(wide, 0.02, 0.025)
    enough = [replace(wide, trainings=(2e-4 / n, 16)).detects(0.02, 0.025) for n in (seeds - 1, seeds)]
    assert enough == [False, True]


def test_there_is_no_end_to_the_seeds_that_are_asked_for():
    wide = Estimate(0.002, 1e-9, trainings=(1e-4, 16), seeds=2)
    seeds = statistics.seeds_needed(wide, 0.002, 0.025)
    assert seeds > 400
    assert replace(wide, trainings=(2e-4 / seeds, 16)).detects(0.002, 0.025)


def test_seeds_do_not_help_where_images_are_too_few_but_more_of_both_do():
    """The images' own variance stays, however many nets are trained; what images and seeds make together falls."""
    few = Estimate(0.002, 1e-4, shared=2e-5, trainings=(1e-4, 16), seeds=2)
    assert statistics.seeds_needed(few, 0.002, 0.025) is None
    assert statistics.images_needed(few, 0.002, 500, 0.025) is None
    seeds = 2 * statistics.seeds_needed(few, 0.002, 0.025, images=statistics.ENDLESS)
    images = statistics.images_needed(few, 0.002, 500, 0.025, seeds=seeds)
    own, together = 8e-5 * 500 / images, 4e-5 / seeds * 500 / images
    assert Estimate(0.002, own + together, trainings=(2e-4 / seeds, 16)).detects(0.002, 0.025)
    own, together = (1.01 * part for part in (own, together))
    assert not Estimate(0.002, own + together, trainings=(2e-4 / seeds, 16)).detects(0.002, 0.025)


def test_the_splits_needed_are_the_first_that_are_enough():
    estimate = statistics.of_splits(np.array([[0.42, 0.47, 0.44, 0.46]]), 10**9)
    splits = statistics.splits_needed(estimate, 0.01, 0.05)
    of_one = 4 * estimate.drawn[0][0]
    enough = [replace(estimate, drawn=((of_one / n, n - 1),)).detects(0.01, 0.05) for n in (splits - 1, splits)]
    assert enough == [False, True]
    assert statistics.splits_needed(Estimate(0.01, 1e-6), 0.01, 0.05) is None


def test_intervals_of_shares_stay_in_range_and_have_a_length():
    same = np.ones((1, 3))
    assert statistics.share(statistics.of_splits(same, 50).interval())[1] == 1
    low, high = statistics.of_splits(same / 2, 50).interval()
    assert 0 < high - low < 0.2
    half = 4.302653 * 0.1 / 3**0.5
    assert statistics.of_splits(np.array([[0.4, 0.5, 0.6]]), 10**9).interval() == pytest.approx(
        (0.5 - half, 0.5 + half)
    )


def test_intervals_of_splits_cover_as_often_as_they_say():
    """Splits of one share that vary alone, and with seeds that vary too."""
    rng, covered, with_seeds, none = np.random.default_rng(0), 0, 0, np.empty((4, 0))
    for _ in range(2000):
        low, high = statistics.of_splits(rng.normal(0.8, 0.01, (1, 3)), 10**6).interval()
        covered += low <= 0.8 <= high
        values = 0.8 + rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.01, (1, 3))
        spread = training_spread([spread_of_shares(values, none)], prior=0.00102**2, df=4)
        low, high = with_trainings(statistics.of_splits(values, 10**6), spread, 1).interval()
        with_seeds += low <= 0.8 <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)
    assert 0.935 < with_seeds / 2000 <= 1


def resampled_mean(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    resamples = statistics.resampled([lambda chosen: float(values[chosen].mean())], groups)
    return statistics.of_resamples(values.mean(keepdims=True), resamples, len(np.unique(groups))).interval()


def test_resampling_a_mean_gives_its_standard_error():
    values = np.random.default_rng(0).random(2000)
    low, high = resampled_mean(values, np.arange(2000))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 2000**0.5, rel=0.12)
    assert (low + high) / 2 == pytest.approx(values.mean())


def test_pictures_of_one_image_are_drawn_together():
    """Pairs of equal values say as much as half as many: the interval is wider by the root of two."""
    values = np.repeat(np.random.default_rng(0).random(500), 2)

    def length(groups: np.ndarray) -> float:
        low, high = resampled_mean(values, groups)
        return high - low

    ratio = length(np.repeat(np.arange(500), 2)) / length(np.arange(1000))
    assert ratio == pytest.approx(2**0.5, rel=0.2)


def test_holm_is_the_textbooks_in_each_family():
    """Of the m - k smallest p-values that are left, the smallest is multiplied by their number; none falls below the last."""
    p = np.random.default_rng(0).random((7, 20)) ** 3
    p[2] = p[4]
    adjusted = statistics.holm(p)
    for family in range(p.shape[1]):
        largest = 0.0
        for place, i in enumerate(sorted(range(7), key=lambda i, family=family: p[i, family])):
            largest = max(largest, min(1.0, (7 - place) * p[i, family]))
            assert adjusted[i, family] == largest
        assert statistics.holm(list(p[:, family])).tolist() == adjusted[:, family].tolist()
    assert statistics.holm([]).tolist() == []
