"""Cells, verdicts and claims from what is stored.

Twice: the value of every cell and the gain of every claim by the definitions written out (`errors.py`); and everything that
stands in a table or in the ledger (intervals, verdicts, p-values) by making both again from the scores. The second finds what
was changed since, not a mistake of the code that makes tables: it is that very code.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vggrepro.core.files import read_json
from vggrepro.core.leftovers import visible_files
from vggrepro.judging.ledger import judge_claims, read_ledger, write_ledger
from vggrepro.judging.pipeline import make_table
from vggrepro.paper.claims import CellPlace
from vggrepro.paper.measures import allowed_labels
from vggrepro.paper.references import AT, on_path, on_reference
from vggrepro.paper.runs import file_name, members_name
from vggrepro.paper.systems import Imported, System
from vggrepro.paper.tables import Column, PublishedTable, Row
from vggrepro.paper.tasks import task_of
from vggrepro.recompute.errors import (
    MATCHES,
    ErrorsOfImages,
    LabelsById,
    classification_errors,
    localisation_errors,
    mean_share,
    mean_wrong,
)
from vggrepro.recompute.findings import Finding, compared_numbers, equal, skipped
from vggrepro.recompute.net import Sizes, convolutions, parameter_shapes
from vggrepro.scores.label_sets import read_label_sets
from vggrepro.settings.claims import claim_families
from vggrepro.settings.models import Settings
from vggrepro.tables.lineage import read_training
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import read_table
from vggrepro.transfer.results import read_svm_result

TESTS_OF_CELLS = ("superiority", "ordering", "non-inferiority", "equivalence")
"""Of claims whose gain is a difference of two cells; of a number that is quoted there is nothing to compute again."""
CELL_TOLERANCE = 1e-9
"""Of a value in per cent: it is a count over a count, and a mean of a few of these."""


class Recomputation:
    """Values of cells by the definitions, each system once."""

    def __init__(self, results: Path, settings: Settings) -> None:
        self.results, self.settings = results, settings
        self._errors: dict[tuple[str, System], list[ErrorsOfImages] | None] = {}

    def errors(self, kind: str, system: System) -> list[ErrorsOfImages] | None:
        """The errors of a system for every seed; None where something of it was not evaluated, or boxes match otherwise."""
        if (kind, system) not in self._errors:
            by_seed = [self._of_seed(kind, system, seed) for seed in self.settings.seeds]
            self._errors[kind, system] = None if None in by_seed else [wrong for wrong in by_seed if wrong is not None]
        return self._errors[kind, system]

    def _of_seed(self, kind: str, system: System, seed: int) -> ErrorsOfImages | None:
        if kind == "boxes":
            if self.settings.merge.match not in MATCHES:
                return None
            return localisation_errors(self.results / "boxes", system, seed, self.settings.merge)
        scores = self.results / "scores"
        wrong = classification_errors(scores, system, seed, self._labels, quantities=self._quantities)
        for name in self.settings.validation if wrong else ():
            there = classification_errors(scores, system, seed, at=file_name(name), quantities=self._quantities) or {}
            wrong = {**(wrong or {}), **{on_reference(quantity, name): errors for quantity, errors in there.items()}}
        return wrong

    @cached_property
    def _quantities(self) -> set[str]:
        """What the paper's tables and the user's own measure of posteriors."""
        tables = map(self.settings.table, self.settings.table_numbers())
        named = {column.quantity for table in tables if table.kind.name == "scores" for column in table.columns}
        return {quantity for quantity in named if allowed_labels(quantity)} | {"top-1", "top-5"}

    @cached_property
    def _labels(self) -> dict[str, LabelsById]:
        """The labels by which tables are judged besides the data set's own, as they are stored."""
        stores = [read_label_sets(folder) for folder in self.label_folders if folder.exists()]
        return {
            store.metadata["name"]: {
                image: [label for label in row if label >= 0]
                for image, row in zip(store.ids, store.labels.tolist(), strict=True)
            }
            for store in stores
        }

    @property
    def label_folders(self) -> list[Path]:
        """The stores of other labels."""
        return [self.results / "labels" / Imported(name).path.partition("/")[2] for name in self.settings.labels]

    def value(self, table: PublishedTable, row: Row, column: Column) -> float | None:
        """The value of a cell in per cent (of Table 2 in millions); None where what it is made from is not there."""
        if table.kind.name == "parameters":
            # two nets share a column where they have as many
            counts = {count_parameters(net) for net in column.name.split(", ")}
            return counts.pop() / 1e6 if len(counts) == 1 else float("nan")
        if row.members:
            return self._share(table, row, column)
        if row.system is None or (wrong := self.errors(table.kind.name, row.system)) is None:
            return None
        if column.quantity not in wrong[0]:
            return None
        value = mean_wrong(wrong, column.quantity)
        if row.minus:
            less = self.errors(table.kind.name, row.minus)
            if less is None:
                return None
            other = mean_wrong(less, column.quantity)
            # CHOICE 8
            value = value - other if self.settings.higher == "points" else (value - other) / other
        return 100 * value

    def why_missing(self, table: PublishedTable, place: str) -> str:
        """Why a cell has no value."""
        match = self.settings.merge.match
        if table.kind.name == "boxes" and match not in MATCHES:
            return f"merge.match is {match}, which is not in MATCHES of vggrepro/recompute/errors.py: add it there"
        return f"what {place} is made from is not there, or its quantity has no second definition"

    def _share(self, table: PublishedTable, row: Row, column: Column) -> float | None:
        folder = self.results / table.kind.results / task_of(row, column)
        paths = [folder / members_name(row.members, seed) for seed in self.settings.seeds]
        if not all(path.exists() for path in paths):
            return None
        return 100 * float(np.mean([mean_share(read_svm_result(path)) for path in paths]))

    @cached_property
    def numbers(self) -> dict[str, str]:
        """The numbers of the tables that were made, by their names: `table03` is 3."""
        names = {self.settings.table(number).name: number for number in self.settings.table_numbers()}
        return {name: number for name, number in names.items() if (self.results / "tables" / f"{name}.json").exists()}


def count_parameters(net: str) -> int:
    """The parameters of a net of the paper's size, counted from Table 1."""
    shapes = parameter_shapes(net, 1000, Sizes(32, 64, 4096, "floor", 0.5))
    return sum(int(np.prod(shape)) for shape in shapes.values())


def stored_record(file: Path, read: Callable[[Path], object]) -> dict[str, Any]:
    """The values in a file of ours as they stand there. Raises ValueError, as `read` does, where one is mistyped."""
    read(file)
    record: dict[str, Any] = read_json(file)
    return record


def recomputed_tables(results: Path, settings: Settings) -> Iterator[Finding]:
    """The findings on all tables and claims in a folder of results."""
    work = Recomputation(results, settings)
    if not work.numbers:
        yield skipped("tables", "cells", "no table was made")
        return
    with tempfile.TemporaryDirectory() as name:
        for table, number in work.numbers.items():
            stored = stored_record(results / "tables" / f"{table}.json", read_table)
            published = settings.table(number)
            if [len(row["cells"]) for row in stored["rows"]] != [len(published.columns)] * len(published.own_rows):
                why = f"it has other rows or columns than tables/published/{table}.csv has now: make the table again"
                yield Finding(f"tables/{table}", "cells", "differs", why)
                continue
            yield from recomputed_values(work, published, stored)
            yield from made_again(results, settings, number, table, stored, Path(name))
        yield from recomputed_claims(work, Path(name))


def recomputed_values(work: Recomputation, table: PublishedTable, stored: Mapping[str, Any]) -> Iterator[Finding]:
    """The finding on the values of a table's cells, by the definitions."""
    about = f"tables/{table.name}"
    if table.kind.name == "layers":
        yield _layers(about, table, stored)
        return
    ours, theirs, places = [], [], []
    for i, (row, cells) in enumerate(zip(table.own_rows, stored["rows"], strict=True)):
        for j, (column, cell) in enumerate(zip(table.columns, cells["cells"], strict=True)):
            if cell["value"] is not None:
                ours.append(work.value(table, row, column))
                theirs.append(cell["value"])
                places.append(f"{table.name}-{i + 1}-{j + 1}")
    if missing := [place for place, value in zip(places, ours, strict=True) if value is None]:
        yield skipped(about, f"{len(missing)} values", work.why_missing(table, missing[0]))
    if len(missing) == len(places) > 0:
        return
    pairs = [(a, b, place) for a, b, place in zip(ours, theirs, places, strict=True) if a is not None]
    wrong = [place for a, b, place in pairs if not abs(a - b) <= CELL_TOLERANCE]
    note = f"at {', '.join(wrong[:5])}" if wrong else "by the definitions"
    yield compared_numbers(
        about,
        f"{len(pairs)} values",
        [a for a, *_ in pairs],
        [b for _, b, _ in pairs],
        tolerance=CELL_TOLERANCE,
        note=note,
    )


def _layers(about: str, table: PublishedTable, stored: Mapping[str, Any]) -> Finding:
    """Table 1: what stands in it is what the paper prints, and the numbers of layers are those of its own columns."""
    wrong = []
    for row, cells in zip(table.rows, stored["rows"], strict=True):
        for column, cell in zip(table.columns, cells["cells"], strict=True):
            printed = row.cells[column.name]
            same = printed.spanned or cell["text"] == printed.text
            if row.keys["row"] == "weight layers":
                same = same and int(cell["text"]) == 3 + sum(
                    len([x for x in block if x]) for block in convolutions(column.name)
                )
            wrong += [] if same else [f"{row.keys['row']} of {column.name}"]
    return equal(about, "layers, as printed", not wrong, ", ".join(wrong))


def made_again(
    results: Path, settings: Settings, number: str, name: str, stored: Mapping[str, Any], out: Path
) -> Iterator[Finding]:
    """The finding on everything in a table's cells, by making the table again with the same code into the folder `out`."""
    published, about = settings.table(number), f"tables/{name}"
    folder = results / (published.kind.results or "scores")
    ats = ["", *(file_name(name) for name in settings.validation if published.kind.averages)]
    stores = [results / "scores" / on_path(Imported(name).path, at) for name in settings.imported for at in ats]
    # of other images a system may have no file
    imported = [store for store in stores if published.compares_methods and (AT not in store.name or store.exists())]
    try:
        inputs = Inputs(folder, tuple(imported), labels=tuple(Recomputation(results, settings).label_folders))
        make_table(number, settings, inputs, runs=results / "runs", out=out)
    except ValueError as error:
        yield Finding(about, "intervals and verdicts, made again", "differs", f"it cannot be made again: {error}")
        return
    again = stored_record(out / f"{name}.json", read_table)
    cells, others = ([cell for row in table["rows"] for cell in row["cells"]] for table in (stored, again))
    ids = [f"{name}-{i + 1}-{j + 1}" for i, row in enumerate(stored["rows"]) for j, _ in enumerate(row["cells"])]
    changes = list(_all_changes(ids, cells, others))
    yield equal(about, "intervals, verdicts and footnotes of its cells, made again", not changes, _listed(changes))
    same = (out / f"{name}.npz").read_bytes() == (results / "tables" / f"{name}.npz").read_bytes()
    yield equal(about, "outcomes of images, made again", same, f"{name}.npz holds others")


def recomputed_claims(work: Recomputation, tables: Path) -> Iterator[Finding]:
    """The findings on claims: their gains by the definitions, and all else judged again from tables that were made again."""
    file = work.results / "claims" / "claims.json"
    if not file.exists():
        yield skipped("claims", "verdicts", "no claim was judged")
        return
    stored = {claim["id"]: claim for claim in stored_record(file, read_ledger)["claims"]}
    yield from _gains(work, stored)
    trainings = [read_training(path) for path in visible_files(work.results, "runs/*/run.json")]
    write_ledger(judge_claims(work.settings, tables, trainings), tables)
    again = {claim["id"]: claim for claim in stored_record(tables / "claims.json", read_ledger)["claims"]}
    if stored.keys() != again.keys():
        only = ", ".join(sorted(stored.keys() ^ again.keys()))
        yield Finding("claims", "claims", "differs", f"other claims than tables/claims.yaml has: {only}")
        return
    changes = list(_all_changes(list(stored), list(stored.values()), [again[name] for name in stored]))
    yield equal("claims", f"verdicts of {len(stored)} claims, judged again", not changes, _listed(changes))


def _gains(work: Recomputation, stored: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    ours, theirs, names, missing = [], [], [], []
    claims = (claim for family in claim_families(work.settings) for claim in family.claims)
    for claim in (claim for claim in claims if claim.test in TESTS_OF_CELLS):
        steps = stored.get(claim.id, {}).get("steps", [])
        for (place, against), step in zip(claim.compared(), steps, strict=False):
            sides = [_place_value(work, p, claim.quantity) for p in (place, against)]
            if None not in sides and not place.of and not against.of:
                first, second = float(sides[0]), float(sides[1])  # type: ignore[arg-type]
                better = 100 * (first - second) / first if claim.relative else first - second
                higher = work.settings.table(place.table).higher_is_better
                ours.append(better if higher else -better)
                theirs.append(step["gain"])
                names.append(claim.id)
            elif step["gain"] is not None:
                missing.append(claim.id)
    if missing:
        why = f"what that of {missing[0]} is made from is not there, or has no second definition"
        yield skipped("claims", f"{len(missing)} gains", why)
    wrong = [name for name, a, b in zip(names, ours, theirs, strict=True) if not abs(a - b) <= CELL_TOLERANCE]
    note = f"of {', '.join(wrong)}" if wrong else "by the definitions"
    yield compared_numbers("claims", f"{len(ours)} gains", ours, theirs, tolerance=CELL_TOLERANCE, note=note)


def _place_value(work: Recomputation, place: CellPlace, quantity: str) -> float | None:
    table = work.settings.table(place.table)
    row = next(row for row in table.rows if place.matches(row.keys))
    column = next(column for column in table.columns if column.quantity == quantity)
    return work.value(table, row, column) if row.ours else row.cells[column.name].value


def _all_changes(ids: Sequence[str], stored: Sequence[Any], again: Sequence[Any]) -> Iterator[str]:
    if len(stored) != len(again):
        yield f"{len(stored)} stored, {len(again)} made again"
        return
    for name, first, second in zip(ids, stored, again, strict=True):
        # a file of another version may have fewer keys
        changes = (key for key in first if key in second and not _same(first[key], second[key]))
        yield from (f"{name}: {key}: {_short(first[key])}, made again {_short(second[key])}" for key in changes)


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Whether two values of JSON are equal, numbers within rounding."""
    if isinstance(a, float | int) and isinstance(b, float | int):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _short(value: Any) -> str:  # noqa: ANN401
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."


def _listed(changes: Sequence[str]) -> str:
    more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more
