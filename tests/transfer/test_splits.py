"""Held-out images and Caltech's splits."""

from __future__ import annotations

import numpy as np
import pytest

from vggrepro.data.collections import Caltech
from vggrepro.transfer.splits import held_out_images, read_split


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_held_out_images_are_a_share_of_every_class_and_never_its_last(share):
    labels = np.repeat(np.arange(5), [5, 30, 30, 2, 1])
    targets = np.where(np.arange(5) == labels[:, None], 1, -1).astype(np.int8)
    train = np.arange(len(labels))
    held_out = held_out_images(targets, train=train, groups=train, share=share)
    taken = np.bincount(labels[held_out], minlength=5)
    assert taken.tolist() == [max(1, round(share * n)) for n in (5, 30, 30, 2)] + [0]
    assert np.array_equal(held_out, held_out_images(targets, train=train, groups=train, share=share))


def test_images_of_several_classes_leave_each_class_one_to_train_on():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        targets = np.where(rng.random((14, 4)) < 0.3, 1, -1).astype(np.int8)
        train = np.arange(14)
        held_out = held_out_images(targets, train=train, groups=train, share=0.4)
        has_image = (targets > 0).any(0)
        assert ((targets[~held_out] > 0).any(0) == has_image).all()


def test_persons_of_one_image_are_held_out_together():
    rng = np.random.default_rng(0)
    targets = np.where(np.arange(3) == rng.integers(0, 3, 60)[:, None], 1, -1).astype(np.int8)
    groups = np.repeat(np.arange(30), 2)
    held_out = held_out_images(targets, train=np.arange(60), groups=groups, share=0.2)
    assert np.array_equal(held_out[::2], held_out[1::2])
    assert 0 < held_out.sum() < 30


def test_splits_come_back_from_their_files_and_others_are_refused(svm_results, drawn_sets, tmp_path):
    caltech = Caltech(drawn_sets / "caltech101", "101")
    for k, parts in enumerate(caltech.splits(3, 6, 5)):
        assert np.array_equal(read_split(svm_results / "splits" / "caltech101" / f"{k}.csv", caltech), parts)
    file = svm_results / "splits" / "caltech101" / "0.csv"
    with pytest.raises(ValueError, match="0.csv: expected image,part for every image of Caltech-256"):
        read_split(file, Caltech(drawn_sets / "caltech256", "256"))
    damaged = tmp_path / "0.csv"
    for old, new, message in [
        ("image,part", "file,part", "expected image,part for every image"),
        (",train", ",tain", "and each part one of unused, train, test"),
        (",test", ",unused", "class BACKGROUND_Google has no test image"),
    ]:
        damaged.write_text(file.read_text().replace(old, new))
        with pytest.raises(ValueError, match=message):
            read_split(damaged, caltech)
