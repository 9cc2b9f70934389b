"""Crops that are cut on the device are those that are cut from files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import prepared, real, small
from tests.training.helpers import CPU, build, losses
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, rescaled_size, rescaled_sizes
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets, TrainSettings
from vggrepro.training.loader import Batches
from vggrepro.training.resident import ResidentImages


def first_batches(store: Store, S: tuple[int, int], batch: int = 64):
    """The first batch of an epoch, from files and from resident images."""
    draws = Draws.for_epoch(3, 1, len(store), S)
    options = {"train": TrainSettings(batch=batch), "crop": 56, "workers": 0, "boxes": BoxTargets()}
    return (next(iter(Batches(store, draws, **options, resident=r))) for r in (None, ResidentImages(store, CPU, 2)))


@pytest.mark.parametrize("S", [(64, 64), (96, 96), (64, 128)])
def test_crops_are_within_a_level_of_those_from_files(stores, S):
    expected, resident = first_batches(Store(stores[0]), S)
    difference = (expected.images() - resident.images()).abs()
    assert difference.max() <= (1e-3 if S == (64, 64) else 1.01)
    assert torch.equal(expected.labels, resident.labels)
    assert torch.equal(expected.targets, resident.targets)
    assert resident.pixels.is_contiguous()


def test_real_images_too(tmp_path):
    folders = prepared(tmp_path, "tiny-imagenet", real("tiny-imagenet-100.zip"), classes=3, per_class=(40, 5))
    expected, resident = first_batches(Store(folders[0]), (64, 128), batch=120)
    difference = (expected.images() - resident.images()).abs()
    assert difference.max() <= 1.01
    assert difference.mean() < 0.2


def test_images_are_not_made_smaller(stores):
    store = Store(stores[0])
    with pytest.raises(ValueError, match="S = 56 px is below their 64 px"):
        ResidentImages(store, CPU).crops(np.arange(4), Draws.for_epoch(0, 1, len(store), (56, 56)), 56, flip=True)


def test_images_of_different_sizes_are_refused(stores):
    store = Store(stores[0])
    store.index = store.index.copy()
    store.index["height"][3] = 32
    with pytest.raises(ValueError, match="for original images of one size, there are 2"):
        ResidentImages(store, CPU)


def test_a_training_learns_the_same_from_them(stores):
    """The losses of ten steps, where S = 256 stands for the side of the images: pixels are equal to the bit."""
    from_files, on_device = (
        losses(build(Run("A", "256"), small(scale_unit=8, on_device=where), stores), 10) for where in (False, True)
    )
    assert on_device == pytest.approx(from_files, rel=1e-4)


def test_sizes_of_many_are_those_of_one():
    rng = np.random.default_rng(0)
    sizes, smallest = rng.integers(1, 4000, (500, 2)), rng.integers(1, 600, 500)
    expected = [rescaled_size(h, w, s) for (h, w), s in zip(sizes.tolist(), smallest.tolist(), strict=True)]
    assert rescaled_sizes(sizes, smallest).tolist() == [list(size) for size in expected]
