"""Two results are equal to the bit, or the first step that differs is named, and what it was computed with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vggrepro import cli
from vggrepro.core.files import write_json
from vggrepro.diagnosis.comparison import compare, line_of
from vggrepro.diagnosis.digests import (
    CellValue,
    Circumstances,
    ResultDigests,
    StepDigest,
    digests_of,
    read_digests,
    weights_digest,
    write_reference,
)
from vggrepro.nets.weights import write_tensors
from vggrepro.scores.stores import write_scores

USUAL = Circumstances(
    settings="s", instructions="avx2", processor="one make, 4 cores", versions={"torch": "2.15.0"}, commit="c" * 40
)


def digests(*changed: str, cell: float = 20.0, circumstances: Circumstances = USUAL) -> ResultDigests:
    """Images, A, B that begins with A, B's scores and a cell; the digests of some steps `changed`."""
    after = {
        "data/train": (),
        "runs/A_256_s0": ("data/train",),
        "runs/B_256_s0": ("data/train", "runs/A_256_s0"),
        "scores/B_256_s0/dense/256": ("runs/B_256_s0",),
    }
    steps = {
        name: StepDigest(digest=f"{name}{'!' * (name in changed)}", after=before, circumstances=0 if before else None)
        for name, before in after.items()
    }
    cells = {"table03-2-1": CellValue(value=cell, after=("scores/B_256_s0/dense/256",))}
    return ResultDigests(circumstances=(circumstances,), steps=steps, cells=cells)


def test_a_result_equals_itself():
    assert compare(digests(), digests()).equal


def test_the_first_step_that_differs_is_found_upstream_of_the_cell():
    ours = digests("runs/A_256_s0", "runs/B_256_s0", "scores/B_256_s0/dense/256", cell=22.5)
    found = compare(ours, digests())
    assert [difference.step for difference in found.first] == ["runs/A_256_s0"]
    assert [(d.cell, d.ours, d.reference, d.first) for d in found.differences] == [
        ("table03-2-1", 22.5, 20.0, ("runs/A_256_s0",))
    ]
    assert (found.steps, found.equal_steps) == (4, 1)
    assert "first at runs/A_256_s0" in line_of(found)


def test_other_bits_behind_an_equal_number_are_a_difference_too():
    found = compare(digests("scores/B_256_s0/dense/256"), digests())
    assert not found.equal
    assert found.differences == ()


def test_a_number_that_differs_after_equal_steps_is_laid_to_the_tables():
    assert "tables were made by another code" in line_of(compare(digests(cell=21.0), digests()))


def test_what_only_one_of_them_has_is_no_equality():
    whole = digests()
    part = whole.model_copy(update={"cells": {}})
    assert compare(part, whole).only_reference == ("table03-2-1",)
    assert not compare(part, whole).equal
    with pytest.raises(ValueError, match="no step and no cell in common"):
        compare(part, ResultDigests(circumstances=(), steps={}, cells=whole.cells))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"settings": "t"}, "other settings"),
        ({"device": "NVIDIA H100"}, "another device"),
        ({"instructions": "fastest"}, "other CPU instructions"),
        ({"versions": {"torch": "2.16.0"}}, "torch 2.16.0, not 2.15.0"),
        ({"commit": "d" * 40}, "a changed code"),
        ({"processor": "another make, 2 cores"}, "another CPU (another make, not one make)"),
        ({"commit": "d" * 40, "processor": "another make, 2 cores"}, "; or another CPU"),
        ({"processor": "one make, 8 cores"}, "does not repeat"),
        ({}, "does not repeat"),
    ],
)
def test_a_difference_is_laid_to_what_differs(change, reason):
    ours = digests("runs/A_256_s0", circumstances=USUAL.model_copy(update=change))
    assert reason in compare(ours, digests()).first[0].reason


def test_digests_are_read_as_they_were_written(tmp_path):
    write_reference(digests(), tmp_path / "reference.json")
    assert read_digests(tmp_path / "reference.json") == digests()


def test_a_digest_of_weights_is_of_the_numbers_alone(tmp_path):
    tensors = {"conv1_1.weight": torch.arange(6.0)}
    write_tensors(tmp_path / "a", tensors, {"vggrepro": "one"})
    write_tensors(tmp_path / "b", tensors, {"vggrepro": "another"})
    write_tensors(tmp_path / "c", {"conv1_1.weight": torch.arange(6.0) + np.float32(1e-6)}, {"vggrepro": "one"})
    first, same, other = (weights_digest(tmp_path / name) for name in "abc")
    assert first == same != other


@pytest.mark.parametrize("wrong", ["nothing", "folder", "text"])
def test_what_is_no_result_is_refused_in_one_message(wrong, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text(json.dumps({"steps": 1}))
    write_reference(digests(), tmp_path / "reference.json")
    arguments = [tmp_path / "folder"] if wrong == "folder" else [tmp_path / "reference.json", tmp_path / wrong]
    assert cli.main(["compare", *map(str, arguments)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("vggrepro compare: ")
    assert message.count("\n") == 1


def test_the_exit_status_says_whether_all_is_equal(tmp_path, capsys):
    for name, result in (("a.json", digests()), ("b.json", digests("data/train"))):
        write_reference(result, tmp_path / name)
    assert cli.main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(tmp_path / "b.json"), str(tmp_path / "a.json"), "--json"])
    assert ended.value.code == 1
    assert '"equal": false' in capsys.readouterr().out


MADE = {"commit": "c" * 40, "versions": {"torch": "2.15.0"}, "processor": "one make, 4 cores", "instructions": "avx2"}


def results_folder(folder: Path, *, weight: float = 1.0, posterior: float = 0.25, at: str = "now") -> Path:
    """The results of one run and one evaluation, with the time `at` in their records."""
    run = folder / "runs" / "A_256_s0"
    write_tensors_below(run, weight)
    record = {"run": "A_256_s0", "parent": None, "data": {"train": "t", "val": "v"}, "settings": {}, "device": "CPU"}
    write_json(run / "run.json", record | {"made": MADE | {"at": at}})
    values = np.array([[posterior, 1 - posterior]] * 2, np.float32)
    about = {"run": "A_256_s0", "weights": "w", "data": "v", "settings": {}, "device": "CPU", "made": MADE | {"at": at}}
    write_scores(folder / "scores/A_256_s0/dense/256", values, np.array([0, 1]), ["a", "b"], about)
    return folder


def write_tensors_below(folder: Path, weight: float) -> None:
    folder.mkdir(parents=True)
    write_tensors(folder / "weights.safetensors", {"fc8.weight": torch.tensor([weight])}, {"vggrepro": "about"})


def test_a_folder_is_its_contents_and_not_its_dates(tmp_path):
    first = results_folder(tmp_path / "first", at="yesterday")
    assert compare(digests_of(first), digests_of(results_folder(tmp_path / "second", at="today"))).equal
    steps = digests_of(first).steps
    assert {name: step.after for name, step in steps.items()} == {
        "data/train": (),
        "data/val": (),
        "runs/A_256_s0": ("data/train", "data/val"),
        "scores/A_256_s0/dense/256": ("data/val", "runs/A_256_s0"),
    }


@pytest.mark.parametrize(
    ("change", "first"), [({"weight": 2.0}, "runs/A_256_s0"), ({"posterior": 0.5}, "scores/A_256_s0/dense/256")]
)
def test_other_contents_are_a_difference(change, first, tmp_path):
    ours, reference = results_folder(tmp_path / "ours", **change), results_folder(tmp_path / "reference")
    assert [step.step for step in compare(digests_of(ours), digests_of(reference)).first] == [first]
