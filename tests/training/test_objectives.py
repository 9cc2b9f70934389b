"""The losses of classes and boxes, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import small
from tests.training.helpers import build
from vggrepro.data.boxes import from_vectors, iou
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets, TrainSettings
from vggrepro.training import objectives
from vggrepro.training.loader import Batch, Batches
from vggrepro.training.processes import ALONE
from vggrepro.training.train import run_epochs

NONE = torch.empty(2, 0)
BLANK = torch.empty(2, 1, 1, 3, dtype=torch.uint8), torch.empty(2, 3)


def batch(labels: list[int], targets: list[list[float]]) -> Batch:
    return Batch(*BLANK, torch.tensor(labels), torch.tensor(targets))


def test_class_loss_is_cross_entropy_and_counts_wrong_answers():
    outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    loss = objectives.class_loss(outputs, Batch(*BLANK, torch.tensor([0, 0]), NONE))
    assert loss.counted == 2
    expected = np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1))
    assert (float(loss.sum), int(loss.wrong)) == (pytest.approx(expected), 1)
    assert float(loss.mean) == pytest.approx(expected / 2)


def test_box_loss_is_half_the_squared_distance_of_the_true_classes_box():
    outputs = torch.tensor([[0.0, 0, 1, 1, 9, 9, 9, 9], [9.0, 9, 9, 9, 0.5, 0, 1, 2]], requires_grad=True)
    loss = objectives.box_loss(outputs, batch([0, 1], [[0, 0, 1, 1], [0, 0, 1, 1]]))
    assert loss.mean.item() == pytest.approx((0.5**2 + 1**2) / 2 / 2)
    assert int(loss.wrong) == 1  # half of a box twice as high: IoU 0.2
    loss.mean.backward()
    assert outputs.grad.tolist() == [[0.0] * 8, [0, 0, 0, 0, 0.25, 0, 0, 0.5]]


def test_one_box_serves_all_classes():
    outputs = torch.tensor([[0.1, 0.0, 1.0, 1.0]])
    for label in (0, 7):
        assert float(objectives.box_loss(outputs, batch([label], [[0, 0, 1, 1]]))[0]) == pytest.approx(0.005)


@pytest.mark.parametrize(("loss", "outputs"), [(objectives.class_loss, 3), (objectives.box_loss, 12)])
def test_a_loss_stays_on_the_device_of_the_net(loss, outputs):
    """On a GPU sums of a mixture of devices stop a training; torch's device without memory shows it anywhere."""
    meta = {"device": "meta"}
    labels, targets = torch.zeros(2, dtype=int, **meta), torch.empty(2, 4, **meta)
    parts = loss(torch.empty(2, outputs, **meta), Batch(*BLANK, labels, targets))
    assert {tensor.device.type for tensor in parts} == {"meta"}


def test_boxes_that_do_not_count_change_nothing():
    nan = float("nan")
    outputs = torch.tensor([[0.5, 0.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    loss, wrong, counted = objectives.box_loss(outputs, batch([0, 0], [[0, 0, 1, 1], [nan] * 4]))
    loss.backward()
    assert (loss.item(), int(wrong), int(counted)) == (pytest.approx(0.125), 1, 1)
    assert outputs.grad[1].tolist() == [0.0] * 4
    nothing, _, _ = objectives.box_loss(outputs, batch([0, 0], [[nan] * 4] * 2))
    assert nothing.item() == 0


@pytest.mark.trains
def test_images_that_do_not_count_are_in_no_denominator(stores):
    """Where a box must lie in the crop whole, few do: mean loss and error are over them."""
    settings = small().model_copy(update={"boxes": BoxTargets(min_inside=1.0)})
    run = Run("D", "256", "all", 0, "SCR")
    training = build(run, settings, stores)
    counted = sum(batch.counted for batch in training.loader.batches(1))
    assert 0 < counted < len(training.train)
    with torch.no_grad():
        for parameter in training.net.parameters():
            parameter.zero_()
    training.optimiser.learning_rate = 0.0
    squares = 0.0
    for batch in training.loader.batches(1):
        training.step(batch)
        squares += float((batch.targets.nan_to_num() ** 2).sum())
    training.progress.epoch.seconds = 1.0
    row = training.progress.epoch.row(ALONE, run=run.name, error="localisation")
    assert row["loss"] == pytest.approx(squares / 2 / counted, rel=1e-5)
    assert row["train_localisation"] == 1.0


def test_overlap_of_vectors_is_that_of_their_boxes():
    rng = np.random.default_rng(0)
    a, b = (np.concatenate([rng.normal(0, 0.2, (50, 2)), rng.uniform(0.2, 1, (50, 2))], 1) for _ in "ab")
    side = 10_000  # so large that a pixel more or less does not matter
    boxes = [from_vectors(v, np.ones(2), np.zeros(2), side) for v in (a, b)]
    ious = objectives.vector_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(ious, iou(*boxes), atol=1e-3)
    assert float(objectives.vector_iou(torch.tensor([0.0, 0, -1, 1]), torch.tensor([0.0, 0, 1, 1]))) == 0


def test_images_without_a_box_are_not_seen(stores):
    store = Store(stores[0])
    store._boxes = store._boxes[20:]  # the first twenty images lose theirs
    store._first_box = np.searchsorted(store._boxes[:, 0], np.arange(len(store) + 1))
    draws = Draws.for_epoch(0, 1, len(store), (64, 64))
    batches = Batches(store, draws, train=TrainSettings(batch=16), crop=56, workers=0, boxes=BoxTargets())
    assert sorted(batches.order) == list(range(20, len(store)))
    assert sum(len(b.labels) for b in batches) == len(store) - 20
    assert all(b.targets.shape == (len(b.labels), 4) for b in batches)
    store._first_box[:] = 0
    with pytest.raises(ValueError, match="no training image has a box"):
        Batches(store, draws, train=TrainSettings(batch=16), crop=56, workers=0, boxes=BoxTargets())


@pytest.mark.trains
@pytest.mark.parametrize("objective", ["SCR", "PCR"])
def test_boxes_are_learnt_in_a_few_steps(stores, tmp_path, objective):
    """A random net fits the boxes of 160 images better and better."""
    settings = small(learning_rate=0.01, epochs=5, drop_epochs=()).model_copy(update={"boxes": BoxTargets()})
    training = build(Run("D", "256", objective=objective), settings, stores)
    run_epochs(training, tmp_path)
    first, *_, last = training.progress.rows
    assert last["loss"] < 0.5 * first["loss"]
    assert last["train_localisation"] < first["train_localisation"]
