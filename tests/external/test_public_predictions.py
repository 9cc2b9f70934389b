"""Public nets' answers for all of ILSVRC-2012's validation images: their published errors, to the image.

Takes some seconds, because each file lists five labels of 50,000 real images.
"""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import real
from vggrepro.external.imported import import_scores
from vggrepro.external.label_files import read_labels
from vggrepro.scores.label_sets import LabelSets, read_label_sets
from vggrepro.scores.ranks import wrong_images
from vggrepro.scores.stores import TopLabels, mixture_ranks
from vggrepro.tables.imported import imported_errors
from vggrepro.tables.references import Reference

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


@pytest.fixture(scope="module")
def real_labels(predictions, tmp_path_factory) -> LabelSets:
    file, out = predictions / "vgg-predictions/real.json", tmp_path_factory.mktemp("labels") / "real"
    read_labels(file, name="ReaL", out=out, devkit_folder=predictions)
    return read_label_sets(out)


def per_cent(store: TopLabels, measure: str) -> str:
    ranks = mixture_ranks({"": store}, {"": {"": Fraction(1)}})[""]
    return f"{100 * wrong_images(ranks, measure).mean():.3f}"


@pytest.mark.parametrize("net", PUBLISHED)
def test_public_nets_have_their_published_errors_by_both_kinds_of_labels(predictions, real_labels, tmp_path, net):
    """ReaL labels know images by their numbers, and the order of our store says which number a row has."""
    store = imported(predictions, net, tmp_path / net)
    reference = Reference("ReaL", {}, {net: store}, lambda each: real_labels.of(each.ids))
    errors = imported_errors(store) | imported_errors(store, reference)
    assert [each.n for each in errors.values()] == [50_000, 50_000, 46_837, 46_837]
    got = [f"{100 * errors[quantity].wrong.mean():.3f}" for quantity in ("top-1", "top-5", "top-1 on ReaL")]
    assert tuple(got) == PUBLISHED[net]
    # of several labels one among the five is enough
    assert errors["top-5 on ReaL"].wrong.mean() < errors["top-5"].wrong.mean()


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
