"""Box stores: what comes back from disk, and the boxes that are merged from one store or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.box_stores import random_boxes
from vggrepro.data.store import Store
from vggrepro.localisation.errors import missed_images
from vggrepro.localisation.stores import ARRAY_FILES, box_store_of, merged_label_boxes, read_boxes, write_boxes
from vggrepro.settings.blocks import MergeSettings


@pytest.fixture(scope="module")
def val(stores) -> Store:
    return Store(stores[1])


def test_a_store_comes_back_and_damage_is_named(val, tmp_path):
    store = random_boxes(val, 3)
    write_boxes(tmp_path / "s", store, {"run": "x"})
    back = read_boxes(tmp_path / "s")
    assert all(np.array_equal(getattr(back, name), getattr(store, name)) for name in ARRAY_FILES)
    assert (back.ids, back.metadata) == (store.ids, {"run": "x"})
    np.save(tmp_path / "s" / "scores.npy", store.scores[:-1])
    with pytest.raises(ValueError, match="scores.npy: damaged .*predict the boxes again"):
        read_boxes(tmp_path / "s")
    (tmp_path / "s" / "boxes.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="boxes.npy: damaged .*predict the boxes again"):
        read_boxes(tmp_path / "s")


def test_a_store_in_the_folder_that_one_is_in_is_checked_like_any_other(val, tmp_path, monkeypatch):
    write_boxes(tmp_path / "s", random_boxes(val, 3), {"run": "x"})
    monkeypatch.chdir(tmp_path / "s")
    data = bytearray(Path("boxes.npy").read_bytes())
    data[-1] ^= 1
    Path("boxes.npy").write_bytes(data)
    with pytest.raises(ValueError, match="boxes.npy: damaged .*predict the boxes again"):
        read_boxes(Path()).candidates(len(val) - 1, 0, None)


def test_boxes_that_are_not_finite_are_refused(val):
    predictions = [(np.zeros((1, 5, 4), np.float32), np.ones((1, 5), np.float32)) for _ in range(len(val))]
    predictions[2][0][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=f"the boxes of {val.ids[2]} are not finite"):
        box_store_of(val, predictions, box_labels=np.zeros((len(val), 5), np.int64))


def test_top_k_takes_the_best_locations_of_each_store(val):
    store = random_boxes(val, 2)
    boxes, scores = store.candidates(3, 1, 2)
    locations = slice(store.offsets[3], store.offsets[4])
    best = np.sort(np.argsort(-store.scores[locations, 1])[:2])
    assert np.array_equal(boxes, store.boxes[locations, 1][best])
    assert np.array_equal(scores, store.scores[locations, 1][best])
    assert len(store.candidates(3, 1, 999)[0]) == len(store.candidates(3, 1, None)[0])


def test_all_thresholds_are_computed_in_one_pass(val):
    store, thresholds = random_boxes(val, 1), (0.1, 0.5, 0.83, 2.0)
    together = merged_label_boxes([store], MergeSettings(), thresholds=thresholds)
    alone = [merged_label_boxes([store], MergeSettings(threshold=threshold))[0] for threshold in thresholds]
    assert np.array_equal(together, alone)
    assert np.array_equal(missed_images(store, together), [missed_images(store, boxes) for boxes in alone])


def test_boxes_of_several_stores_are_one_set(val):
    a, b = random_boxes(val, 0), random_boxes(val, 1)
    predictions = []
    for i in range(len(val)):
        parts = [(s.boxes[s.offsets[i] : s.offsets[i + 1]], s.scores[s.offsets[i] : s.offsets[i + 1]]) for s in (a, b)]
        predictions.append(tuple(np.concatenate(column) for column in zip(*parts, strict=True)))
    both = box_store_of(val, predictions, box_labels=a.box_labels)
    merged = merged_label_boxes([a, b], MergeSettings())
    assert np.array_equal(merged, merged_label_boxes([both], MergeSettings()))
    assert np.array_equal(merged, merged_label_boxes([a, b], MergeSettings(), workers=3))


def test_stores_of_other_labels_do_not_mix(val):
    a, b = random_boxes(val, 0), random_boxes(val, 0)
    b.box_labels[0, 0] += 1
    with pytest.raises(ValueError, match="different images, truth or labels"):
        merged_label_boxes([a, b], MergeSettings())
