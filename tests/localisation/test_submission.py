"""Submissions in ILSVRC's official format, from made-up boxes."""

from __future__ import annotations

from pathlib import Path

from scipy.io import loadmat, savemat

from vggrepro import cli
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.external.imported import judge_predictions
from vggrepro.localisation.errors import missed_images
from vggrepro.localisation.stores import merged_label_boxes, read_boxes
from vggrepro.paper.tables import table_evaluations


def submit(boxes: Path, val: Path, devkit_folder: Path, out: Path, *more: str) -> int:
    options = ["--settings", "smoke", "--boxes", str(boxes), "--val", str(val), "--devkit", str(devkit_folder)]
    return cli.main(["submission", *more, *options, "--out", str(out)])


def test_a_line_has_labels_by_devkit_id_and_images_come_by_number(box_stores, stores, small_devkit, tmp_path):
    """This devkit numbers classes backwards."""
    val = Store(stores[1])
    assert submit(box_stores, stores[1], small_devkit, tmp_path / "p.txt") == 0
    lines = (tmp_path / "p.txt").read_text().splitlines()
    assert len(lines) == len(val)
    assert {len(line.split()) for line in lines} == {25}
    labels = read_boxes(box_stores / "D_256_pcr_s0/dense/256").box_labels[val.ids.index("val_0.JPEG")]
    assert [int(v) for v in lines[0].split()[::5]] == [10 - c for c in labels]


def test_a_submission_is_judged_as_its_table(box_stores, stores, small_devkit, smoke, tmp_path):
    val = Store(stores[1])
    assert submit(box_stores, stores[1], small_devkit, tmp_path / "p.txt") == 0
    solution = small_devkit / "LOC_val_solution.csv"
    options = {"devkit_folder": small_devkit, "solution": solution, "first": None, "labels_only": False}
    counts = judge_predictions(tmp_path / "p.txt", **options)
    assert counts.localisation_images == len(val) - 2
    opened, order = [read_boxes(box_stores / e.path) for e in table_evaluations("9")], devkit.official_order(val.ids)
    for store in opened:
        store.counted[[order[2], order[3]]] = False
    missed = missed_images(opened[0], merged_label_boxes(opened, smoke.merge)[0])
    assert counts.localisation == int(missed.sum())


def test_labels_can_be_submitted_alone(box_stores, stores, small_devkit, tmp_path):
    assert submit(box_stores, stores[1], small_devkit, tmp_path / "p.txt", "--labels-only") == 0
    assert {len(line.split()) for line in (tmp_path / "p.txt").read_text().splitlines()} == {5}


def test_an_unknown_system_is_refused(box_stores, stores, small_devkit, tmp_path, capsys):
    assert submit(box_stores, stores[1], small_devkit, tmp_path / "q.txt", "E/256/256") == 2
    assert "no row of Table 9 measures 'E/256/256': expected one of 'D/256/256'" in capsys.readouterr().err
    assert not (tmp_path / "q.txt").exists()


def test_boxes_of_other_images_are_refused(box_stores, stores, small_devkit, tmp_path, capsys):
    assert submit(box_stores, stores[0], small_devkit, tmp_path / "p.txt") == 2
    assert "boxes of other images than those in" in capsys.readouterr().err


def test_classes_that_the_devkit_does_not_have_are_named(box_stores, stores, small_devkit, tmp_path, capsys):
    synsets = loadmat(small_devkit / "meta_clsloc.mat")["synsets"]
    savemat(tmp_path / "meta_clsloc.mat", {"synsets": synsets[1:]})
    assert submit(box_stores, stores[1], tmp_path, tmp_path / "p.txt") == 2
    assert "1 of 10 classes are not the devkit's, the first is n99000000" in capsys.readouterr().err
