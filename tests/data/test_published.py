"""VOC and Caltech are the same data sets in every form in which they are published; what is not theirs is refused."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import real
from vggrepro.core.checksums import CHECKSUMS
from vggrepro.core.files import Files
from vggrepro.data import transfer_standin
from vggrepro.data.collections import VOC, Actions, Caltech, open_collection

TRAINVAL = {"2007": "VOCtrainval_06-Nov-2007.tar", "2012": "VOCtrainval_11-May-2012.tar"}
TEST = {"2007": "VOCtest_06-Nov-2007.tar", "2012": "VOC2012test.tar"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("published")
    for year in ("2007", "2012"):
        transfer_standin.write_voc(root / f"voc{year}", year)
    for size in ("101", "256"):
        transfer_standin.write_caltech(root / f"caltech{size}", size, per_class=4)
    (root / "caltech101/101_ObjectCategories/BACKGROUND_Google/tmp").write_bytes(b"no image")
    for data_set in root.iterdir():
        (data_set / CHECKSUMS).unlink()
    return root


def pack(archive: Path, folder: Path, names: list[str], mode: str = "w") -> None:
    with tarfile.open(archive, mode) as tar:
        for name in names:
            tar.add(folder / name, name)


def files_below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def publish_voc(folder: Path, year: str, out: Path) -> Path:
    """The two tars of VOC: what belongs to the test part lies in the second."""
    names = files_below(folder)
    test = {n for n in names if "_test" in Path(n).name or Path(n).name == "test.txt"}
    out.mkdir(exist_ok=True)
    pack(out / TRAINVAL[year], folder, [n for n in names if n not in test])
    pack(out / TEST[year], folder, sorted(test))
    return out


def assert_same(collection: VOC | Caltech, other: VOC | Caltech) -> None:
    assert collection.ids == other.ids
    assert collection.classes == other.classes
    assert np.array_equal(collection.labels, other.labels)
    for i in (0, len(other) // 2, len(other) - 1):
        assert np.array_equal(collection.image(i), other.image(i))


@pytest.mark.parametrize("year", ["2007", "2012"])
def test_voc_is_the_same_in_its_tars_and_unpacked(drawn, tmp_path, year):
    folder = drawn / f"voc{year}"
    unpacked = VOC(folder, year)
    tars = publish_voc(folder, year, tmp_path / "tars")
    forms = [tars, tars / TRAINVAL[year], tars / TEST[year], folder / "VOCdevkit", folder / "VOCdevkit" / f"VOC{year}"]
    for path in (*forms, drawn):
        assert_same(VOC(path, year), unpacked)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as both:
        for tar in tars.iterdir():
            both.write(tar, tar.name)
    assert_same(VOC(tmp_path / "both.zip", year), unpacked)
    if year == "2012":
        assert Actions(tars, boxes=True).ids == Actions(folder, boxes=True).ids


def test_a_part_of_voc_is_unpacked_and_a_part_is_not(drawn, tmp_path):
    tars = publish_voc(drawn / "voc2007", "2007", tmp_path / "tars")
    shutil.unpack_archive(tars / TRAINVAL["2007"], tars)
    assert_same(VOC(tars, "2007"), VOC(drawn / "voc2007", "2007"))


def test_parts_of_voc_that_were_unpacked_into_two_folders_are_one(drawn, tmp_path):
    tars = publish_voc(drawn / "voc2007", "2007", tmp_path / "tars")
    for archive in (TRAINVAL["2007"], TEST["2007"]):
        shutil.unpack_archive(tars / archive, tmp_path / "kaggle" / archive.removesuffix(".tar"))
    assert_same(VOC(tmp_path / "kaggle", "2007"), VOC(drawn / "voc2007", "2007"))
    (lists,) = (tmp_path / "kaggle").glob("VOCtest*/VOCdevkit/VOC2007/ImageSets/Main")
    (lists / "train.txt").write_text("other\n")
    with pytest.raises(ValueError, match=r"train.txt differ: keep one of the two folders"):
        VOC(tmp_path / "kaggle", "2007")


@pytest.mark.parametrize(
    ("name", "given"), [("voc2007", "VOC2012"), ("voc2012", "VOC2007"), ("voc2007", TRAINVAL["2012"])]
)
def test_another_year_is_not_read_instead(drawn, tmp_path, name, given):
    for year in ("2007", "2012"):
        publish_voc(drawn / f"voc{year}", year, tmp_path)
    path = tmp_path / given if given.endswith("tar") else drawn / given.lower() / "VOCdevkit" / given
    with pytest.raises(ValueError, match=f"such as VOCdevkit/V{name[1:3].upper()}{name[3:]}, got 0: none; here is"):
        open_collection(name, path)


OFFICIAL = {"101": ("101_ObjectCategories.tar.gz", "w:gz"), "256": ("256_ObjectCategories.tar", "w")}


@pytest.mark.parametrize("size", OFFICIAL)
def test_caltech_is_the_same_in_its_archives_and_unpacked(drawn, tmp_path, size):
    folder, (name, mode) = drawn / f"caltech{size}", OFFICIAL[size]
    unpacked = Caltech(folder, size)
    pack(tmp_path / name, folder, [f"{size}_ObjectCategories"], mode)
    with zipfile.ZipFile(tmp_path / f"caltech-{size}.zip", "w") as outer:
        outer.write(tmp_path / name, f"caltech-{size}/{name}")
        outer.writestr(f"__MACOSX/caltech-{size}/._{name}", b"no archive")
    (tmp_path / "above").mkdir()
    shutil.copy(tmp_path / f"caltech-{size}.zip", tmp_path / "above")
    for path in (tmp_path, tmp_path / name, tmp_path / f"caltech-{size}.zip", tmp_path / "above", folder):
        caltech = Caltech(path, size)
        assert_same(caltech, unpacked)
        assert len(caltech.digest) == 64
    background = "BACKGROUND_Google" if size == "101" else "257.clutter"
    assert background in unpacked.classes
    with pytest.raises(ValueError, match=f"Caltech-{size}, expected Caltech-{'256' if size == '101' else '101'}"):
        Caltech(folder / f"{size}_ObjectCategories", "256" if size == "101" else "101")


def test_real_caltech_images_are_the_same_in_a_tar(tmp_path):
    zipped = real("caltech101-18.zip")
    archive = tmp_path / "101_ObjectCategories.tar.gz"
    with zipfile.ZipFile(zipped) as files, tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in files.namelist():
            if "101_ObjectCategories/" in name and not name.endswith("/"):
                member = tarfile.TarInfo("101_ObjectCategories/" + name.split("101_ObjectCategories/")[1])
                member.size = files.getinfo(name).file_size
                tar.addfile(member, io.BytesIO(files.read(name)))
    assert_same(Caltech(archive, "101"), Caltech(zipped, "101"))


def test_real_voc_images_are_the_same_in_a_tar(tmp_path):
    zipped = real("bccd-voc.zip")
    with zipfile.ZipFile(zipped) as files:
        files.extractall(tmp_path / "unpacked")
    root = next(p.parent for p in (tmp_path / "unpacked").rglob("ImageSets"))
    root.rename(tmp_path / "VOC2007")
    pack(
        tmp_path / "VOCtrainval_06-Nov-2007.tar", tmp_path, [f"VOC2007/{n}" for n in files_below(tmp_path / "VOC2007")]
    )
    assert_same(VOC(tmp_path / "VOCtrainval_06-Nov-2007.tar", "2007"), VOC(zipped, "2007"))


@pytest.mark.parametrize("evil", ["../out.jpg", "/etc/out.jpg"])
def test_a_member_that_leads_outside_is_refused(tmp_path, evil):
    with tarfile.open(tmp_path / "256_ObjectCategories.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(evil))
    with pytest.raises(ValueError, match=r"256_ObjectCategories.tar: .* points outside the archive"):
        Caltech(tmp_path, "256")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n", b""])
@pytest.mark.parametrize("name", ["101_ObjectCategories.tar.gz", "101_ObjectCategories.tar", "caltech-101.zip"])
def test_what_is_no_archive_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: (damaged or cut short|neither a folder nor a whole zip)"):
        Caltech(tmp_path / name, "101")


def test_an_archive_that_is_cut_short_is_named(drawn, tmp_path):
    tars = publish_voc(drawn / "voc2007", "2007", tmp_path)
    data = (tars / TEST["2007"]).read_bytes().rstrip(b"\0")
    (tars / TEST["2007"]).write_bytes(data[:-600])
    with pytest.raises(ValueError, match=f"{TEST['2007']}: (damaged or cut short|ends in the middle of)"):
        voc = VOC(tars, "2007")
        voc.image(len(voc) - 1)


def test_the_sizes_of_files_are_looked_up_once(drawn, monkeypatch):
    """Once for each of a folder's files they would take an hour of VOC-2012, and an hour again for every digest."""
    asked, sizes = [], Files.sizes
    monkeypatch.setattr(Files, "sizes", lambda files: asked.append(files.path) or sizes(files))
    collection = open_collection("voc2012", drawn / "voc2012")
    assert collection.digest == collection.digest
    assert asked == [drawn / "voc2012"]
