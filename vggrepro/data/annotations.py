"""Published annotations: the XML of PASCAL VOC and ILSVRC, and ILSVRC's `LOC_*_solution.csv`. No torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from vggrepro.data.matlab import read_mat

Box = tuple[int, int, int, int]
"""xmin, ymin, xmax, ymax, inclusive."""


@dataclass(frozen=True)
class Object:
    """An object in an image."""

    name: str
    """Its class: a word in VOC, a WNID in ILSVRC."""
    box: Box
    """As the file has it: VOC counts pixels from 1, ILSVRC from 0."""
    difficult: bool
    actions: frozenset[str]
    """What a person does, in VOC's words."""


@dataclass(frozen=True)
class Annotation:
    """The objects of an image."""

    objects: tuple[Object, ...]
    size: tuple[int, int] | None = None
    """Height and width of the annotated image, where the file has them."""


def read_xml(data: bytes, where: str) -> Annotation:
    """The annotation in an XML file; a ValueError that names `where` if it is cut off or an object has no box or no name."""
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f"{where}: no whole XML annotation ({error}): fetch it again") from None
    height, width = (root.findtext(f"size/{side}") or "" for side in ("height", "width"))
    # some annotators wrote 0 for an unknown size
    size = (int(height), int(width)) if height.isdigit() and width.isdigit() and int(height) * int(width) else None
    return Annotation(tuple(_object(element, where) for element in root.iter("object")), size)


def _object(element: ElementTree.Element, where: str) -> Object:
    # the object's own box is a direct child; boxes deeper down belong to its parts, such as a person's head
    values = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    name = element.findtext("name")
    try:
        # some of VOC-2012's coordinates have decimals
        x0, y0, x1, y1 = (round(float(value or "")) for value in values)
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: object {name!r}: expected xmin, ymin, xmax, ymax, got {values}") from None
    if not name:
        raise ValueError(f"{where}: an object without a name")
    actions = (action.tag for action in element.findall("actions/*") if (action.text or "").strip() == "1")
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return Object(name.strip(), (x0, y0, x1, y1), difficult, frozenset(actions))


def read_solution(lines: Iterable[str], where: str) -> Iterator[tuple[str, str, Annotation]]:
    """(where, image, annotation) for every line of a `LOC_*_solution.csv`; `where` names the file and the line.

    Raises ValueError for a line that is not ImageId,PredictionString with `wnid xmin ymin xmax ymax` for each box.
    """
    reader = csv.DictReader(lines)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{where}, line {reader.line_num + 1}: cannot be read as CSV: {error}") from None
        if row is None:
            return
        line = f"{where}, line {reader.line_num}"
        try:
            if None in row:
                raise ValueError
            image, fields = row["ImageId"], row["PredictionString"].split()
            rows = [(fields[i], [int(v) for v in fields[i + 1 : i + 5]]) for i in range(0, len(fields), 5)]
            objects = [Object(wnid, (x0, y0, x1, y1), False, frozenset()) for wnid, (x0, y0, x1, y1) in rows]
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            raise ValueError(
                f"{line}: expected ImageId,PredictionString of wnid xmin ymin xmax ymax, got {row}"
            ) from None
        yield line, image, Annotation(tuple(objects))


def read_numbers(text: str, where: str, low: int, high: int) -> list[int]:
    """The whole number on each line; a ValueError for no line, or that names the first without one from `low` to `high`."""
    numbers = []
    if not text.strip():
        raise ValueError(
            f"{where}: expected a number from {low} to {high} on each line, got an empty file: fetch it again"
        )
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip().isdecimal() or not low <= int(line) <= high:
            raise ValueError(f"{where}, line {number}: expected a number from {low} to {high}, got {line!r}")
        numbers.append(int(line))
    return numbers


def read_synsets(data: bytes, where: str) -> dict[int, tuple[str, str]]:
    """Devkit id -> (WNID, words) of the classes in `meta.mat` or `meta_clsloc.mat`; a ValueError where it cannot be read."""
    try:
        synsets = read_mat(io.BytesIO(data), where, squeeze_me=True)["synsets"]
        named = "words" in (synsets.dtype.names or ())
        # the classes are the nodes of WordNet without children; inner nodes follow after them
        leaves = [row for row in synsets if int(row["num_children"]) == 0]
        return {int(row[0]): (str(row["WNID"]), str(row["words"]) if named else "") for row in leaves}
    except Exception as error:  # scipy raises many kinds of errors for a file that is not MATLAB's
        raise ValueError(f"{where}: cannot be read as the devkit's list of synsets: {error}") from None
