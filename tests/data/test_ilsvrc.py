"""All layouts of ILSVRC have the same images, labels and boxes; damaged and hostile archives are refused."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vggrepro.core import limits
from vggrepro.data import archives
from vggrepro.data.ilsvrc import FlatVal, ImageFolders, Kaggle, data_set_has_boxes, open_ilsvrc
from vggrepro.data.layouts import SPLITS

WNIDS = ("n01440764", "n02119789")
DEVKIT_IDS = {1: "n02119789", 2: "n01440764"}
"""As in the real devkit, the first class is not the first WNID."""
VAL = ("n02119789", "n01440764", "n01440764")
DATA = "ILSVRC2012_devkit_t12/data/"


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def xml(wnid: str) -> bytes:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    return f"<annotation><object><name>{wnid}</name>{box}</object></annotation>".encode()


def images() -> dict[str, bytes]:
    train = {f"train/{w}/{w}_{i}.JPEG": jpeg(10 * c + i) for c, w in enumerate(WNIDS) for i in (2, 10)}
    return train | {f"val/{name(i)}.JPEG": jpeg(100 + i) for i in range(3)}


def name(i: int) -> str:
    return f"ILSVRC2012_val_{i + 1:08d}"


def boxes() -> dict[str, bytes]:
    train = {f"train/{w}/{w}_2.xml": xml(w) for w in WNIDS}
    return train | {f"val/{name(i)}.xml": xml(wnid) for i, wnid in enumerate(VAL)}


def devkit() -> dict[str, bytes]:
    rows = [(n, wnid, f"words of {wnid}", "gloss", 0, [], 0, 1300) for n, wnid in DEVKIT_IDS.items()]
    rows.append((3, "n00001740", "entity", "gloss", 2, [1, 2], 1, 0))
    fields = (
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    )
    kinds = [(field, "O") for field in fields]
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": np.array(rows, kinds)[:, None]})
    ids = {wnid: number for number, wnid in DEVKIT_IDS.items()}
    return {
        f"{DATA}meta.mat": buffer.getvalue(),
        f"{DATA}ILSVRC2012_validation_ground_truth.txt": "".join(f"{ids[w]}\n" for w in VAL).encode(),
        f"{DATA}ILSVRC2014_clsloc_validation_blacklist.txt": b"2\n",
    }


def lay(folder: Path, files: dict[str, bytes]) -> None:
    for file, data in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)


def pack(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for file, data in files.items():
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def below(prefix: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {file.removeprefix(prefix): data for file, data in files.items() if file.startswith(prefix)}


def as_folders(folder: Path) -> None:
    lay(folder, {f: d for f, d in images().items() if f.startswith("train/")})
    lay(folder, {f"val/{VAL[i]}/{name(i)}.JPEG": images()[f"val/{name(i)}.JPEG"] for i in range(3)})
    lay(folder / "Annotations", boxes())
    lay(folder, {f: d for f, d in devkit().items() if "blacklist" in f})


def as_flat(folder: Path) -> None:
    lay(folder, images() | devkit())
    lay(folder / "Annotations/CLS-LOC", boxes())


def as_kaggle(folder: Path) -> None:
    lay(folder / "ILSVRC/Data/CLS-LOC", images())
    lay(folder / "ILSVRC/Annotations/CLS-LOC", boxes())
    words = "".join(f"{wnid} words of {wnid}\n" for wnid in WNIDS)
    lay(folder, {"LOC_synset_mapping.txt": words.encode()} | {f: d for f, d in devkit().items() if "blacklist" in f})


def as_kaggle_with_csv(folder: Path) -> None:
    as_kaggle(folder)
    shutil.rmtree(folder / "ILSVRC/Annotations")
    for split, named in (("train", [(f"{w}_2", w) for w in WNIDS]), ("val", [(name(i), w) for i, w in enumerate(VAL)])):
        lines = ["ImageId,PredictionString", *(f"{image},{wnid} 1 2 9 8 " for image, wnid in named)]
        (folder / f"LOC_{split}_solution.csv").write_text("\n".join(lines) + "\n")


def as_archives(folder: Path) -> None:
    classes = {f"{wnid}.tar": pack(below(f"train/{wnid}/", images())) for wnid in WNIDS}
    lay(
        folder,
        {
            archives.TRAIN: pack(classes),
            archives.VAL: pack(below("val/", images())),
            archives.DEVKIT: pack(devkit(), "w:gz"),
            "ILSVRC2012_bbox_train_v2.tar.gz": pack({f"./{f}": d for f, d in below("train/", boxes()).items()}, "w:gz"),
            "ILSVRC2012_bbox_val_v3.tgz": pack({f: d for f, d in boxes().items() if f.startswith("val/")}, "w:gz"),
        },
    )


LAYOUTS = {
    as_folders: ImageFolders,
    as_flat: FlatVal,
    as_kaggle: Kaggle,
    as_kaggle_with_csv: Kaggle,
    as_archives: FlatVal,
}


@pytest.mark.parametrize("lay_out", LAYOUTS)
def test_every_layout_holds_the_same_images_labels_and_boxes(lay_out, tmp_path):
    folder = tmp_path / "a 'quoted' $(touch evil) näme\nof two lines"
    folder.mkdir()
    lay_out(folder)
    layout = open_ilsvrc(folder)
    assert type(layout) is LAYOUTS[lay_out]
    assert layout.wnids == list(WNIDS)
    train, val = (layout.items(split) for split in SPLITS)
    assert [item.id for item in train] == [f"{w}_{i}.JPEG" for w in WNIDS for i in (2, 10)]
    assert [item.label for item in train] == [0, 0, 1, 1]
    assert [bool(item.boxes) for item in train] == [True, False] * 2
    assert [(item.id, item.label) for item in val] == [(f"{name(i)}.JPEG", c) for i, c in ((1, 0), (2, 0), (0, 1))]
    assert {item.boxes for item in val} == {((1, 2, 9, 8),)}
    assert [item.blacklisted for item in val] == [True, False, False]
    sizes = layout.files.sizes()
    for item in [*train, *val]:
        (data,) = (data for file, data in images().items() if file.endswith(item.id))
        assert layout.files.read(item.name) == data
        assert sizes[item.name] == len(data)
    assert data_set_has_boxes("ilsvrc", str(folder))
    if lay_out is not as_folders:
        assert {layout.words[wnid] for wnid in WNIDS} == {f"words of {wnid}" for wnid in WNIDS}
    assert not Path("evil").exists()


def test_torchvision_reads_the_same_folders_and_devkit(tmp_path, monkeypatch):
    """torchvision's parsers are the oracle; they unpack archives to disk and do not read boxes."""
    from torchvision.datasets import ImageFolder, imagenet

    as_folders(tmp_path / "unpacked")
    as_archives(tmp_path / "packed")
    layout = open_ilsvrc(tmp_path / "unpacked")
    for split in SPLITS:
        by_torchvision = ImageFolder(tmp_path / "unpacked" / split)
        assert by_torchvision.classes == layout.wnids
        ours = {(str(tmp_path / "unpacked" / item.name), item.label) for item in layout.items(split)}
        assert set(by_torchvision.samples) == ours
    monkeypatch.setattr(imagenet, "_verify_archive", lambda *_: None)
    imagenet.parse_devkit_archive(tmp_path / "packed")
    words, labels = imagenet.load_meta_file(tmp_path / "packed")
    packed = open_ilsvrc(tmp_path / "packed")
    wnids = {item.id: packed.wnids[item.label] for item in packed.items("val")}
    assert [wnids[f"{name(i)}.JPEG"] for i in range(3)] == labels
    assert {wnid: (packed.words[wnid],) for wnid in WNIDS} == words


def test_a_zip_of_a_layout_is_read_as_it_is(tmp_path):
    as_kaggle(tmp_path / "k")
    path = Path(shutil.make_archive(str(tmp_path / "kaggle"), "zip", tmp_path / "k"))
    assert [item.label for item in open_ilsvrc(path).items("val")] == [0, 0, 1]


def test_unpacked_images_are_preferred_to_the_archives_beside_them(tmp_path):
    """torchvision leaves the archives where it unpacks them."""
    as_archives(tmp_path)
    as_folders(tmp_path)
    assert type(open_ilsvrc(tmp_path)) is ImageFolders


@pytest.mark.parametrize("lay_out", [as_flat, as_kaggle, as_kaggle_with_csv])
def test_images_and_labels_that_do_not_fit_together_are_named(lay_out, tmp_path):
    lay_out(tmp_path)
    (image,) = tmp_path.rglob(f"{name(2)}.JPEG")
    data = image.read_bytes()
    image.unlink()
    with pytest.raises(ValueError, match=f"{name(2)} of .* is not in .*val/"):
        open_ilsvrc(tmp_path).items("val")
    image.write_bytes(data)
    image.with_name(f"{name(7)}.JPEG").write_bytes(data)
    with pytest.raises(ValueError, match=f"{name(7)} has no label in"):
        open_ilsvrc(tmp_path).items("val")


def test_a_flat_set_without_the_devkit_is_named(tmp_path):
    as_flat(tmp_path)
    (tmp_path / DATA / "meta.mat").unlink()
    with pytest.raises(ValueError, match="expected the devkit's list of classes"):
        open_ilsvrc(tmp_path).items("val")
    (tmp_path / DATA / "meta.mat").write_bytes(b"no mat file")
    with pytest.raises(ValueError, match="meta.mat: cannot be read as the devkit's list of synsets"):
        open_ilsvrc(tmp_path).items("val")


def test_a_class_that_only_one_split_has_is_named(tmp_path):
    as_flat(tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[1])
    with pytest.raises(ValueError, match=f"class {WNIDS[1]} is only in one of train/ and "):
        open_ilsvrc(tmp_path).items("val")


def test_an_unknown_folder_is_answered_with_all_layouts(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(
        ValueError, match=r"ILSVRC was not recognised. Expected one of: train/.*Kaggle's.*img_train.tar"
    ):
        open_ilsvrc(tmp_path)


@pytest.mark.parametrize("archive", archives.MD5)
def test_archives_that_are_cut_short_are_named(archive, tmp_path):
    as_archives(tmp_path)
    data = (tmp_path / archive).read_bytes().rstrip(b"\0")  # a tar ends with zeros that may be missing
    (tmp_path / archive).write_bytes(data[:-100])
    with pytest.raises(ValueError, match=f"{archive}: (damaged or cut short|ends in the middle of)"):
        layout = open_ilsvrc(tmp_path)
        for split in SPLITS:
            for item in layout.items(split):
                layout.files.read(item.name)


@pytest.mark.parametrize("archive", [archives.TRAIN, archives.DEVKIT])
def test_a_missing_archive_is_named(archive, tmp_path):
    as_archives(tmp_path)
    (tmp_path / archive).unlink()
    with pytest.raises(ValueError, match=f"missing: {archive}|expected .* or {archive}"):
        open_ilsvrc(tmp_path).items("train")


@pytest.mark.parametrize("lay_out", [as_folders, as_flat, as_archives])
def test_validation_images_have_the_same_labels_without_training_images(lay_out, tmp_path):
    lay_out(tmp_path)
    whole = open_ilsvrc(tmp_path).items("val")
    shutil.rmtree(tmp_path / "train", ignore_errors=True)
    (tmp_path / archives.TRAIN).unlink(missing_ok=True)
    alone = open_ilsvrc(tmp_path)
    assert alone.items("val") == whole
    assert alone.wnids == list(WNIDS)
    with pytest.raises(ValueError, match="no training images: expected train/<wnid>/ or ILSVRC2012_img_train.tar"):
        alone.items("train")


@pytest.mark.parametrize("evil", ["../outside.JPEG", "/outside.JPEG", "n01440764/../../outside.JPEG"])
@pytest.mark.parametrize("archive", [archives.VAL, archives.DEVKIT])
def test_a_member_that_points_outside_is_refused(archive, evil, tmp_path):
    as_archives(tmp_path)
    (tmp_path / archive).write_bytes(pack({evil: b"x"}, "w:gz" if archive.endswith("gz") else "w"))
    with pytest.raises(ValueError, match=f"{archive}: .* points outside the archive"):
        open_ilsvrc(tmp_path)
    assert not list(tmp_path.parent.rglob("outside.JPEG"))


@pytest.mark.parametrize(
    "evil", ["../outside.JPEG", "/outside.JPEG", "train/../../outside.JPEG", "..\\outside", "C:/x", "link"]
)
def test_a_member_of_a_zip_that_points_outside_is_refused(evil, tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        member = zipfile.ZipInfo(evil)
        member.external_attr = (stat.S_IFLNK if evil == "link" else stat.S_IFREG) << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(ValueError, match="evil.zip: .* is a link or points outside the archive"):
        open_ilsvrc(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_class_are_refused(kind, tmp_path):
    as_archives(tmp_path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("n01440764_2.JPEG")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    (tmp_path / archives.TRAIN).write_bytes(pack({"n01440764.tar": buffer.getvalue()}))
    with pytest.raises(ValueError, match="is a link or points outside"):
        open_ilsvrc(tmp_path)


def test_digests_of_archives_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    as_archives(tmp_path)
    assert len(archives.wrong_digests(tmp_path)) == 5
    right = {n: hashlib.md5((tmp_path / n).read_bytes()).hexdigest() for n in archives.MD5}
    monkeypatch.setattr(archives, "MD5", right | {archives.VAL: "0" * 32})
    (message,) = archives.wrong_digests(tmp_path).values()
    val = tmp_path / archives.VAL
    assert message == f"{val}: expected MD5 {'0' * 32}, as published, got {right[archives.VAL]}: fetch it again"


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [-512, 1 << 40])
def test_a_member_of_an_impossible_size_ends_the_reading_of_a_tar(kind, size, tmp_path):
    """A negative size leads back to the same member, for ever; a long name is read as a whole."""
    as_archives(tmp_path)
    member = tarfile.TarInfo("z.JPEG")
    member.type = kind
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % (1 << 95) | 1 << 95 if size >= 0 else size % (1 << 96)).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / archives.VAL).write_bytes(tarfile.TarInfo("a.JPEG").tobuf() + bytes(header) + bytes(2048))
    with pytest.raises(ValueError, match=f"{archives.VAL}: damaged or cut short"):
        open_ilsvrc(tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    as_archives(tmp_path)
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 10)
    with pytest.raises(ValueError, match=f"{archives.DEVKIT}: unpacks to more than 10 bytes"):
        open_ilsvrc(tmp_path)
