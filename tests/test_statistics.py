"""Intervals: against scipy, and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vggrepro.statistics import nested_interval, wilson


@pytest.mark.parametrize(("errors", "n"), [(0, 10), (1, 10), (5, 10), (270, 1000), (13_500, 50_000), (50, 50)])
def test_wilson_is_scipys(errors, n):
    theirs = stats.binomtest(errors, n).proportion_ci(method="wilson")
    assert wilson(errors, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("errors", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(errors, n):
    with pytest.raises(ValueError, match="expected 0 <= errors <= n"):
        wilson(errors, n)


def test_paired_intervals_hold_the_difference_19_times_in_20():
    rng, held = np.random.default_rng(0), 0
    for _ in range(4000):
        both, first, second = rng.multinomial(400, [0.2, 0.08, 0.05, 0.67])[:3]
        difference = np.concatenate([np.ones(first), -np.ones(second), np.zeros(400 - first - second)])
        low, high = nested_interval(difference[None])
        held += low <= 0.03 <= high
    assert 0.935 < held / 4000 < 0.965


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_seeds_hold_the_truth_19_times_in_20(seeds):
    rng, held, trials = np.random.default_rng(seeds), 0, 3000
    for _ in range(trials):
        rates = np.clip(0.3 + rng.normal(0, 0.02, seeds), 0, 1)
        # images on which all seeds agree, and others: what counts here is the mean of each seed
        low, high = nested_interval((rng.random((seeds, 2000)) < rates[:, None]).astype(float))
        held += low <= 0.3 <= high
    assert held / trials > 0.945  # too wide rather than too narrow: the noise of images is in the spread of seeds too


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    alike = np.repeat((rng.random(1000) < 0.3)[None], 3, 0).astype(float)
    apart = np.stack([rng.random(1000) < p for p in (0.2, 0.3, 0.4)]).astype(float)
    width = [high - low for low, high in map(nested_interval, (alike, apart))]
    assert width[1] > 2 * width[0]


def test_no_interval_has_length_zero():
    low, high = nested_interval(np.zeros((1, 400)))
    assert low < 0 < high
