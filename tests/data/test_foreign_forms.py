"""Data sets in the forms in which people have them: what is left out, what is sorted otherwise, what is of other depths."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from vggrepro.core.files import Files
from vggrepro.data import standin
from vggrepro.data.layouts import TinyImageNet, image_stem
from vggrepro.data.store import decode


@pytest.mark.parametrize("form", ["{wnid}", "{wnid}/images", "images/{wnid}"])
@pytest.mark.parametrize("listed", [True, False])
def test_a_val_that_was_sorted_by_class_holds_the_same_images(tmp_path, form, listed):
    folder = tmp_path / "t"
    standin.draw_data_set(folder, train_per_class=1, val_per_class=2)
    official = TinyImageNet(folder).items("val")
    for line in (folder / "val/val_annotations.txt").read_text().splitlines():
        image, wnid = line.split("\t")[:2]
        target = folder / "val" / form.format(wnid=wnid) / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / "val/images" / image, target)
    if not listed:
        (folder / "val/val_annotations.txt").unlink()
    items = TinyImageNet(folder).items("val")
    assert [(i.id, i.label) for i in items] == [(i.id, i.label) for i in official]
    assert [i.boxes for i in items] == [i.boxes if listed else () for i in official]


def test_hidden_files_and_links_that_loop_are_left_out_and_told(tmp_path, capsys):
    for name in (
        "a.jpg",
        "._a.jpg",
        ".DS_Store",
        "__MACOSX/a.jpg",
        ".ipynb_checkpoints/a.jpg",
        "b/Thumbs.db",
        "b/c.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/loop").symlink_to(tmp_path)
    assert Files(tmp_path).names == ["a.jpg", "b/c.jpg"]
    told = capsys.readouterr().err
    assert "leaves out 5 hidden files" in told
    assert "a link to a folder that it lies in" in told


def test_grey_of_16_bits_keeps_its_white():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)

    def png(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    for data in (png(grey), png(grey.astype(np.uint16) * 257)):
        assert np.array_equal(decode(data, "x"), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("name", ["x/ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000001_n01751748.JPEG"])
def test_hugging_faces_names_are_the_same_images(name):
    assert image_stem(name) == "ILSVRC2012_val_00000001"
