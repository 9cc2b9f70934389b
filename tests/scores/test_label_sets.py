"""Errors by several labels of an image: right if one of them is predicted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vggrepro.scores.label_sets import LabelSets, label_array, read_label_sets, write_label_sets
from vggrepro.scores.ranks import best_labels_of_sets, true_class_ranks
from vggrepro.scores.stores import Scores, TopLabels, mixture_ranks

CLASSES = 6


@given(
    arrays(np.float32, (4, CLASSES), elements=st.sampled_from([0.0, 0.25, 0.5])),
    st.lists(st.sets(st.integers(0, CLASSES - 1), min_size=1), min_size=4, max_size=4),
)
def test_an_image_is_right_among_the_first_k_where_one_of_its_labels_is(posteriors, sets):
    """The definition: the first k classes of a stable sort, and the labels of the image, have one in common."""
    labels = label_array([sorted(labels) for labels in sets])
    ranks = true_class_ranks(posteriors, best_labels_of_sets(posteriors, labels))
    order = np.argsort(-posteriors, 1, kind="stable")
    for k in range(1, CLASSES + 1):
        assert [bool(set(row[:k].tolist()) & own) for row, own in zip(order, sets, strict=True)] == (ranks < k).tolist()


def test_a_label_that_is_no_number_comes_last():
    posteriors = np.array([[np.nan, 0.1, 0.9]], np.float32)
    assert best_labels_of_sets(posteriors, np.array([[0, 1]])).tolist() == [1]
    # and alone it is an error of every kind
    assert true_class_ranks(posteriors, best_labels_of_sets(posteriors, np.array([[0, -1]]))).tolist() == [3]


def test_lists_of_labels_are_judged_as_the_posteriors_that_they_are_the_best_of():
    rng = np.random.default_rng(1)
    posteriors = rng.dirichlet(np.ones(20), 50).astype(np.float32)
    labels = label_array([rng.choice(20, rng.integers(1, 4), replace=False).tolist() for _ in range(50)])
    names, own = tuple(map(str, range(50))), np.zeros(50, np.int64)
    lists = TopLabels(Path("l"), np.argsort(-posteriors, 1)[:, :5], own, names, {"classes": 20})
    ranks = true_class_ranks(posteriors, best_labels_of_sets(posteriors, labels))
    got = mixture_ranks({"l": lists}, {"m": {"l": Fraction(1)}}, lambda store: labels)["m"]
    for k in (1, 5):
        assert ((got >= k) == (ranks >= k)).all()


def test_an_absent_label_is_no_label_that_was_not_predicted():
    """-1 stands for none on both sides."""
    lists = TopLabels(Path("l"), np.array([[3, -1]]), np.zeros(1, np.int64), ("a",), {"classes": 9})
    assert lists.ranks(np.array([[4, -1]])).tolist() == [9]


def test_label_sets_come_back_from_their_store_and_know_images_by_their_ids(tmp_path):
    sets = LabelSets(tmp_path / "s", label_array([[2, 1], [], [5]]), ("a", "b", "c"), ABOUT)
    write_label_sets(sets)
    store = read_label_sets(tmp_path / "s")
    assert store.labels.tolist() == [[1, 2], [-1, -1], [5, -1]]
    assert store.of(["c", "a"]).tolist() == [[5, -1], [1, 2]]
    assert store.of(["x", "y"]) is None
    with pytest.raises(ValueError, match=r"has no labels of x \(and 0 more images of 2\): read the labels again"):
        store.of(["a", "x"])
    (tmp_path / "s/labels.npy").write_bytes((tmp_path / "s/labels.npy").read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"labels.npy: .*read the labels again"):
        read_label_sets(tmp_path / "s")


ABOUT = {"name": "Two", "file": "two.json", "digest": "0" * 64}


def test_an_average_is_judged_by_all_labels_of_an_image():
    """Neither net has a right label first; their average has."""
    first = scores([[0.6, 0.4, 0.0]])
    second = scores([[0.0, 0.4, 0.6]])
    stores, half = {"a": first, "b": second}, Fraction(1, 2)
    labels = np.array([[1, -1]])
    ranks = mixture_ranks(stores, {"m": {"a": half, "b": half}, "a": {"a": Fraction(1)}}, lambda store: labels)
    assert (ranks["m"].tolist(), ranks["a"].tolist()) == ([0], [1])


def scores(rows: list[list[float]]) -> Scores:
    values = np.array(rows, np.float32)
    folder = Path("nowhere")

    class InMemory(Scores):
        def rows(self, part):
            return values[part].copy()

    return InMemory(folder, values, np.zeros(len(values), np.int64), tuple(map(str, range(len(values)))), {})
