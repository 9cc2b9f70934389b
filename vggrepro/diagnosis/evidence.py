"""The evidence behind the numbers of tables: which images a system gets wrong, what it answers, how sure it is. No torch.

`evidence` writes a folder beside the report. A page that was opened from disk cannot fetch files, so what it needs of an image
or a system lies in scripts, which it adds when they are asked for:

evidence.json      what there is: `Evidence`
images.js          ids, true classes, names of classes, which images count for localisation, which have a thumbnail
outcomes.js        a bit per image and outcome of `systems`: 1 where it is wrong
answers/<k>.js     the best label of every image, its posterior, and the bins of reliability
thumbnails/<k>.jpg sheets of small pictures, of `SHEET` x `SHEET` images, where the images are there

Everything is of the first seed. Outcomes are those of the tables; labels and posteriors are averaged again from the stores.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.files import atomic_folder, write_json, write_text
from vggrepro.core.progress import prefetch
from vggrepro.core.validation import read_typed
from vggrepro.data.store import Store
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import published_table, table_label
from vggrepro.scores.answers import (
    SystemAnswers,
    agreement,
    binned_calibration_error,
    class_errors,
    confidence_bins,
    mixture_answers,
)
from vggrepro.scores.outcomes import Errors, ids_digest, read_outcomes
from vggrepro.scores.stores import Mixture, Scores, read_scores_or_labels
from vggrepro.settings.models import Settings
from vggrepro.tables import render
from vggrepro.tables.cells import Table

THUMBNAIL_SIDE = 64
"""Longest side of a thumbnail in pixels."""
SHEET = 10
"""Thumbnails in a row, and rows, of a sheet."""
MOST_THUMBNAILS = 5_000
"""Images that have one, as many of each class: about 10 MB."""
MOST_CLASSES = 2**16
"""Labels are kept in 16 bits."""


@dataclass(frozen=True)
class SystemEvidence:
    """The images that a row of a table gets wrong, in one quantity."""

    cells: tuple[str, ...]
    """Ids of the cells that are computed from it."""
    table: str
    """`Table 3`."""
    name: str
    """The row's keys: `D, 256, 256`."""
    quantity: str
    wrong: int
    images: int
    answers: int | None
    """The number of its file of answers; None of boxes, and of systems of which only ranks are known."""
    outcome: int
    """Its place in `outcomes.js`."""


@dataclass(frozen=True)
class NetEvidence:
    """A net at one test scale: what it does with each class."""

    name: str
    """`D, 256, 256`."""
    cell: str
    """Id of its cell."""
    outcomes: dict[str, int]
    """Its places in `outcomes.js`, by quantity."""
    wrong: int
    """Top-1 errors."""
    calibration_error: float
    """Of confidence, 0 to 1: see `scores/answers.py`."""
    confidence: float
    """Mean posterior of its answers."""
    class_wrong: tuple[int, ...]
    """Top-1 errors of each class."""


@dataclass(frozen=True)
class Evidence:
    """What lies in a folder of evidence."""

    seed: int
    seeds: int
    images: int
    classes: tuple[str, ...]
    """Their words where the data set has them, else WNIDs or numbers."""
    class_images: tuple[int, ...]
    systems: tuple[SystemEvidence, ...]
    nets: tuple[NetEvidence, ...]
    agreement: tuple[tuple[int, ...], ...]
    """[nets, nets]: images to which both give the same answer."""
    thumbnails: int


def read_evidence(folder: Path) -> Evidence:
    """The index of a folder that `write_evidence` wrote; a ValueError that names it where it is damaged."""
    return read_typed(Evidence, folder / "evidence.json", "make the evidence again")


def write_evidence(
    settings: Settings,
    *,
    table_files: Sequence[Path],
    scores_folder: Path,
    val_folder: Path | None,
    out: Path,
    workers: int = 1,
) -> None:
    """Write the evidence of all measured cells of some tables into the folder `out`.

    `val_folder` is the prepared store, for names of classes and thumbnails. Raises ValueError where no store of scores is
    there, or where scores and images do not belong together.
    """
    tables = [render.read_table(path) for path in table_files]
    rows = [row for table, path in zip(tables, table_files, strict=True) for row in _rows(settings, table, path)]
    stores = _stores(scores_folder, rows)
    if not stores:
        raise ValueError(f"{scores_folder}: no store of scores behind these tables; run `vggrepro evaluate` first")
    first = next(iter(stores.values()))
    val = Store(val_folder) if val_folder else None
    if val and (list(first.ids) != val.ids or not np.array_equal(first.labels, val.labels)):
        raise ValueError(f"{first.folder}: scores of other images than those in {val.folder}: evaluate again")
    left_out = val.blacklisted if val else np.zeros(len(first), bool)
    known = _Images(tuple(first.ids), first.labels, left_out)
    rows = [row for row in rows if known.places(row.outcome) is not None]
    mixtures = {key: dict(key) for row in rows if (key := row.answered(stores))}
    answers = mixture_answers({name: store for name, store in stores.items() if name in _members(mixtures)}, mixtures)
    _check(rows, known, answers, scores_folder)
    with atomic_folder(out, "evidence.json") as root:
        evidence = _evidence(settings, rows, known, answers, first, val)
        _write_scripts(root, rows, known, evidence.classes, answers)
        shown = _with_thumbnail(first.labels) if val else np.empty(0, np.int64)
        if val:
            _write_thumbnails(root, val, shown, workers)
        _write_script(root, "images", _about_images(known, evidence.classes, shown))
        write_json(root / "evidence.json", asdict(evidence) | {"thumbnails": len(shown)})


def _about_images(images: _Images, classes: Sequence[Any], shown: NDArray[np.int64]) -> dict[str, Any]:
    """What the report's script knows of all images; `shown` have a thumbnail."""
    return {
        "ids": images.ids,
        "labels": images.labels.tolist(),
        "classes": classes,
        "left_out": np.flatnonzero(images.left_out).tolist(),
        "thumbnails": shown.tolist(),
        "side": THUMBNAIL_SIDE,
        "sheet": SHEET,
    }


def _check(rows: Sequence[_Row], images: _Images, answers: Mapping[MixtureKey, SystemAnswers], folder: Path) -> None:
    """A ValueError where a table has other errors than the scores that are there."""
    for row in rows:
        if row.quantity != "top-1" or row.mixture not in answers:
            continue
        if not np.array_equal(images.wrong(row.outcome), answers[row.mixture].labels != images.labels):
            raise ValueError(
                f"{row.table}: {row.name} was made from other scores than {folder} has: make the table again"
            )


MixtureKey = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class _Row:
    """A row of a table with its outcome in one quantity."""

    cells: tuple[str, ...]
    table: str
    is_net: bool
    """Whether it is one net at one scale, of the table that the paper argues about depth with."""
    name: str
    quantity: str
    outcome: Errors
    mixture: MixtureKey
    """What is averaged, for the first seed; empty of boxes."""

    def answered(self, stores: Mapping[str, Scores]) -> MixtureKey:
        """The mixture, where all its posteriors are there."""
        return self.mixture if all(name in stores for name, _ in self.mixture) else ()


@dataclass(frozen=True)
class _Images:
    """The images that scores are of."""

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    left_out: NDArray[np.bool_]
    """Blacklisted: boxes are not judged there."""

    def places(self, outcome: Errors) -> NDArray[np.int64] | None:
        """The numbers of an outcome's images; None where it is of others."""
        every = np.arange(len(self.ids))
        for places in (every, every[~self.left_out]):
            if len(places) == outcome.n and ids_digest([self.ids[i] for i in places]) == outcome.images:
                return places
        return None

    def wrong(self, outcome: Errors) -> NDArray[np.bool_]:
        """[N]: the images that are wrong, of the first seed; those that are not judged are not."""
        wrong, places = np.zeros(len(self.ids), bool), self.places(outcome)
        assert places is not None, "outcomes of other images were left out"
        wrong[places] = outcome.wrong[0]
        return wrong


def _rows(settings: Settings, table: Table, path: Path) -> Iterator[_Row]:
    """The rows of a table that were measured, by quantity."""
    published = settings.table(table.number)
    by_keys = {frozenset(row.keys.items()): r for r, row in enumerate(published.own_rows)}
    for entry in read_outcomes(path.with_suffix(".npz")).entries:
        r = by_keys.get(frozenset(entry.row.items()))
        if r is None or not isinstance(entry.outcome, Errors):
            continue
        measured = [c for c, cell in enumerate(table.rows[r].cells) if cell.sources]
        columns = [c for c in measured if published.columns[c].quantity == entry.quantity]
        system, of_scores = published.rows[r].system or (), published.kind.results == "scores"
        if columns:
            yield _Row(
                tuple(table.anchor(r, c) for c in columns),
                table_label(table.number),
                published_table(table.number).figure == "depth",
                ", ".join(filter(None, table.rows[r].keys)),
                entry.quantity,
                entry.outcome,
                tuple((m.path, w) for m, w in with_seed(system, settings.seeds[0])) if of_scores else (),
            )


def _members(mixtures: Mapping[MixtureKey, Mixture]) -> set[str]:
    return {name for mixture in mixtures.values() for name in mixture}


def _stores(folder: Path, rows: Sequence[_Row]) -> dict[str, Scores]:
    """The stores of posteriors that the rows average, by name."""
    names = dict.fromkeys(name for row in rows for name, _ in row.mixture if (folder / name).exists())
    stores = {name: read_scores_or_labels(folder / name) for name in names}
    return {name: store for name, store in stores.items() if isinstance(store, Scores)}


def _evidence(
    settings: Settings,
    rows: Sequence[_Row],
    images: _Images,
    answers: Mapping[MixtureKey, SystemAnswers],
    first: Scores,
    val: Store | None,
) -> Evidence:
    numbers = {key: k for k, key in enumerate(answers)}
    wrong = [images.wrong(row.outcome) for row in rows]
    systems = tuple(
        SystemEvidence(
            row.cells,
            row.table,
            row.name,
            row.quantity,
            int(wrong[k].sum()),
            row.outcome.n,
            numbers.get(row.mixture),
            k,
        )
        for k, row in enumerate(rows)
    )
    net_rows = [k for k, row in enumerate(rows) if row.is_net and row.quantity == "top-1" and row.mixture in answers]
    nets = tuple(_net(k, rows, wrong[k], answers[rows[k].mixture], images.labels, first.classes) for k in net_rows)
    same = agreement({rows[k].name: answers[rows[k].mixture].labels for k in net_rows})
    names = [val.about.get("words", {}).get(wnid, wnid) for wnid in val.about["wnids"]] if val else range(first.classes)
    return Evidence(
        settings.seeds[0],
        len(settings.seeds),
        len(images.ids),
        tuple(map(str, names)),
        tuple(np.bincount(images.labels, minlength=first.classes).tolist()),
        systems,
        nets,
        tuple(map(tuple, same.tolist())),
        thumbnails=0,
    )


def _net(
    k: int,
    rows: Sequence[_Row],
    wrong: NDArray[np.bool_],
    answers: SystemAnswers,
    labels: NDArray[np.int64],
    classes: int,
) -> NetEvidence:
    name = rows[k].name
    outcomes = {row.quantity: place for place, row in enumerate(rows) if row.is_net and row.name == name}
    bins = confidence_bins(~wrong, answers.confidence)
    class_wrong, _ = class_errors(wrong, labels, classes)
    return NetEvidence(
        name,
        rows[k].cells[0],
        outcomes,
        int(wrong.sum()),
        binned_calibration_error(bins),
        float(answers.confidence.mean()),
        tuple(class_wrong.tolist()),
    )


def _write_scripts(
    root: Path,
    rows: Sequence[_Row],
    images: _Images,
    classes: Sequence[str],
    answers: Mapping[MixtureKey, SystemAnswers],
) -> None:
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"{len(classes):,} classes: expected at most {MOST_CLASSES:,}")
    _write_script(root, "outcomes", [_encoded(np.packbits(images.wrong(row.outcome))) for row in rows])
    for k, answer in enumerate(answers.values()):
        bins = confidence_bins(answer.labels == images.labels, answer.confidence)
        about = {
            "labels": _encoded(answer.labels.astype("<u2")),
            "confidence": _encoded(np.rint(answer.confidence * 65535).astype("<u2")),
            "bins": [asdict(each) for each in bins],
            "error": binned_calibration_error(bins),
        }
        _write_script(root, f"answers/{k}", about)


def _encoded(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _write_script(root: Path, name: str, value: Any) -> None:  # noqa: ANN401
    """A value as a script, which a page may add to itself: `vggrepro["images"]` is the value."""
    write_text(root / f"{name}.js", f"(self.vggrepro ??= {{}})[{json.dumps(name)}] = {json.dumps(value)};\n")


def _with_thumbnail(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The images that have a thumbnail, as many of each class as there is room for: the first of each, then the second ..."""
    order = np.argsort(labels, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
    return np.lexsort((labels, place))[:MOST_THUMBNAILS]


def _write_thumbnails(root: Path, val: Store, images: NDArray[np.int64], workers: int) -> None:
    sheets = [images[start : start + SHEET**2] for start in range(0, len(images), SHEET**2)]
    for k, sheet in enumerate(prefetch(partial(_sheet, val), sheets, workers=workers, waiting=workers)):
        (root / "thumbnails").mkdir(exist_ok=True)
        sheet.save(root / "thumbnails" / f"{k}.jpg", quality=80)


def _sheet(val: Store, images: NDArray[np.int64]) -> Image.Image:
    """The thumbnails of some images, each in the middle of its square."""
    sheet = Image.new("RGB", (SHEET * THUMBNAIL_SIDE, SHEET * THUMBNAIL_SIDE), "white")
    for k, i in enumerate(images.tolist()):
        picture = Image.fromarray(val.image(i))
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        row, column = divmod(k, SHEET)
        aside, down = (THUMBNAIL_SIDE - picture.width) // 2, (THUMBNAIL_SIDE - picture.height) // 2
        sheet.paste(picture, (column * THUMBNAIL_SIDE + aside, row * THUMBNAIL_SIDE + down))
    return sheet
