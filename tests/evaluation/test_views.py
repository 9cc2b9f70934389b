"""What a net is shown of an image under each protocol."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vggrepro.evaluation.views import input_of_views, views_of

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def test_dense_evaluation_is_shown_the_whole_image():
    (view,) = views_of(IMAGE, "dense", 56, "whole")
    assert np.array_equal(view, IMAGE)


def test_the_centre_crop_is_in_the_middle():
    (view,) = views_of(IMAGE, "centre-crop", 56, "whole")
    assert np.array_equal(view, IMAGE[7:63, 17:73])


@pytest.mark.parametrize(("crop_grid", "columns"), [("whole", slice(None)), ("square", slice(10, 80))])
def test_multi_crop_is_25_crops_from_corner_to_corner(crop_grid, columns):
    views, part = views_of(IMAGE, "multi-crop", 56, crop_grid), IMAGE[:, columns]
    assert [view.shape for view in views] == [(56, 56, 3)] * 25
    corners = [part[:56, :56], part[:56, -56:], part[-56:, :56], part[-56:, -56:]]
    for view, corner in zip([views[0], views[4], views[20], views[24]], corners, strict=True):
        assert np.array_equal(view, corner)


def test_the_input_is_less_the_mean_and_mirror_images_follow():
    views = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    mean = torch.tensor([1.0, 20.0, 100.0])
    images = input_of_views(views, mean, mirrored=True)
    expected = torch.from_numpy(views.reshape(6, 4, 5, 3)).float().sub(mean).permute(0, 3, 1, 2)
    torch.testing.assert_close(images, torch.cat([expected, expected.flip(3)]))
    torch.testing.assert_close(input_of_views(views, mean), expected)
