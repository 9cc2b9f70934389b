"""Score stores and averages over them, against a slow version in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.conftest import THOROUGH
from vggrepro.scores import stores as scores
from vggrepro.scores.ranks import TOP, true_class_ranks, wrong_images


def random_posteriors(n: int, classes: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0, 3, (n, classes))
    p = np.exp(x - x.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def write_stores(folder, n=50, classes=7, count=3):
    labels = np.random.default_rng(99).integers(0, classes, n)
    ids = [f"image {i}" for i in range(n)]
    for k in range(count):
        scores.write_scores(folder / str(k), random_posteriors(n, classes, k), labels, ids, {"k": k})
    return {str(k): scores.read_scores(folder / str(k)) for k in range(count)}


def slow_ranks(stores, mixture) -> list[int]:
    """Fractions, one image and one class at a time."""
    ranks = []
    first = next(iter(stores.values()))
    for i, label in enumerate(first.labels):
        p = [
            sum(w * Fraction(float(stores[key].posteriors[i, c])) for key, w in mixture.items())
            for c in range(first.classes)
        ]
        order = sorted(range(len(p)), key=lambda c: (-p[c], c))
        ranks.append(order.index(label))
    return ranks


@pytest.mark.parametrize(
    "weights", [(1,), (Fraction(1, 2), Fraction(1, 2)), (Fraction(1, 3), Fraction(1, 6), Fraction(1, 2))]
)
def test_averages_equal_exact_arithmetic(tmp_path, weights):
    stores = write_stores(tmp_path)
    mixture = {str(k): Fraction(w) for k, w in enumerate(weights)}
    assert scores.mixture_ranks(stores, {"m": mixture})["m"].tolist() == slow_ranks(stores, mixture)


def test_the_size_of_chunks_changes_no_rank(tmp_path, monkeypatch):
    stores = write_stores(tmp_path)
    mixtures = {"a": {"0": Fraction(1)}, "b": {"1": Fraction(1, 2), "2": Fraction(1, 2)}}
    whole = scores.mixture_ranks(stores, mixtures)
    monkeypatch.setattr(scores, "IMAGES_PER_CHUNK", 7)
    for name, ranks in scores.mixture_ranks(stores, mixtures).items():
        assert np.array_equal(ranks, whole[name])


def test_ranks_are_the_places_in_a_stable_sort():
    rng = np.random.default_rng(0)
    posteriors = rng.integers(0, 4, (500, 9)) / 4  # many ties
    labels = rng.integers(0, 9, 500)
    order = np.argsort(-posteriors, 1, kind="stable")
    assert np.array_equal(true_class_ranks(posteriors, labels), (order == labels[:, None]).argmax(1))


def test_the_stored_precision_changes_no_error(tmp_path):
    """A store keeps float32 of a mean in float64 over views: of thousands of images no top-1 or top-5 error changes."""
    images = 20_000 if THOROUGH else 4_000
    views = np.stack([random_posteriors(images, 1000, seed) for seed in (5, 6)]).astype(np.float64)
    exact = views.mean(0)
    labels = exact.argsort(1)[:, -6:][np.arange(images), np.arange(images) % 6]  # true classes at ranks 0 to 5
    scores.write_scores(tmp_path / "s", exact.astype(np.float32), labels, [str(i) for i in range(images)], {})
    ranks = scores.mixture_ranks({"s": scores.read_scores(tmp_path / "s")}, {"m": {"s": Fraction(1)}})["m"]
    for quantity in TOP:
        expected = wrong_images(true_class_ranks(exact, labels), quantity)
        assert np.array_equal(wrong_images(ranks, quantity), expected)


def test_a_nan_is_never_right():
    posteriors = np.full((2, 5), np.nan)
    posteriors[1, 1:] = 0.25
    assert true_class_ranks(posteriors, np.array([0, 0])).tolist() == [5, 5]
    assert true_class_ranks(posteriors[1:], np.array([1])).tolist() == [1]


def test_half_precision_would_change_errors():
    """Stores are float32 because in float16 neighbouring classes become equal, and the order of classes decides."""
    posteriors = random_posteriors(4_000, 1000, 6)
    labels = posteriors.argsort(1)[:, -5]  # the true class comes fifth: as close to a top-5 error as can be
    exact, half = (true_class_ranks(p, labels) for p in (posteriors, posteriors.astype(np.float16)))
    assert wrong_images(exact, "top-5").mean() == 0
    assert wrong_images(half, "top-5").mean() > 0


@pytest.mark.parametrize("row", [[0.5, 0.6], [np.nan, 1.0], [1.5, -0.5], [np.inf, 0.0]])
def test_rows_that_are_not_posteriors_are_refused(tmp_path, row):
    with pytest.raises(ValueError, match="the posteriors of b sum to .*: expected a sum of 1 and none below 0"):
        scores.write_scores(tmp_path / "s", np.array([[0.5, 0.5], row], np.float32), np.array([0, 1]), ["a", "b"], {})
    assert list(tmp_path.iterdir()) == []


def test_counts_of_posteriors_labels_and_classes_must_agree(tmp_path):
    with pytest.raises(ValueError, match="2 posteriors, 1 labels"):
        scores.write_scores(tmp_path / "s", np.full((2, 2), 0.5, np.float32), np.array([0]), ["a", "b"], {})
    with pytest.raises(ValueError, match="labels from 0 to 2, but posteriors of 2 classes"):
        scores.write_scores(tmp_path / "s", np.full((2, 2), 0.5, np.float32), np.array([0, 2]), ["a", "b"], {})


def test_stores_of_different_images_are_not_averaged(tmp_path):
    stores = write_stores(tmp_path)
    other = stores["1"]
    swapped = scores.Scores(other.folder, other.posteriors, other.labels, other.ids[::-1], {})
    with pytest.raises(ValueError, match="hold different images or labels"):
        scores.mixture_ranks({"0": stores["0"], "1": swapped}, {"m": {"0": Fraction(1, 2), "1": Fraction(1, 2)}})


@pytest.mark.parametrize("file", ["posteriors.npy", "labels.npy"])
def test_a_damaged_store_is_named(tmp_path, file):
    write_stores(tmp_path, count=1)
    path = tmp_path / "0" / file
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"0/{file}: damaged .*evaluate again"):
        scores.read_scores(tmp_path / "0")


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"made.json: no such file"):
        scores.read_scores(tmp_path / "nowhere")
