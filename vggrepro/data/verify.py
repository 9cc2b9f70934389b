"""Verifying a data set: every image is decoded; a manifest lists all images, a second file the damaged ones. No torch."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vggrepro.core.checksums import data_checksum
from vggrepro.core.files import atomic_file
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data.archives import wrong_digests
from vggrepro.data.images import open_image
from vggrepro.data.layouts import Item, Layout, Split
from vggrepro.data.prepare import LAYOUTS
from vggrepro.data.store import decode

MANIFEST_COLUMNS = ("split", "id", "wnid", "file", "width", "height", "mode", "bytes", "sha256", "problem")
SUM = "xxh64"
"""Column of the unfinished manifest: the checksum of its line."""
LINES_PER_SYNC = 1000
"""Lines of the manifest between two moments at which it is written to the disk."""
ManifestRow = dict[str, str]


def verify_data_set(layout: str, path: Path, out: Path, *, workers: int = 1) -> str:
    """Decode every image of a data set; write `manifest.csv` and `problems.csv` into `out`; return a summary for the user.

    An interrupted call (`manifest.part.csv`) is resumed; an image whose file has another size by now is decoded again. Raises
    ValueError that names `problems.csv` if an image or an archive is damaged.
    """
    data_set = LAYOUTS[layout](path)
    images: list[tuple[Split, Item]] = [(split, item) for split in data_set.splits for item in data_set.items(split)]
    out.mkdir(parents=True, exist_ok=True)
    part, sizes = out / "manifest.part.csv", data_set.files.sizes()
    known = {row["file"]: row for row in _read(part) if row["bytes"] == str(sizes.get(row["file"]))}
    if known:
        print(f"{path}: resumes after {len(known):,} of {len(images):,} images", file=sys.stderr, flush=True)
    left = [(split, item) for split, item in images if item.name not in known]
    rows = prefetch(lambda image: check_image(data_set, *image), left, workers=workers, waiting=8 * workers)
    _write(part, [row | {SUM: _sum(row)} for row in known.values()], (*MANIFEST_COLUMNS, SUM))
    with part.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, (*MANIFEST_COLUMNS, SUM))
        for number, row in enumerate(show_progress(rows, total=len(left), about=str(path), unit="image"), start=1):
            known[row["file"]] = row
            writer.writerow(row | {SUM: _sum(row)})
            if number % LINES_PER_SYNC == 0:
                file.flush()
    everything = [known[item.name] for _, item in images]
    wrong = wrong_digests(path) if path.is_dir() else {}
    problems = [{"file": str(archive), "problem": message} for archive, message in wrong.items()]
    problems += [row for row in everything if row["problem"]]
    _write(out / "manifest.csv", everything)
    _write(out / "problems.csv", problems)
    part.unlink()
    if problems:
        raise ValueError(
            f"{path}: {len(problems)} of {len(images):,} images (or archives) are damaged, the first is "
            f"{problems[0]['problem']}. All are listed in {out / 'problems.csv'}"
        )
    modes = sorted({row["mode"] for row in everything} - {"RGB"})
    without = ", without their transparency" if {"RGBA", "LA", "PA"} & set(modes) else ""
    other = f" (some are {', '.join(modes)} and are converted to RGB{without})" if modes else ""
    alone = "" if "train" in data_set.splits else " (of validation; there are no training images)"
    return f"{path}: all {len(images):,} images{alone} are whole{other}: {out / 'manifest.csv'}"


def check_image(layout: Layout, split: Split, item: Item) -> ManifestRow:
    """The row of an image in the manifest, with its problem, if it has one. Called in several threads."""
    row = dict.fromkeys(MANIFEST_COLUMNS, "") | {
        "split": split,
        "id": item.id,
        "wnid": layout.wnids[item.label],
        "file": item.name,
    }
    try:
        data = layout.files.read(item.name)
        row |= {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
        pixels = decode(data, item.name)
        with open_image(data) as image:
            row |= {"mode": image.mode}
        row |= {"height": str(pixels.shape[0]), "width": str(pixels.shape[1])}
    except ValueError as error:
        row["problem"] = " ".join(str(error).split())
    return row


def _read(path: Path) -> Iterator[ManifestRow]:
    """The complete lines of a manifest that may be cut off anywhere."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        # an image whose line was cut off or damaged is decoded again
        if row.pop(SUM, None) == _sum(row):
            yield row


def _sum(row: ManifestRow) -> str:
    return f"{data_checksum(repr([row.get(name) for name in MANIFEST_COLUMNS]).encode()):016x}"


def _write(path: Path, rows: list[ManifestRow], columns: Sequence[str] = MANIFEST_COLUMNS) -> None:
    with (
        atomic_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
