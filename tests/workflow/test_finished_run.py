"""What can be done with the results of a finished run: damage, packs, released nets beside its own, and the lesson."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np

from tests.damage import kinds_of, outcomes
from tests.formats import layers_of, write_mat
from tests.workflow.planning import jobs, snakemake, top1
from vggrepro import cli
from vggrepro.core.paths import ROOT
from vggrepro.nets.weights import load_weights
from vggrepro.scores.stores import read_scores
from vggrepro.tables import render


def test_no_damage_to_any_kind_of_file_is_believed(finished, tmp_path):
    results = tmp_path / "results/smoke"
    shutil.copytree(finished / "results/smoke", results)
    found = [outcome for kind, file in kinds_of(results).items() for outcome in outcomes(results, kind, file)]
    assert [outcome for outcome in found if outcome.outcome == "silent"] == []


def test_a_packed_run_comes_back_with_its_tables_and_nothing_of_it_is_made_again(finished, tmp_path):
    """Without weights, features and images: only pictures of validation images need some of them again."""
    results, merged = finished / "results/smoke", tmp_path / "results/smoke"
    assert cli.main(["pack", str(results), str(tmp_path / "a.zip")]) == 0
    assert cli.main(["merge", str(tmp_path / "a.zip"), "--out", str(merged)]) == 0
    tables = sorted((results / "tables").iterdir())
    assert [file.name for file in tables if file.read_bytes() != (merged / "tables" / file.name).read_bytes()] == []
    assert not list(merged.rglob("*.safetensors"))
    planned = jobs(snakemake(tmp_path, "--configfile", str(merged / "merge/settings.yaml")))
    shown = {"claims", "whatif", "evidence", "flips", "merging", "report", "bundle"}
    assert set(planned) == {*shown, "prepare", "all", "total"}
    assert planned["prepare"] == 1, "validation images alone"


def test_released_nets_have_the_numbers_of_the_trainings_that_they_came_from(finished, tmp_path):
    ours, theirs = finished / "results/smoke", tmp_path / "results/smoke-released"
    for file, run in {"a.mat": "A_256_s0", "d.mat": "D_256-512_s0"}.items():
        net = load_weights(ours / "runs" / run / "weights.safetensors")
        write_mat(tmp_path / file, layers_of(net.net()), list(net.wnids), net.mean)
    wanted = ("table3", "--config", "smoke=true", "released={A/256: {file: a.mat, recipe: torchvision}, D: d.mat}")
    done = snakemake(tmp_path, *wanted, cores=2)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert not (theirs / "data/train").exists()
    for store in ("A_256_s0/dense/256", "D_256-512_s0/dense/384"):
        scores, trained = (read_scores(folder / "scores" / store).posteriors for folder in (theirs, ours))
        assert np.array_equal(scores, trained)
    rows = ["A/256/256", "D/[256;512]/384"]
    assert top1(theirs, "3") == {row: top1(ours, "3")[row] for row in rows}
    footnotes = dict(render.read_table(theirs / "tables/table03.json").footnotes)
    recipe, others = (next(text for text in footnotes.values() if part in text) for part in ("90 epochs", "others"))
    assert "weight decay 0.0001 (0.0005)" in recipe
    assert "torchvision or others" in others, "of both cells"


def test_the_lesson_runs_from_top_to_bottom(finished, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(finished, tmp_path / "lesson")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # to which the lesson adds
    names: dict[str, object] = {}
    for cell in json.loads((ROOT / "docs" / "lesson.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "'agrees'" in capsys.readouterr().out
