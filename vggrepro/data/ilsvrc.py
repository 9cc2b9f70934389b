"""ILSVRC-2012 in the layouts that people have: a small class for each. No torch."""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vggrepro.core.files import Files
from vggrepro.core.progress import RepeatedWarnings, prefetch, show_progress
from vggrepro.core.text import decode_text
from vggrepro.data.annotations import Annotation, Box, read_numbers, read_solution, read_synsets, read_xml
from vggrepro.data.archives import ANNOTATIONS, DEVKIT, TRAIN, VAL, Archives
from vggrepro.data.devkit_files import ABOUT, BLACKLIST, LABELS_FILE, SYNSETS, one_devkit_file, read_blacklist
from vggrepro.data.layouts import IMAGE, SPLITS, Item, Layout, Split, image_stem, natural
from vggrepro.paper.ilsvrc import ILSVRC_VALIDATION_IMAGES

LabelledFiles = list[tuple[str, int]]
"""Names of image files, and their labels."""


class ILSVRC(Layout):
    """ILSVRC-2012. All its layouts have `train/<wnid>/*.JPEG` somewhere; they differ in how validation images are labelled.

    Boxes are optional. They come from `LOC_{train,val}_solution.csv`, or else from XML below `Annotations/CLS-LOC/{train,val}`
    or `Annotations/{train,val}`. The blacklist is `ILSVRC20*_clsloc_validation_blacklist.txt`.
    """

    title = "ILSVRC-2012"
    is_part = False
    """Whether only a part of the labelled validation images is here."""
    labelled = 0
    """How many validation images a list labels, also where only a part of them is here."""

    def __init__(self, files: Files | Archives, root: str = "") -> None:
        """`root` is what precedes `train/` in the names of `files`."""
        self.files, self.words = files, {}
        folders: dict[Split, str] = {"train": f"{root}train/", "val": f"{root}val/"}
        self.within = folders | _folders_of_splits(files.names)
        # training images may be missing, because nets that were trained elsewhere need validation images alone
        self.wnids = self._folders("train") or self._folders("val") or self._listed_classes()

    def _folders(self, split: Split) -> list[str]:
        pattern = self._pattern(split)
        return sorted({m[1] for name in self.files.names if (m := pattern.match(name))})

    def _pattern(self, split: Split) -> re.Pattern[str]:
        """Images in folders of their classes; or, as Hugging Face has them, with the class at the end of their names."""
        within = re.escape(self.within[split])
        return re.compile(rf"{within}(?=(?:[^/]+_)?(n\d{{8}})(?:/|\.\w+$))[^/]+(?:/[^/]+)?")

    def _listed_classes(self) -> list[str]:
        """The sorted WNIDs, where no folder has their names."""
        return []

    @property
    def splits(self) -> tuple[Split, ...]:
        """Without training images, validation alone."""
        return SPLITS if self._folders("train") else ("val",)

    @abstractmethod
    def _val(self) -> LabelledFiles:
        """The validation images, in the order of labels and file names."""

    def items(self, split: Split) -> list[Item]:
        """The images in the order of classes and file names."""
        if split == "train" and not self._folders("train"):
            raise ValueError(f"{self.files.path}: no training images: expected train/<wnid>/ or {TRAIN}")
        names = self._in_folders("train") if split == "train" else self._val()
        boxes = self._boxes(split, {image_stem(name): self.wnids[label] for name, label in names})
        blacklist = self._blacklist(max(len(names), self.labelled)) if split == "val" else frozenset()
        items = []
        for name, label in names:
            boxed, size = boxes.get(image_stem(name), ((), None))
            items.append(Item(name.split("/")[-1], label, name, boxed, size, image_stem(name) in blacklist))
        return items

    def _in_folders(self, split: Split) -> LabelledFiles:
        """The images of a split whose folders are named after their WNIDs."""
        within = re.escape(self.within[split])
        unknown = {m[1] for n in self.files.names if (m := re.match(rf"{within}([^/]+)/", n))} - set(self.wnids)
        if unknown:
            raise ValueError(
                f"{self.files.path}: class {split}/{min(unknown)} is not in train/: expected the same classes in both"
            )
        grouped = self._grouped(self._pattern(split).pattern)
        return [(name, label) for label, wnid in enumerate(self.wnids) for name in sorted(grouped[wnid], key=natural)]

    def _val_images(self) -> dict[str, str]:
        """The images directly in the folder of validation images, by name without ending."""
        within = self.within["val"]
        names = (n for n in self.files.names if n.startswith(within) and n.lower().endswith(IMAGE))
        return {image_stem(name): name for name in names if "/" not in name[len(within) :]}

    def _labelled(self, wnids: dict[str, str], where: str) -> LabelledFiles:
        """The images directly in `val/`, with labels from `wnids`, whose keys are file names without their endings.

        Where at most half of the labelled images are there, these are a part, which is told. Raises ValueError that names an
        image without a label, a label without an image, or a class without images.
        """
        names, within = self._val_images(), self.within["val"]
        self.labelled = len(wnids)
        if names.keys() < wnids.keys() and 2 * len(names) <= len(wnids):
            self.is_part = True
            message = (
                f"{self.files.path}: {len(names):,} of the {len(wnids):,} images that {where} labels: a part of them"
            )
            print(message, file=sys.stderr, flush=True)
            wnids = {image: wnids[image] for image in names}
        if odd := names.keys() ^ wnids.keys():
            image = min(odd)
            problem = f"{image} has no label in {where}" if image in names else f"{image} of {where} is not in {within}"
            raise ValueError(f"{self.files.path}: {problem} (and {len(odd) - 1} more): the data set is incomplete")
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        if odd := set(wnids.values()) - labels.keys() if self.is_part else set(wnids.values()) ^ labels.keys():
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
            if image not in classes and self.is_part and split == "val":
                continue
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
        listing = self._file(rf"LOC_{split}_solution\.csv")
        if listing:
            text = decode_text(self.files.read(listing))
            yield from read_solution(text.splitlines(), f"{self.files.path}: {listing}")
            return
        pattern = re.compile(rf"(ILSVRC/)?Annotations/(CLS-LOC/)?{split}/(.+/)?[^/]+\.xml")
        names = [name for name in self.files.names if pattern.fullmatch(name)]

        def read(name: str) -> tuple[str, str, Annotation]:
            where = f"{self.files.path}: {name}"
            return where, image_stem(name.removesuffix(".xml")), read_xml(self.files.read(name), where)

        # a network file system reads sixteen of the half million small files in the time that it needs for one
        annotations = prefetch(read, names, workers=ANNOTATION_READERS, waiting=16 * ANNOTATION_READERS)
        yield from show_progress(annotations, total=len(names), about=f"annotations, {split}", unit="file")

    def _file(self, pattern: str) -> str | None:
        """The file of that name that lies highest in the data set."""
        names = [name for name in self.files.names if re.fullmatch(rf"(.+/)?{pattern}", name)]
        return min(names, key=lambda name: (name.count("/"), name), default=None)

    def _blacklist(self, images: int) -> frozenset[str]:
        """The names of the blacklisted ones of so many validation images, or of as many as the devkit labels."""
        names = [n for n in self.files.names if re.fullmatch(BLACKLIST, n)]
        truth = self._file(LABELS_FILE)
        images = max(images, len(self.files.lines(truth)) if truth else 0)
        lists = {tuple(self._numbers(name, images)) for name in names}
        if len(lists) > 1:
            raise ValueError(f"{self.files.path}: {' and '.join(names)} differ: keep one blacklist")
        return frozenset(f"ILSVRC2012_val_{number:08d}" for numbers in lists for number in numbers)

    def _numbers(self, name: str, images: int) -> list[int]:
        # a part of ILSVRC comes with the list of all
        where, highest = f"{self.files.path}: {name}", ILSVRC_VALIDATION_IMAGES
        return read_blacklist(self.files.read(name), where, images=images, highest=highest)


class ImageFolders(ILSVRC):
    """The layout of torchvision: `val/<wnid>/*.JPEG`."""

    def _val(self) -> LabelledFiles:
        return self._in_folders("val")


class FlatVal(ILSVRC):
    """All validation images in one folder, labelled by their names, by the devkit, by Kaggle's CSV or XML, or by a list."""

    def _listed_classes(self) -> list[str]:
        return self._class_names() or (sorted(set(self._labels()[0].values())) if self._val_images() else [])

    def _class_names(self) -> list[str]:
        """The sorted WNIDs that the devkit or a list of classes has; none without them."""
        if self._file(SYNSETS):
            return sorted(wnid for wnid, _ in self._synsets().values())
        listing = self._file(r"(LOC_synset_mapping|synset_words|(imagenet_)?synsets|wnids)\.txt")
        return sorted({line.split()[0] for line in self.files.lines(listing)}) if listing else []

    def _synsets(self) -> dict[int, tuple[str, str]]:
        """Devkit id -> WNID and words of the classes."""
        meta = one_devkit_file(self.files.names, self.files.read, SYNSETS, self.files.path)
        return read_synsets(self.files.read(meta), f"{self.files.path}: {meta}")

    def _val(self) -> LabelledFiles:
        return self._labelled(*self._labels())

    def _labels(self) -> tuple[dict[str, str], str]:
        """The WNID of every image, and what says so; a ValueError that lists what could say it where nothing does."""
        named = {image_stem(n): n[-14:].split(".")[0][-9:] for n in self._val_images().values() if _NAMED.search(n)}
        if named and len(named) == len(self._val_images()):
            return named, "the names of the images"
        for labels in (self._of_devkit, self._of_annotations, self._of_list):
            if found := labels():
                return found
        raise ValueError(
            f"{self.files.path}: {len(self._val_images()):,} images in {self.within['val'] or 'the folder itself'}, but "
            f"nothing says their classes: expected {ABOUT[LABELS_FILE]}, and {ABOUT[SYNSETS]}; or LOC_val_solution.csv; or a "
            "list val.txt of file names and WNIDs; or the images in folders of their classes"
        )

    def _of_devkit(self) -> tuple[dict[str, str], str] | None:
        if not self._file(LABELS_FILE):
            return None
        listing = one_devkit_file(self.files.names, self.files.read, LABELS_FILE, self.files.path)
        synsets = self._synsets()
        self.words |= {wnid: words for wnid, words in synsets.values() if words}
        numbers = read_numbers(decode_text(self.files.read(listing)), f"{self.files.path}: {listing}", 1, len(synsets))
        return {f"ILSVRC2012_val_{i:08d}": synsets[number][0] for i, number in enumerate(numbers, start=1)}, listing

    def _of_annotations(self) -> tuple[dict[str, str], str] | None:
        wnids: dict[str, str] = {}
        for where, image, annotation in self._annotations("val"):
            classes = {box.name for box in annotation.objects}
            if len(classes) != 1:
                raise ValueError(f"{where}: expected boxes of one class for {image}, got {sorted(classes)}")
            (wnids[image],) = classes
        return (wnids, "LOC_val_solution.csv or Annotations/CLS-LOC/val") if wnids else None

    def _of_list(self) -> tuple[dict[str, str], str] | None:
        """From a list of file names and WNIDs, or places among the sorted WNIDs from 0, as Caffe's val.txt has them."""
        listing = self._file(r"[^/]*(val|label)[^/]*\.(txt|csv|tsv|lst)")
        images = self._val_images()
        lines = [re.split(r"[\s,;]+", line.strip()) for line in self.files.lines(listing)] if listing else []
        pairs = [(image_stem(line[0]), line[1]) for line in lines if len(line) > 1 and image_stem(line[0]) in images]
        entries = dict(pairs)
        if not listing or not entries:
            return None
        if len(pairs) > len(entries):
            twice, _ = Counter(image for image, _ in pairs).most_common(1)[0]
            raise ValueError(f"{self.files.path}: {listing}: expected each image once, but {twice} is listed twice")
        if all(map(_WNID.fullmatch, entries.values())):
            return entries, listing
        wnids = self.wnids if hasattr(self, "wnids") else self._class_names()
        numbers = [int(value) for value in entries.values() if value.isdigit()]
        from_1 = len(numbers) >= 10 * len(wnids) and 0 not in numbers
        if len(numbers) < len(entries) or max(numbers) >= len(wnids) or from_1:
            raise ValueError(
                f"{self.files.path}: {listing}: expected a WNID, or a place among the sorted WNIDs from 0, for every image; "
                "numbers from 1 may be the devkit's: write WNIDs, or give the devkit"
            )
        return {image: wnids[int(value)] for image, value in entries.items()}, listing


class Kaggle(FlatVal):
    """The layout of Kaggle: `ILSVRC/Data/CLS-LOC/{train/<wnid>,val}`, with labels in `LOC_val_solution.csv` or in XML."""

    def __init__(self, files: Files | Archives, root: str = "") -> None:
        super().__init__(files, root)
        listing = self._file(r"LOC_synset_mapping\.txt")
        for line in files.lines(listing) if listing else []:
            wnid, _, words = line.strip().partition(" ")
            self.words[wnid] = words

    def _of_devkit(self) -> tuple[dict[str, str], str] | None:
        return None if self._of_annotations() else super()._of_devkit()


def _folders_of_splits(names: list[str]) -> dict[Split, str]:
    """Where validation images lie, by ILSVRC's names of them; empty where no image has such a name."""
    folders = {m[1] for name in names if (m := _OFFICIAL.fullmatch(name))}
    if not folders:
        return {}
    # a copy may lie beside: what is called val/ comes first
    return {"val": min(folders, key=lambda folder: (not folder.endswith("val/"), folder.count("/"), folder))}


def open_ilsvrc(path: Path) -> ILSVRC:
    """ILSVRC in a folder or zip, whichever its layout; a ValueError that lists the layouts where it has none of them."""
    packed = (path / TRAIN).is_file() or ((path / VAL).is_file() and not (path / "val").is_dir())
    if packed and not (path / "train").is_dir():
        return FlatVal(Archives(path))
    files = Files(path)
    for name in files.names:
        if match := re.match(r"((?:.+/)?Data/CLS-LOC/)(train|val)/", name):
            return Kaggle(files, match[1])
    images = [name for name in files.names if name.lower().endswith(IMAGE)]
    root = next((m[1] for name in images if (m := re.match(r"((?:.+/)?)(?:train|val)/n\d{8}", name))), "")
    within = {"val": f"{root}val/"} | _folders_of_splits(files.names)
    flat = re.compile(rf"{re.escape(within['val'])}[^/]+\.(jpe?g|png)", re.IGNORECASE)
    if any(flat.fullmatch(name) for name in files.names):
        return FlatVal(files, root)
    layout = ImageFolders(files, root)
    if layout.wnids:
        return layout
    found = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in files.names})
    raise ValueError(
        f"{path}: ILSVRC was not recognised. Expected one of: train/<wnid>/ and val/<wnid>/ (such as train/n01440764/); the "
        "same with the images in val/ itself and the devkit, LOC_val_solution.csv or a list of labels beside them; Kaggle's "
        f"ILSVRC/Data/CLS-LOC/; or the archives {TRAIN}, {VAL}, {DEVKIT}. Training images may be missing where no net is "
        f"trained. Found: {', '.join(found[:9]) or 'nothing'}"
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
_NAMED = re.compile(r"\d_n\d{8}\.\w+$")
"""A file name that ends in its class."""
_OFFICIAL = re.compile(r"(|.*?/)(?:n\d{8}/)?ILSVRC2012_val_\d{8}(?:_n\d{8})?\.(?:jpe?g|png|JPE?G)")
"""A validation image; the group is the folder of all of them."""
