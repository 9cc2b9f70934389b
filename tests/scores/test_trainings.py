"""How trainings differ: measured, pooled and joined with what is known; and how often intervals hold the truth with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vggrepro.paper.tolerances import tolerance_of
from vggrepro.scores.outcomes import Errors, Shares
from vggrepro.scores.statistics import Estimate, nested, one_seed_interval, wilson
from vggrepro.scores.trainings import (
    SeedSpread,
    TrainingSpread,
    differing,
    measured_spread,
    pooled_spread,
    spread_of_shares,
    spread_of_values,
    training_spread,
    trainings_of,
    with_trainings,
)

PRIOR = (tolerance_of("top-1").sources.training / 100) ** 2


def outcome(values: np.ndarray, *runs: str) -> Errors:
    return Errors(values.astype(bool), "images", tuple(f"{run}/dense/256" for run in runs))


# What is measured


def test_the_spread_of_seeds_is_the_variance_of_their_means_and_the_part_that_images_alone_make():
    """Against loops over seeds and images."""
    values = np.random.default_rng(0).random((3, 40))
    spread = spread_of_values(values)
    means = [sum(row) / 40 for row in values]
    middle = sum(means) / 3
    assert spread.variance == pytest.approx(sum((mean - middle) ** 2 for mean in means) / 2)
    left = 0.0
    for seed in range(3):
        for image in range(40):
            of_image = sum(values[s, image] for s in range(3)) / 3
            left += (values[seed, image] - of_image - (means[seed] - middle)) ** 2
    assert spread.chance == pytest.approx(left / 2 / 42**2)
    assert spread.df == 2


def test_where_only_single_images_differ_chance_explains_the_spread():
    """Images that a training gets wrong by luck: over many draws, the spread of means is what chance is said to make."""
    rng, spreads = np.random.default_rng(0), []
    for _ in range(2000):
        spreads.append(spread_of_values((rng.random((2, 300)) < 0.3).astype(float)))
    variance, chance = np.mean([(each.variance, each.chance) for each in spreads], 0)
    assert variance == pytest.approx(0.3 * 0.7 / 300, rel=0.1)
    assert chance == pytest.approx(variance, rel=0.1)


def test_resamples_show_the_chance_of_images_in_shares():
    """Means of images, once as errors and once as a share with its resamples: the same spread, the same chance."""
    rng = np.random.default_rng(0)
    values = (rng.random((3, 2000)) < 0.3).astype(float)
    chosen = rng.integers(0, 2000, (200, 2000))
    resampled = np.array([[row[k].mean() for k in chosen] for row in values])
    share, errors = spread_of_shares(values.mean(1, keepdims=True), resampled), spread_of_values(values)
    assert share.variance == pytest.approx(errors.variance)
    assert share.chance == pytest.approx(errors.chance, rel=0.2)


# What is known and what is measured


def test_one_seed_shows_nothing_so_that_the_prior_stands_alone():
    alone = training_spread([SeedSpread(0.0, 0.0, 0)] * 12, prior=PRIOR, df=4)
    assert alone == TrainingSpread(PRIOR, 4, 0, assumed=True)
    assert alone.in_words() == "one seed: it is assumed that trainings differ by 0.10 points"


@given(st.floats(0, 1), st.integers(1, 40), st.integers(1, 40))
def test_spreads_within_the_prior_are_joined_by_degrees_of_freedom(share, df, freedom):
    """limma's posterior variance (Smyth 2004)."""
    spread = training_spread([SeedSpread(share * PRIOR, 0.0, freedom)], prior=PRIOR, df=df)
    assert spread.variance == pytest.approx((df * PRIOR + freedom * share * PRIOR) / (df + freedom))
    assert (spread.df, spread.measured) == (df + freedom, freedom)


@given(st.floats(1.001, 1000), st.integers(1, 40))
def test_a_spread_beyond_the_prior_stands_alone(times, freedom):
    chance = 3 * PRIOR
    spread = training_spread([SeedSpread(chance + times * PRIOR, chance, freedom)], prior=PRIOR, df=4)
    assert spread.variance == pytest.approx(times * PRIOR, rel=1e-6)
    assert (spread.df, spread.assumed) == (freedom, False)


def test_twelve_nets_of_two_seeds_are_twelve_degrees_of_freedom():
    rng = np.random.default_rng(0)
    nets = [(outcome(rng.random((2, 500)) < 0.3, f"net{k}"), {f"net{k}": 1.0}) for k in range(12)]
    assert pooled_spread(nets, "top-1").measured == 12


def test_no_training_is_counted_twice():
    """The same nets at other scales, and their fusion, add no degrees of freedom."""
    rng = np.random.default_rng(0)
    values = rng.random((3, 500)) < 0.3
    systems = [outcome(values, "D"), outcome(values, "D"), outcome(values, "E", "E"), outcome(values, "D", "E")]
    assert pooled_spread([(each, trainings_of(each)) for each in systems], "top-1").measured == 4


def test_other_results_are_of_other_trainings_and_imported_scores_of_none():
    of_ours, imported = outcome(np.zeros((1, 9)), "D_256_s0"), Errors(np.zeros((1, 9), bool), "", ("imported/theirs",))
    assert differing(trainings_of(of_ours), trainings_of(of_ours)) == 0
    assert differing(trainings_of(of_ours), trainings_of(of_ours, of="glorot")) == 2
    assert differing(trainings_of(imported)) == 0
    fused = Errors(np.zeros((1, 9), bool), "", ("imported/theirs", "D_256_s0/dense/256", "D_256_s0/dense/288"))
    assert trainings_of(fused) == {"/D_256_s0": 0.5}


def test_features_of_two_nets_are_of_two_trainings():
    stacked = Shares(np.zeros((2, 3)), np.empty((2, 0)), 9, 9, "", ("caltech101/D_s0+E_s0", "caltech101/D_s1+E_s1"))
    assert trainings_of(stacked) == {"/D_s0": 0.5, "/E_s0": 0.5}


def test_a_share_of_averaged_posteriors_is_of_the_trainings_of_their_nets():
    sources = ("D_256_s0/dense/256", "E_256_s0/dense/256", "E_256_s0/dense/288")
    share = Shares(np.zeros((1, 1)), np.empty((1, 9)), 9, 9, "", sources)
    assert trainings_of(share) == trainings_of(Errors(np.zeros((1, 9), bool), "", sources))


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_mean_over_trainings_varies_by_the_squares_of_their_shares(first, second):
    """Against drawn errors of four trainings, averaged with these weights."""
    if not sum(first) or not sum(second):
        return
    shares = [{str(k): count / sum(counts) for k, count in enumerate(counts)} for counts in (first, second)]
    weights = np.array([[of[str(k)] for k in range(4)] for of in shares])
    drawn = np.random.default_rng(0).normal(size=(4, 40_000))
    difference = (weights[0] - weights[1]) @ drawn
    assert differing(*shares) == pytest.approx(difference.var(), rel=0.05, abs=1e-9)


# Intervals


def test_the_interval_of_one_seed_is_wilsons_where_trainings_do_not_differ():
    assert one_seed_interval(30, 100, Estimate(0.3, 0.0021)) == pytest.approx(wilson(30, 100))


def test_the_interval_of_one_seed_allows_for_trainings_on_both_sides():
    spread = TrainingSpread(PRIOR, 4, 0, assumed=True)
    low, high = one_seed_interval(13_500, 50_000, with_trainings(nested(np.zeros((1, 50_000))), spread, 1))
    of_images = wilson(13_500, 50_000)
    training = stats.t.isf(0.025, 4) * math.sqrt(PRIOR)
    assert 0.27 - low == pytest.approx(math.hypot(0.27 - of_images[0], training))
    assert high - 0.27 == pytest.approx(math.hypot(of_images[1] - 0.27, training))


@pytest.mark.parametrize(("nets", "least"), [(2, 0.925), (12, 0.935)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_differences_hold_the_truth_wherever_it_is_said_that_they_do(seeds, nets, least, spread):
    """Drawn spreads of seeds and differences, as at 50,000 images; `bench/interval_coverage.py` draws image by image."""
    if seeds == 1 and spread > 0.1:
        pytest.skip("one seed: it is said that trainings are assumed to differ by 0.1 points")
    rng, trials = np.random.default_rng([seeds, nets, round(10 * spread)]), 3000
    chance, images, of_training = 0.009e-4, 0.01e-4, spread**2 * 1e-4
    values = rng.normal(0, math.sqrt(chance + of_training), (trials, nets, seeds))
    means = rng.normal(0, math.sqrt(images), trials) + values[:, 0].mean(1) - values[:, 1].mean(1)
    variances = values.var(2, ddof=1) if seeds > 1 else np.zeros((trials, nets))
    held = 0
    for mean, of_nets in zip(means, variances, strict=True):
        spreads = [SeedSpread(float(variance), chance, seeds - 1) for variance in of_nets]
        pooled = training_spread(spreads, prior=PRIOR, df=4)
        estimate = Estimate(float(mean), images + 2 * chance / seeds, seeds=seeds)
        held += abs(mean) <= with_trainings(estimate, pooled, 2).half()
    assert held / trials >= least


def test_two_seeds_say_more_than_one():
    """Where trainings differ as assumed, two seeds of twelve nets give shorter intervals than one."""
    one, two = (
        with_trainings(
            Estimate(0.0, (0.01e-4 + 2 * 0.009e-4 / seeds), seeds=seeds),
            training_spread([SeedSpread(PRIOR, 0.0, seeds - 1)] * 12, prior=PRIOR, df=4),
            2,
        ).half()
        for seeds in (1, 2)
    )
    assert two < 0.75 * one


def test_what_same_trainings_share_is_not_assumed_but_measured():
    steady, varying = SeedSpread(1e-6, 1e-6, 2), SeedSpread(9e-6, 1e-6, 2)
    assert measured_spread([steady]).variance == 0
    assert measured_spread([varying]) == TrainingSpread(pytest.approx(8e-6), 2, 2, assumed=False)
    assert measured_spread([SeedSpread(0.0, 0.0, 0)]).variance == 0
