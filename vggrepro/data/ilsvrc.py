"""ILSVRC-2012 in the layouts that people have: a small class for each. No torch."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from vggrepro.core.files import Files
from vggrepro.core.progress import RepeatedWarnings, prefetch, show_progress
from vggrepro.core.text import decode_text
from vggrepro.data.annotations import Annotation, Box, read_numbers, read_solution, read_synsets, read_xml
from vggrepro.data.archives import ANNOTATIONS, DEVKIT, TRAIN, VAL, Archives
from vggrepro.data.devkit_files import BLACKLIST, LABELS, SYNSETS, one_devkit_file
from vggrepro.data.layouts import IMAGE, SPLITS, Item, Layout, Split, natural

LabelledFiles = list[tuple[str, int]]
"""Names of image files, and their labels."""


class ILSVRC(Layout):
    """ILSVRC-2012. All its layouts have `train/<wnid>/*.JPEG` somewhere; they differ in how validation images are labelled.

    Boxes are optional. They come from `LOC_{train,val}_solution.csv`, or else from XML below `Annotations/CLS-LOC/{train,val}`
    or `Annotations/{train,val}`. The blacklist is `ILSVRC20*_clsloc_validation_blacklist.txt`.
    """

    title = "ILSVRC-2012"

    def __init__(self, files: Files | Archives, root: str = "") -> None:
        """`root` is what precedes `train/` in the names of `files`."""
        self.files, self.root, self.words = files, root, {}
        # training images may be missing, because nets that were trained elsewhere need validation images alone
        self.wnids = self._folders("train") or self._folders("val") or self._listed_classes()

    def _folders(self, split: Split) -> list[str]:
        pattern = re.compile(rf"{re.escape(self.root)}{split}/(n\d{{8}})/")
        return sorted({m[1] for name in self.files.names if (m := pattern.match(name))})

    def _listed_classes(self) -> list[str]:
        """The sorted WNIDs, where no folder has their names."""
        return []

    @abstractmethod
    def _val(self) -> LabelledFiles:
        """The validation images, in the order of labels and file names."""

    def items(self, split: Split) -> list[Item]:
        """The images in the order of classes and file names."""
        if split == "train" and not self._folders("train"):
            raise ValueError(f"{self.files.path}: no training images: expected train/<wnid>/ or {TRAIN}")
        names = self._in_folders("train") if split == "train" else self._val()
        boxes = self._boxes(split, {_stem(name): self.wnids[label] for name, label in names})
        blacklist = self._blacklist() if split == "val" else frozenset()
        items = []
        for name, label in names:
            boxed, size = boxes.get(_stem(name), ((), None))
            items.append(Item(name.split("/")[-1], label, name, boxed, size, _stem(name) in blacklist))
        return items

    def _in_folders(self, split: Split) -> LabelledFiles:
        """The images of a split whose folders are named after their WNIDs."""
        within = rf"{re.escape(self.root)}{split}/"
        unknown = {m[1] for n in self.files.names if (m := re.match(rf"{within}([^/]+)/", n))} - set(self.wnids)
        if unknown:
            raise ValueError(
                f"{self.files.path}: class {split}/{min(unknown)} is not in train/: expected the same classes in both"
            )
        grouped = self._grouped(rf"{within}(n\d{{8}})/[^/]+")
        return [(name, label) for label, wnid in enumerate(self.wnids) for name in sorted(grouped[wnid], key=natural)]

    def _labelled(self, wnids: dict[str, str], where: str) -> LabelledFiles:
        """The images directly in `val/`, with labels from `wnids`, whose keys are file names without their endings.

        Raises ValueError that names an image without a label, a label without an image, or a class without images.
        """
        within = f"{self.root}val/"
        names = {_stem(n): n for n in self.files.names if n.startswith(within) and n.lower().endswith(IMAGE)}
        if odd := names.keys() ^ wnids.keys():
            image = min(odd)
            problem = f"{image} has no label in {where}" if image in names else f"{image} of {where} is not in {within}"
            raise ValueError(f"{self.files.path}: {problem} (and {len(odd) - 1} more): the data set is incomplete")
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        if odd := set(wnids.values()) ^ labels.keys():
            raise ValueError(
                f"{self.files.path}: class {min(odd)} is only in one of train/ and {where} (and {len(odd) - 1} more classes): "
                "expected the same classes in both"
            )
        return sorted(
            ((names[image], labels[wnid]) for image, wnid in wnids.items()), key=lambda n: (n[1], natural(n[0]))
        )

    def _boxes(
        self, split: Split, classes: dict[str, str]
    ) -> dict[str, tuple[tuple[Box, ...], tuple[int, int] | None]]:
        """The boxes of annotated images, and the size of the image that they were drawn on.

        Half of the training images have no boxes. A box of another class than its image is left out in training. A name that
        is no WNID stands for the image's class, because some of ILSVRC's training boxes are named in words.

        Raises ValueError for an annotation without an image or of an image annotated already, and in validation for a box of
        another class, and for an image without boxes, which could never be localised.
        """
        boxes, warnings = {}, RepeatedWarnings()
        for where, image, annotation in self._annotations(split):
            if image not in classes or image in boxes:
                problem = "is annotated twice" if image in boxes else "does not exist"
                raise ValueError(f"{where}: {image} {problem}: expected each image of {split}/ at most once")
            for other in {o.name for o in annotation.objects if _WNID.fullmatch(o.name)} - {classes[image]}:
                message = f"{where}: expected boxes of {classes[image]}, the class of {image}, got one of {other}"
                if split == "val":
                    raise ValueError(message)
                warnings.add(f"{message}: left out")
            kept = [o.box for o in annotation.objects if o.name == classes[image] or not _WNID.fullmatch(o.name)]
            boxes[image] = tuple(kept), annotation.size
        warnings.end()
        if split == "val" and boxes and (missing := set(classes) - {image for image in boxes if boxes[image][0]}):
            raise ValueError(
                f"{self.files.path}: {len(missing)} of {len(classes)} validation images have no box, the first is "
                f"{min(missing)}: add their annotations, or remove all annotations (localisation=false)"
            )
        return boxes

    def _annotations(self, split: Split) -> Iterator[tuple[str, str, Annotation]]:
        """(where, image, annotation) of every annotation of a split; `where` names the file and the line."""
        listing = f"LOC_{split}_solution.csv"
        if listing in self.files.names:
            text = decode_text(self.files.read(listing))
            yield from read_solution(text.splitlines(), f"{self.files.path}: {listing}")
            return
        pattern = re.compile(rf"(ILSVRC/)?Annotations/(CLS-LOC/)?{split}/(.+/)?[^/]+\.xml")
        names = [name for name in self.files.names if pattern.fullmatch(name)]

        def read(name: str) -> tuple[str, str, Annotation]:
            where = f"{self.files.path}: {name}"
            return where, _stem(name), read_xml(self.files.read(name), where)

        # a network file system reads sixteen of the half million small files in the time that it needs for one
        annotations = prefetch(read, names, workers=ANNOTATION_READERS, waiting=16 * ANNOTATION_READERS)
        yield from show_progress(annotations, total=len(names), about=f"annotations, {split}", unit="file")

    def _blacklist(self) -> frozenset[str]:
        names = [n for n in self.files.names if re.fullmatch(BLACKLIST, n)]
        lists = {tuple(self._numbers(name)) for name in names}
        if len(lists) > 1:
            raise ValueError(f"{self.files.path}: {' and '.join(names)} differ: keep one blacklist")
        return frozenset(f"ILSVRC2012_val_{number:08d}" for numbers in lists for number in numbers)

    def _numbers(self, name: str) -> list[int]:
        return read_numbers(decode_text(self.files.read(name)), f"{self.files.path}: {name}", 1, 50_000)


class ImageFolders(ILSVRC):
    """The layout of torchvision: `val/<wnid>/*.JPEG`."""

    def _val(self) -> LabelledFiles:
        return self._in_folders("val")


class FlatVal(ILSVRC):
    """The layout of the unpacked archives: `val/*.JPEG`, labelled by the devkit's numbers of classes."""

    def _listed_classes(self) -> list[str]:
        return sorted(wnid for wnid, _ in self._synsets().values())

    def _synsets(self) -> dict[int, tuple[str, str]]:
        """Devkit id -> WNID and words of the classes."""
        meta = one_devkit_file(self.files.names, self.files.read, SYNSETS, self.files.path)
        return read_synsets(self.files.read(meta), f"{self.files.path}: {meta}")

    def _val(self) -> LabelledFiles:
        listing = one_devkit_file(self.files.names, self.files.read, LABELS, self.files.path)
        synsets = self._synsets()
        self.words |= {wnid: words for wnid, words in synsets.values() if words}
        text = decode_text(self.files.read(listing))
        numbers = read_numbers(text, f"{self.files.path}: {listing}", 1, len(synsets))
        wnids = {f"ILSVRC2012_val_{i:08d}": synsets[number][0] for i, number in enumerate(numbers, start=1)}
        return self._labelled(wnids, listing)


class Kaggle(ILSVRC):
    """The layout of Kaggle: `ILSVRC/Data/CLS-LOC/{train/<wnid>,val}`, with labels in `LOC_val_solution.csv` or in XML."""

    def __init__(self, files: Files | Archives, root: str = "") -> None:
        super().__init__(files, root)
        for line in files.lines("LOC_synset_mapping.txt") if "LOC_synset_mapping.txt" in files.names else []:
            wnid, _, words = line.strip().partition(" ")
            self.words[wnid] = words

    def _val(self) -> LabelledFiles:
        wnids: dict[str, str] = {}
        for where, image, annotation in self._annotations("val"):
            classes = {box.name for box in annotation.objects}
            if len(classes) != 1:
                raise ValueError(f"{where}: expected boxes of one class for {image}, got {sorted(classes)}")
            (wnids[image],) = classes
        return self._labelled(wnids, "LOC_val_solution.csv or Annotations/CLS-LOC/val")


def open_ilsvrc(path: Path) -> ILSVRC:
    """ILSVRC in a folder or zip, whichever its layout; a ValueError that lists the layouts where it has none of them."""
    packed = (path / TRAIN).is_file() or ((path / VAL).is_file() and not (path / "val").is_dir())
    if packed and not (path / "train").is_dir():
        return FlatVal(Archives(path))
    files = Files(path)
    flat = any(n.startswith("val/") and n.count("/") == 1 and n.lower().endswith(IMAGE) for n in files.names)
    for name in files.names:
        if match := re.match(r"((?:.+/)?Data/CLS-LOC/)train/n\d{8}/", name):
            return Kaggle(files, match[1])
        if re.match(r"(train|val)/n\d{8}/", name):
            return FlatVal(files) if flat else ImageFolders(files)
    if flat:
        return FlatVal(files)
    raise ValueError(
        f"{path}: ILSVRC was not recognised. Expected one of: train/<wnid>/ and val/<wnid>/ (such as train/n01440764/); the "
        "same with the images in val/ itself and the devkit beside them; Kaggle's ILSVRC/Data/CLS-LOC/; or the archives "
        f"{TRAIN}, {VAL}, {DEVKIT}. Training images may be missing where no net is trained"
    )


def data_set_has_boxes(layout: str, path: str | None) -> bool:
    """Whether a data set seems to have boxes, judged by the names in its folder: both splits have annotations."""
    if layout != "ilsvrc" or path is None:
        return True
    folder = Path(path)
    candidates = [
        [
            f"LOC_{split}_solution.csv",
            *(f"{start}Annotations/{within}{split}" for start in ("", "ILSVRC/") for within in ("", "CLS-LOC/")),
            archive,
        ]
        for split, archive in zip(SPLITS, ANNOTATIONS, strict=True)
    ]
    return not folder.is_dir() or all(any((folder / name).exists() for name in names) for names in candidates)


ANNOTATION_READERS = 16
"""Threads that read annotations."""

_WNID = re.compile(r"n\d{8}")


def _stem(name: str) -> str:
    return name.split("/")[-1].rsplit(".", 1)[0]
