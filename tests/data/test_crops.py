"""The crops of a batch are those of its images one after another, and a damaged image among them is named."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vggrepro.core.checksums import data_checksum
from vggrepro.data import crops
from vggrepro.data.colours import Sums
from vggrepro.data.crops import training_crops
from vggrepro.data.prepare import prepare_rescaled
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, training_crop
from vggrepro.data.writer import StoredImage, StoreSource, write_store
from vggrepro.data.xxh3 import SHORT, xxh3_of

SIZES = [(64, 64), (60, 90), (375, 500), (500, 333), (57, 400), (400, 60), (130, 62), (64, 65), (8, 9)]
CROP = 56


def written(folder: Path, encoding: str) -> Path:
    """A store of images in many shapes; of files, JPEGs and a few PNGs, which PIL decodes, one with a palette."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*SIZES[i % len(SIZES)], 3), np.uint8) for i in range(40)]

    def file_of(i: int) -> bytes:
        buffer, picture = io.BytesIO(), Image.fromarray(images[i])
        picture = picture.quantize(16) if i % 7 == 5 else picture
        picture.save(buffer, "PNG" if i % 7 in (3, 5) else "JPEG")
        return buffer.getvalue()

    def read(i: int) -> StoredImage:
        height, width = images[i].shape[:2]
        return StoredImage(images[i].tobytes() if encoding == "pixels" else file_of(i), (height, width), Sums())

    about = {"encoding": encoding, "wnids": ["n0"], "blacklisted": [], "data set": "drawn", "colours": None}
    source = StoreSource(
        name="drawn", identity=encoding, about=about, measure_colours=False, ids=[f"i{i}" for i in range(len(images))],
        labels=[0] * len(images), read=read, boxes=lambda sizes: np.empty((0, 5), np.int32), expected_bytes=0, exact=False,
    )  # fmt: skip
    write_store(folder, source)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("crops")
    folders = {encoding: written(root / encoding, encoding) for encoding in ("pixels", "files")}
    for encoding in ("pixels", "jpeg"):
        prepare_rescaled(folders["files"], 64, encoding, root / f"{encoding}-64", workers=1)
        folders[f"{encoding}-64"] = root / f"{encoding}-64"
    return folders


def one_by_one(store: Store, numbers: np.ndarray, draws: Draws, *, flip: bool) -> list[np.ndarray]:
    return [training_crop(store.image(i), draws, i, CROP, flip=flip) for i in numbers]


def batch_of(store: Store, numbers: np.ndarray, draws: Draws, *, flip: bool = True) -> np.ndarray:
    out = np.zeros((len(numbers), CROP, CROP, 3), np.uint8)
    training_crops(store, numbers, draws, CROP, flip=flip, out=out)
    return out


@pytest.mark.parametrize("kind", ["pixels", "files", "pixels-64", "jpeg-64"])
@pytest.mark.parametrize("S", [(64, 64), (CROP, 130)])
def test_a_batch_has_the_pixels_of_its_images_one_after_another(folders, kind, S, monkeypatch):
    store, draws = Store(folders[kind]), Draws.for_epoch(3, 2, 40, S)
    expected = {flip: one_by_one(store, draws.order, draws, flip=flip) for flip in (True, False)}
    # tiny images and those that PIL decodes are left to the slow way, no others: the fast one is what is tested here
    slow = []
    monkeypatch.setattr(crops, "training_crop", lambda *a, **more: slow.append(a[2]) or training_crop(*a, **more))
    for flip in (True, False):
        assert np.array_equal(batch_of(store, draws.order, draws, flip=flip), expected[flip])
    tiny = store.index["length"] <= SHORT
    expected_slow = np.flatnonzero(tiny | ((np.arange(40) % 7 % 2 == 1) & (np.arange(40) % 7 > 1) & (kind == "files")))
    assert sorted(slow) == sorted([*expected_slow, *expected_slow])
    assert len(expected_slow) < 20


@pytest.mark.parametrize("kind", ["pixels", "files", "jpeg-64"])
def test_one_changed_byte_is_named(folders, kind, tmp_path):
    shutil.copytree(folders[kind], tmp_path / "damaged")
    row = Store(folders[kind]).index[11]
    with (tmp_path / "damaged" / "images.bin").open("r+b") as file:
        file.seek(int(row["offset"] + row["length"] // 2))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    store, draws = Store(tmp_path / "damaged"), Draws.for_epoch(0, 1, 40, (64, 64))
    assert len(batch_of(store, np.array([i for i in range(40) if i != 11]), draws)) == 39
    with pytest.raises(ValueError, match=r"images.bin: damaged \(the bytes of i11 are not those"):
        batch_of(store, np.arange(40), draws)


def test_a_file_that_is_cut_while_it_is_read_is_named(folders, tmp_path):
    for kind in ("pixels", "files"):
        shutil.copytree(folders[kind], tmp_path / kind)
        store = Store(tmp_path / kind)
        os.truncate(tmp_path / kind / "images.bin", 100)
        with pytest.raises(ValueError, match=r"images.bin: was cut short while it was read"):
            batch_of(store, np.arange(40), Draws.for_epoch(0, 1, 40, (64, 64)))


def test_an_index_that_does_not_fit_its_images_reads_no_other_memory(folders):
    store, draws = Store(folders["pixels"]), Draws.for_epoch(0, 1, 40, (64, 64))
    store.index = store.index.copy()
    store.index["height"] = 4000
    with pytest.raises(ValueError, match="reshape"):
        batch_of(store, np.arange(40), draws)


def test_a_store_without_checksums_is_read_as_before(folders, tmp_path):
    shutil.copytree(folders["pixels"], tmp_path / "old")
    for name in ("sums.npy", "checksums.xxh128"):
        (tmp_path / "old" / name).unlink()
    draws = Draws.for_epoch(0, 1, 40, (64, 90))
    old, new = (batch_of(Store(folder), draws.order, draws) for folder in (tmp_path / "old", folders["pixels"]))
    assert np.array_equal(old, new)


@pytest.mark.parametrize(
    ("corner", "rescaled"), [((-1, 0), (64, 64)), ((0, 9), (64, 64)), ((0, 0), (55, 64)), ((9, 0), (64, 64))]
)
def test_a_crop_that_does_not_lie_in_its_image_is_not_cut(corner, rescaled):
    image, out = np.zeros((64, 3 * 64), np.uint8), np.ones((CROP, 3 * CROP), np.uint8)
    assert not crops._cut(image, rescaled, corner, False, out)
    assert out.all()
    assert crops._cut(image, (64, 64), (8, 8), False, out)


def test_no_images_are_no_crops(folders):
    for kind in ("pixels", "files"):
        assert batch_of(Store(folders[kind]), np.arange(0), Draws.for_epoch(0, 1, 40, (64, 64))).shape[0] == 0


@given(st.integers(SHORT + 1, 5000), st.integers(0, 9))
def test_the_compiled_checksum_is_the_librarys(length, start):
    data = np.random.default_rng(length).integers(0, 256, start + length, np.uint8)[start:]
    assert xxh3_of(data) == data_checksum(data.data)
