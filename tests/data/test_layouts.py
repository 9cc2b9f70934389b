"""Data sets are read as they lie on disk; what is damaged is named, and nothing damaged is prepared."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import prepared, real
from vggrepro.core.checksums import CHECKSUMS
from vggrepro.data import standin
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.layouts import TinyImageNet, select
from vggrepro.data.verify import verify_data_set


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "images"
    standin.draw_data_set(folder, train_per_class=3, val_per_class=2)
    (folder / CHECKSUMS).unlink()  # as a user's own
    return folder


@pytest.fixture
def drawn(pristine, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "tiny imagenet"))


def check_refused(folder: Path, tmp_path: Path, message: str) -> None:
    """Preparing ends with one message, and leaves at most an unfinished store that can be resumed."""
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path / "out", "tiny-imagenet", folder, per_class=(None, None))
    remaining = sorted((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else []
    assert not [
        path for path in remaining if path.is_file() and path.parent.name not in ("train", ".train.part", ".val.part")
    ]
    assert not (tmp_path / "out" / "val").exists()


def test_folder_and_zip_and_nested_folder_are_read_alike(drawn, tmp_path):
    zipped = tmp_path / "tiny.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        for path in sorted(drawn.rglob("*")):
            file.write(path, Path("tiny-imagenet-200") / path.relative_to(drawn))
    for split in ("train", "val"):
        folder, nested, packed = (TinyImageNet(path).items(split) for path in (drawn, drawn.parent, zipped))
        assert [i.id for i in folder] == [i.id for i in nested] == [i.id for i in packed]
        assert [i.boxes for i in folder] == [i.boxes for i in packed]


def test_the_real_tiny_imagenet_is_read():
    layout = TinyImageNet(real("tiny-imagenet-100.zip"))
    train, val = layout.items("train"), layout.items("val")
    assert (len(layout.wnids), len(train), len(val)) == (100, 20_000, 5_000)
    assert layout.wnids == sorted(layout.wnids)
    assert layout.words["n01443537"] == "goldfish, Carassius auratus"
    assert next(i for i in train if i.id == "n01443537_0.JPEG").boxes == ((0, 10, 63, 58),)
    assert layout.wnids[next(i for i in val if i.id == "val_2.JPEG").label] == "n04070727"


def test_a_missing_path_is_named(tmp_path):
    check_refused(tmp_path / "nowhere", tmp_path, "nowhere: no such file or folder")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    check_refused(tmp_path / "other.zip", tmp_path, "no wnids.txt in it: expected tiny-imagenet-200.zip")


def test_a_cut_zip_is_refused(drawn, tmp_path):
    whole = shutil.make_archive(str(tmp_path / "whole"), "zip", drawn)
    (tmp_path / "cut.zip").write_bytes(Path(whole).read_bytes()[:-5000])
    check_refused(tmp_path / "cut.zip", tmp_path, "cut.zip: neither a folder nor a whole zip file")


def test_a_class_without_images_is_named(drawn, tmp_path):
    shutil.rmtree(drawn / "train" / "n99000003" / "images")
    check_refused(drawn, tmp_path, "class n99000003 has no image in train")


def val_list(drawn: Path) -> tuple[Path, list[str]]:
    """The list of validation images, and its lines."""
    listing = drawn / "val" / "val_annotations.txt"
    return listing, listing.read_text().splitlines(keepends=True)


def test_a_class_without_validation_images_is_named(drawn, tmp_path):
    listing, lines = val_list(drawn)
    listing.write_text("".join(line for line in lines if "n99000004" not in line))
    for line in lines:
        if "n99000004" in line:
            (drawn / "val/images" / line.split("\t")[0]).unlink()
    check_refused(drawn, tmp_path, "class n99000004 has no image in val/val_annotations.txt")


@pytest.mark.parametrize("kept", [0, 10, 19])
@pytest.mark.parametrize("sorted_by_class", [False, True])
def test_a_cut_list_is_not_believed(drawn, tmp_path, kept, sorted_by_class):
    listing, lines = val_list(drawn)
    for image, wnid in (line.split("\t")[:2] for line in lines if sorted_by_class):
        (drawn / "val" / wnid).mkdir(exist_ok=True)
        (drawn / "val/images" / image).rename(drawn / "val" / wnid / image)
    listing.write_text("".join(lines[:kept]))
    message = f"{20 - kept} of the 20 images are not in val/val_annotations.txt, the first is val_{kept}.JPEG"
    check_refused(drawn, tmp_path, message)
    with pytest.raises(ValueError, match=message):
        verify_data_set("tiny-imagenet", drawn, tmp_path / "verified")


def test_a_cut_list_of_training_boxes_is_not_believed(drawn, tmp_path):
    boxes = drawn / "train/n99000002/n99000002_boxes.txt"
    boxes.write_text("".join(boxes.read_text().splitlines(keepends=True)[:1]))
    check_refused(
        drawn, tmp_path, "2 of the 3 images are not in train/n99000002/n99000002_boxes.txt, the first is .*_1.JPEG"
    )
    boxes.unlink()
    assert not any(item.boxes for item in TinyImageNet(drawn).items("train") if item.label == 2)


@pytest.mark.parametrize("wnid", ["n99000000", "n99000001"])
def test_an_image_that_is_listed_twice_is_named(drawn, tmp_path, wnid):
    listing, lines = val_list(drawn)
    listing.write_text("".join([*lines, f"val_3.JPEG\t{wnid}\t0\t0\t9\t9\n"]))
    check_refused(drawn, tmp_path, "val_annotations.txt, line 21: val_3.JPEG is in line 4 already")


def test_a_label_file_with_an_unknown_class_is_named(drawn, tmp_path):
    listing = drawn / "val" / "val_annotations.txt"
    listing.write_text(listing.read_text().replace("n99000001", "n00000042", 1))
    check_refused(drawn, tmp_path, r"val_annotations.txt, line \d+: class 'n00000042' is not in wnids.txt")


def test_a_listed_image_that_is_missing_is_named(drawn, tmp_path):
    (drawn / "val" / "images" / "val_7.JPEG").unlink()
    check_refused(drawn, tmp_path, r"line 8: val/images/val_7.JPEG is missing")


def test_a_missing_listing_is_named(drawn, tmp_path):
    (drawn / "val" / "val_annotations.txt").unlink()
    check_refused(drawn, tmp_path, "val/val_annotations.txt is missing")


def test_a_malformed_box_is_named(drawn, tmp_path):
    boxes = drawn / "train" / "n99000000" / "n99000000_boxes.txt"
    boxes.write_text("n99000000_0.JPEG\t1\t2\tx\t4\n")
    check_refused(drawn, tmp_path, "n99000000_boxes.txt, line 1: expected four numbers")


@pytest.mark.parametrize("where", ["train/n99000002/images/n99000002_1.JPEG", "val/images/val_3.JPEG"])
def test_a_truncated_jpeg_is_named(drawn, tmp_path, where):
    image = drawn / where
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    check_refused(drawn, tmp_path, f"{image.name} cannot be decoded as an image")


def test_the_first_images_of_the_first_classes_are_taken(drawn):
    taken = select(TinyImageNet(drawn).items("train"), classes=2, per_class=2)
    assert [(item.label, item.id) for item in taken] == [
        (c, f"n9900000{c}_{i}.JPEG") for c in range(2) for i in range(2)
    ]


def test_more_images_or_classes_than_exist_are_refused(drawn):
    items = TinyImageNet(drawn).items("train")
    with pytest.raises(ValueError, match="_per_class: expected at most 3, .* got 4"):
        select(items, classes=None, per_class=4)
    with pytest.raises(ValueError, match="data.classes: expected at most 10, .* got 11"):
        select(items, classes=11, per_class=None)


def test_ilsvrc_as_class_folders(tmp_path):
    for split, wnid, name in [
        ("train", "n01440764", "a"),
        ("train", "n01443537", "b"),
        ("val", "n01440764", "c"),
        ("val", "n01443537", "d"),
    ]:
        (tmp_path / split / wnid).mkdir(parents=True)
        (tmp_path / split / wnid / f"{name}.JPEG").touch()
    layout = open_ilsvrc(tmp_path)
    assert [(i.id, i.label) for i in layout.items("val")] == [("c.JPEG", 0), ("d.JPEG", 1)]
    (tmp_path / "val" / "n99999999").mkdir()
    (tmp_path / "val" / "n99999999" / "e.JPEG").touch()
    with pytest.raises(ValueError, match="val/n99999999 is not in train/"):
        open_ilsvrc(tmp_path).items("val")
