"""The labels that boxes are predicted for are the five best of the best classification system."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conftest import list_again
from vggrepro.data.store import Store
from vggrepro.localisation.top5_labels import labelling_weights, read_top5_labels, write_top5_labels
from vggrepro.paper.tables import best_classification


def test_labels_are_the_five_best_of_the_fused_system(stores, best_scores, tmp_path):
    write_top5_labels(best_scores, seed=0, out=tmp_path / "labels")
    fused = sum(
        np.load(best_scores / e.path / "posteriors.npy").astype(np.float64) * float(weight)
        for e, weight in best_classification()
    )
    best = [sorted(range(10), key=lambda c, row=row: (-row[c], c))[:5] for row in fused]
    assert read_top5_labels(tmp_path / "labels", Store(stores[1])).tolist() == best
    assert labelling_weights(tmp_path / "labels") == {e.path: f"of {e.run.name}" for e, _ in best_classification()}


def test_labels_of_other_images_are_refused(stores, best_scores, tmp_path):
    write_top5_labels(best_scores, seed=0, out=tmp_path / "labels")
    with pytest.raises(ValueError, match="labels of other images"):
        read_top5_labels(tmp_path / "labels", Store(stores[0]))


def test_older_labels_do_not_say_which_weights_they_are_of_and_are_read(stores, best_scores, tmp_path):
    write_top5_labels(best_scores, seed=0, out=tmp_path / "labels")
    record = tmp_path / "labels/made.json"
    about = json.loads(record.read_text())
    del about["labelled by"]
    record.write_text(json.dumps(about))
    list_again(record)
    assert labelling_weights(tmp_path / "labels") == {}
    assert len(read_top5_labels(tmp_path / "labels", Store(stores[1])))
