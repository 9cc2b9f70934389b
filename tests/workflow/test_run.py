"""The whole DAG, run once on the stand-in, and what it left: the tests share one run."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_devkit
from tests.damage import kinds_of, outcomes
from tests.formats import layers_of, write_mat
from tests.workflow.planning import SMOKE, jobs, runs, snakemake, top1
from vggrepro import cli
from vggrepro.core.instructions import cpu_has_avx2
from vggrepro.core.paths import ROOT
from vggrepro.core.plan_record import predicted_and_measured, read_plan
from vggrepro.data.boxes import iou
from vggrepro.data.devkit import official_order
from vggrepro.data.store import Store
from vggrepro.diagnosis.comparison import compare
from vggrepro.diagnosis.digests import digests_of
from vggrepro.external.imported import judge_predictions
from vggrepro.nets.weights import load_weights
from vggrepro.paper.tables import table_name, table_numbers
from vggrepro.planning.status import read_status
from vggrepro.report.bundle_check import check_bundle
from vggrepro.scores.outcomes import read_outcomes
from vggrepro.scores.stores import read_scores
from vggrepro.tables import render

TWO_NETS = "D/[256;512]/256,384,512 + E/[256;512]/256,384,512"
FIGURES = [
    "What depends on what, what it cost, and what came out", "Every difference from the paper: Table 3 to Table 4",
    "Every difference from the paper: Table 5 to Table 11", "The gain behind each claim, 1", "The gain behind each claim, 2",
    "Error against depth", "Error against scale", "Error against cost", "Error of each class", "How far the nets agree",
    "Images on which two systems differ", "Learning curves of classification", "Learning curves of boxes",
    "What the training runs cost", "Predicted and measured cost", "What merging's parameters do",
    "Boxes before and after merging", "From a centre crop to the paper's protocol",
]  # fmt: skip
"""What a report of everything shows, in this order."""


def test_nets_of_every_depth_learn_the_stand_in(finished):
    errors = top1(finished / "results/smoke", "3")
    assert len(errors) == 12
    worst = max(errors, key=errors.get)
    assert errors[worst] < 75, f"chance is 90%, {worst} is at {errors[worst]:.1f}%"
    assert all(error < 75 for error in top1(finished / "results/smoke", "text").values())


def test_top5_errors_say_something(finished):
    """Every tenth image can only be guessed: by chance half of the top-5 answers to it are wrong."""
    table = render.read_table(finished / "results/smoke/tables/table03.json")
    errors = [row.cells[1].value for row in table.rows if row.cells[1].value is not None]
    assert min(errors) > 0
    assert max(errors) < 25, f"chance is 50%: {errors}"


def test_the_run_ends_by_saying_whether_it_equals_the_reference(finished):
    """Equal to the bit where the code is that of the reference; a difference is said, and is no failure."""
    results = digests_of(finished / "results/smoke")
    assert compare(results, results).equal
    assert "The reference: " in (finished / "output.txt").read_text(encoding="utf-8")
    assert {made.instructions for made in results.circumstances} == {"avx2" if cpu_has_avx2() else "fastest"}
    assert len(results.cells) >= 100


def test_of_a_finished_run_everything_is_made_and_every_step_was_predicted(finished, monkeypatch, capsys):
    """Its plan was written before the first step, so that predicted stands beside measured for each."""
    monkeypatch.chdir(finished)
    status, plan = read_status(Path("results/smoke")), read_plan(Path("results/smoke"))
    assert {each.state for each in status.steps} == {"done"}
    assert (status.share, status.here) == (1.0, False)
    outcomes = predicted_and_measured(Path("results/smoke"), plan)
    assert len(outcomes) == len(plan["steps"]) > 90
    assert cli.main(["plan", "--config", "smoke=true"]) == 0
    said = capsys.readouterr().out
    assert f"0 of {len(plan['steps'])} steps are to be made" in said
    assert "Predicted and measured" in said
    assert cli.main(["plan", "--config", "smoke=true", "--claims"]) == 0
    assert "from results/smoke" in capsys.readouterr().out, "disagreement is that of its own outcomes"


def test_boxes_are_learnt(finished):
    """The middle half of every image, always the same box, misses 73 in 100."""
    val = Store(finished / "results/smoke/data/val")
    same = np.stack([iou(val.boxes(i), np.array([16, 16, 47, 47])) for i in range(len(val))])
    blind = 100 * float((same < 0.5).mean())
    errors = top1(finished / "results/smoke", "8")
    assert set(errors) == {"1st and 2nd FC/SCR", "1st and 2nd FC/PCR", "all/PCR"}
    assert max(errors.values()) < blind - 10, (errors, blind)
    assert max(top1(finished / "results/smoke", "9").values()) < blind + 5


def test_features_know_more_than_chance(finished):
    """Four shapes of VOC, six of Caltech, three actions: by chance about a third, a sixth and a half."""
    rows = render.read_table(finished / "results/smoke/tables/table11.json").rows[-3:]
    values = np.array([[cell.value for cell in row.cells] for row in rows])
    assert (values.min(0) > [50, 50, 40, 40]).all(), values


def test_table_9_is_what_a_submission_is_judged_to_be(finished, tmp_path):
    """Table 10's number, and the error of the file that `submission` writes, judged by the devkit's rules.

    The devkit blacklists its first image, because a devkit has a blacklist; the table counts all.
    """
    folder = finished / "results/smoke"
    val = Store(folder / "data/val")
    write_devkit(tmp_path / "devkit", val, blacklisted=(1,))
    where = ["--settings", "smoke", "--boxes", str(folder / "boxes"), "--val", str(folder / "data/val")]
    where += ["--devkit", str(tmp_path / "devkit"), "--out", str(tmp_path / "p.txt")]
    assert cli.main(["submission", *where]) == 0
    judged = judge_predictions(
        tmp_path / "p.txt",
        devkit_folder=tmp_path / "devkit",
        solution=tmp_path / "devkit" / "LOC_val_solution.csv",
        first=None,
        labels_only=False,
    )
    fused = top1(folder, "9")["fusion: 256/256 and 384/352,384/"]
    wrong = read_outcomes(folder / "tables/table09.npz").entries[-1].outcome.wrong[0]
    assert 100 * wrong.mean() == pytest.approx(fused)
    assert judged.localisation == np.delete(wrong, official_order(val.ids)[0]).sum()
    assert judged.top1 / 4 == pytest.approx(top1(folder, "6")["post-submission/" + TWO_NETS + "/multi-crop & dense"])


def test_every_table_is_there_in_every_format(finished):
    names = {path.name for path in (finished / "results/smoke/tables").iterdir()}
    kinds = (*render.TABLE_FORMATS, "npz", "xxh128")
    assert names == {f"{table_name(n)}.{kind}" for n in table_numbers() for kind in kinds}


def test_no_cell_of_ours_is_left_open(finished):
    for number in table_numbers("scores", "boxes", "svms"):
        table = render.read_table(finished / f"results/smoke/tables/{table_name(number)}.json")
        assert {cell.status for row in table.rows for cell in row.cells} <= {
            "measured",
            "validation",
            "withheld",
            "quoted",
            "claim",
            "not reported",
            "spanned",
        }
        if number not in table_numbers("svms"):
            assert {cell.n for row in table.rows for cell in row.cells if cell.status == "measured"} == {400}


def test_the_bundle_is_whole_and_names_no_place(finished):
    bundle = finished / "results/smoke/export/crate.zip"
    assert check_bundle(bundle) > 200
    with zipfile.ZipFile(bundle) as archive:
        assert [name for name in archive.namelist() if str(finished).encode() in archive.read(name)] == []


def test_the_report_of_a_smoke_run_is_within_two_megabytes(finished):
    assert (finished / "results/smoke/report/report.html").stat().st_size <= 2_000_000


def test_the_report_needs_nothing_else_and_opens_with_what_was_run(finished):
    page = (finished / "results/smoke/report/report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""src=["'](?!data:)""", page)
    # what a reader may follow lies beside the page; nothing is loaded
    assert not re.findall(r"""href=["'](?!#|data:|\.\./(?:runs|scores|boxes|features|transfer|tables)/)""", page)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    opening = page[: page.index("<h2>Tables")]
    for fact in (
        "smoke",
        "stand-in (drawn by the program)",
        "1,000 training images",
        "cores",
        "torch",
        "commit",
        "compares different data",
    ):
        assert fact in opening, fact
    assert re.findall(r'<svg[^>]*aria-label="([^"]+)"', page) == FIGURES
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_every_result_says_what_made_it(finished):
    weights = json.loads((finished / "results/smoke/runs/D_256_s0/run.json").read_text())["weights"]
    record = json.loads((finished / "results/smoke/scores/D_256_s0/dense/256/made.json").read_text())
    assert record["weights"] == weights
    assert record["data"] == Store(finished / "results/smoke/data/val").digest
    assert (record["protocol"], record["Q"], record["run"]) == ("dense", 256, "D_256_s0")
    assert {"commit", "versions", "processor", "at"} <= set(record["made"])


def test_a_second_run_has_nothing_to_do(finished):
    done = snakemake(finished, *SMOKE)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_setting_of_the_later_stages_retrains_them_alone(finished):
    trained = runs(snakemake(finished, *SMOKE, "finetune={epochs: 5}"))
    later = {f"{net}_{S}_s0" for net in "CDE" for S in ("384", "256-512")} | {"D_256-512_fc_s0"}
    assert trained == later | {"D_384_pcr_s0", "D_384_pcr_fc_s0", "D_384_scr_fc_s0"}


def test_a_setting_of_boxes_retrains_their_nets_alone(finished):
    trained = runs(snakemake(finished, *SMOKE, "boxes={target: random}"))
    assert trained == {"D_256_pcr_s0", "D_384_pcr_s0", "D_384_pcr_fc_s0", "D_384_scr_fc_s0"}


def test_a_table_made_anew_runs_no_net(finished):
    for change in ("higher=relative", "merge={threshold: 0.5}"):
        done = snakemake(finished, *SMOKE, change)
        assert set(jobs(done)) <= {"table", "claims", "merging", "evidence", "report", "bundle", "all", "total"}


# What can be done with the results: damage, packs, released nets beside its own, and the lesson.


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


def test_released_nets_have_the_numbers_of_the_trainings_that_they_came_from(finished, variables, tmp_path):
    ours, theirs = finished / "results/smoke", tmp_path / "results/smoke-released"
    for file, run in {"a.mat": "A_256_s0", "d.mat": "D_256-512_s0"}.items():
        net = load_weights(ours / "runs" / run / "weights.safetensors")
        write_mat(tmp_path / file, layers_of(net.net()), list(net.wnids), net.mean)
    wanted = ("table3", "--config", "smoke=true", "released={A/256: {file: a.mat, recipe: torchvision}, D: d.mat}")
    done = snakemake(tmp_path, *wanted, cores=2, variables=variables)
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
