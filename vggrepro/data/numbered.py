"""Validation images in folders that are called by the numbers of their classes, 0 to 999, as ImageNetV2 comes. No torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vggrepro.core.files import Files
from vggrepro.data.layouts import IMAGE, Item, Layout, Split
from vggrepro.data.tars import PACKED, PLAIN, TarFiles


class NumberedFolders(Layout):
    """Other images of the classes of a data set: a folder, zip or tar with a folder for each class.

    Images are in the order of class numbers and file names. torchvision sorts such folders as text (0, 1, 10, 100, ...), and
    numbers classes by that: a file of its answers is in another order.
    """

    def __init__(self, path: Path, wnids: Sequence[str]) -> None:
        """`wnids` are the sorted classes; a ValueError unless there is a folder with images for each number, and no other."""
        is_tar = path.name.lower().endswith((*PLAIN, *PACKED)) and path.is_file()
        self.files = TarFiles(path) if is_tar else Files(path)
        self.title, self.wnids, self.words = path.name, list(wnids), {}
        self._numbered = self._by_number()
        if odd := {str(number) for number in range(len(wnids))} ^ self._numbered.keys():
            first = min(odd, key=int)
            problem = f"no image in a folder {first}" if int(first) < len(wnids) else f"a folder {first}"
            raise ValueError(
                f"{path}: expected a folder of images for each of the {len(wnids):,} classes, 0 to {len(wnids) - 1}, the "
                f"places of the sorted WNIDs; got {problem} (and {len(odd) - 1} more like it)"
            )

    def _by_number(self) -> dict[str, list[str]]:
        """The names of image files by the folder that they lie in, where that is a number."""
        numbered: dict[str, list[str]] = {}
        for name in self.files.names:
            match = re.fullmatch(r"(?:.*/)?(0|[1-9][0-9]*)/([^/]+)", name)
            if match and name.lower().endswith(IMAGE):
                numbered.setdefault(match[1], []).append(name)
        return numbered

    @property
    def splits(self) -> tuple[Split, ...]:
        """Validation images alone."""
        return ("val",)

    def items(self, split: Split) -> list[Item]:
        """The images by class number and file name; a ValueError for two of one name."""
        names = [(name, label) for label in range(len(self.wnids)) for name in sorted(self._numbered[str(label)])]
        ids = Counter(name.split("/")[-1] for name, _ in names)
        if repeated := [image for image, count in ids.items() if count > 1]:
            raise ValueError(
                f"{self.files.path}: {repeated[0]} is in {ids[repeated[0]]} folders: expected different names of all images"
            )
        return [Item(name.split("/")[-1], label, name) for name, label in names]
