"""One flipped byte, or a file cut in half, in a small folder of results with most kinds of files: nothing is believed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.box_stores import evaluation_boxes
from tests.conftest import small
from tests.damage import UNREAD, kinds_of, outcomes, reader_of
from tests.svm_results import MEAN, NETS, SETTINGS, random_net
from tests.training.helpers import trained
from vggrepro import cli
from vggrepro.core.checksums import CHECKSUMS, CHECKSUMS_SUFFIX, list_of, listed_files
from vggrepro.core.files import write_json
from vggrepro.core.recipes import FAILED, RECIPES
from vggrepro.data import transfer_standin
from vggrepro.data.integrity import damage_below, record_below
from vggrepro.data.store import IMAGES, SUMS, Store
from vggrepro.localisation.stores import write_boxes
from vggrepro.localisation.top5_labels import write_top5_labels
from vggrepro.nets.weights import save_weights
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_classification, table_evaluations
from vggrepro.report.whatif import write_whatif
from vggrepro.scores.stores import TopLabels, write_scores, write_top_labels
from vggrepro.settings.loading import load_settings


def verb(*arguments: object) -> None:
    assert cli.main(list(map(str, arguments))) == 0


@pytest.fixture(scope="module")
def results(stores, tmp_path_factory) -> Path:
    """Results of every step but those that a smoke run has to be finished for (`tests/workflow/test_run.py`)."""
    root = tmp_path_factory.mktemp("results") / "smoke"
    for store in stores:
        shutil.copytree(store, root / "data" / store.name)
    val = Store(root / "data/val")
    trained(Run("A", "256"), small(), stores, root / "runs/A_256_s0", checkpoint_folder=root / "state/A_256_s0")
    write_evaluations(root, val)
    write_transfer(root)
    for number in ("1", "2"):
        verb("table", number, "--settings", "smoke", "--out", root / "tables")
    verb("claims", "--settings", "smoke", "--tables", root / "tables", "--out", root / "claims")
    return root


def write_evaluations(root: Path, val: Store) -> None:
    rng = np.random.default_rng(0)
    about = {"data": val.digest, "data set": "made up", "classes": val.classes}
    for e, _ in with_seed(best_classification(), 0):
        posteriors = rng.dirichlet(np.ones(val.classes), len(val)).astype(np.float32)
        of_run = about | {"run": e.run.name, "protocol": e.protocol, "Q": e.Q, "weights": "drawn"}
        write_scores(root / "scores" / e.path, posteriors, val.labels, val.ids, of_run)
    labels, boxes = np.stack([val.labels] * 2, 1), np.ones((2, len(val)), bool)
    theirs = root / "scores/imported/theirs"
    write_top_labels(theirs, TopLabels(theirs, labels, val.labels, tuple(val.ids), about, boxes))
    write_top5_labels(root / "scores", seed=0, out=root / "answers/s0")
    e = table_evaluations("8", (0,))[0]
    write_boxes(root / "boxes" / e.path, evaluation_boxes(val, e), about)
    write_whatif(load_settings({"smoke": True}), root / "scores", root / "whatif/whatif.json")


def write_transfer(root: Path) -> None:
    run, images = NETS[0], root / "data/drawn/caltech101"
    transfer_standin.write_caltech(images, "101", per_class=13)
    weights, features = root.parent / "w.safetensors", root / "features" / run.name / "caltech101"
    save_weights(weights, random_net(run), run, MEAN, [f"n{i:08d}" for i in range(10)])
    options = ("--path", images, "--settings")
    verb(
        "features",
        run.name,
        "caltech101",
        *options,
        "smoke",
        "--scales",
        "256,384,512",
        "--weights",
        weights,
        "--out",
        features,
    )
    settings = SETTINGS.model_dump_json()
    verb("splits", "caltech101", *options, settings, "--out", root / "splits/caltech101")
    splits = [root / f"splits/caltech101/{k}.csv" for k in range(3)]
    out = root / "transfer/caltech101" / run.name
    verb("classify", "caltech101", *options, settings, "--features", features, "--splits", *splits, "--out", out)


def test_no_damage_is_believed(results):
    found = [outcome for kind, file in kinds_of(results).items() for outcome in outcomes(results, kind, file)]
    assert [outcome for outcome in found if outcome.outcome == "silent"] == []
    assert sum(outcome.outcome == "detected" for outcome in found) > 100


def test_every_file_that_is_read_is_listed_or_has_its_pieces_listed(results):
    read = [file for file in kinds_of(results).values() if not isinstance(reader_of(results, file), str)]
    unlisted = {
        file.name for file in read if file.suffix != CHECKSUMS_SUFFIX and file not in listed_files(list_of(file))
    }
    assert unlisted == {IMAGES}


def test_a_kind_of_file_without_a_reader_is_noticed(results, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/kind.bin").touch()
    with pytest.raises(AssertionError, match="whose reader is not declared"):
        reader_of(tmp_path, tmp_path / "new/kind.bin")
    assert UNREAD


def test_a_folder_is_compared_as_a_whole_and_an_older_one_gets_its_lists(results, tmp_path):
    copy = Path(shutil.copytree(results, tmp_path / "copy"))
    assert list(damage_below(copy)) == []
    for file in [*copy.rglob("*.xxh128"), *copy.rglob(SUMS)]:
        file.unlink()
    assert record_below(copy)
    assert list(damage_below(copy)) == []
    for name in ("scores/imported/theirs/answers.npy", "data/train/images.bin"):
        data = bytearray((copy / name).read_bytes())
        data[-9] ^= 1
        (copy / name).write_bytes(data)
    assert [message.split(":")[0] for message in damage_below(copy)] == [
        str(copy / "data/train/images.bin"),
        str(copy / "scores/imported/theirs/answers.npy"),
    ]


def test_results_without_a_list_are_read_and_said_to_be(results, tmp_path, capsys, monkeypatch):
    copy = Path(shutil.copytree(results / "data/val", tmp_path / "val"))
    monkeypatch.setattr("vggrepro.core.checksums._unlisted", [])
    for name in (CHECKSUMS, SUMS):
        (copy / name).unlink()
    assert len(Store(copy)) == 40
    assert capsys.readouterr().err.count("`vggrepro checksums FOLDER --record` adds them") == 1


def test_an_old_store_whose_images_are_not_those_of_its_digest_gets_no_checksums(results, tmp_path):
    copy = Path(shutil.copytree(results / "data/val", tmp_path / "x/val"))
    for name in (CHECKSUMS, SUMS):
        (copy / name).unlink()
    data = bytearray((copy / IMAGES).read_bytes())
    data[1000] ^= 1
    (copy / IMAGES).write_bytes(data)
    with pytest.raises(ValueError, match="val: damaged .*prepare it again"):
        record_below(tmp_path / "x")


@pytest.fixture
def copied(results, tmp_path) -> Path:
    """A copy, with the recipes of a training, of its evaluations, and of a training that has failed."""
    copy = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("state", "data")))
    for place in (copy / "runs/A_256_s0/weights.safetensors", *copy.glob("scores/*/dense")):
        write_json(copy / RECIPES / f"{place.relative_to(copy)}.json", ["settings"])
    write_json(copy / RECIPES / "runs/B_256_s0/weights.safetensors.json", [FAILED])
    return copy


def test_a_whole_copy_lacks_nothing(copied, capsys):
    verb("checksums", copied)
    assert capsys.readouterr().out == f"{copied}: every file is as it was written\n"


@pytest.mark.parametrize(("lacks", "named"), [("runs", "a result"), ("scores", "2 results")])
def test_a_folder_that_a_copy_lacks_is_named_once(copied, lacks, named):
    shutil.rmtree(copied / lacks)
    assert [line.split(": copy")[0] for line in damage_below(copied)] == [
        f"{copied / lacks}: missing, though recipes/ names {named} there"
    ]


def test_one_result_that_a_copy_lacks_is_named_also_where_its_folder_is_empty(copied):
    first = min(copied.glob("scores/*/dense"))
    shutil.rmtree(first)
    assert [line.split(":")[0] for line in damage_below(copied)] == [str(first)]
    first.mkdir()
    assert [line.split(":")[0] for line in damage_below(copied)] == [str(first)]


def test_without_recipes_the_command_says_that_it_cannot_tell_what_is_missing(copied, capsys):
    shutil.rmtree(copied / RECIPES)
    verb("checksums", copied)
    assert "no recipes/ in it says whether a result is missing" in capsys.readouterr().out
    (copied / "plan").mkdir()
    assert [line.split(",")[0] for line in damage_below(copied)] == [f"{copied}/recipes: missing"]


@pytest.mark.parametrize("record", [(), ("--record",)])
def test_what_is_no_folder_of_results_is_refused_and_gets_no_list(tmp_path, capsys, record):
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others/table.csv").write_text("a,b\n")
    for name in ("nowhere", "empty", "others", "others/table.csv"):
        assert cli.main(["checksums", str(tmp_path / name), *record]) == 2
        expected = "no such folder|nothing to compare|expected a folder|no results in it"
        assert re.search(f"{name}: ({expected}).*: name (the|a)", capsys.readouterr().err)
    assert len(list(tmp_path.rglob("*"))) == 3


def test_a_folder_that_cannot_be_read_is_named(copied, monkeypatch):
    def scandir(path, real=os.scandir):
        if Path(path) == copied / "scores":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [line.split(": let")[0] for line in damage_below(copied)] == [
        f"{copied}/scores: cannot be read: Permission denied"
    ]


def test_a_plan_gets_no_checksum_because_every_start_of_the_workflow_writes_it(copied):
    write_json(copied / "plan/plan.json", {})
    record_below(copied)
    assert list_of(copied / "plan/plan.json") is None
