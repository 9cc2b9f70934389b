"""A run begins with the data, settings and weights that are its own."""

from __future__ import annotations

import pytest

from tests.conftest import prepared, small
from tests.training.helpers import trained
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.training.initial import check_boxes, load_initial_weights, open_stores


@pytest.fixture(scope="module")
def weights_of_a(stores, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any name")
    trained(Run("A", "256"), small(), stores, folder)
    return folder / "weights.safetensors"


def test_a_run_that_goes_on_from_another_needs_its_weights():
    with pytest.raises(ValueError, match="D_384_s0 is initialised from D_256_s0: give its weights with --parent"):
        load_initial_weights(Run("D", "384"), None)
    assert load_initial_weights(Run("D", "256"), None) is None, "random weights do without A (section 3.1)"


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (Run("D", "384"), "D_256_s0"),
        (Run("A-LRN", "256"), "random weights"),
        (Run("D", "256", seed=1), "A_256_s1"),
    ],
)
def test_only_the_papers_parent_will_do(weights_of_a, run, expected):
    with pytest.raises(ValueError, match=f"holds A_256_s0, but {run.name} begins with {expected}"):
        load_initial_weights(run, weights_of_a)


def test_weights_are_known_by_what_they_hold_not_by_their_folder(weights_of_a):
    assert load_initial_weights(Run("D", "256"), weights_of_a).run == Run("A", "256")


@pytest.mark.parametrize(("run", "boxes"), [(Run("D", "256"), BoxTargets()), (Run("D", "256", objective="PCR"), None)])
def test_settings_of_boxes_belong_to_runs_that_predict_them(run, boxes):
    settings = small().model_copy(update={"boxes": boxes})
    with pytest.raises(ValueError, match=f"{run.name}: the settings of a run for {run.objective} (need|have no) boxes"):
        check_boxes(run, settings)


def test_stores_of_different_classes_are_refused(stores, tmp_path):
    _, val = prepared(tmp_path, classes=3, per_class=(1, 1))
    with pytest.raises(ValueError, match="have different classes: prepare them again, together"):
        open_stores(Run("A", "256"), stores[0], val)
