"""Batches: the right pixels, whatever the number of workers."""

from __future__ import annotations

import numpy as np
import torch

from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, training_crop
from vggrepro.settings.blocks import BoxTargets, TrainSettings
from vggrepro.training.loader import Batch, Batches
from vggrepro.training.processes import ALONE, ProcessGroup


def batches(store: Store, workers: int) -> Batches:
    draws = Draws.for_epoch(0, 1, len(store), (64, 96))
    return Batches(store, draws, train=TrainSettings(batch=24), crop=56, workers=workers)


def test_workers_change_nothing(stores):
    store = Store(stores[0])
    alone, many = list(batches(store, 0)), list(batches(store, 3))
    assert [len(batch.labels) for batch in alone] == [24] * 6 + [16]
    for a, b in zip(alone, many, strict=True):
        assert torch.equal(a.images(), b.images())
        assert torch.equal(a.labels, b.labels)


def test_a_batch_is_its_crops_less_the_mean_plus_the_shift(stores):
    store = Store(stores[0])
    epoch = batches(store, 0)
    batch = next(iter(epoch))
    shift = colour_shift(epoch.draws.alpha, store.colours, 0.1)
    for image, label, i in zip(batch.images(), batch.labels, epoch.draws.order[:24], strict=True):
        crop = training_crop(store.image(i), epoch.draws, i, 56).astype(np.float64)
        expected = crop - np.array(store.colours.mean) + shift[i]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-3)
        assert label == store.labels[i]


def test_batches_are_channels_last(stores):
    batch = next(iter(batches(Store(stores[0]), 0)))
    assert batch.pixels.dtype == torch.uint8
    assert batch.images().is_contiguous(memory_format=torch.channels_last)


def test_given_memory_is_written_again(stores):
    first, second, *_ = batches(Store(stores[0]), 0)
    out = torch.empty(first.pixels.shape)
    assert torch.equal(first.images(out), first.images())
    assert torch.equal(second.images(out), second.images())
    assert torch.equal(second.pieces(5)[4].images(out), second.images()[20:])


def test_processes_share_a_batch_without_a_gap_or_an_overlap(stores):
    """Five processes, batches of 24 and a last one of 16; of boxes, every process knows how many count in all."""
    store = Store(stores[0])
    draws = Draws.for_epoch(0, 1, len(store), (64, 96))

    def part_of(group: ProcessGroup) -> list[Batch]:
        boxes = BoxTargets(min_inside=0.9)
        return list(Batches(store, draws, train=TrainSettings(batch=24), crop=56, workers=0, boxes=boxes, group=group))

    whole, parts = part_of(ALONE), [part_of(ProcessGroup(rank, 5)) for rank in range(5)]
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        assert torch.equal(torch.cat([share.images() for share in shares]), batch.images())
        assert torch.equal(torch.cat([share.targets for share in shares]).nan_to_num(), batch.targets.nan_to_num())
        assert {(share.global_size, share.counted) for share in shares} == {(len(batch.labels), batch.counted)}
        assert batch.counted == int((~batch.targets.isnan()).all(1).sum()) < batch.global_size
        assert max(len(share.labels) for share in shares) - min(len(share.labels) for share in shares) <= 1


def test_pieces_of_a_batch_know_where_they_begin(stores):
    batch = next(iter(batches(Store(stores[0]), 0)))._replace(first=100)
    pieces = batch.pieces(5)
    assert [piece.first for piece in pieces] == [100, 105, 110, 115, 120]
    assert torch.equal(torch.cat([piece.images() for piece in pieces]), batch.images())
    assert [len(piece.labels) for piece in batch.pieces(30)] == [1] * 24 + [0] * 6
