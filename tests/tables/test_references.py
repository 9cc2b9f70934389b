"""Columns of tables on other labels of the same images, and claims judged again on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.judging.test_pipeline import N, audited_results
from tests.oracles.records import made_json
from vggrepro.judging.ledger import judge_claims
from vggrepro.judging.pipeline import make_table
from vggrepro.paper.references import on_path, place_on_path, without_reference
from vggrepro.report.export import cell_records
from vggrepro.scores.label_sets import LabelSets, label_array, write_label_sets
from vggrepro.scores.outcomes import read_outcomes
from vggrepro.scores.stores import read_scores, write_scores
from vggrepro.scores.trainings import trainings_of
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Table, table_sources
from vggrepro.tables.lineage import StoredResult
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import read_table

EMPTY = 4
"""Images without a label."""


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings({"smoke": True, "labels": {"Two": "two.json"}})


@pytest.fixture(scope="module")
def results(tmp_path_factory, settings) -> Path:
    """Table 3 with a column by labels that have the own label and the next class, and none for the first images."""
    folder = audited_results(tmp_path_factory.mktemp("results"), settings)
    labels = read_scores(folder / "scores/A_256_s0/dense/256").labels.tolist()
    sets = [[], [], [], [], *([label, (label + 1) % 10] for label in labels[EMPTY:])]
    write_sets(folder / "labels/two", sets)
    make(folder, settings, folder / "labels/two")
    return folder


def write_sets(folder: Path, sets: list[list[int]], ids: tuple[str, ...] = tuple(map(str, range(N)))) -> None:
    about = {"name": "Two", "file": "two.json", "digest": "0" * 64, "data set": "the stand-in"}
    write_label_sets(LabelSets(folder, label_array(sets), ids, about))


def make(folder: Path, settings: Settings, *labels: Path) -> Table:
    inputs = Inputs(folder / "scores", labels=labels)
    make_table("3", settings, inputs, runs=folder / "runs", out=folder / "tables")
    return read_table(folder / "tables/table03.json")


def test_a_column_by_other_labels_counts_the_images_that_have_one(results, settings):
    table = read_table(results / "tables/table03.json")
    assert table.columns[2:] == ("top-1 error (%), Two", "top-5 error (%), Two")
    store = read_scores(results / "scores/A_256_s0/dense/256")
    order = np.argsort(-store.posteriors, 1, kind="stable")
    for k, cell in ((1, table.rows[0].cells[2]), (5, table.rows[0].cells[3])):
        right = [
            bool({label, (label + 1) % 10} & set(row[:k].tolist()))
            for row, label in zip(order[EMPTY:], store.labels[EMPTY:].tolist(), strict=True)
        ]
        assert (cell.n, cell.value) == (N - EMPTY, pytest.approx(100 * (1 - np.mean(right))))
        # nothing of the paper's is beside it
        assert (cell.status, cell.published, cell.delta, cell.verdict) == ("measured", "-", None, "")
    assert any(note.startswith("Two: labels from two.json") and "36 of 40" in note for note in table.notes)


def test_the_columns_of_the_paper_are_the_same_with_other_labels_beside_them(results, tmp_path):
    plain = load_settings({"smoke": True})
    alone = make(audited_results(tmp_path, plain), plain)
    beside = read_table(results / "tables/table03.json")
    assert [row.cells for row in alone.rows] == [row.cells[:2] for row in beside.rows]
    assert alone.footnotes == beside.footnotes


def test_outcomes_are_kept_on_the_images_of_the_reference(results):
    entries = read_outcomes(results / "tables/table03.npz").entries
    by_quantity = {entry.quantity: entry.outcome for entry in entries}
    assert list(by_quantity) == ["top-1", "top-5", "top-1 on Two", "top-5 on Two"]
    assert [outcome.n for outcome in by_quantity.values()] == [N, N, N - EMPTY, N - EMPTY]
    assert by_quantity["top-1"].images != by_quantity["top-1 on Two"].images == by_quantity["top-5 on Two"].images


def test_claims_are_judged_again_on_the_images_of_the_reference(results, settings, tmp_path):
    ledger = judge_claims(settings, results / "tables")
    again = {claim.same_as: claim for claim in ledger.claims if claim.reference == "Two"}
    first = {claim.id: claim for claim in ledger.claims if not claim.reference}
    assert again["depth-overall"].steps[0].n == N - EMPTY
    assert first["depth-overall"].steps[0].n == N
    assert again["depth-overall"].margin == first["depth-overall"].margin
    outcomes = {
        (entry.row["net"], entry.row["S"]): entry.outcome.wrong.mean()
        for entry in read_outcomes(results / "tables/table03.npz").entries
        if entry.quantity == "top-1 on Two"
    }
    gain = 100 * (outcomes["A", "256"] - outcomes["E", "256"])
    assert again["depth-overall"].steps[0].gain == pytest.approx(gain)
    # Holm's family of the paper is what it is without other labels
    plain = load_settings({"smoke": True})
    alone = judge_claims(plain, audited_with_table(tmp_path, plain))
    assert alone.claims == tuple(claim for claim in ledger.claims if not claim.reference)
    assert alone.tested == ledger.tested


def audited_with_table(folder: Path, settings: Settings) -> Path:
    make(audited_results(folder, settings), settings)
    return folder / "tables"


def test_footnotes_and_exported_data_reach_the_column(results, settings, tmp_path):
    departing = load_settings({"smoke": True, "labels": {"Two": "two.json"}, "train": {"flip": False}})
    folder = audited_results(tmp_path, departing)
    write_sets(folder / "labels/two", [[1]] * N)
    cells = make(folder, departing, folder / "labels/two").rows[0].cells
    assert cells[0].footnotes == cells[2].footnotes
    table = read_table(results / "tables/table03.json")
    made = {"made": {"commit": ""}}
    stored = {
        source.path: StoredResult(source.path, made)
        for sources in table_sources(table, settings.table("3"), (0,)).values()
        for source in sources
    }
    records = cell_records(settings, [table], stored)
    assert [(r.column, r.quantity, r.split, r.n, r.paper_value) for r in records[2:4]] == [
        ("top-1 error (%), Two", "top-1 on Two", "Two", N - EMPTY, None),
        ("top-5 error (%), Two", "top-5 on Two", "Two", N - EMPTY, None),
    ]


def test_labels_of_other_images_measure_nothing_and_say_so(settings, tmp_path):
    folder = audited_results(tmp_path, settings)
    write_sets(tmp_path / "labels/two", [[1]], ("another",))
    table = make(folder, settings, tmp_path / "labels/two")
    assert {row.cells[2].status for row in table.rows} == {"not run"}
    assert "Two: has no labels of the images of ours, which are not measured by it." in table.notes


def test_labels_that_the_settings_do_not_name_are_refused(results, tmp_path):
    with pytest.raises(ValueError, match="two: the settings name no labels 'Two'"):
        make(results, load_settings({"smoke": True}), results / "labels/two")


def test_a_reference_that_was_not_read_is_not_run(settings, tmp_path):
    table = make(audited_results(tmp_path, settings), settings)
    assert {row.cells[2].status for row in table.rows} == {"not run"}


@pytest.mark.parametrize("name", ["top-1 on ReaL", "val", "a/b", "a,b", "-a", ""])
def test_a_name_that_columns_and_folders_cannot_have_is_refused(name):
    with pytest.raises(ValueError, match="labels"):
        load_settings({"labels": {name: "real.json"}})


def test_names_that_share_a_folder_are_refused():
    with pytest.raises(
        ValueError, match="labels, validation: expected names that differ in a letter or a digit, got ReaL and real"
    ):
        load_settings({"labels": {"ReaL": "a.json", "real": "b.json"}})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> tuple[Path, Settings]:
    """Table 3 on the validation images, and on 25 others."""
    settings = load_settings({"smoke": True, "validation": {"V 2": "v2"}})
    folder = audited_results(tmp_path_factory.mktemp("elsewhere"), settings)
    rng = np.random.default_rng(2)
    labels, ids = rng.integers(0, 10, 25), [f"other {i}" for i in range(25)]
    for evaluation in settings.table("3").evaluations():
        posteriors = rng.dirichlet(np.ones(10), 25).astype(np.float32)
        metadata = made_json(evaluation, settings, 25) | {"data": "others", "data set": "imagenetv2-top-images"}
        write_scores(folder / "scores" / on_path(evaluation.path, "v-2"), posteriors, labels, ids, metadata)
    make(folder, settings)
    return folder, settings


def test_a_column_on_other_images_is_of_the_same_nets_on_those(elsewhere):
    folder, settings = elsewhere
    table = read_table(folder / "tables/table03.json")
    assert table.columns[2:] == ("top-1 error (%), V 2", "top-5 error (%), V 2")
    for row, published in zip(table.rows, settings.table("3").rows, strict=True):
        path = published.system[0][0].path
        store = read_scores(folder / "scores" / on_path(path, "v-2"))
        assert row.cells[2].value == pytest.approx(100 * (store.posteriors.argmax(1) != store.labels).mean())
        assert (row.cells[0].n, row.cells[2].n, row.cells[2].verdict) == (N, 25, "")
        assert row.cells[2].sources == (on_path(path, "v-2"),)
    sources = table_sources(table, settings.table("3"), (0,))
    assert [source.path for source in sources[0, 2]] == ["scores/A_256_s0@v-2/dense/256"]
    assert any(
        note.startswith("V 2: imagenetv2-top-images, 25 other images of the same 10 classes") for note in table.notes
    )


def test_a_fusion_that_begins_with_an_imported_system_is_of_the_same_other_images():
    theirs = {"file": "t.npy", "elsewhere": {"V 2": "t2.npy"}}
    settings = load_settings({
        "smoke": True, "devkit": {"folder": "d"}, "validation": {"V 2": "v2"}, "imported": {"Theirs": theirs},
        "fusions": {"both": "Theirs + D/256/256"},
    })  # fmt: skip
    published = settings.table("7")
    read = {"both": ("imported/theirs@v-2", "D_256_s0@v-2/dense/256")}
    cells = [
        SimpleNamespace(cells=[SimpleNamespace(sources=read.get(row.keys["method"], ()))]) for row in published.rows
    ]
    (sources,) = table_sources(SimpleNamespace(all_rows=cells), published, (0,)).values()
    assert {source.path for source in sources} == {f"scores/{path}" for path in read["both"]}


def test_claims_on_other_images_are_of_their_number_and_of_the_same_trainings(elsewhere):
    folder, settings = elsewhere
    again = {c.same_as: c for c in judge_claims(settings, folder / "tables").claims if c.reference == "V 2"}
    step = again["depth-overall"].steps[0]
    assert step.n == 25
    assert "it is assumed that trainings differ" in step.trainings
    outcomes = [e.outcome for e in read_outcomes(folder / "tables/table03.npz").entries if e.row["net"] == "A"]
    assert len({tuple(trainings_of(outcome)) for outcome in outcomes}) == 1


def test_scores_of_other_images_by_other_weights_stop_the_table(elsewhere, tmp_path):
    folder, settings = elsewhere
    copy = shutil.copytree(folder, tmp_path / "copy")
    place = copy / "scores/E_256_s0@v-2/dense/256"
    store = read_scores(place)
    posteriors, metadata = np.array(store.posteriors), store.metadata | {"weights": "another net"}
    shutil.rmtree(place)
    write_scores(place, posteriors, store.labels, list(store.ids), metadata)
    with pytest.raises(ValueError, match=r"E_256_s0@v-2.*weights"):
        make(copy, settings)


@pytest.mark.parametrize(
    "path",
    ["D_256_s0/dense/256", "D_256_s0/dense", "imported/my-net", "E_256-512_s0_fc/multi-crop/384"],
)
def test_a_path_on_other_images_names_the_same_result(path):
    there = on_path(path, "v2")
    assert there.count("@v2") == 1
    assert (without_reference(there), on_path(path, "")) == (path, path)
    assert (place_on_path(there), place_on_path(path)) == ("v2", "")
    assert there.split("/")[0 if not path.startswith("imported/") else 1].endswith("@v2")


def test_a_system_that_names_other_images_which_are_not_given_is_refused():
    imported = {"X": {"file": "x.npy", "elsewhere": {"V3": "x3.npy"}}}
    with pytest.raises(ValueError, match=r"imported.X.elsewhere: validation has no 'V3' \(did you mean 'V2'\?\)"):
        load_settings({"imported": imported, "devkit": {"folder": "d"}, "validation": {"V2": "v2"}})
