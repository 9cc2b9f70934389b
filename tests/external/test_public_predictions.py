"""Public nets' answers for all of ILSVRC-2012's validation images: their published errors, to the image.

Takes some seconds, because each file lists five labels of 50,000 real images.
"""

from __future__ import annotations

import json
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import real
from vggrepro.external.imported import import_scores
from vggrepro.scores.ranks import wrong_images
from vggrepro.scores.stores import TopLabels, mixture_ranks

PUBLISHED = {
    "vgg11": ("30.980", "11.372", "23.618"),
    "vgg13": ("30.072", "10.754", "22.775"),
    "vgg16": ("28.408", "9.618", "20.960"),
    "vgg19": ("27.624", "9.124", "20.514"),
}
"""Top-1, top-5, and top-1 by ReaL labels, in per cent, as the README beside the files has them."""


@pytest.fixture(scope="module")
def predictions(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("predictions")
    with zipfile.ZipFile(real("vgg-predictions.zip")) as file:
        file.extractall(root)
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        for name in (name for name in file.namelist() if "/devkit/" in name):
            (root / Path(name).name).write_bytes(file.read(name)) if not name.endswith("/") else None
    return root


def imported(predictions: Path, name: str, out: Path, **options) -> TopLabels:
    options = {"devkit_folder": predictions, "order": "folders"} | options
    store = import_scores(predictions / f"vgg-predictions/{name}.npy", name=name, out=out, **options)
    assert isinstance(store, TopLabels)
    return store


def per_cent(store: TopLabels, measure: str) -> str:
    ranks = mixture_ranks({"": store}, {"": {"": Fraction(1)}})[""]
    return f"{100 * wrong_images(ranks, measure).mean():.3f}"


@pytest.mark.parametrize("net", PUBLISHED)
def test_public_nets_have_their_published_errors_by_both_kinds_of_labels(predictions, tmp_path, net):
    """ReaL labels know images by their numbers, and the order of our store says which number a row has."""
    store = imported(predictions, net, tmp_path / net)
    several = json.loads((predictions / "vgg-predictions/real.json").read_text())
    numbers = [int(image[-13:-5]) for image in store.ids]
    best = store.predicted[:, 0].tolist()
    wrong = [label not in several[n - 1] for label, n in zip(best, numbers, strict=True) if several[n - 1]]
    assert len(wrong) == 46_837
    assert (per_cent(store, "top-1"), per_cent(store, "top-5"), f"{100 * np.mean(wrong):.3f}") == PUBLISHED[net]


@pytest.mark.parametrize(("net", "better"), [("alexnet", False), ("resnet50", True)])
def test_other_public_nets_are_read_and_lie_where_they_should(predictions, tmp_path, net, better):
    store = imported(predictions, net, tmp_path / net)
    assert (float(per_cent(store, "top-1")) < float(PUBLISHED["vgg19"][0])) == better


def test_lists_of_keras_are_refused_without_their_scores_and_right_with_them(predictions, tmp_path):
    with pytest.raises(ValueError, match="do not seem to be best first.*--scores FILE"):
        imported(predictions, "keras_vgg16_top5", tmp_path / "keras")
    scores = predictions / "vgg-predictions/keras_vgg16_top5_scores.npy"
    store = imported(predictions, "keras_vgg16_top5", tmp_path / "keras", scores=scores)
    assert [f"{float(per_cent(store, measure)):.2f}" for measure in ("top-1", "top-5")] == ["34.76", "13.80"]


def test_a_wrong_order_of_rows_is_refused(predictions, tmp_path):
    with pytest.raises(ValueError, match="images in the order folders it is 28.4%"):
        imported(predictions, "vgg16", tmp_path / "vgg16", order="validation")
