"""Tables whose numbers are held against the records of what made them: footnotes, verdicts, and tables that are not shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.oracles.records import made_json, write_runs
from vggrepro import cli
from vggrepro.judging.footnotes import ALL
from vggrepro.judging.pipeline import _judged, audited_table, deviations_section, replace
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import published_table
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import render
from vggrepro.tables.build import make_table
from vggrepro.tables.cells import Table

N = 40


def made(folder: Path, settings: Settings, images: int = N) -> Path:
    """Score stores and records of the runs of a table, as faithful trainings and evaluations leave them."""
    rng = np.random.default_rng(0)
    labels, ids = rng.integers(0, 10, images), [str(i) for i in range(images)]
    published = published_table("3")
    for e in published.evaluations():
        posteriors = rng.dirichlet(np.ones(10), images).astype(np.float32)
        write_scores(folder / "scores" / e.path, posteriors, labels, ids, made_json(e, settings, images) | {"data": ""})
    write_runs(folder / "runs", settings, published.runs((0,)))
    return folder


def table(folder: Path, settings: Settings, number: str = "3") -> Table:
    plain = make_table(number, settings, folder / "scores")
    return audited_table(plain, settings, folder / "scores", folder / "runs")


@pytest.fixture(scope="module")
def smoke_folder(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("smoke"), load_settings({"smoke": True}))


@pytest.fixture(scope="module")
def shown(smoke_folder) -> Table:
    return table(smoke_folder, load_settings({"smoke": True}))


def test_what_all_did_is_said_once_and_the_rest_by_letter(shown):
    texts = dict(shown.footnotes)
    assert set(texts) == {ALL, "a"}
    for told in (
        "batch of 16 (256)",
        "crop of 56 px (224)",
        "6 epochs (74)",
        "random weights: glorot (choice 1: normal-0.01)",
    ):
        assert told in texts[ALL]
    later = "drops of the rate in later stages: 1 (choice 7: 3), 2 epochs in later stages (choice 7: 74)"
    assert texts["a"] == f"Choices, not the default: {later}."
    by_scale = {row.keys[1]: {cell.footnotes for cell in row.cells} for row in shown.rows}
    assert by_scale == {"256": {(ALL,)}, "384": {(ALL, "a")}, "[256;512]": {(ALL, "a")}}


def test_findings_name_who_did_it_and_which_cells_it_touches(shown):
    found = {(note.rule, note.did): note for note in shown.findings}
    length = found["length", "6 epochs"]
    assert length.about == tuple(f"{net}_256_s0" for net in ("A", "A-LRN", "B", "C", "D", "E"))
    assert len(length.cells) == 24
    assert found["pooling", "odd sides pooled with floor"].differs is False
    assert {note.rule for note in shown.findings if note.choice == 1} == {"initialisation"}


def test_every_format_carries_the_footnotes(shown, tmp_path):
    render.write_table(shown, tmp_path)
    html, tex, md = ((tmp_path / f"table03.{kind}").read_text() for kind in ("html", "tex", "md"))
    assert html.count("<sup>a</sup>") == 12 + 1
    assert "All cells: " in html
    assert tex.count(r"\textsuperscript{a}") == 12 + 1
    assert md.count("<sup>a</sup>") == 12
    assert "All cells: Not as in the paper: trained on stand-in" in md
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table03.csv").read_text())))
    assert rows[4]["top-1 val. error (%): footnotes"] == f"{ALL} a"
    assert render.read_table(tmp_path / "table03.json") == shown


def test_the_papers_own_run_has_no_footnote(tmp_path):
    found = table(made(tmp_path, load_settings({}), images=50_000), load_settings({}))
    assert found.footnotes == ()
    assert {note.kind for note in found.findings} == {"choice"}


def test_a_cell_keeps_its_verdict_where_nothing_that_made_it_deviates(tmp_path):
    """Localisation's settings are not the paper's: classification can be compared all the same."""
    settings = load_settings({"localise": {"learning_rate": 0.01}})
    folder = made(tmp_path, settings)
    plain = make_table("3", settings, folder / "scores")
    cell = _judged(replace(plain.rows[0].cells[0], verdict="other settings"), [], *about_first(settings))
    assert cell.verdict in ("agrees", "differs", "cannot be told")
    from vggrepro.judging.audit import Audit

    deviation = Audit(made(tmp_path / "smoke", load_settings({"smoke": True})) / "runs", load_settings({"smoke": True}))
    found = deviation.of_run(Run("A", "256"))
    assert _judged(cell, found, *about_first(settings)).verdict == "other settings"


def about_first(settings: Settings) -> tuple:
    return published_table("3").rows[0], "top-1", settings


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
    folder = made(tmp_path, load_settings({"smoke": True}))
    file = folder / "runs" / "A_256_s0" / "run.json"
    said = json.loads(file.read_text())
    said["record"]["momentum"] = [0.5]
    file.write_text(json.dumps(said))
    assert cli.main(command(folder, tmp_path / "out", "--runs", str(folder / "runs"))) == 2
    told = capsys.readouterr().err
    assert (
        "A_256_s0/run.json: record.momentum: momentum 0.5, but train.momentum says 0.9. No table shows a number" in told
    )
    assert not (tmp_path / "out").exists()


def test_scores_of_other_weights_are_not_shown(tmp_path):
    folder, settings = made(tmp_path, load_settings({"smoke": True})), load_settings({"smoke": True})
    file = folder / "scores" / "C_384_s0" / "dense" / "384" / "made.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "of yesterday"}))
    with pytest.raises(
        ValueError, match=r"C_384_s0/dense/384/made.json: weights: expected .* got of yesterday: delete"
    ):
        table(folder, settings)


def test_tables_without_numbers_of_ours_need_no_records(tmp_path):
    settings = load_settings({"smoke": True})
    for number in ("1", "2"):
        plain = make_table(number, settings, None)
        assert audited_table(plain, settings, None, None) == plain
    empty = make_table("3", settings, tmp_path)
    assert audited_table(empty, settings, tmp_path, None) == empty


def test_the_reports_section_says_who_did_what_and_where(shown):
    section = deviations_section([shown])
    batch = next(row for row in section["deviations"] if row["did"] == "batch of 16")
    assert (batch["expected"], batch["section"], batch["where"]) == ("256", "3.1", []), "all cells"
    assert batch["about"].endswith("more")
    assert "A_256_s0" in batch["all"]
    later = next(row for row in section["choices"] if "epochs in later stages" in row["did"])
    assert (later["section"], later["differs"]) == ("3.1, choice 7", True)
    assert later["where"] == [("table03", "Table 3", " (12 of 24)")]
    assert section["broken"] == len({row["says"] + row["section"] + row["did"] for row in section["deviations"]})
