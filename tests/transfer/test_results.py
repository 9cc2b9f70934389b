"""The result of a task, read back."""

from __future__ import annotations

import shutil

import pytest

from vggrepro.transfer.results import read_svm_result


def test_the_class_other_does_not_count_in_the_mean(svm_results):
    result = read_svm_result(svm_results / "transfer" / "actions-image" / "D_256-512_s0+E_256-512_s0")
    assert (result.metadata["classes"], result.metadata["counted"]) == (
        ["jumping", "other", "reading"],
        ["jumping", "reading"],
    )
    assert len(result.values(0)) == 2


def test_a_damaged_result_is_named(svm_results, tmp_path):
    folder = shutil.copytree(svm_results / "transfer" / "voc2007" / "D_256-512_s0", tmp_path / "r")
    (folder / "0" / "scores.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="scores.npy: damaged .*classify again"):
        read_svm_result(folder)
