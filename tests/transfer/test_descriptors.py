"""Descriptors: features at several scales and of several nets in one vector of unit length."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.svm_results import NETS
from vggrepro import cli
from vggrepro.data.collections import open_collection
from vggrepro.paper.tasks import TASKS
from vggrepro.transfer.descriptors import combined_scales, task_descriptors, unit_length


def test_scales_are_averaged_or_stacked_to_unit_length():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4)), rng.random((3, 4))
    average, stacked = (combined_scales([a, b], combine=combine, normalise="after") for combine in ("average", "stack"))
    assert average == pytest.approx((a + b) / np.linalg.norm(a + b, axis=1, keepdims=True))
    assert stacked.shape == (3, 8)
    assert np.linalg.norm(stacked, axis=1) == pytest.approx(1)
    before = combined_scales([a, 10 * b], combine="average", normalise="before")
    assert before == pytest.approx(combined_scales([a, b], combine="average", normalise="before"))
    assert not np.allclose(combined_scales([a, 10 * b], combine="average", normalise="after"), average)
    assert unit_length(np.zeros((1, 4))).tolist() == [[0.0] * 4]


@pytest.mark.parametrize(
    ("name", "combine"),
    [
        ("voc2007-average", lambda scales: sum(scales) / 3),
        ("voc2007-stack", np.hstack),
        ("caltech101-average", lambda scales: sum(scales) / 3),
        ("caltech256-maximum", lambda scales: np.maximum(np.maximum(*scales[:2]), scales[2])),
    ],
)
def test_the_combinations_that_the_paper_compares_are_of_three_scales(svm_results, drawn_sets, name, combine):
    task = TASKS[name]
    folder = svm_results / "f" / NETS[0].name / task.data
    descriptors, _ = task_descriptors(
        [folder],
        task=task,
        collections={task.data: open_collection(task.data, drawn_sets / task.data)},
        normalise="after",
    )
    scales = [np.load(folder / f"{Q}.npy").astype(np.float64) for Q in (256, 384, 512)]
    assert descriptors == pytest.approx(unit_length(combine(scales)), abs=1e-6)


def test_features_of_another_run_than_their_folder_is_named_after_are_refused(
    svm_results, drawn_sets, tmp_path, capsys
):
    swapped = tmp_path / "E_256-512_s0" / "voc2012"
    shutil.copytree(svm_results / "f" / "D_256-512_s0" / "voc2012", swapped)
    options = ["--path", str(drawn_sets / "voc2012"), "--features", str(swapped), "--out", str(tmp_path / "o")]
    assert cli.main(["classify", "voc2012", *options]) == 2
    assert "features of D_256-512_s0, expected those of E_256-512_s0: delete the folder" in capsys.readouterr().err


def test_features_of_other_images_are_refused(svm_results, drawn_sets, tmp_path, capsys):
    options = ["--path", str(drawn_sets / "voc2012"), "--features", str(svm_results / "f" / NETS[0].name / "voc2007")]
    assert cli.main(["classify", "voc2012", *options, "--out", str(tmp_path / "o")]) == 2
    assert "features of other images than voc2012: delete the folder" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["D/actions-image", "D/actions-image"], "features of other images than actions-box"),
        (["D/actions-box", "D/actions-image"], "features of other images than actions-image"),
        (["D/actions-image", "E/actions-box"], "expected the same nets for actions-image and actions-box"),
    ],
)
def test_features_of_images_and_of_boxes_are_not_confused(svm_results, drawn_sets, tmp_path, capsys, folders, message):
    features = [str(svm_results / "f" / folder.replace("/", "_256-512_s0/")) for folder in folders]
    options = ["--path", str(drawn_sets / "voc2012"), "--features", *features, "--out", str(tmp_path / "o")]
    assert cli.main(["classify", "actions-image-and-box", *options]) == 2
    assert message in capsys.readouterr().err
