"""Cells, verdicts and claims, computed again from scores: what was changed since is found, and so is another arithmetic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import list_again
from tests.judging.test_pipeline import audited_results
from tests.judging.test_variants import scores
from tests.oracles.records import made_json
from tests.tables.test_own_tables import folder_with, settings_with
from vggrepro.core.files import write_json
from vggrepro.judging.ledger import judge_claims, write_ledger
from vggrepro.judging.pipeline import make_table
from vggrepro.paper import measures
from vggrepro.paper.references import on_path
from vggrepro.paper.tables import table_numbers
from vggrepro.recompute import errors
from vggrepro.recompute import tables as recomputation
from vggrepro.recompute.findings import Finding
from vggrepro.recompute.tables import Recomputation, recomputed_tables, recomputed_values
from vggrepro.scores.label_sets import LabelSets, label_array, write_label_sets
from vggrepro.scores.stores import read_scores, write_scores
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.measurement import Inputs

__all__ = ["scores"]
SMOKE = load_settings({"smoke": True})


def finish_runs(folder: Path) -> None:
    """Records of the runs with all that a finished training says."""
    for file in folder.glob("runs/*/run.json"):
        attempt = {"device": "CPU", "processes": 1, "pieces": 1, "seconds": 1.0, "joules": None, "peak_bytes": 1}
        attempt |= {"began": "2026-01-01T00:00:00+00:00"}
        about = {"commit": "0", "versions": {}, "processor": "CPU", "at": "2026-01-01T00:00:00+00:00"}
        rest = {"data": {"train": "0", "val": "0"}, "initialised": [], "drops": [], "seconds": 1.0}
        rest |= {"attempts": [attempt], "made": about, "epochs": 1, "weights": "0" * 64, "device": "CPU"}
        write_json(file, rest | json.loads(file.read_text()))
        file.with_name("metrics.csv").write_text("epoch,val_top1,images_per_s\n1,0.5,100\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Tables 1 to 3 and claims, from made-up scores with faithful records."""
    folder = audited_results(tmp_path_factory.mktemp("results"), SMOKE)
    finish_runs(folder)
    for number in ("1", "2", "3"):
        make_table(number, SMOKE, Inputs(folder / "scores"), runs=folder / "runs", out=folder / "tables")
    write_ledger(judge_claims(SMOKE, folder / "tables"), folder / "claims")
    return folder


@pytest.fixture
def results(made, tmp_path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


def differing(folder: Path) -> list[str]:
    return [f"{f.about}: {f.what}" for f in recomputed_tables(folder, SMOKE) if f.status == "differs"]


def test_tables_and_claims_agree_with_their_scores(results):
    findings = list(recomputed_tables(results, SMOKE))
    assert [finding.line for finding in findings if finding.status != "agrees"] == []
    assert {finding.about for finding in findings} == {"tables/table01", "tables/table02", "tables/table03", "claims"}
    assert "24 values" in {finding.what for finding in findings}


def change_cell(folder: Path, **values: object) -> None:
    file = folder / "tables" / "table03.json"
    table = json.loads(file.read_text())
    table["rows"][3]["cells"][0] |= values
    write_json(file, table)
    list_again(file)


def change_claim(folder: Path, **values: object) -> None:
    file = folder / "claims" / "claims.json"
    ledger = json.loads(file.read_text())
    next(claim for claim in ledger["claims"] if claim["steps"]).update(values)
    write_json(file, ledger)
    list_again(file)


def test_a_value_that_was_changed_differs_by_the_definitions_and_made_again(results):
    change_cell(results, value=12.5)
    assert differing(results) == [
        "tables/table03: 24 values",
        "tables/table03: intervals, verdicts and footnotes of its cells, made again",
    ]


@pytest.mark.parametrize("values", [{"verdict": "agrees"}, {"interval": [0.0, 1.0]}, {"footnotes": []}], ids=str)
def test_a_verdict_that_was_changed_differs(results, values):
    change_cell(results, **values)
    assert differing(results) == ["tables/table03: intervals, verdicts and footnotes of its cells, made again"]


def test_a_posterior_that_was_changed_after_the_table_differs(results):
    file = results / "scores" / "D_256_s0" / "dense" / "256" / "posteriors.npy"
    np.save(file, np.load(file)[:, ::-1])
    list_again(file)
    assert "tables/table03: 24 values" in differing(results)
    assert "tables/table03: outcomes of images, made again" in differing(results)


def test_a_claim_that_was_changed_differs(results):
    change_claim(results, verdict="supported", p=0.001)
    (line,) = differing(results)
    assert line.startswith("claims: verdicts of ")


def test_the_gain_of_a_claim_that_was_changed_differs_by_the_definitions(results):
    file = results / "claims" / "claims.json"
    ledger = json.loads(file.read_text())
    next(claim for claim in ledger["claims"] if claim["steps"])["steps"][0]["gain"] += 1
    write_json(file, ledger)
    list_again(file)
    assert len([line for line in differing(results) if line.endswith("gains")]) == 1


def top_1_counted_as_top_5(patch):
    patch.setattr("vggrepro.scores.outcomes.wrong_images", lambda ranks, top: ranks >= 2)


def ties_counted_as_right(patch):
    patch.setattr(
        "vggrepro.scores.stores.true_class_ranks",
        lambda posteriors, labels: np.maximum(
            (posteriors > np.take_along_axis(posteriors, labels[:, None], 1)).sum(1) - 1, 0
        ).astype(np.int32),
    )


@pytest.mark.parametrize("mutation", [top_1_counted_as_top_5, ties_counted_as_right])
def test_another_arithmetic_differs_by_the_definitions(results, mutation):
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        make_table("3", SMOKE, Inputs(results / "scores"), runs=results / "runs", out=results / "tables")
    assert "tables/table03: 24 values" in differing(results)


def values_of(number: str, settings: Settings, results: Path) -> Finding:
    """The finding on the values of a table that is built now."""
    published = settings.table(number)
    table, _ = build_table(published, settings, Inputs(results / published.kind.results))
    cells = [{"cells": [{"value": cell.value} for cell in row.cells]} for row in table.rows]
    (finding,) = recomputed_values(Recomputation(results, settings), published, {"rows": cells})
    return finding


@pytest.fixture
def own(tmp_path) -> Settings:
    """A table of the user's own, of quantities that the paper does not print."""
    return settings_with(folder_with(tmp_path))


def test_quantities_that_the_paper_does_not_print_follow_from_posteriors(own, scores, tmp_path):
    (tmp_path / "scores").symlink_to(scores)
    finding = values_of("mine", own, tmp_path)
    assert (finding.status, finding.what) == ("agrees", "6 values")


@pytest.mark.parametrize(
    ("quantity", "other"),
    [("mean per-class error", lambda answers: float((answers.ranks > 0).mean())), ("ECE", lambda answers: 0.0)],
)
def test_another_arithmetic_of_them_differs(own, scores, tmp_path, monkeypatch, quantity, other):
    (tmp_path / "scores").symlink_to(scores)
    monkeypatch.setitem(measures.MEASURES, quantity, other)
    assert values_of("mine", own, tmp_path).status == "differs"


def test_a_quantity_without_a_second_definition_is_not_recomputed(own, scores, tmp_path, monkeypatch):
    (tmp_path / "scores").symlink_to(scores)
    published = own.table("mine")
    cells = [{"cells": [{"value": 1.0} for _ in published.columns]} for _ in published.rows]
    original = errors.classification_errors
    monkeypatch.setattr(
        recomputation,
        "classification_errors",
        lambda *a, **more: {k: v for k, v in original(*a, **more).items() if k != "ECE"},
    )
    found = recomputed_values(Recomputation(tmp_path, own), published, {"rows": cells})
    assert [finding.status for finding in found] == ["not recomputed", "differs"]


@pytest.mark.parametrize("number", table_numbers("boxes"))
@pytest.mark.parametrize("average", ["pairs", "scores"])
def test_localisation_errors_follow_from_stored_boxes(box_stores, tmp_path, number, average):
    (tmp_path / "boxes").symlink_to(box_stores)
    merge = MergeSettings(average=average, top_k=3, match="distance")
    settings = SMOKE.model_copy(update={"seeds": (0, 1), "merge": merge})
    finding = values_of(number, settings, tmp_path)
    assert finding.status == "agrees"
    assert not finding.what.startswith("0 ")


@pytest.mark.parametrize("number", table_numbers("svms"))
def test_precisions_and_recalls_follow_from_stored_scores(svm_results, number):
    finding = values_of(number, SMOKE, svm_results)
    assert finding.status == "agrees"
    assert not finding.what.startswith("0 ")


def test_another_merging_differs(box_stores, tmp_path, monkeypatch):
    (tmp_path / "boxes").symlink_to(box_stores)
    monkeypatch.setattr(errors, "best_merged_box", lambda boxes, scores, merge: boxes[int(np.argmin(scores))])
    settings = SMOKE.model_copy(update={"seeds": (0, 1)})
    assert values_of("9", settings, tmp_path).status == "differs"


def test_cells_by_a_match_score_without_a_second_definition_are_not_recomputed(box_stores, tmp_path, monkeypatch):
    (tmp_path / "boxes").symlink_to(box_stores)
    settings = SMOKE.model_copy(update={"seeds": (0, 1)})
    published = settings.table("9")
    table, _ = build_table(published, settings, Inputs(tmp_path / "boxes"))
    cells = [{"cells": [{"value": cell.value} for cell in row.cells]} for row in table.rows]
    monkeypatch.delitem(errors.MATCHES, settings.merge.match)
    (missing,) = recomputed_values(Recomputation(tmp_path, settings), published, {"rows": cells})
    assert missing.status == "not recomputed"
    assert settings.merge.match in missing.note
    assert "recompute/errors.py" in missing.note


def test_columns_on_other_labels_and_images_are_recomputed_by_the_definitions(tmp_path):
    settings = load_settings({"smoke": True, "labels": {"Two": "two.json"}, "validation": {"V2": "v2"}})
    folder, rng = audited_results(tmp_path, settings), np.random.default_rng(3)
    labels = read_scores(folder / "scores/A_256_s0/dense/256").labels.tolist()
    sets = [[], *([label, (label + 1) % 10] for label in labels[1:])]
    about = {"name": "Two", "file": "two.json", "digest": "", "data set": ""}
    ids = tuple(map(str, range(len(labels))))
    write_label_sets(LabelSets(folder / "labels/two", label_array(sets), ids, about))
    for evaluation in settings.table("3").evaluations():
        metadata = made_json(evaluation, settings, 20) | {"data": "others", "data set": "others"}
        place = folder / "scores" / on_path(evaluation.path, "v2")
        posteriors = rng.dirichlet(np.ones(10), 20).astype(np.float32)
        write_scores(place, posteriors, np.arange(20) % 10, [f"o{i}" for i in range(20)], metadata)
    finish_runs(folder)
    inputs = Inputs(folder / "scores", labels=(folder / "labels/two",))
    make_table("3", settings, inputs, runs=folder / "runs", out=folder / "tables")
    write_ledger(judge_claims(settings, folder / "tables"), folder / "claims")
    found = list(recomputed_tables(folder, settings))
    assert [finding.line for finding in found if finding.status != "agrees"] == []
    assert "72 values" in {finding.what for finding in found}
