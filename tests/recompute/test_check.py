"""A folder of results, computed again by the command: what it prints, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import small
from tests.training.helpers import trained, with_dropout
from vggrepro import cli
from vggrepro.paper.runs import Run
from vggrepro.recompute import net
from vggrepro.recompute.evaluations import Sample
from vggrepro.recompute.findings import compared_numbers, equal, skipped, summary

pytestmark = pytest.mark.trains
A = Run("A", "256")


@pytest.fixture(scope="module")
def results(stores, tmp_path_factory) -> Path:
    """A trained and evaluated A, by the verbs that the rules call."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "data").symlink_to(stores[0].parent)
    trained(A, with_dropout(small()), stores, folder / "runs" / A.name)
    options = (
        "--val",
        str(folder / "data" / "val"),
        "--weights",
        str(folder / "runs" / A.name / "weights.safetensors"),
    )
    for protocol, scales in (("dense", "256"), ("multi-crop", "256"), ("centre-crop", "256")):
        out = str(folder / "scores" / A.name / protocol)
        assert cli.main(["evaluate", A.name, protocol, "--scales", scales, *options, "--out", out]) == 0
    return folder


def checked(results: Path, *options: str) -> int:
    """The exit status of a check."""
    try:
        return cli.main(["check", "--recompute", str(results), *options])
    except SystemExit as end:
        return int(end.code or 0)


def test_results_that_agree_end_with_0_and_what_was_not_recomputed_is_said(results, capsys):
    assert checked(results, "--images", "2") == 0
    out = capsys.readouterr().out
    for protocol in ("dense", "multi-crop", "centre-crop"):
        assert f"scores/A_256_s0/{protocol}/256: posteriors of 2 of 40 images: agrees to " in out
    assert "runs/A_256_s0: loss of steps 1 to 4: agrees to " in out
    assert "cells, verdicts and claims: not recomputed: give the settings" in out
    assert out.splitlines()[-1].endswith("11 agree, 0 differ, 2 could not be recomputed")


def test_a_difference_ends_with_1_and_is_named(results, tmp_path, capsys):
    record = json.loads((results / "runs" / A.name / "run.json").read_text())
    record["first_steps"][0]["norms"]["fc8.weight"][0] *= 1.01
    (tmp_path / "data").symlink_to(results / "data")
    folder = tmp_path / "runs" / A.name
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").symlink_to(results / "runs" / A.name / "weights.safetensors")
    (folder / "run.json").write_text(json.dumps(record))
    assert checked(tmp_path) == 1
    assert "norms of gradients in steps 1 to 4: differs" in capsys.readouterr().out
    assert checked(tmp_path, "--only", "scores") == 0


def test_of_a_released_net_only_what_was_made_with_it_is_checked(results, tmp_path, capsys):
    (tmp_path / "data").symlink_to(results / "data")
    (tmp_path / "scores").symlink_to(results / "scores")
    folder = tmp_path / "runs" / A.name
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").symlink_to(results / "runs" / A.name / "weights.safetensors")
    (folder / "adopted.json").write_text("{}")
    assert checked(tmp_path, "--images", "1", "--only", "runs", f"scores/{A.name}/dense") == 0
    out = capsys.readouterr().out
    assert "layers and kernels, by Table 1: agrees exactly" in out
    assert "training: not recomputed: a released net" in out
    assert "dense/256: posteriors of 1 of 40 images: agrees" in out


def test_findings_are_json_where_asked(results, capsys):
    assert checked(results, "--json", "--only", f"scores/{A.name}/dense") == 0
    labels, posteriors = json.loads(capsys.readouterr().out)
    assert labels["digits"] is None, "JSON has no infinity"
    assert posteriors["status"] == "agrees"
    assert posteriors["difference"] <= posteriors["tolerance"]


def test_the_seed_of_the_sample_chooses_other_images(results):
    one, other = (Sample(4, seed).of("scores/A", 1000).tolist() for seed in (0, 1))
    assert one != other
    assert len(set(one)) == 4


@pytest.mark.parametrize("damage", ["posteriors.npy", "made.json"])
def test_what_is_damaged_differs(results, tmp_path, damage, capsys):
    shutil.copytree(results / "scores", tmp_path / "scores")
    (tmp_path / "scores" / A.name / "dense" / "256" / damage).write_bytes(b"{")
    assert checked(tmp_path, "--only", f"scores/{A.name}/dense") == 1
    assert damage in capsys.readouterr().out


def test_a_net_that_table_1_does_not_have_is_not_recomputed(results, tmp_path, monkeypatch, capsys):
    lines = (net.PUBLISHED / "table01.csv").read_text(encoding="utf-8").replace(",A,", ",Z,", 1)
    (tmp_path / "table01.csv").write_text(lines, encoding="utf-8")
    monkeypatch.setattr(net, "PUBLISHED", tmp_path)
    monkeypatch.setattr(net, "convolutions", net.convolutions.__wrapped__)
    assert checked(results, "--only", f"runs/{A.name}") == 0
    assert "what its net gives: not recomputed: A: not in tables/published/table01.csv" in capsys.readouterr().out


def test_a_folder_without_results_is_one_message(tmp_path, capsys):
    assert cli.main(["check", "--recompute", str(tmp_path)]) == 2
    assert cli.main(["check"]) == 2
    assert "no results in it" in capsys.readouterr().err


def test_findings_say_how_near_numbers_are():
    near = compared_numbers("a", "b", [1.0, 2.0], [1.0, 2.00002], tolerance=1e-4)
    assert (near.status, round(near.digits, 1)) == ("agrees", 4.7)
    assert compared_numbers("a", "b", [1.0], [1.1], tolerance=1e-4).status == "differs"
    assert compared_numbers("a", "b", [1.0], [float("nan")], tolerance=1e9).status == "differs"
    assert compared_numbers("a", "b", [1.0], [1.0, 2.0], tolerance=1e9).status == "differs"
    assert compared_numbers("a", "b", [1000.0], [1000.1], tolerance=1e-3, scale=[1000.0]).status == "agrees"
    findings = (near, equal("a", "b", False), skipped("a", "b", "why"))
    assert summary(findings) == "1 agree, 1 differ, 1 could not be recomputed"
