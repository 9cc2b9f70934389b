"""Tables whose numbers are compared with the records of what made them: footnotes, verdicts, and tables that are refused."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.made_tables import judged_table
from tests.oracles.records import made_json, write_runs
from vggrepro import cli
from vggrepro.core.checksums import write_checksums
from vggrepro.core.paths import ROOT
from vggrepro.judging.audit import UNLIKE, audit_table
from vggrepro.judging.verdicts import judge_table
from vggrepro.paper.tables import published_table
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import notes, render
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import ALL_CELLS, Table
from vggrepro.tables.measurement import Inputs

N = 40


def audited_results(folder: Path, settings: Settings, images: int = N) -> Path:
    """Score stores and records of the runs of Table 3, as faithful trainings and evaluations leave them."""
    rng = np.random.default_rng(0)
    labels, ids = rng.integers(0, 10, images), [str(i) for i in range(images)]
    published = published_table("3")
    for evaluation in published.evaluations():
        posteriors = rng.dirichlet(np.ones(10), images).astype(np.float32)
        metadata = made_json(evaluation, settings, images) | {"data": ""}
        write_scores(folder / "scores" / evaluation.path, posteriors, labels, ids, metadata)
    write_runs(folder / "runs", settings, published.runs((0,)))
    return folder


def audited_table(folder: Path, settings: Settings) -> Table:
    published = settings.table("3")
    table, _ = build_table(published, settings, Inputs(folder / "scores"))
    table = audit_table(table, published, settings, results=folder / "scores", runs=folder / "runs")
    return judge_table(table, published, settings.higher)


@pytest.fixture(scope="module")
def smoke_folder(tmp_path_factory) -> Path:
    return audited_results(tmp_path_factory.mktemp("smoke"), load_settings({"smoke": True}))


@pytest.fixture(scope="module")
def papers_folder(tmp_path_factory) -> Path:
    """The paper's preset, on as many images as ILSVRC's validation set has."""
    return audited_results(tmp_path_factory.mktemp("paper"), load_settings({}), images=50_000)


@pytest.fixture(scope="module")
def smoke_table(smoke_folder) -> Table:
    return audited_table(smoke_folder, load_settings({"smoke": True}))


def test_what_all_cells_have_in_common_is_one_footnote_and_the_rest_have_letters(smoke_table):
    texts = dict(smoke_table.footnotes)
    assert set(texts) == {ALL_CELLS, "a"}
    for departure in (
        "batch of 16 (256)",
        "crop of 28 px (224)",
        "8 epochs (74)",
        "random weights: glorot (choice 1: normal-0.01)",
    ):
        assert departure in texts[ALL_CELLS]
    steering = "(choice 7: validation accuracy; plausible: finetune.drop_epochs of 4 to 147)"
    length = "3 epochs (choice 7: 74; plausible: finetune.epochs of 10 to 148)"
    implausible = f"Not as in the paper: rate that follows fixed epochs {steering}, {length}."
    assert texts["a"] == f"{implausible} Choices, not the default: learning-rate drops, at most: 1 (choice 7: 3)."
    by_scale = {row.keys[1]: {cell.footnotes for cell in row.cells} for row in smoke_table.rows}
    assert by_scale == {"256": {(ALL_CELLS,)}, "384": {(ALL_CELLS, "a")}, "[256;512]": {(ALL_CELLS, "a")}}


def test_findings_name_who_did_it_and_which_cells_it_touches(smoke_table):
    findings = {(finding.rule, finding.did): finding for finding in smoke_table.findings}
    length = findings["length", "8 epochs"]
    assert length.about == tuple(f"{net}_256_s0" for net in ("A", "A-LRN", "B", "C", "D", "E"))
    assert len(length.cells) == 24
    assert findings["pooling", "odd sides pooled with floor"].differs is False
    assert {finding.rule for finding in smoke_table.findings if finding.choice == 1} == {"initialisation"}


def test_every_format_carries_the_footnotes(smoke_table, tmp_path):
    render.write_table(smoke_table, tmp_path)
    page, tex, md = ((tmp_path / f"table03.{kind}").read_text() for kind in ("html", "tex", "md"))
    assert page.count("<sup>a</sup>") == 12 + 1
    assert "All cells: " in page
    assert tex.count(r"\textsuperscript{a}") == 12 + 1
    assert md.count("<sup>a</sup>") == 12
    assert "All cells: Not as in the paper: trained on stand-in" in md
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table03.csv").read_text())))
    assert rows[4]["top-1 val. error (%): footnotes"] == f"{ALL_CELLS} a"
    assert render.read_table(tmp_path / "table03.json") == smoke_table


def test_the_papers_own_run_has_no_footnote(papers_folder):
    table = audited_table(papers_folder, load_settings({}))
    assert table.footnotes == ()
    assert {finding.kind for finding in table.findings} == {"choice"}


def test_a_cell_is_compared_with_the_paper_unless_what_made_it_deviates(papers_folder, smoke_folder, monkeypatch):
    """Localisation's settings may deviate: they decide no classification error."""
    monkeypatch.setattr(notes, "ILSVRC_IMAGES", ("ILSVRC-2012", 50_000, 10))
    compared = audited_table(papers_folder, load_settings({"localise": {"learning_rate": 0.01}}))
    assert verdicts_of(compared) <= {"agrees", "differs", "inconclusive"}
    monkeypatch.setattr(notes, "ILSVRC_IMAGES", ("stand-in (drawn by the program)", N, 10))
    assert verdicts_of(audited_table(smoke_folder, load_settings({"smoke": True}))) == {"other settings"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"rescaled": "jpeg"}}, "kept as jpeg (no or pixels)"),
        (
            {"train": {"patience": 1}},
            "after 1 epochs without a better accuracy (choice 16: 5; plausible: train.patience of",
        ),
        ({"train": {"drop_epochs": [1, 2, 3]}}, "rate that follows fixed epochs (validation accuracy)"),
        ({"finetune": {"epochs": 2}}, "2 epochs (choice 7: 74; plausible: finetune.epochs of 10 to 148)"),
    ],
    ids=str,
)
def test_no_number_agrees_or_differs_where_a_setting_departs(changes, words, papers_folder, tmp_path, monkeypatch):
    """Beside each number stands why, in every format that readers see."""
    table = rendered_table(changes, papers_folder, tmp_path, monkeypatch)
    later = [row for row in table.rows if "finetune" not in changes or row.keys[1] not in ("256",)]
    shown = {cell.verdict for row in later for cell in row.cells if cell.status == "measured"}
    assert shown <= {"other settings", ""}
    assert UNLIKE in table.notes
    for ending in ("html", "md"):
        text = html.unescape((tmp_path / f"table03.{ending}").read_text())
        assert words in text
        assert "finetune" in changes or "agrees" not in text.replace(" agrees with the published", "")


@pytest.mark.parametrize("changes", [{"compile": True}, {"stuck_epochs": 3}, {"patience": 7}], ids=str)
def test_what_is_harmless_or_plausible_leaves_every_verdict(changes, papers_folder, tmp_path, monkeypatch):
    table = rendered_table({"train": changes}, papers_folder, tmp_path, monkeypatch)
    assert verdicts_of(table) <= {"agrees", "differs", "inconclusive"}
    assert UNLIKE not in table.notes
    assert bool(table.footnotes) == ("patience" in changes)


def rendered_table(changes: dict, papers_folder: Path, folder: Path, monkeypatch) -> Table:
    """Table 3 under changed settings, written; its trainings did as those say."""
    monkeypatch.setattr(notes, "ILSVRC_IMAGES", ("ILSVRC-2012", 50_000, 10))
    settings = load_settings(changes)
    runs = write_runs(folder / "runs", settings, published_table("3").runs((0,)))
    scores = papers_folder / "scores"
    published = settings.table("3")
    table, _ = build_table(published, settings, Inputs(scores))
    table = judge_table(audit_table(table, published, settings, results=scores, runs=runs), published, settings.higher)
    render.write_table(table, folder)
    return table


def verdicts_of(table: Table) -> set[str]:
    return {cell.verdict for row in table.rows for cell in row.cells}


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return ["table", "3", "--settings", "smoke", "--scores", str(folder / "scores"), "--out", str(out), *more]


def test_the_verb_shows_no_number_without_records(smoke_folder, tmp_path, capsys):
    assert cli.main(command(smoke_folder, tmp_path)) == 2
    assert "give --runs" in capsys.readouterr().err
    assert cli.main(command(smoke_folder, tmp_path, "--runs", str(tmp_path / "none"))) == 2
    assert "A_256_s0/run.json: no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert cli.main(command(smoke_folder, tmp_path, "--runs", str(smoke_folder / "runs"))) == 0
    assert (tmp_path / "table03.json").exists()


def test_the_verb_shows_no_number_made_under_an_undeclared_deviation(tmp_path, capsys):
    folder = audited_results(tmp_path, load_settings({"smoke": True}))
    file = folder / "runs" / "A_256_s0" / "run.json"
    about = json.loads(file.read_text())
    about["record"]["momentum"] = [0.5]
    file.write_text(json.dumps(about))
    assert cli.main(command(folder, tmp_path / "out", "--runs", str(folder / "runs"))) == 2
    expected = "A_256_s0/run.json: record.momentum: momentum 0.5, but train.momentum says 0.9. No table shows a number"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scores_of_other_weights_are_refused(tmp_path):
    settings = load_settings({"smoke": True})
    folder = audited_results(tmp_path, settings)
    file = folder / "scores" / "C_384_s0" / "dense" / "384" / "made.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "of yesterday"}))
    write_checksums(file.parent)
    message = r"C_384_s0/dense/384/made.json: weights: expected .* got of yesterday: delete"
    with pytest.raises(ValueError, match=message):
        audited_table(folder, settings)


def test_a_table_without_numbers_of_ours_needs_no_records(tmp_path):
    settings = load_settings({"smoke": True})
    for number in ("1", "2", "3"):
        table = judged_table(number, settings, tmp_path)
        assert audit_table(table, settings.table(number), settings, results=tmp_path, runs=None) == table


@pytest.mark.parametrize(
    ("given", "images"),
    [
        ({"smoke": True}, "stand-in (drawn by the program)"),
        ({"preset": "tiny", "tiny_imagenet": str(ROOT), "localisation": False}, "Tiny ImageNet"),
    ],
    ids=["stand-in", "Tiny ImageNet"],
)
def test_a_table_of_other_images_says_which_and_gives_no_verdict(given, images, tmp_path):
    settings = load_settings(given)
    table = audited_table(audited_results(tmp_path, settings), settings)
    assert verdicts_of(table) == {"other data"}
    text = render.table_markdown(table)
    assert f"trained on {images} (ILSVRC-2012)" in text
    assert f"measured on {images} (ILSVRC-2012)" in text
    assert f"Measured on {images}, {N} validation images of 10 classes" in text
