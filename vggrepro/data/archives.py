"""ILSVRC-2012 read from its published archives, without unpacking them. No torch."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from vggrepro.core.progress import show_progress
from vggrepro.data.tars import Place, TarFiles, TarMember, damage_named, tar_files, tar_members

MD5 = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
    "ILSVRC2012_bbox_train_v2.tar.gz": "9271167e2176350e65cfe4e546f14b17",
    "ILSVRC2012_bbox_val_v3.tgz": "f4cd18b5ea29fe6bbea62ec9c20d80f0",
}
"""The published archives and their MD5. Validation images and devkit are needed; training images only to train; the two
archives of boxes only for localisation."""
TRAIN, VAL, DEVKIT, *ANNOTATIONS = MD5
BYTES_PER_HASH = 1 << 24
"""Bytes that are read at a time for a digest."""


class Archives(TarFiles):
    """The files in ILSVRC's archives, under the names of an unpacked copy; has the methods of `core.files.Files`.

    `train/<wnid>/*.JPEG` from the tar of 1,000 tars, `val/*.JPEG`, `Annotations/{train,val}/...` and the devkit's files.
    """

    def __init__(self, path: Path) -> None:
        """List the files in a folder's archives; a ValueError that names an archive which is missing, damaged, or hostile."""
        self.path = path
        if missing := [name for name in (VAL, DEVKIT) if not (path / name).is_file()]:
            raise ValueError(f"{path}: expected {VAL} and {DEVKIT} beside each other, missing: {', '.join(missing)}")
        self._places: dict[str, Place] = {}
        self._unpacked: dict[str, bytes] = {}
        for name, place in _tar_of_tars(path / TRAIN) if (path / TRAIN).is_file() else ():
            self._places[f"train/{name}"] = place
        for member, place in tar_members(path / VAL):
            self._places[f"val/{member}"] = place
        self.unpack(path / DEVKIT, "")
        for name, split in zip(ANNOTATIONS, ("train", "val"), strict=True):
            if (path / name).is_file():
                self.unpack(path / name, f"Annotations/{split}/")
        self.names = sorted((*self._places, *self._unpacked))


def wrong_digests(path: Path) -> dict[Path, str]:
    """A message for each archive in a folder whose MD5 is not the published one."""
    messages = {}
    for name, expected in MD5.items():
        file = path / name
        if not file.is_file():
            continue
        hasher, blocks = hashlib.md5(usedforsecurity=False), -(-file.stat().st_size // BYTES_PER_HASH)
        with file.open("rb") as archive:
            for _ in show_progress(range(blocks), total=blocks, about=name, unit="block"):
                hasher.update(archive.read(BYTES_PER_HASH))
        if hasher.hexdigest() != expected:
            messages[file] = f"{file}: expected MD5 {expected}, as published, got {hasher.hexdigest()}: fetch it again"
    return messages


def _tar_of_tars(archive: Path) -> Iterator[tuple[str, Place]]:
    """(WNID/name, (archive, offset, bytes)) of the images in the training archive, which holds a tar for each class."""
    with archive.open("rb") as file:
        classes = list(tar_members(archive))
        for name, (_, offset, _) in show_progress(classes, total=len(classes), about=archive.name, unit="class"):
            file.seek(offset)
            with damage_named(archive), tarfile.open(fileobj=file, mode="r:", tarinfo=TarMember) as inner:
                for member in tar_files(inner, archive):
                    yield f"{name.removesuffix('.tar')}/{member.name}", (archive, member.offset_data, member.size)
