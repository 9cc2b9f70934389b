"""Tables 8 to 10 from made-up boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_tables import judged_table
from vggrepro.data.devkit import Guess, Truth
from vggrepro.data.store import Store
from vggrepro.localisation.errors import count_errors
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, read_boxes, write_boxes
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_localisation, published_table, table_evaluations
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings


@pytest.fixture(scope="module")
def two_seeds() -> Settings:
    return load_settings({"smoke": True, "seeds": [0, 1]})


def devkit_error(stores: list[BoxStore], val: Store, merge: MergeSettings) -> float:
    """The slow way, in per cent: the boxes of all five labels of every image, judged one by one as the devkit does."""
    boxes = merged_label_boxes(stores, merge)[0]
    true_boxes = tuple(val.boxes(i).astype(np.int64) for i in range(len(val)))
    truth = Truth({}, val.labels, true_boxes, np.zeros(len(val), bool))
    guesses = [Guess(tuple(a.tolist()), b) for a, b in zip(stores[0].box_labels, boxes, strict=True)]
    return 100 * count_errors(truth, guesses).localisation / len(val)


def test_table_8_is_the_error_of_the_true_classes_box(box_stores, stores, two_seeds):
    val, table = Store(stores[1]), judged_table("8", two_seeds, box_stores)
    for row, published in zip(table.rows, published_table("8").rows, strict=True):
        crops = [read_boxes(box_stores / e.path) for s in (0, 1) for e, _ in with_seed(published.system, s)]
        assert all(len(store.boxes) == len(val) for store in crops)
        errors = [devkit_error([store], val, two_seeds.merge) for store in crops]
        assert row.cells[0].value == pytest.approx(np.mean(errors))
        assert (row.cells[0].n, row.cells[0].seeds) == (len(val), 2)


def test_table_9_is_judged_as_the_devkit_does(box_stores, stores, two_seeds):
    val, table = Store(stores[1]), judged_table("9", two_seeds, box_stores, workers=2)
    for row, published in zip(table.rows, published_table("9").rows, strict=True):
        errors = []
        for seed in (0, 1):
            union = [read_boxes(box_stores / e.path) for e, _ in with_seed(published.system, seed)]
            errors.append(devkit_error(union, val, two_seeds.merge))
        assert row.cells[0].value == pytest.approx(np.mean(errors))
        assert row.cells[1].status == "withheld"


def test_table_10_repeats_the_fusion_of_table_9(box_stores, two_seeds):
    nine, ten = (judged_table(number, two_seeds, box_stores) for number in ("9", "10"))
    printed = [row.keys["systems"] for row in published_table("9").rows]
    fused = nine.rows[printed.index(best_localisation())]
    measured = [row for row in ten.rows if row.cells[0].status == "measured"]
    assert [(row.keys, row.cells[0].value) for row in measured] == [(("VGG",), fused.cells[0].value)]


def write_one_store(box_stores: Path, out: Path, counted_from: int = 0, **metadata: str) -> BoxStore:
    """A folder with one evaluation of Table 9 alone."""
    e = table_evaluations("9")[0]
    store = read_boxes(box_stores / e.path)
    store.counted[:counted_from] = False
    write_boxes(out / e.path, store, store.metadata | metadata)
    return store


def test_blacklisted_images_are_out_of_the_denominator_and_a_note_counts_them(box_stores, smoke, tmp_path):
    store = write_one_store(box_stores, tmp_path, counted_from=10)
    table = judged_table("9", smoke, tmp_path)
    assert table.rows[0].cells[0].n == len(store) - 10
    assert "10 blacklisted images are left out of the localisation error." in table.notes
    assert [row.cells[0].status for row in table.rows] == ["measured", "not run", "not run", "not run"]


def test_a_note_says_where_ilsvrc_has_no_blacklist(box_stores, smoke, tmp_path):
    write_one_store(box_stores, tmp_path, **{"data set": "ILSVRC-2012"})
    notes = judged_table("9", smoke, tmp_path).notes
    assert any("came without ILSVRC's blacklist" in note for note in notes)


def test_localisation_that_is_switched_off_opens_nothing(box_stores):
    table = judged_table("9", load_settings({"smoke": True, "localisation": False}), box_stores)
    assert {row.cells[0].status for row in table.rows} == {"not run"}
    assert "localisation is switched off" in table.notes[0]
