"""Tasks from stored features to results: what the evaluation server takes, and what is refused."""

from __future__ import annotations

import numpy as np

from tests.svm_results import NETS
from vggrepro import cli
from vggrepro.data.collections import VOC, Actions


def test_files_for_the_evaluation_server_list_every_test_image_and_person(svm_results, drawn_sets):
    folder = svm_results / "transfer" / "voc2012" / "D_256-512_s0" / "submission" / "Main"
    voc = VOC(drawn_sets / "voc2012", "2012")
    assert {file.name for file in folder.iterdir()} == {f"comp2_cls_test_{name}.txt" for name in voc.classes}
    lines = [line.split() for line in (folder / "comp2_cls_test_disc.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == [voc.ids[i] for i in voc.parts["test"]]
    assert all(np.isfinite(float(line[1])) for line in lines)
    people = Actions(drawn_sets / "voc2012", boxes=False)
    file = (
        svm_results
        / "transfer/actions-image-and-box/D_256-512_s0+E_256-512_s0/submission/Action/comp10_action_test_jumping.txt"
    )
    assert [" ".join(line.split()[:2]) for line in file.read_text().splitlines()] == [
        people.ids[i] for i in people.parts["test"]
    ]


def test_splits_are_for_caltech_alone(svm_results, drawn_sets, tmp_path, capsys):
    features = ["--features", str(svm_results / "f" / NETS[0].name / "caltech101")]
    assert (
        cli.main(
            ["classify", "caltech101", "--path", str(drawn_sets / "caltech101"), *features, "--out", str(tmp_path)]
        )
        == 2
    )
    assert "--splits are for Caltech, and needed there" in capsys.readouterr().err
