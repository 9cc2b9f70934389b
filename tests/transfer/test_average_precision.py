"""Average precision and recall against slow versions and scikit-learn."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, recall_score

from tests.conftest import real
from tests.oracles import average_precision as oracle
from vggrepro.transfer.average_precision import average_precision, class_precisions, class_recalls


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40).filter(
        lambda v: any(p for _, p in v)
    )
)
def test_average_precision_is_that_of_the_development_kits(pairs):
    """From few different scores, so that many are equal."""
    scores, positive = np.array([s for s, _ in pairs], float), np.array([p for _, p in pairs])
    for kind, slow in (("11-point", oracle.eleven_points), ("area", oracle.area)):
        assert average_precision(scores, positive, kind) == pytest.approx(slow(scores.tolist(), positive.tolist()))


def test_area_is_sklearns_where_precision_never_rises_with_recall():
    """sklearn takes precision as it is, VOC the best at a recall or above: they meet where it only falls."""
    rng, compared = np.random.default_rng(0), 0
    for _ in range(300):
        positive = rng.random(12) < 0.5
        scores = rng.permutation(12).astype(float)
        if not positive.any():
            continue
        of_sklearn = average_precision_score(positive, scores)
        points = oracle.curve(scores, positive)
        before = [0, *(recall for recall, _ in points)]
        precision = [p for (recall, p), r in zip(points, before, strict=False) if recall > r]
        if precision == sorted(precision, reverse=True):
            compared += 1
            assert average_precision(scores, positive, "area") == pytest.approx(of_sklearn)
        assert average_precision(scores, positive, "area") >= of_sklearn - 1e-12
    assert compared > 20


def test_average_precision_of_perfect_and_reversed_orders():
    positive = np.array([True] * 3 + [False] * 7)
    assert average_precision(np.arange(10)[::-1].astype(float), positive, "11-point") == 1
    assert average_precision(np.arange(10).astype(float), positive, "area") == pytest.approx(3 / 10)
    assert np.isnan(average_precision(np.ones(3), np.zeros(3, bool), "area"))
    with pytest.raises(ValueError, match="no average precision is called"):
        average_precision(np.ones(3), np.ones(3, bool), "sum")


def test_difficult_images_are_left_out():
    scores, targets = np.array([[3.0], [2.0], [1.0]]), np.array([[0], [1], [-1]], np.int8)
    assert class_precisions(scores, targets, "area").tolist() == [1.0]


def test_precisions_on_the_official_lists_at_full_size(tmp_path):
    """Made-up scores for all 4,952 test images of VOC-2007 and its real labels, against the slow versions.

    Images that are marked difficult are left out.
    """
    with zipfile.ZipFile(real("voc2007-13.zip")) as file:
        file.extractall(tmp_path)
    main, rng = tmp_path / "voc2007-13/ImageSets/Main", np.random.default_rng(0)
    for name in ("aeroplane", "person", "pottedplant", "train"):
        labels = np.array([int(line.split()[1]) for line in main.joinpath(f"{name}_test.txt").read_text().splitlines()])
        assert len(labels) == 4952
        assert (labels == 0).any() == (name != "train")
        scores = (rng.normal(0, 1, 4952) + 1.5 * (labels > 0)).astype(np.float32)
        images = [(score, label > 0) for score, label in zip(scores.tolist(), labels.tolist(), strict=True) if label]
        for kind, slow in (("11-point", oracle.eleven_points), ("area", oracle.area)):
            precision = class_precisions(scores[:, None], labels[:, None].astype(np.int8), kind)[0]
            assert precision == pytest.approx(slow(*zip(*images, strict=True)), rel=1e-12)


def test_recall_is_sklearns():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 5, 200), rng.normal(0, 1, (200, 5)).astype(np.float32)
    targets = np.where(np.arange(5) == labels[:, None], 1, -1).astype(np.int8)
    assert class_recalls(scores, targets) == pytest.approx(recall_score(labels, scores.argmax(1), average=None))
