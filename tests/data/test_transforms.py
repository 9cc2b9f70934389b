"""Rescaling, cropping, mirroring and colour shift, and the draws that determine them."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import real
from tests.oracles.data import rescaled_whole
from vggrepro.data.colours import Colours
from vggrepro.data.store import decode
from vggrepro.data.transforms import Draws, colour_shift, grid, rescale_image, rescaled_size, training_crop, window

KRIZHEVSKY = Colours(
    mean=(123.68, 116.779, 103.939),
    eigenvalues=(0.2175, 0.0188, 0.0045),
    eigenvectors=((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)),
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def rescaled_by_loops(image: np.ndarray, smallest: int) -> np.ndarray:
    """`rescale_image`, which leaves small images to PIL, for images of all sizes."""
    return window(image, smallest, (0, 0), rescaled_size(*image.shape[:2], smallest))


@settings(max_examples=150)
@given(st.integers(8, 300), st.floats(0.2, 6), st.integers(4, 200))
def test_every_aspect_ratio_is_rescaled_to_the_bit_as_pil_does(width, ratio, smallest):
    """Pillow 13 resizes along columns first where an image loses more than twice as much height as width."""
    image = picture(max(8, int(width * ratio)), width)
    assert np.array_equal(rescaled_by_loops(image, smallest), rescaled_whole(image, smallest))


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (375, 500), (500, 375), (2000, 31), (20, 33), (2000, 900), (201, 100), (401, 200)]
)
@pytest.mark.parametrize("smallest", [64, 96, 256])
def test_rescale_is_pils_and_isotropic(height, width, smallest):
    image = picture(height, width)
    rescaled = rescale_image(image, smallest)
    assert min(rescaled.shape[:2]) == smallest
    assert np.array_equal(rescaled, rescaled_whole(image, smallest))
    assert np.array_equal(rescaled, rescaled_by_loops(image, smallest))


@settings(max_examples=60)
@given(st.integers(60, 500), st.integers(60, 300), st.integers(56, 150), st.data())
def test_a_window_is_the_window_of_the_rescaled_whole(height, width, smallest, data):
    image = picture(height, width)
    whole = rescaled_whole(image, smallest)
    top = data.draw(st.integers(0, whole.shape[0] - 56))
    left = data.draw(st.integers(0, whole.shape[1] - 56))
    expected = whole[top : top + 56, left : left + 56]
    assert np.array_equal(window(image, smallest, (top, left), (56, 56)), expected)
    assert np.array_equal(window(image, smallest, (top, left), (56, 56), mirrored=True), expected[:, ::-1])


def test_crops_of_real_images_are_cut_from_pils_rescaled_image():
    """One image is read-only, as the memory map of a store is."""
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        names = [name for name in file.namelist() if name.endswith(".JPEG")][:40]
        images = [decode(file.read(name), name) for name in names]
    images[0].flags.writeable = False
    for S in (256, 384, 512):
        draws = Draws.for_epoch(S, 1, len(images), (S, S))
        for i, image in enumerate(images):
            size = rescaled_size(*image.shape[:2], S)[::-1]
            whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
            top, left = draws.corner(i, *whole.shape[:2], 224)
            expected = whole[top : top + 224, left : left + 224]
            assert np.array_equal(training_crop(image, draws, i, 224), expected[:, ::-1] if draws.flip[i] else expected)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_the_smallest_side_is_exact(height, width, smallest):
    assert min(rescaled_size(height, width, smallest)) == smallest


def test_draws_of_an_image_do_not_depend_on_the_others():
    draws, image = Draws.for_epoch(3, 2, 50, (64, 128)), picture(70, 90)
    backwards = [training_crop(image, draws, i, 56) for i in reversed(range(50))][::-1]
    assert all(np.array_equal(training_crop(image, draws, i, 56), backwards[i]) for i in range(50))


def test_the_draws_follow_from_seed_and_epoch():
    same, other_epoch, other_seed = (Draws.for_epoch(*key, 100, (64, 128)) for key in ((0, 1), (0, 2), (1, 1)))
    assert np.array_equal(same.order, Draws.for_epoch(0, 1, 100, (64, 128)).order)
    assert not np.array_equal(same.order, other_epoch.order)
    assert not np.array_equal(same.S, other_seed.S)


def test_s_is_uniform_over_its_range_and_every_image_occurs_once():
    draws = Draws.for_epoch(0, 0, 65_000, (64, 128))
    counts = np.bincount(draws.S, minlength=129)[64:]
    assert counts.min() > 800  # 1000 expected for each of the 65 values
    assert counts.max() < 1200
    assert np.array_equal(np.sort(draws.order), np.arange(65_000))
    assert abs(draws.flip.mean() - 0.5) < 0.01


def test_every_position_of_the_crop_occurs():
    draws, image = Draws.for_epoch(0, 0, 2000, (58, 58)), np.zeros((58, 58, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(58)[:, None], np.arange(58)
    corners = {tuple(training_crop(image, draws, i, 56, flip=False)[0, 0, :2]) for i in range(2000)}
    assert corners == {(y, x) for y in range(3) for x in range(3)}


def test_a_flip_mirrors_left_and_right():
    draws, image = Draws.for_epoch(0, 0, 20, (56, 56)), picture(56, 56)
    for i in range(20):
        expected = image[:, ::-1] if draws.flip[i] else image
        assert np.array_equal(training_crop(image, draws, i, 56), expected)


def test_colour_shift_is_krizhevskys():
    shift = colour_shift(np.array([[1.0, 0, 0], [0, 2.0, 0]]), KRIZHEVSKY, 0.1)
    assert shift[0] == pytest.approx(255 * 0.1 * 0.2175 * np.array([-0.5675, -0.5808, -0.5836]))
    assert shift[1] == pytest.approx(255 * 0.1 * 2 * 0.0188 * np.array([0.7192, -0.0045, -0.6948]))


def test_the_grid_of_crops_touches_the_edges():
    corners = grid(72, 104, 56)
    assert len(set(corners)) == 25
    assert {y for y, _ in corners} == {0, 4, 8, 12, 16}
    assert {x for _, x in corners} == {0, 12, 24, 36, 48}


def test_the_grid_of_the_central_square_stays_in_it():
    assert {x for _, x in grid(72, 104, 56, "square")} == {16, 20, 24, 28, 32}
