"""Validation images in folders that are called by class numbers, as ImageNetV2 comes."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggrepro import cli
from vggrepro.data.numbered import NumberedFolders
from vggrepro.data.store import Store

WNIDS = [f"n{number:08d}" for number in range(12)]


def draw(folder: Path, classes: int = 12, each: int = 2) -> Path:
    """Images whose first pixel is their class and their place in it."""
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for place in range(each):
            pixels = np.full((9, 8, 3), (label, place, 7), np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{label:02d}-{'ba'[place % 2]}{place}.png")
    return folder


@pytest.fixture
def tarred(tmp_path) -> Path:
    draw(tmp_path / "imagenetv2" / "top-images")
    with tarfile.open(tmp_path / "v2.tar", "w") as file:
        file.add(tmp_path / "imagenetv2" / "top-images", "top-images")
    return tmp_path / "v2.tar"


FORMS = ["folder", "folder above", "tar", "tar that is called packed", "packed tar"]


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_is_the_place_of_its_class_among_the_sorted_wnids(tmp_path, tarred, form):
    """0, 1, 2, ..., 10, and not 0, 1, 10, 2 as text."""
    paths = (tmp_path / "imagenetv2/top-images", tmp_path / "imagenetv2", tarred)
    path = dict(zip(FORMS, (*paths, *[tmp_path / "v2.tar.gz"] * 2), strict=True))[form]
    if path not in paths:
        content = tarred.read_bytes()
        path.write_bytes(gzip.compress(content) if form == "packed tar" else content)
    layout = NumberedFolders(path, WNIDS)
    items = layout.items("val")
    assert [item.label for item in items] == [label for label in range(12) for _ in range(2)]
    assert [item.id for item in items[20:24]] == ["10-a1.png", "10-b0.png", "11-a1.png", "11-b0.png"]
    assert (layout.splits, layout.wnids) == (("val",), WNIDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "3/03-b0.png").unlink() or (folder / "3/03-a1.png").unlink(),
            "no image in a folder 3",
        ),
        (lambda folder: draw(folder / "x", 14), r"got a folder 12 \(and 1 more like it\)"),
        (lambda folder: (folder / "0").rename(folder / "zero"), "no image in a folder 0"),
    ],
)
def test_folders_that_are_not_the_classes_are_refused_in_one_message(tmp_path, change, message):
    folder = draw(tmp_path / "v2")
    change(folder)
    with pytest.raises(
        ValueError, match=rf"v2: expected a folder of images for each of the 12 classes, 0 to 11.*{message}"
    ):
        NumberedFolders(folder, WNIDS)


def test_two_images_of_one_name_are_refused(tmp_path):
    folder = draw(tmp_path / "v2")
    (folder / "1/00-b0.png").write_bytes((folder / "1/01-b0.png").read_bytes())
    with pytest.raises(ValueError, match="v2: 00-b0.png is in 2 folders: expected different names"):
        NumberedFolders(folder, WNIDS).items("val")


def test_they_are_prepared_with_the_classes_of_another_store(stores, tmp_path):
    folder, val = draw(tmp_path / "v2", classes=10), Store(stores[1])
    options = ["--layout", "numbered", "--path", str(folder), "--val", str(tmp_path / "out")]
    assert cli.main(["prepare", *options, "--like", str(stores[1])]) == 0
    store = Store(tmp_path / "out")
    assert store.about["wnids"] == val.about["wnids"]
    assert (store.about["data set"], store.labels.tolist()) == ("v2", [label for label in range(10) for _ in range(2)])
    assert [int(store.image(i)[0, 0, 0]) for i in range(20)] == store.labels.tolist()


def test_what_says_the_classes_has_to_be_given(tmp_path, capsys):
    options = ["--layout", "numbered", "--path", str(draw(tmp_path / "v2")), "--val", str(tmp_path / "out")]
    assert cli.main(["prepare", *options]) == 2
    assert "the layout numbered needs --like" in capsys.readouterr().err
