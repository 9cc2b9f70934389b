"""Tables of the user's own: a folder like tables/published/, with the quantities that the paper does not print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.judging.test_variants import scores
from vggrepro.judging.variants import judge_variants
from vggrepro.paper.measures import RankedImages, calibration_error, mean_class_error
from vggrepro.scores.stores import read_scores
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import table_html, table_latex, table_markdown
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import table_job

__all__ = ["scores"]
QUANTITIES = {"top2": "top-2", "class_error": "mean per-class error", "ece": "ECE"}
ENTRY = {
    "title": "Mine",
    "keys": {"net": "net", "S": "train S", "Q": "test Q"},
    "values": {name: {"heading": name, "quantity": quantity} for name, quantity in QUANTITIES.items()},
}
LINES = "net,S,Q,protocol,top2,class_error,ece\nC,256,256,dense,-,-,-\nD,256,256,dense,-,-,-\n"


def folder_with(path: Path, entry: object = ENTRY, lines: str = LINES, name: str = "mine") -> Path:
    (path / "tables.yaml").write_text(yaml.safe_dump({name: entry}, sort_keys=False))
    (path / f"{name}.csv").write_text(lines)
    return path


def settings_with(folder: Path, **more: object) -> Settings:
    return load_settings({"smoke": True, "tables": str(folder), **more}, look_for_files=True)


def test_a_table_of_ones_own_is_in_the_dag_and_leaves_the_papers_as_they_are(tmp_path):
    plain, own = (Plan.of(load_settings({"smoke": True})), Plan.of(settings_with(folder_with(tmp_path))))
    assert [name for name in own.tables if name not in plain.tables] == ["mine"]
    assert own.runs == plain.runs
    job = table_job(own, "mine")
    assert job["scores"] == ["results/smoke/scores/C_256_s0/dense", "results/smoke/scores/D_256_s0/dense"]
    assert str(tmp_path / "mine.csv") in job["published"]
    assert "mine" not in Plan.of(load_settings({"smoke": True})).tables


def test_its_rows_may_need_runs_and_scales_that_the_paper_does_not(tmp_path):
    lines = LINES.replace("D,256,256", "B,384,320")
    plan = Plan.of(settings_with(folder_with(tmp_path, lines=lines)))
    assert "B_384_s0" in plan.trained


def test_its_quantities_are_those_of_plain_loops_over_images(tmp_path, scores):
    settings = settings_with(folder_with(tmp_path))
    table, measurement = build_table(settings.table("mine"), settings, Inputs(scores))
    store = read_scores(scores / "C_256_s0" / "dense" / "256")
    order = np.argsort(-store.posteriors, 1, kind="stable")
    right = [order[i, 0] == label for i, label in enumerate(store.labels)]
    of_classes = [[not right[i] for i in range(len(right)) if store.labels[i] == c] for c in set(store.labels.tolist())]
    top2 = np.mean([label not in order[i, :2] for i, label in enumerate(store.labels)])
    confidence = store.posteriors.max(1).astype(float)
    cells = table.rows[0].cells
    expected = [top2, np.mean([np.mean(each) for each in of_classes]), abs(np.mean(right) - confidence.mean())]
    assert [cell.value for cell in cells] == pytest.approx([100 * value for value in expected], abs=1e-3)
    for cell in cells:
        low, high = cell.interval
        assert low <= cell.value <= high
        assert (cell.n, cell.delta) == (len(right), None)
    assert {entry.quantity for entry in measurement.outcomes.entries} == {"top-1", "top-5", *QUANTITIES.values()}


def test_a_net_that_is_as_sure_as_it_is_right_is_calibrated():
    ranks, confidence = np.array([0, 0, 0, 1], np.int32), np.full(4, 0.75)
    labels = np.array([0, 0, 1, 1])
    assert calibration_error(RankedImages(ranks, confidence, labels)) == pytest.approx(0)
    assert calibration_error(RankedImages(ranks, np.full(4, 0.95), labels)) == pytest.approx(0.2)
    assert mean_class_error(RankedImages(ranks, confidence, labels)) == pytest.approx(0.25)


def test_a_table_that_names_no_section_shows_none(tmp_path, scores):
    """The paper's do, in the same words."""
    settings = settings_with(folder_with(tmp_path))
    for number, section in (("mine", ""), ("3", "4.1")):
        table, _ = build_table(settings.table(number), settings, Inputs(scores))
        html, markdown, latex = (write(table) for write in (table_html, table_markdown, table_latex))
        assert (f"§{section}</span>" in html, f"(section {section})" in markdown, f"\\S{{}}{section})" in latex) == (
            bool(section), bool(section), bool(section),
        )  # fmt: skip


def test_variants_stand_beside_rows_of_ones_own_table(tmp_path, scores):
    variants = {"much worse": {"of": "C/256", "train": {"weight_decay": 0.05}}}
    settings = settings_with(folder_with(tmp_path), variants=variants)
    published = settings.table("mine")
    table, measurement = build_table(published, settings, Inputs(scores))
    assert [row.keys[0] for row in table.variants] == ["C (much worse)"]
    (row,) = judge_variants(table, published, measurement, settings).variants
    usual = table.rows[row.varies].cells
    for cell, beside, difference in zip(row.cells, usual, row.differences, strict=True):
        assert difference.value == pytest.approx(cell.value - beside.value)
    assert [difference.verdict for difference in row.differences[:2]] == ["worse", "worse"]


WRONG = [
    ({"entry": {**ENTRY, "titel": "x"}}, r"tables\.yaml: mine.*'titel' \(did you mean 'title'\?\)"),
    ({"entry": {key: value for key, value in ENTRY.items() if key != "keys"}}, r"mine: keys is missing"),
    ({"entry": 3}, r"mine: expected title, keys and values"),
    (
        {"entry": {**ENTRY, "values": {"x": {"heading": "x", "quantity": "ECD"}}}},
        r"values\.x\.quantity: .*'ECD' \(did you mean 'ECE'",
    ),
    # the smoke preset has ten classes
    (
        {
            "entry": {**ENTRY, "values": {"top2": {"heading": "x", "quantity": "top-10"}}},
            "lines": "net,S,Q,protocol,top2\nC,256,256,dense,-\n",
        },
        r"tables\.yaml: mine: values\.top2\.quantity: expected top-N with N below data\.classes=10, got 'top-10'",
    ),
    ({"name": "Mine 2"}, r"expected a name of a-z, 0-9 and dashes"),
    ({"name": "train"}, r"expected a name of a-z, 0-9 and dashes that no table has, nor a command"),
    ({"name": "text"}, r"that no table has"),
    # in its place would stand the user's, and the paper's claims would be judged by it
    ({"name": "table03"}, r"that no table has"),
    ({"name": "table3"}, r"that no table has"),
    ({"lines": LINES.replace("C,256", "C,200")}, r"mine\.csv, line 2: 'C/200/256' is no system"),
    ({"lines": LINES.replace("dense,-", "dense,x", 1)}, r"mine\.csv, line 2: a published cell reads 'x'"),
    ({"lines": LINES.replace(",ece", "", 1)}, r"mine\.csv: there is no column 'ece'"),
    (
        {"lines": LINES.replace("protocol", "protcol")},
        r"mine\.csv: no column is called 'protcol' \(did you mean 'proto",
    ),
    (
        {"lines": LINES.replace("protocol,", "").replace("dense,", "")},
        r"line 2: expected protocol beside the nets C/256",
    ),
    ({"entry": ENTRY | {"keys": {"nett": "net"}}}, r"tables\.yaml: mine: keys: .*'nett' \(did you mean 'net'\?\)"),
    ({"entry": ENTRY | {"keys": {"method": "net"}}}, r"mine\.csv: there is no column 'method'"),
    ({"lines": LINES.splitlines()[0]}, r"mine\.csv: expected a line for each row under the header"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_in_the_folder_is_one_message_before_anything_runs(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        settings_with(folder_with(tmp_path, **changes))
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_without_tables_or_without_a_csv_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"tables: .*tables\.yaml: no such file"):
        settings_with(tmp_path)
    (folder_with(tmp_path) / "mine.csv").unlink()
    with pytest.raises(ValueError, match=r"tables: .*mine\.csv: no such file: tables\.yaml describes it"):
        settings_with(tmp_path)
