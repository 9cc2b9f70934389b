"""Drawn images are repeatable, and their class follows from shape and texture, not from single pixels."""

from __future__ import annotations

import filecmp

import numpy as np
from sklearn.linear_model import RidgeClassifier

from vggrepro.data import standin


def drawn(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), per_class)
    return np.stack([standin.draw_image(int(label), rng)[0] for label in labels]), labels


def test_the_same_seed_draws_the_same_files(tmp_path):
    for name in ("a", "b"):
        standin.draw_data_set(tmp_path / name, train_per_class=2, val_per_class=1)
    compared = filecmp.dircmp(tmp_path / "a", tmp_path / "b")
    assert not compared.diff_files
    assert (tmp_path / "a/val/val_annotations.txt").read_bytes() == (
        tmp_path / "b/val/val_annotations.txt"
    ).read_bytes()
    images = sorted((tmp_path / "a").rglob("*.JPEG"))
    assert all(
        image.read_bytes() == (tmp_path / "b" / image.relative_to(tmp_path / "a")).read_bytes() for image in images
    )
    assert len(images) == 30


def test_a_linear_classifier_on_pixels_does_badly():
    images, labels = drawn(200, seed=0)
    unseen, truth = drawn(40, seed=1)
    scale = np.float32(1 / 128)
    errors = []
    for alpha in (1e1, 1e3, 1e5):
        model = RidgeClassifier(alpha).fit(images.reshape(len(images), -1) * scale - 1, labels)
        errors.append((model.predict(unseen.reshape(len(unseen), -1) * scale - 1) != truth).mean())
    assert min(errors) > 0.75, f"errors {errors}; chance is 0.9, the nets of the smoke run reach 0.0 to 0.5"


def test_the_box_is_the_shapes_outline():
    rng = np.random.default_rng(0)
    for label in range(10):
        image, (x0, y0, x1, y1) = standin.draw_image(label, rng)
        assert image.shape == (64, 64, 3)
        assert 0 <= x0 < x1 < 64
        assert 0 <= y0 < y1 < 64
        assert x1 - x0 == y1 - y0


def test_a_mirror_image_keeps_its_class():
    """Stripes at 45 degrees lean to either side and others to none, so that every mirror image is a possible drawing."""
    rng, leans = np.random.default_rng(0), {}
    for label, (_, angle, _) in enumerate(standin.STANDIN_CLASSES):
        images = [standin.draw_image(label, rng)[0].mean(2) for _ in range(30)]
        slopes = [np.gradient(image[24:40, 24:40]) for image in images]
        lean = np.array([(gy * gx).sum() / np.sqrt((gy**2).sum() * (gx**2).sum()) for gy, gx in slopes])
        leans.setdefault(angle, []).append(((lean > 0.3).mean(), (lean < -0.3).mean()))
    assert min(share for both in leans[45] for share in both) > 0.2
    assert max(share for angle in (0, 90) for both in leans[angle] for share in both) < 0.2
