"""Greedy merging: equal to the slow version, and what follows from its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import merging as oracle
from vggrepro.localisation.merging import AVERAGE, MATCH, best_boxes, match_scores, remaining_boxes
from vggrepro.settings.blocks import MergeSettings

ALL = list(itertools.product(MATCH, AVERAGE))


def cloud(n: int, seed: int, *, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Boxes around a few objects and anywhere, and their scores; in whole pixels many match equally well."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, 300, (4, 2))[rng.integers(0, 4, n)] + rng.normal(0, rng.uniform(1, 40), (n, 2))
    side = rng.uniform(5, 120, (n, 2))
    boxes = np.concatenate([middle - side / 2, middle + side / 2], 1)
    return (np.round(boxes / 10) * 10 if whole else boxes), rng.random(n)


@pytest.mark.parametrize(("match", "average"), ALL)
@settings(max_examples=25)
@given(st.integers(1, 24), st.integers(0, 10**6), st.booleans(), st.sampled_from([0.05, 0.3, 0.83, 1.2, 50.0]))
def test_equal_to_the_slow_version(match, average, n, seed, whole, threshold):
    boxes, scores = cloud(n, seed, whole=whole)
    left, summed = remaining_boxes(boxes, scores, MergeSettings(match=match, average=average, threshold=threshold))
    expected, expected_scores = oracle.merge(boxes.tolist(), scores.tolist(), match, threshold, average)
    np.testing.assert_allclose(left, expected, rtol=1e-12)
    np.testing.assert_allclose(summed, expected_scores, rtol=1e-12)


@pytest.mark.parametrize(("match", "average"), ALL)
def test_one_pass_gives_the_best_box_at_every_threshold(match, average):
    thresholds = np.array([0.01, 0.2, 0.5, 0.83, 1.5, 9.0])
    for seed in range(30):
        boxes, scores = cloud(60, seed)
        best = best_boxes(boxes, scores, MergeSettings(match=match, average=average), thresholds)
        for threshold, box in zip(thresholds, best, strict=True):
            left, summed = remaining_boxes(
                boxes, scores, MergeSettings(match=match, average=average, threshold=threshold)
            )
            assert np.array_equal(box, left[summed.argmax()])


def test_equal_boxes_shifted_along_a_side_match_at_five_sixths_where_they_overlap_by_half():
    a, b = np.array([0.0, 0, 299, 299]), np.array([100.0, 0, 399, 299])
    row = np.empty(2)
    match_scores(a, np.array([a, b]).T.copy(), 1.0, 1.0, row)
    assert row == pytest.approx([0, 5 / 6])
    match_scores(a, np.array([a, b]).T.copy(), 0.0, 1.0, row)
    assert row == pytest.approx([0, 1 / 2])


def test_scores_of_merged_boxes_are_summed():
    boxes, scores = cloud(80, 3)
    for threshold in (0.1, 0.83, 100):
        assert remaining_boxes(boxes, scores, MergeSettings(threshold=threshold))[1].sum() == pytest.approx(
            scores.sum()
        )


def test_many_weak_boxes_that_agree_beat_a_strong_one():
    weak, strong = np.tile([10.0, 10, 60, 60], (5, 1)), np.array([[200.0, 200, 240, 240]])
    best = best_boxes(np.vstack([strong, weak]), np.array([0.9] + [0.2] * 5), MergeSettings(), np.array([0.83]))
    assert best.tolist() == [[10, 10, 60, 60]]


def test_a_single_box_and_the_callers_arrays_stay_as_they_are():
    boxes, scores = np.array([[1.0, 2, 3, 4]]), np.array([0.0])
    assert best_boxes(boxes, scores, MergeSettings(), np.array([0.83])).tolist() == [[1, 2, 3, 4]]
    boxes, scores = cloud(20, 1)
    before = boxes.copy()
    remaining_boxes(boxes, scores, MergeSettings(threshold=9))
    assert np.array_equal(boxes, before)


def test_boxes_without_a_score_are_averaged_alike():
    boxes = np.array([[0.0, 0, 9, 9], [2.0, 0, 11, 9]])
    assert remaining_boxes(boxes, np.zeros(2), MergeSettings(average="scores"))[0].tolist() == [[1, 0, 10, 9]]
