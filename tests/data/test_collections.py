"""VOC and Caltech, real and drawn, are read as they lie on disk; what is damaged is named."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import real
from vggrepro.core.checksums import CHECKSUMS
from vggrepro.data import standin, transfer_standin
from vggrepro.data.collections import VOC, Actions, Caltech


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    transfer_standin.write_voc(root / "voc2007", "2007")
    transfer_standin.write_voc(root / "voc2012", "2012")
    transfer_standin.write_caltech(root / "caltech101", "101", per_class=12)
    transfer_standin.write_caltech(root / "caltech256", "256", per_class=12)
    for data_set in root.iterdir():
        (data_set / CHECKSUMS).unlink()  # as a user's own
    return root


@pytest.fixture
def voc(drawn, tmp_path) -> Path:
    """A VOC-2012 that a test may damage: the folder with ImageSets."""
    return shutil.copytree(drawn / "voc2012", tmp_path / "voc 2012") / "VOCdevkit" / "VOC2012"


# VOC


def test_labels_are_those_of_the_lists_and_of_the_annotations(drawn, tmp_path):
    """The lists and the XML have the same labels, difficult ones included."""
    lists = VOC(drawn / "voc2007", "2007")
    without = shutil.copytree(drawn / "voc2007", tmp_path / "voc")
    for file in (without / "VOCdevkit/VOC2007/ImageSets/Main").glob("*_*.txt"):
        file.unlink()
    shutil.rmtree(without / "VOCdevkit/VOC2007/ImageSets/Action")
    xml = VOC(without, "2007")
    assert xml.classes == lists.classes == tuple(sorted(transfer_standin.VOC_CLASSES))
    assert np.array_equal(xml.labels, lists.labels)
    assert xml.ids == lists.ids
    assert set(np.unique(lists.labels)) == {-1, 0, 1}
    assert [lists.labelled(part) for part in ("train", "val", "test")] == [True] * 3


def test_folder_zip_and_both_years_in_one_devkit_are_read_alike(drawn, tmp_path):
    both = tmp_path / "VOCdevkit"
    for year in ("2007", "2012"):
        shutil.copytree(drawn / f"voc{year}" / "VOCdevkit" / f"VOC{year}", both / f"VOC{year}")
    zipped = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "VOCdevkit")
    alone = VOC(drawn / "voc2007", "2007")
    for path in (both, Path(zipped)):
        voc = VOC(path, "2007")
        assert voc.ids == alone.ids
        assert np.array_equal(voc.image(3), alone.image(3))
    with pytest.raises(ValueError, match="expected one folder with ImageSets/Main.*VOC2010, got 0: none"):
        VOC(both, "2010")
    shutil.rmtree(both / "VOC2007")
    with pytest.raises(ValueError, match="VOC2007, got 0: none"):
        VOC(both, "2007")  # another year's images are not read instead


def test_the_official_lists_are_read_at_full_size(tmp_path):
    """All labels of VOC-2007, against a count of the files' lines; the images are empty files."""
    with zipfile.ZipFile(real("voc2007-13.zip")) as file:
        file.extractall(tmp_path)
    root = tmp_path / "voc2007-13"
    main = root / "ImageSets" / "Main"
    for part in ("train", "val", "test"):
        for name in main.joinpath(f"{part}.txt").read_text().split():
            root.joinpath("JPEGImages", f"{name}.jpg").touch()
    voc = VOC(tmp_path, "2007")
    assert len(voc) == 9963
    assert {part: len(rows) for part, rows in voc.parts.items()} == {"train": 2501, "val": 2510, "test": 4952}
    assert len(voc.classes) == 20
    assert "train" in voc.classes
    for part in ("train", "val", "test"):
        for c, name in enumerate(voc.classes):
            expected = Counter(line.split()[1] for line in main.joinpath(f"{name}_{part}.txt").read_text().splitlines())
            labels = Counter(str(v) for v in voc.labels[voc.parts[part], c])
            assert labels == expected, (name, part)


def test_blood_cells_have_several_classes_an_image():
    voc = VOC(real("bccd-voc.zip"), "2007")
    assert voc.classes == ("Platelets", "RBC", "WBC")
    with zipfile.ZipFile(real("bccd-voc.zip")) as file:
        texts = {Path(n).stem: file.read(n).decode() for n in file.namelist() if n.endswith(".xml")}
    for name, row in zip(voc.ids, voc.labels, strict=True):
        assert [f"<name>{c}</name>" in texts[name] for c in voc.classes] == [label == 1 for label in row]
    assert (voc.labels > 0).sum(1).max() == 3
    assert voc.image(0).shape == (480, 640, 3)


def test_the_labels_of_2012s_test_part_are_withheld(drawn):
    voc = VOC(drawn / "voc2012", "2012")
    assert [voc.labelled(part) for part in ("train", "val", "test")] == [True, True, False]
    assert len(voc.parts["test"]) == transfer_standin.VOC_PART_SIZES["test"]


def cut(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda v: (v / "JPEGImages/2012_val003.jpg").unlink(), r"Main/val.txt, line 4: .*2012_val003.jpg is missing: unpack"),
        (lambda v: (v / "ImageSets/Main/val.txt").unlink(), r"Main/val.txt is missing or empty: expected all of VOC-2012"),
        (lambda v: (v / "ImageSets/Main/disc_train.txt").unlink(), "Main/disc_train.txt is missing: expected all of VOC-2012"),
        (lambda v: (v / "ImageSets/Main/disc_val.txt").unlink(), r"Main/disc_val.txt is missing: expected all of VOC-2012"),
        (lambda v: cut(v / "ImageSets/Main/disc_val.txt", "2012_val003", "2012_val004"), "lists other images than val.txt"),
        (lambda v: cut(v / "ImageSets/Main/disc_val.txt", "2012_val003 ", "2012_val003 2 "), "line 4: expected an image"),
        (lambda v: cut(v / "ImageSets/Main/val.txt", "2012_val003", "2012_train003"), "image 2012_train003 is in two of"),
        (lambda v: shutil.rmtree(v / "ImageSets"), "expected one folder with ImageSets/Main.*got 0: none"),
    ],
)  # fmt: skip
def test_a_damaged_voc_is_named(voc, damage, message):
    damage(voc)
    with pytest.raises(ValueError, match=message):
        VOC(voc.parents[1], "2012")


def test_an_annotation_without_objects_is_named_where_labels_come_from_it(drawn, tmp_path):
    root = shutil.copytree(drawn / "voc2007", tmp_path / "voc") / "VOCdevkit/VOC2007"
    for file in root.glob("ImageSets/Main/*_*.txt"):
        file.unlink()
    (root / "Annotations/2007_val001.xml").write_text("<annotation></annotation>")
    with pytest.raises(ValueError, match="Annotations/2007_val001.xml has no object"):
        VOC(root, "2007")
    (root / "Annotations/2007_val001.xml").unlink()
    with pytest.raises(ValueError, match="Annotations/2007_val001.xml is missing"):
        VOC(root, "2007")


# Actions


def test_persons_are_cut_to_their_boxes_and_share_labels_with_whole_images(drawn):
    whole, cut_out = (Actions(drawn / "voc2012", boxes=boxes) for boxes in (False, True))
    assert whole.ids == cut_out.ids
    assert whole.digest != cut_out.digest
    assert whole.groups.tolist() == cut_out.groups.tolist()
    assert (np.bincount(whole.groups) == 2).all()
    assert np.array_equal(whole.labels, cut_out.labels)
    assert whole.classes == ("jumping", "other", "reading")
    train = whole.labels[whole.parts["train"]]
    assert ((train == 1).sum(1) == 1).all()
    assert (whole.labels[whole.parts["test"]] == 0).all()
    x0, y0, x1, y1 = whole.pictures[1].box
    assert np.array_equal(cut_out.image(1), whole.image(1)[y0 : y1 + 1, x0 : x1 + 1])
    assert x0 >= standin.STANDIN_SIDE  # the second person is in the right half


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda v: [cut(f, " 2 ", " 3 ") for f in v.glob("ImageSets/Action/*_val.txt")], "has 2 objects, .* lists number 3"),
        (lambda v: cut(v / "ImageSets/Action/reading_val.txt", "val000a  2", "val000a  1"), "lists other persons than"),
        (lambda v: cut(v / "ImageSets/Action/reading_val.txt", "val000a  1", "train000a  1"), "lists other persons than"),
        (lambda v: cut(v / "ImageSets/Action/reading_val.txt", " 2 ", " x "), "reading_val.txt, line 2: expected"),
        (lambda v: (v / "ImageSets/Action/reading_val.txt").unlink(), "reading_val.txt is missing"),
        (lambda v: (v / "Annotations/2012_val000a.xml").unlink(), "2012_val000a.xml is missing"),
        (lambda v: (v / "JPEGImages/2012_val000a.jpg").unlink(), "2012_val000a.jpg is missing"),
        (lambda v: [f.unlink() for f in v.glob("ImageSets/Action/*_*.txt")], "expected lists of actions, such as"),
    ],
)  # fmt: skip
def test_damaged_lists_of_actions_are_named(voc, damage, message):
    damage(voc)
    with pytest.raises(ValueError, match=message):
        Actions(voc, boxes=True)


def test_a_persons_box_outside_its_image_is_named(voc):
    file = voc / "Annotations/2012_val000a.xml"
    file.write_text(re.sub(r"<xmin>\d+</xmin>", "<xmin>900</xmin>", file.read_text(), count=1))
    people = Actions(voc, boxes=True)
    with pytest.raises(ValueError, match=r"2012_val000a.jpg: expected a box inside 128 x 64 px, got \(899, "):
        people.image(people.ids.index("2012_val000a 1"))


# Caltech


def test_the_real_caltech_images_are_all_read(tmp_path):
    """Greyscale images become colour; the background folder of Caltech-101 has a file called tmp that is no image."""
    zipped = shutil.copy(real("caltech101-18.zip"), tmp_path / "c.zip")
    with zipfile.ZipFile(zipped, "a") as file:
        file.writestr("caltech101-18/101_ObjectCategories/BACKGROUND_Google/tmp", b"no image")
    caltech = Caltech(Path(zipped), "101")
    assert (len(caltech), len(caltech.classes)) == (966, 18)
    assert caltech.classes[0] == "BACKGROUND_Google"
    grey = 0
    for i in range(0, len(caltech), 3):
        image = caltech.image(i)
        assert image.shape[2:] == (3,)
        grey += bool((image == image[..., :1]).all())
    assert grey > 0
    sizes = np.bincount(caltech.labels)
    assert (sizes.min(), sizes.max()) == (33, 60)
    for parts in caltech.splits(3, 30, 50):
        assert (np.bincount(caltech.labels[parts == 1]) == 30).all()
        assert (np.bincount(caltech.labels[parts == 2]) == np.minimum(sizes - 30, 50)).all()
    with pytest.raises(
        ValueError, match="binocular has 33 images, of which 33 train, and none is left.*caltech101_train"
    ):
        caltech.splits(3, 33, 50)


def test_splits_are_random_repeatable_and_different(drawn):
    caltech = Caltech(drawn / "caltech256", "256")
    first, again = caltech.splits(3, 5, None), caltech.splits(3, 5, None)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert all(Counter(parts.tolist()) == {1: 30, 2: 42} for parts in first)
    limited = caltech.splits(1, 5, 3)[0]
    assert Counter(limited.tolist()) == {1: 30, 2: 18, 0: 24}


def test_caltech_256_keeps_its_clutter_and_ignores_folders_inside_classes(drawn, tmp_path):
    root = shutil.copytree(drawn / "caltech256", tmp_path / "c")
    inner = root / "256_ObjectCategories" / "001.shape0" / "copies"
    inner.mkdir()
    shutil.copy(root / "256_ObjectCategories" / "001.shape0" / "001_0001.jpg", inner)
    (root / "256_ObjectCategories" / "001.shape0" / "RENAME2").write_text("no image")
    caltech = Caltech(root, "256")
    assert "257.clutter" in caltech.classes
    assert len(caltech) == 6 * 12


def test_a_folder_that_is_not_caltech_is_named(tmp_path):
    with pytest.raises(ValueError, match="expected 101_ObjectCategories/<class>/"):
        Caltech(tmp_path, "101")
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.jpg").touch()
    with pytest.raises(ValueError, match="expected several class folders, got only"):
        Caltech(tmp_path, "101")


def test_a_damaged_image_is_named(drawn, tmp_path):
    root = shutil.copytree(drawn / "caltech101", tmp_path / "c")
    file = root / "101_ObjectCategories" / "shape0" / "image_0001.jpg"
    file.write_bytes(file.read_bytes()[:200])
    caltech = Caltech(root, "101")
    with pytest.raises(ValueError, match="shape0/image_0001.jpg cannot be decoded as an image"):
        caltech.image(caltech.ids.index("shape0/image_0001.jpg"))
