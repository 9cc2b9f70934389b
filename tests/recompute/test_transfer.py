"""Features and SVMs, computed again: they agree with what the code does, and with nothing else that it could do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import list_again
from tests.svm_results import NETS, run_verb
from vggrepro.evaluation.views import input_of_views
from vggrepro.recompute.evaluations import Sample
from vggrepro.recompute.findings import Finding
from vggrepro.recompute.transfer import recomputed_features, recomputed_svms
from vggrepro.transfer import classification, features, svms

SAMPLE = Sample(3)


@pytest.fixture
def results(svm_results, tmp_path) -> Path:
    """The results of SVMs in the layout of a folder of results."""
    for name, target in (("features", "f"), ("splits", "splits")):
        (tmp_path / name).symlink_to(svm_results / target)
    (tmp_path / "transfer").mkdir()
    for task in (svm_results / "transfer").iterdir():
        (tmp_path / "transfer" / task.name).symlink_to(task)
    for run in NETS:
        (tmp_path / "runs" / run.name).mkdir(parents=True)
        (tmp_path / "runs" / run.name / "weights.safetensors").symlink_to(svm_results / f"{run.name}.safetensors")
    return tmp_path


@pytest.fixture
def data_sets(drawn_sets) -> dict[str, Path]:
    return {folder.name: folder for folder in drawn_sets.iterdir()}


@pytest.mark.parametrize("collection", ["voc2007", "caltech101", "actions-box"])
def test_features_agree(results, data_sets, collection):
    (finding,) = recomputed_features(results, f"features/{NETS[0].name}/{collection}", data_sets, SAMPLE)
    assert finding.status == "agrees"
    assert finding.digits > 5


def features_again(results: Path, data_sets: dict[str, Path], mutation) -> Finding:
    path = results / "other"
    weights = results / "runs" / NETS[0].name / "weights.safetensors"
    options = ("--path", data_sets["voc2007"], "--weights", weights, "--settings", "smoke", "--scales", "256")
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        run_verb("features", NETS[0].name, "voc2007", *options, "--out", path)
    (finding,) = recomputed_features(results, "other", data_sets, SAMPLE)
    return finding


def no_mean(patch):
    patch.setattr(features, "input_of_views", lambda views, mean, **more: input_of_views(views, mean * 0, **more))


def a_corner_alone(patch):
    patch.setattr(features, "whole_image", lambda image: [image[:56, :56]])


@pytest.mark.parametrize("mutation", [no_mean, a_corner_alone])
def test_features_of_something_else_differ(results, data_sets, mutation):
    assert features_again(results, data_sets, mutation).status == "differs"


@pytest.mark.parametrize("task", ["voc2007", "caltech101", "actions-image-and-box"])
def test_scores_of_svms_agree(results, data_sets, task):
    name = "+".join(run.name for run in NETS)
    findings = list(recomputed_svms(results, f"transfer/{task}/{name}", data_sets, SAMPLE))
    assert {finding.status for finding in findings[:-1]} == {"agrees"}
    assert findings[-1].what == "the choice of C"


def test_svms_that_were_fitted_otherwise_differ(results, data_sets, monkeypatch, tmp_path):
    original = svms.fit_svms
    monkeypatch.setattr(classification, "fit_svms", lambda *a, C, **more: original(*a, C=C / 100, **more))
    out = tmp_path / "elsewhere" / "voc2012"
    run_verb(
        "classify", "voc2012", "--path", data_sets["voc2012"], "--features", results / "features" / NETS[0].name / "voc2012",
        "--settings", '{"C": [1.0]}', "--out", out,
    )  # fmt: skip
    (results / "transfer" / "voc2012").unlink()
    (results / "transfer" / "voc2012").symlink_to(out)
    findings = list(recomputed_svms(results, "transfer/voc2012", data_sets, SAMPLE))
    assert "differs" in {finding.status for finding in findings}


def test_a_score_that_was_changed_differs(results, data_sets, tmp_path, svm_results):
    task, name = "voc2007", NETS[0].name
    (results / "transfer" / task).unlink()
    shutil.copytree(svm_results / "transfer" / task, results / "transfer" / task)
    file = results / "transfer" / task / name / "0" / "scores.npy"
    np.save(file, np.load(file) + np.float32(0.1))
    list_again(file)
    findings = list(recomputed_svms(results, f"transfer/{task}/{name}", data_sets, SAMPLE))
    assert "differs" in {finding.status for finding in findings}
