"""The schedule of the learning rate, and what is recorded of epochs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.objectives import Loss
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.progress import TrainingProgress, metrics_csv
from vggrepro.training.schedule import Schedule


def loss(value: float, wrong: int, counted: int) -> Loss:
    return Loss(torch.tensor(value), torch.tensor(wrong), torch.tensor(counted))


def progressed() -> TrainingProgress:
    """After an epoch, in the middle of the second."""
    progress = TrainingProgress(Schedule(TrainSettings()))
    progress.add(loss(0.1, 1, 2), 2)
    progress.end_epoch({"epoch": 1.0}, accuracy=0.25)
    progress.add(loss(0.3, 3, 4), 4)
    progress.add(loss(0.7, 1, 2), 3)
    return progress


def test_the_means_of_an_epoch_are_over_the_images_that_count():
    epoch = progressed().epoch
    epoch.seconds = 2.0
    expected = {"loss": 1.0 / 6, "train_top1": 4 / 6, "seconds": 2.0, "images_per_s": 3.5}
    assert epoch.row(ALONE, run="A_256_s0", error="top1") == pytest.approx(expected)


def test_an_epoch_without_a_box_that_counts_is_refused():
    progress = TrainingProgress(Schedule(TrainSettings()))
    progress.add(loss(0.0, 0, 0), 16)
    with pytest.raises(
        ValueError, match="A_256_pcr_s0: no crop of epoch 1 held enough of a box: lower boxes.min_inside"
    ):
        progress.epoch.row(ALONE, run="A_256_pcr_s0", error="localisation")


def test_progress_comes_back_from_json_to_the_last_bit():
    before = progressed()
    values = json.loads(json.dumps(before.as_json(ALONE)))
    after = TrainingProgress.from_json(values, TrainSettings(), ALONE, None)
    assert after.as_json(ALONE) == before.as_json(ALONE)
    assert torch.equal(after.epoch.sums, before.epoch.sums)
    assert (after.iteration, after.schedule.best, after.epoch.epoch) == (3, 0.25, 2)


def test_only_the_main_process_goes_on_with_the_sums_of_all():
    values = progressed().as_json(ALONE)
    other = TrainingProgress.from_json(values, TrainSettings(), ProcessGroup(rank=1), None)
    assert other.epoch.sums.tolist() == [0, 0, 0]
    assert other.epoch.seen == 7


@pytest.mark.parametrize("damage", [{"iteration": None}, {"part": {"batch": 1}}, {"schedule": {"steps": 1}}])
def test_a_checkpoint_of_another_format_is_refused(damage):
    values = progressed().as_json(ALONE) | damage
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(ValueError, match="/x/state: a checkpoint of another version of vggrepro .*delete the folder"):
        TrainingProgress.from_json(values, TrainSettings(), ALONE, Path("/x/state"))


def test_metrics_have_a_line_per_epoch_in_a_fixed_order():
    row = {"seconds": 2.0, "val_top1": 0.5, "train_top1": 0.25, "loss": 1 / 3, "epoch": 1, "images_per_s": 80.0}
    assert metrics_csv([row]) == "epoch,loss,train_top1,val_top1,images_per_s,seconds\n1,0.333333,0.25,0.5,80,2\n"
