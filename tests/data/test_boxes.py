"""The frame of a box vector: a box carried through rescale, crop and flip lands where the pixels land."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.data.boxes import clip, from_vectors, iou, to_vectors
from vggrepro.data.transforms import Draws, rescaled_size, target_vector, training_crop, zoom_of
from vggrepro.settings.blocks import BoxTargets

CROP = 56


def draws(height: float, width: float, *, flip: bool, S: int, pick: float = 0.0) -> Draws:
    """The draws of one image: where its crop lies, as shares of the room, and whether it is mirrored."""
    return Draws(
        np.array([0]), np.array([S]), np.array([[height, width]]), np.array([flip]), np.zeros((1, 3)), np.array([pick])
    )


def drawn(box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """A black image with a white box."""
    image = np.zeros((height, width, 3), np.uint8)
    image[box[1] : box[3] + 1, box[0] : box[2] + 1] = 255
    return image


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (120, 90), (77, 201)])
@pytest.mark.parametrize("S", [64, 80, 96])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.99, 0.99), (0.3, 0.6)])
def test_a_box_lands_where_its_pixels_land(flip, height, width, S, place):
    size, crop_at = (height, width), draws(*place, flip=flip, S=S)
    # a box in the middle of the crop, in pixels of the original
    zoom = zoom_of(height, width, S)
    top, left = crop_at.corner(0, *rescaled_size(height, width, S), CROP)
    x0, y0 = np.ceil((np.array([left, top]) + 12) / zoom).astype(int)
    x1, y1 = np.floor((np.array([left, top]) + 40) / zoom).astype(int) - 1
    box = (int(x0), int(y0), int(x1), int(y1))
    crop = training_crop(drawn(box, height, width), crop_at, 0, CROP, flip=True)
    vector = target_vector(np.array([box]), size, crop_at, 0, CROP, BoxTargets(), flip=True)
    # centre and extent of the light in the crop, against the vector: rescaling smears an edge by less than 0.2 px
    light = crop[..., 0] / 255
    rows, columns = np.mgrid[:CROP, :CROP] + 0.5
    centre = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    assert centre == pytest.approx((vector[:2] + 0.5) * CROP, abs=0.05)
    assert light.sum(1).max() == pytest.approx(vector[2] * CROP, abs=0.2)
    assert light.sum(0).max() == pytest.approx(vector[3] * CROP, abs=0.2)


@given(st.integers(0, 10**6))
def test_from_vectors_inverts_to_vectors(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(-20, 200, (6, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 300, (6, 2))], 1)
    zoom, corner, side = rng.uniform(0.1, 3, 2), rng.integers(0, 300, (6, 2)), int(rng.integers(20, 300))
    vectors = to_vectors(boxes, zoom, corner, side)
    # a box of less than one pixel of the original cannot be written: there is none here
    np.testing.assert_allclose(from_vectors(vectors, zoom, corner, side), boxes, atol=1e-6)


def test_the_frame_is_the_window_its_middle_and_its_side():
    window = np.array([[0, 0, 223, 223]])
    assert to_vectors(window, np.ones(2), np.zeros(2), 224).tolist() == [[0, 0, 1, 1]]
    quarter = np.array([[112, 112, 223, 223]])
    assert to_vectors(quarter, np.ones(2), np.zeros(2), 224).tolist() == [[0.25, 0.25, 0.5, 0.5]]


def test_mirroring_turns_the_sign_of_the_centres_x_and_nothing_else():
    box = np.array([[3, 9, 30, 51]])
    plain, mirrored = (
        target_vector(box, (64, 64), draws(0.5, 0.2, flip=flip, S=64), 0, CROP, BoxTargets()) for flip in (False, True)
    )
    assert mirrored.tolist() == (plain * [-1, 1, 1, 1]).tolist()


def test_a_box_without_width_or_height_gets_a_pixel():
    box = from_vectors(np.array([0.0, 0, -1, 0]), np.ones(2), np.zeros(2), 56)
    assert (box[2:] - box[:2] + 1).tolist() == [1, 1]


def test_the_target_is_the_largest_box_or_one_at_random():
    boxes, size = np.array([[0, 0, 9, 9], [10, 10, 50, 50], [2, 2, 8, 60]]), (64, 64)

    def picked(target, pick):
        vector = target_vector(
            boxes, size, draws(0, 0, flip=False, S=64, pick=pick), 0, CROP, BoxTargets(target=target)
        )
        return from_vectors(vector, np.ones(2), np.zeros(2), CROP).round().astype(int).tolist()

    assert {tuple(picked("largest", pick)) for pick in (0.0, 0.5, 0.99)} == {(10, 10, 50, 50)}
    assert [picked("random", pick) for pick in (0.0, 0.34, 0.99)] == boxes.tolist()


@pytest.mark.parametrize(("min_inside", "counts"), [(0.0, True), (0.24, True), (0.26, False), (1.0, False)])
def test_a_target_of_which_too_little_lies_in_the_crop_does_not_count(min_inside, counts):
    # the crop takes the first 56 of 112 pixels, a quarter of the box
    box = np.array([[42, 0, 97, 55]])
    settings = BoxTargets(min_inside=min_inside)
    vector = target_vector(box, (112, 112), draws(0, 0, flip=False, S=112), 0, CROP, settings)
    assert np.isnan(vector).all() != counts


def test_boxes_are_cut_at_the_edges_of_their_image():
    boxes = np.array([[-5.0, 3, 70, 30], [80, 90, 99, 99]])
    assert clip(boxes, np.array([40, 64])).tolist() == [[0, 3, 63, 30], [63, 39, 63, 39]]


def test_iou_counts_pixels():
    a, b = (0, 0, 3, 3), (2, 1, 5, 2)
    pixels = [{(x, y) for x in range(q[0], q[2] + 1) for y in range(q[1], q[3] + 1)} for q in (a, b)]
    assert iou(np.array(a), np.array(b)) == len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
