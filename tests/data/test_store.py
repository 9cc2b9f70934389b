"""A prepared store has the images of the data set, and damage to it is named."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import prepared, real
from tests.oracles.data import colour_statistics
from vggrepro.data.layouts import TinyImageNet
from vggrepro.data.store import Store, decode


def test_pixels_and_files_give_the_same_images(stores, tmp_path):
    files = prepared(tmp_path, encoding="files", workers=3)
    pixels, jpegs = Store(stores[0]), Store(files[0])
    assert len(pixels) == len(jpegs) == 160
    assert all(np.array_equal(pixels.image(i), jpegs.image(i)) for i in range(160))
    assert pixels.ids == jpegs.ids
    assert pixels.digest != jpegs.digest


def test_preparing_is_deterministic(stores, tmp_path):
    assert Store(prepared(tmp_path)[0]).digest == Store(stores[0]).digest


def test_colour_statistics_are_those_of_all_pixels(stores):
    store = Store(stores[0])
    mean, covariance = colour_statistics([store.image(i) for i in range(len(store))])
    colours = store.colours
    vectors = np.array(colours.eigenvectors)
    assert colours.mean == pytest.approx(mean)
    assert vectors @ np.diag(colours.eigenvalues) @ vectors.T == pytest.approx(covariance)
    assert list(colours.eigenvalues) == sorted(colours.eigenvalues, reverse=True)


def test_only_the_training_store_has_colour_statistics(stores):
    with pytest.raises(ValueError, match="expected the store of a training set"):
        _ = Store(stores[1]).colours


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_colour_mode_becomes_rgb(mode):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 30, 60)).convert(mode).save(buffer, "PNG" if mode != "CMYK" else "JPEG")
    assert decode(buffer.getvalue(), "x").shape == (7, 9, 3)


def by_pil(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_all_real_images_of_ilsvrc_decode_to_pils_pixels():
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        files = {name: file.read(name) for name in file.namelist() if name.endswith(".JPEG")}
    assert len(files) == 200
    assert [name for name, data in files.items() if not np.array_equal(decode(data, name), by_pil(data))] == []


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_every_kind_decode_to_pils_pixels(mode, subsampling, progressive):
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 13), (33, 18), (48, 64)):
        smooth = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
        image = Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
        for quality in (30, 90):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
            data = buffer.getvalue()
            assert np.array_equal(decode(data, "x"), by_pil(data))
            # surplus bytes before the end: libjpeg warns, and PIL decodes the image
            flawed = data[:-2] + b"\0\0\0" + data[-2:]
            assert np.array_equal(decode(flawed, "x"), by_pil(flawed))


def test_a_jpeg_cut_short_is_named():
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    with pytest.raises(ValueError, match="picture.jpg cannot be decoded as an image"):
        decode(buffer.getvalue()[:-300], "picture.jpg")


def test_a_store_that_is_cut_short_is_refused(stores, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    for file in stores[0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "images.bin").write_bytes((stores[0] / "images.bin").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"images.bin: expected 1966080 bytes, got 1966079"):
        Store(folder)


def test_damaged_metadata_is_named(stores, tmp_path):
    (tmp_path / "store.json").write_text(json.dumps({})[:-1])
    with pytest.raises(ValueError, match="store.json: damaged"):
        Store(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        Store(tmp_path / "nowhere")


def test_real_jpegs_decode_as_pil_does_and_keep_their_boxes(tmp_path):
    zipped = real("tiny-imagenet-100.zip")
    folders = prepared(tmp_path, "tiny-imagenet", zipped, classes=3, per_class=(20, 5))
    store, layout = Store(folders[0]), TinyImageNet(zipped)
    items = [item for item in layout.items("train") if item.label < 3]
    first = [item for label in range(3) for item in [i for i in items if i.label == label][:20]]
    for i, item in enumerate(first):
        expected = np.asarray(Image.open(io.BytesIO(layout.files.read(item.name))).convert("RGB"))
        assert np.array_equal(store.image(i), expected)
    boxes = np.load(folders[0] / "boxes.npy")
    assert [tuple(box[1:]) for box in boxes] == [box for item in first for box in item.boxes]


def test_a_file_of_images_that_is_cut_while_it_is_open_is_named(stores, tmp_path):
    shutil.copytree(stores[1], tmp_path / "val")
    store = Store(tmp_path / "val")
    os.truncate(tmp_path / "val" / "images.bin", 1000)
    with pytest.raises(ValueError, match=r"images.bin: was cut short while it was read"):
        store.image(len(store) - 1)
