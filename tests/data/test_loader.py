"""Batches: the right pixels, whatever the number of workers."""

from __future__ import annotations

import numpy as np
import torch

from vggrepro.data.loader import Batches
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, training_crop


def batches(store: Store, workers: int) -> Batches:
    draws = Draws.of(0, 1, len(store), (64, 96))
    return Batches(store, draws, batch=24, crop=56, flip=True, colour_std=0.1, workers=workers)


def test_workers_change_nothing(stores):
    store = Store(stores[0])
    alone, many = list(batches(store, 0)), list(batches(store, 3))
    assert [len(labels) for _, labels, _ in alone] == [24] * 6 + [16]
    for (a, x, _), (b, y, _) in zip(alone, many, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)


def test_a_batch_is_its_crops_less_the_mean_plus_the_shift(stores):
    store = Store(stores[0])
    made = batches(store, 0)
    images, labels, _ = next(iter(made))
    shift = colour_shift(made.draws.alpha, store.colours, 0.1)
    for image, label, i in zip(images, labels, made.draws.order[:24], strict=True):
        crop = training_crop(store.image(i), made.draws, i, 56).astype(np.float64)
        expected = crop - np.array(store.colours.mean) + shift[i]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-3)
        assert label == store.labels[i]


def test_batches_are_channels_last(stores):
    images, _, _ = next(iter(batches(Store(stores[0]), 0)))
    assert images.is_contiguous(memory_format=torch.channels_last)
