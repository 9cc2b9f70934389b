"""Public nets' answers for all of ILSVRC-2012's validation images: their published errors, to the image.

Takes some seconds, because each file lists five labels of 50,000 real images.
"""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import real
from vggrepro.core.paths import ROOT
from vggrepro.external.imported import import_scores
from vggrepro.external.label_files import read_label_file
from vggrepro.judging.ledger import Ledger, judge_claims
from vggrepro.judging.pipeline import make_table
from vggrepro.paper.systems import Imported
from vggrepro.scores.label_sets import LabelSets, read_label_sets
from vggrepro.scores.ranks import wrong_images
from vggrepro.scores.stores import TopLabels, mixture_ranks
from vggrepro.settings.loading import load_settings
from vggrepro.tables.imported import imported_errors, imported_system
from vggrepro.tables.measurement import Inputs
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


def imported(predictions: Path, file: str, out: Path, **options) -> TopLabels:
    options = {"name": file, "devkit_folder": predictions, "order": "folders"} | options
    store = import_scores(predictions / f"vgg-predictions/{file}.npy", out=out, **options)
    assert isinstance(store, TopLabels)
    return store


FILES = {name: name for name in (*PUBLISHED, "alexnet", "resnet50")} | {"keras vgg16": "keras_vgg16_top5"}
"""The files of the nets, by name."""


@pytest.fixture(scope="module")
def stores(predictions, tmp_path_factory) -> dict[str, TopLabels]:
    """The seven nets, imported."""
    root, scores = tmp_path_factory.mktemp("stores"), predictions / "vgg-predictions/keras_vgg16_top5_scores.npy"
    more = {"keras vgg16": {"scores": scores}}
    return {
        name: imported(predictions, file, root / Imported(name).path, name=name, **more.get(name, {}))
        for name, file in FILES.items()
    }


@pytest.fixture(scope="module")
def real_labels(predictions, tmp_path_factory) -> LabelSets:
    file, out = predictions / "vgg-predictions/real.json", tmp_path_factory.mktemp("labels") / "real"
    read_label_file(file, name="ReaL", out=out, devkit_folder=predictions)
    return read_label_sets(out)


def per_cent(store: TopLabels, measure: str) -> str:
    ranks = mixture_ranks({"": store}, {"": {"": Fraction(1)}})[""]
    return f"{100 * wrong_images(ranks, measure).mean():.3f}"


@pytest.mark.parametrize("net", PUBLISHED)
def test_public_nets_have_their_published_errors_by_both_kinds_of_labels(stores, real_labels, net):
    """ReaL labels know images by their numbers, and the order of our store says which number a row has."""
    store = stores[net]
    reference = Reference("ReaL", {}, {net: store}, lambda each: real_labels.of(each.ids))
    errors = imported_errors(store) | reference.imported_errors()[imported_system(store)]
    assert [each.n for each in errors.values()] == [50_000, 50_000, 46_837, 46_837]
    got = [f"{100 * errors[quantity].wrong.mean():.3f}" for quantity in ("top-1", "top-5", "top-1 on ReaL")]
    assert tuple(got) == PUBLISHED[net]
    # of several labels one among the five is enough
    assert errors["top-5 on ReaL"].wrong.mean() < errors["top-5"].wrong.mean()


@pytest.mark.parametrize(("net", "better"), [("alexnet", False), ("resnet50", True)])
def test_other_public_nets_are_read_and_lie_where_they_should(stores, net, better):
    assert (float(per_cent(stores[net], "top-1")) < float(PUBLISHED["vgg19"][0])) == better


def test_lists_of_keras_are_refused_without_their_scores_and_right_with_them(predictions, stores, tmp_path):
    with pytest.raises(ValueError, match="do not seem to be best first.*--scores FILE"):
        imported(predictions, "keras_vgg16_top5", tmp_path / "keras")
    assert [f"{float(per_cent(stores['keras vgg16'], measure)):.2f}" for measure in ("top-1", "top-5")] == [
        "34.76",
        "13.80",
    ]


def test_a_wrong_order_of_rows_is_refused(predictions, tmp_path):
    with pytest.raises(ValueError, match="images in the order folders it is 28.4%"):
        imported(predictions, "vgg16", tmp_path / "vgg16", order="validation")


EXAMPLE = ROOT / "docs/examples/public-nets.yaml"


@pytest.fixture(scope="module")
def ledger(predictions, stores, real_labels, tmp_path_factory) -> Ledger:
    """The claims of the documentation's example, judged over Table 7 with the seven nets in it."""
    root = tmp_path_factory.mktemp("example")
    settings = load_settings(
        {
            "imported": {name: {"file": f"{file}.npy", "order": "folders"} for name, file in FILES.items()},
            "devkit": {"folder": str(predictions)},
            "labels": {"ReaL": "real.json"},
            "claims": {"depth": str(EXAMPLE)},
        }
    )
    inputs = Inputs(root, tuple(store.folder for store in stores.values()), labels=(real_labels.folder,))
    make_table("7", settings, inputs, runs=None, out=root / "tables")
    return judge_claims(settings, root / "tables")


def test_the_example_of_the_documentation_has_the_verdicts_that_it_shows(ledger):
    """Verdicts of docs/guides/own-claims.md: what the public nets say about depth, by their own labels and by ReaL's."""
    for claim in (claim for claim in ledger.claims if claim.file):
        stem = claim.id.removesuffix("-real").removesuffix("-top-5")
        expected = {"public-saturation": "undecided", "public-same-net": "refuted"}.get(stem, "supported")
        assert (claim.id, claim.verdict) == (claim.id, expected)
        assert claim.steps[0].n == (46_837 if claim.reference else 50_000)
    assert len([claim for claim in ledger.claims if claim.file]) == 22
    assert [file.tested for file in ledger.files] == [11]


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("public-depth", 28.408 - 27.624),
        ("public-depth-overall", 30.980 - 27.624),
        ("public-saturation-top-5", 9.124 - 9.618),
        ("public-same-net", 28.408 - 34.760),
        ("public-depth-overall-real", 23.618 - 20.514),
        ("public-depth-real", 20.960 - 20.514),
    ],
)
def test_a_gain_is_the_difference_of_published_errors(ledger, name, gain):
    (claim,) = (claim for claim in ledger.claims if claim.id == name)
    assert claim.steps[claim.weakest].gain == pytest.approx(gain, abs=1.1e-3)


def test_the_papers_own_claims_are_not_run_on_nets_that_are_not_the_papers(ledger):
    of_the_paper = [claim for claim in ledger.claims if not claim.file and claim.quantity]
    assert {claim.verdict for claim in of_the_paper} == {"not run"}
