"""Batches hold images of one shape, each image once at every scale, and no more than is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vggrepro.evaluation import batches
from vggrepro.evaluation.batches import CPU_BATCH_PIXELS, BatchMembers, batch_limit, batches_by_shape
from vggrepro.evaluation.views import whole_image
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

NET = VGG("A", 10, NetSettings(scale_unit=8, width=1, fc=4))


class Images:
    """Images of these shapes, which count how many of them were decoded."""

    def __init__(self, shapes: list[tuple[int, int]]) -> None:
        self.shapes, self.decoded = shapes, 0

    def __len__(self) -> int:
        return len(self.shapes)

    def image(self, i: int) -> np.ndarray:
        self.decoded += 1
        return np.full((*self.shapes[i], 3), i, np.uint8)


def batched(
    images: Images, scales: tuple[int, ...] = (256,), batch_pixels: int = 10**9
) -> Iterator[tuple[BatchMembers, np.ndarray]]:
    return batches_by_shape(images, NET, scales, whole_image, batch_pixels=batch_pixels, workers=0, about="")


@pytest.mark.parametrize("batch_pixels", [1, 20_000, 10**9])
def test_every_image_is_in_one_batch_at_every_scale(batch_pixels):
    images = Images([(70, 90), (90, 70), (70, 90), (64, 64), (140, 180), (64, 300)])
    members = [member for members, _ in batched(images, (256, 384), batch_pixels) for member in members]
    assert sorted(members) == [(i, Q) for i in range(6) for Q in (256, 384)]
    assert images.decoded == 6, "an image is decoded once for all scales"


def test_the_views_of_a_batch_are_those_of_its_images_rescaled():
    for members, views in batched(Images([(70, 90), (90, 70), (70, 90), (140, 180)]), (256, 384)):
        assert views.shape[:2] == (len(members), 1)
        for (i, Q), (view,) in zip(members, views, strict=True):
            assert min(view.shape[:2]) == NET.model.pixels(Q)
            assert (view == i).all()


@pytest.mark.parametrize("batch_pixels", [2 * 64 * 80, 3 * 64 * 80])
def test_a_batch_has_at_most_so_many_pixels(batch_pixels):
    sizes = [views[..., 0].size for _, views in batched(Images([(64, 80)] * 7), batch_pixels=batch_pixels)]
    assert max(sizes) == batch_pixels
    assert sum(sizes) == 7 * 64 * 80


def test_images_of_rare_shapes_do_not_all_wait_in_memory(monkeypatch):
    """Each image has another shape: the fullest group is handed out once two batches' worth of pixels wait."""
    monkeypatch.setattr(batches, "WAITING_BATCHES", 2)
    images = Images([(64, 64 + i) for i in range(30)])
    next(batched(images, batch_pixels=5 * 64 * 64))
    assert images.decoded < 15


@pytest.mark.parametrize("scales", [(128,), (256, 256), (0,), (-5, 256)])
def test_senseless_scales_are_refused(scales):
    with pytest.raises(ValueError, match="expected different ones of at least 224"):
        next(batched(Images([(64, 64)]), scales))


def test_a_cpu_takes_smaller_batches_than_a_gpu():
    large, small = EvaluateSettings(), EvaluateSettings(batch_pixels=1000)
    limits = [batch_limit(settings, torch.device(name)) for settings in (large, small) for name in ("cpu", "cuda")]
    assert limits == [CPU_BATCH_PIXELS, 20_000_000, 1000, 1000]
