"""Annotations of VOC and ILSVRC are read, and damaged or contradicting ones are named."""

from __future__ import annotations

import re
import zipfile

import pytest

from tests.conftest import prepared, real
from vggrepro.data.annotations import Annotation, read_solution, read_xml
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.store import Store

OBJECT = (
    "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def xml(*objects: str) -> bytes:
    return f"<annotation><size><width>9</width></size>{''.join(objects)}</annotation>".encode()


def test_objects_have_name_box_difficult_and_actions():
    actions = "<difficult>1</difficult><actions><jumping>1</jumping><reading>0</reading></actions>"
    part = "<part><name>head</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>1</ymax></bndbox></part>"
    objects = OBJECT.format("dog", "", 1, 2, 3, "4.0"), OBJECT.format("person", part + actions, 5, 6, 7.4, 8)
    dog, person = read_xml(xml(*objects), "x").objects
    assert (dog.name, dog.box, dog.difficult, dog.actions) == ("dog", (1, 2, 3, 4), False, frozenset())
    assert (person.name, person.box, person.difficult, person.actions) == ("person", (5, 6, 7, 8), True, {"jumping"})
    assert read_xml(xml(), "x") == Annotation((), None)
    sized = b"<annotation><size><width>500</width><height>375</height></size></annotation>"
    assert read_xml(sized, "x").size == (375, 500)
    assert read_xml(sized.replace(b"375", b"0"), "x").size is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xml(OBJECT.format("dog", "", 1, 2, 3, 4))[:-20], "x.xml: no whole XML annotation"),
        (b"", "x.xml: no whole XML annotation"),
        (xml(OBJECT.format("dog", "", 1, 2, "", 4)), "x.xml: object 'dog': expected xmin, ymin, xmax, ymax"),
        (xml(OBJECT.format("dog", "", 1, 2, "nan", 4)), "x.xml: object 'dog': expected"),
        (xml(OBJECT.format("dog", "", 1, 2, "inf", 4)), "x.xml: object 'dog': expected"),
        (xml("<object><name>dog</name></object>"), "x.xml: object 'dog': expected"),
        (xml(OBJECT.format("", "", 1, 2, 3, 4)), "x.xml: an object without a name"),
    ],
)
def test_a_damaged_annotation_is_named(data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_xml(data, "x.xml")


def test_the_real_annotations_of_bccd_are_read():
    with zipfile.ZipFile(real("bccd-voc.zip")) as file:
        annotations = {n: read_xml(file.read(n), n) for n in file.namelist() if n.endswith(".xml")}
    assert len(annotations) == 364
    assert {o.name for annotation in annotations.values() for o in annotation.objects} == {"RBC", "WBC", "Platelets"}


def test_the_real_solution_is_read():
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        name = next(n for n in file.namelist() if n.endswith("LOC_val_solution.csv"))
        lines = list(read_solution(file.read(name).decode().splitlines(), name))
    assert len(lines) == 50_000
    where, image, annotation = lines[0]
    assert (image, annotation.objects[0].name, annotation.objects[0].box) == (
        "ILSVRC2012_val_00048981",
        "n03995372",
        (85, 1, 499, 272),
    )
    assert where.endswith("LOC_val_solution.csv, line 2")


@pytest.mark.parametrize("line", ["x", "a,n1 0 0 5", "a,n1 0 0 5 x", "a", "a,n1 0 0 5 5 n2", "a,n1 0 0 5 5,more"])
def test_a_malformed_line_is_named(line):
    with pytest.raises(ValueError, match="s.csv, line 4: expected ImageId,PredictionString"):
        list(read_solution(["ImageId,PredictionString", "", "b,n1 0 0 5 5", line], "s.csv"))


# ILSVRC as class folders, with annotations of either kind


@pytest.fixture
def ilsvrc(tmp_path):
    """Two classes, two images of 20 x 10 px in each split, annotated by CSV."""
    from PIL import Image

    folder = tmp_path / "ilsvrc"
    for split in ("train", "val"):
        lines = ["ImageId,PredictionString"]
        for c, wnid in enumerate(("n01440764", "n01443537")):
            (folder / split / wnid).mkdir(parents=True)
            for i in range(2):
                name = f"{wnid}_{i}" if split == "train" else f"ILSVRC2012_val_{2 * c + i + 1:08d}"
                Image.new("RGB", (20, 10), (50 * i, 9, 200)).save(folder / split / wnid / f"{name}.JPEG")
                lines.append(f"{name},{wnid} {c} {i} 12 8 {wnid} 0 0 3 3")
        (folder / f"LOC_{split}_solution.csv").write_text("\n".join(lines) + "\n")
    return folder


def to_xml(folder, below):
    """The same annotations as XML files."""
    for split in ("train", "val"):
        listing = folder / f"LOC_{split}_solution.csv"
        for line in listing.read_text().splitlines()[1:]:
            name, fields = line.split(",")[0], line.split(",")[1].split()
            objects = [OBJECT.format(fields[k], "", *fields[k + 1 : k + 5]) for k in range(0, len(fields), 5)]
            sub = f"{fields[0]}/" if split == "train" else ""
            file = folder / below / split / f"{sub}{name}.xml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(xml(*objects))
        listing.unlink()


def boxes(folder):
    return {split: [item.boxes for item in open_ilsvrc(folder).items(split)] for split in ("train", "val")}


@pytest.mark.parametrize("below", ["Annotations", "Annotations/CLS-LOC"])
def test_csv_and_xml_give_the_same_boxes(ilsvrc, below):
    expected = boxes(ilsvrc)
    assert expected["val"] == [((c, i, 12, 8), (0, 0, 3, 3)) for c in range(2) for i in range(2)]
    to_xml(ilsvrc, below)
    assert boxes(ilsvrc) == expected


def test_the_blacklist_is_read(ilsvrc):
    (ilsvrc / "devkit").mkdir()
    (ilsvrc / "devkit" / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("2\n3\n")
    assert [item.blacklisted for item in open_ilsvrc(ilsvrc).items("val")] == [False, True, True, False]
    assert not any(item.blacklisted for item in open_ilsvrc(ilsvrc).items("train"))
    store = Store(prepared(ilsvrc / "out", "ilsvrc", ilsvrc, per_class=(None, None))[1])
    assert store.blacklisted.tolist() == [False, True, True, False]
    (ilsvrc / "devkit" / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("2\nx\n")
    with pytest.raises(ValueError, match="blacklist.txt, line 2: expected a number from 1 to 50000, got 'x'"):
        open_ilsvrc(ilsvrc).items("val")
    (ilsvrc / "devkit" / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("")
    with pytest.raises(ValueError, match="blacklist.txt: expected a number .* got an empty file"):
        open_ilsvrc(ilsvrc).items("val")
    (ilsvrc / "devkit" / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("2\n")
    (ilsvrc / "devkit" / "ILSVRC2012_clsloc_validation_blacklist.txt").write_text("3\n")
    with pytest.raises(ValueError, match="blacklist.txt differ: keep one"):
        open_ilsvrc(ilsvrc).items("val")


def change(folder, split, old, new):
    listing = folder / f"LOC_{split}_solution.csv"
    text = listing.read_text()
    assert old in text
    listing.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("split", "old", "new", "message"),
    [
        ("val", "ILSVRC2012_val_00000002,", "ILSVRC2012_val_00000009,", "line 3: .*9 does not exist"),
        ("val", "ILSVRC2012_val_00000002,", "ILSVRC2012_val_00000001,", "line 3: .*1 is annotated twice"),
        ("val", "n01440764 0 1 12 8", "n01443537 0 1 12 8", "line 3: expected boxes of n01440764, .*2, got one of n01443537"),
        ("val", "n01440764 0 1 12 8 n01440764 0 0 3 3", "", "1 of 4 .*have no box, the first is .*_00000002"),
        ("train", "n01440764_1,", "n01440764_7,", "line 3: n01440764_7 does not exist"),
        ("val", "0 1 12 8", "12 1 0 8", r"0002.JPEG: expected a box inside 20 x 10 px, got \(12, 1, 0, 8\): correct"),
        ("val", "0 1 12 8", "20 1 25 8", r"expected a box inside 20 x 10 px, got \(20, 1, 25, 8\): correct"),
    ],
)  # fmt: skip
def test_annotations_that_do_not_fit_the_images_are_named(ilsvrc, split, old, new, message):
    change(ilsvrc, split, old, new)
    with pytest.raises(ValueError, match=message):
        prepared(ilsvrc / "out", "ilsvrc", ilsvrc, per_class=(None, None))
    assert not (ilsvrc / "out" / "val").exists()


def test_a_validation_image_without_boxes_is_named_and_a_training_image_is_not(ilsvrc):
    for split in ("train", "val"):
        listing = ilsvrc / f"LOC_{split}_solution.csv"
        listing.write_text("".join(listing.read_text().splitlines(keepends=True)[:-1]))
    assert [len(item.boxes) for item in open_ilsvrc(ilsvrc).items("train")] == [2, 2, 2, 0]
    with pytest.raises(ValueError, match="1 of 4 validation images have no box, the first is ILSVRC2012_val_00000004"):
        open_ilsvrc(ilsvrc).items("val")


def test_wrong_training_boxes_are_left_out_or_cut_with_a_warning(ilsvrc, capsys):
    """ILSVRC's training annotations have a few wrong boxes; its validation annotations have none."""
    change(ilsvrc, "train", "n01440764_1,n01440764 0 1 12 8", "n01440764_1,n01440764 8 8 2 2")
    change(ilsvrc, "train", "n01443537_0,n01443537 1 0 12 8", "n01443537_0,n01443537 -4 0 30 8")
    store = Store(prepared(ilsvrc / "out", "ilsvrc", ilsvrc, per_class=(None, None))[0])
    assert [store.boxes(i).tolist() for i in (1, 2)] == [[[0, 0, 3, 3]], [[0, 0, 19, 8], [0, 0, 3, 3]]]
    warnings = capsys.readouterr().err
    assert "n01440764_1.JPEG: expected a box inside 20 x 10 px, got (8, 8, 2, 2): left out" in warnings
    assert "n01443537_0.JPEG: (-4, 0, 30, 8) crosses the edge of an image of 20 x 10 px: cut at the edge" in warnings
    assert store.annotated.all()


def test_training_boxes_named_in_words_are_kept_and_those_of_other_classes_left_out(ilsvrc, capsys):
    """Some of ILSVRC's training annotations have Scottish_deerhound for n02092002, and some have another class too."""
    change(ilsvrc, "train", "n01440764_1,n01440764 0 1 12 8", "n01440764_1,Tench 0 1 12 8")
    change(ilsvrc, "train", "n01443537_0,n01443537 1 0 12 8", "n01443537_0,n01440764 1 0 12 8")
    boxes = [item.boxes for item in open_ilsvrc(ilsvrc).items("train")]
    assert boxes[1] == ((0, 1, 12, 8), (0, 0, 3, 3))
    assert boxes[2] == ((0, 0, 3, 3),)
    assert (
        "expected boxes of n01443537, the class of n01443537_0, got one of n01440764: left out"
        in capsys.readouterr().err
    )


def test_boxes_drawn_on_another_size_are_never_used(ilsvrc, capsys):
    to_xml(ilsvrc, "Annotations")
    size = b"<size><width>40</width><height>20</height></size>"
    for file, refused in (("train/n01440764/n01440764_0.xml", False), ("val/ILSVRC2012_val_00000001.xml", True)):
        path = ilsvrc / "Annotations" / file
        path.write_bytes(path.read_bytes().replace(b"<size><width>9</width></size>", size))
        if refused:
            with pytest.raises(
                ValueError, match="was drawn on an image of 40 x 20 px, but this image has 20 x 10 .*correct"
            ):
                prepared(ilsvrc / "out", "ilsvrc", ilsvrc, per_class=(None, None))
        else:
            store = Store(prepared(ilsvrc / "out", "ilsvrc", ilsvrc, per_class=(None, None))[0])
            assert store.annotated.tolist() == [False, True, True, True]
            assert (
                "was drawn on an image of 40 x 20 px, but this image has 20 x 10 px: left out"
                in capsys.readouterr().err
            )


def test_a_cut_xml_is_named(ilsvrc):
    to_xml(ilsvrc, "Annotations")
    file = ilsvrc / "Annotations" / "val" / "ILSVRC2012_val_00000003.xml"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match="Annotations/val/ILSVRC2012_val_00000003.xml: no whole XML annotation"):
        open_ilsvrc(ilsvrc).items("val")
