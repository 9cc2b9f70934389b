"""The published tables as typed values: cells, rows, columns, and the runs and evaluations that their rows measure. No torch.

A line that is added to a CSV of `tables/published/` adds its runs and evaluations to the DAG.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal

from vggrepro.core.paths import ROOT
from vggrepro.core.validation import nearest_hint
from vggrepro.paper.descriptions import TableDescription, read_descriptions, read_own_tables
from vggrepro.paper.kinds import TABLE_KINDS, TableKind
from vggrepro.paper.lines import csv_lines
from vggrepro.paper.runs import Run, with_ancestors
from vggrepro.paper.systems import Evaluation, System, evaluations_of, parse_net, parse_system
from vggrepro.paper.tasks import TASKS, task_of

PUBLISHED = ROOT / "tables" / "published"
"""The CSVs, and `tables.yaml` with their titles, captions and columns."""


@dataclass(frozen=True)
class Published:
    """A printed cell. tables/published/README.md says how a cell is written."""

    text: str
    """As printed: without the marks for bold around its first number, while those around a second number stay."""
    value: float | None
    spread: float | None = None
    bold: bool = False
    mark: str = ""
    spanned: bool = False
    """Whether the cell continues the one to its left."""

    @classmethod
    def verbatim(cls, text: str) -> Published:
        """A cell that is not a number, such as a list of layers; marks for bold belong to its text."""
        return cls(text, None, spanned=text == "<")

    @classmethod
    def parse(cls, text: str) -> Published:
        """Read a cell such as `**25.5**`, `-`, `<`, `93.4 +- 0.5`, `70.2*` or `81.5 (85.2*)`.

        Value and bold are those of the first number; a second number in brackets stays in the text.
        """
        if text in ("-", "<"):
            return cls(text, None, spanned=text == "<")
        number = r"([0-9]+(?:\.[0-9]+)?)(?: \+- ([0-9]+\.[0-9]+))?\*?"
        bracket = r" \((?:\*\*[0-9.]+\*{3}|[0-9.]+\*)\)"
        match = re.fullmatch(rf"(?:(\*\*){number}\*\*|{number})(?:{bracket})?", text)
        if not match:
            raise ValueError(
                f"a published cell reads {text!r}: expected a number, '-' or '<', see tables/published/README.md"
            )
        bold, *first = match.groups()
        value, spread = first[:2] if bold else first[2:]
        mark = "*" if "*" in text.replace("**", "") else ""
        printed = text.replace("**", "", 2) if bold else text
        return cls(printed, float(value), float(spread) if spread else None, bold=bool(bold), mark=mark)


@dataclass(frozen=True)
class Column:
    """A value column of a table: the quantity, and the images that it is measured on."""

    name: str
    heading: str
    quantity: str
    split: str
    """`val`, `test`, `withheld` where the labels are held by an evaluation server, or `claims` where a claim judges it."""


@dataclass(frozen=True)
class Row:
    """A printed row: its key columns, its cells, and the system that it measures."""

    keys: dict[str, str]
    cells: dict[str, Published]
    system: System | None
    """None where another paper is quoted, and in the tables of transfer, whose rows have `members`."""
    minus: System | None = None
    """The subtracted system, where the row prints a difference."""
    members: tuple[Run, ...] = ()
    """The nets whose features are stacked, in the tables of transfer."""
    name: str = ""
    """What the user calls a row of his own; empty for a printed row. Claims find the row by it, in whichever table it is."""
    varies: int | None = None
    """The row, from 0, that the row of a variant varies; None for all other rows. Those of variants come last."""

    @property
    def ours(self) -> bool:
        """Whether the row is measured here, not quoted."""
        return bool(self.system or self.members)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper as data."""

    number: str
    kind: TableKind
    title: str
    section: str
    caption: str
    headings: dict[str, str]
    """Heading of every key column."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    above: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Headings over several key columns, and these columns."""
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What cells of a key column are printed as, where that is not what they hold."""
    footnotes: dict[str, str] = field(default_factory=dict)
    best: Literal["table", "group", "none"] = "table"
    """Among which rows the best is marked: the whole `table`, each `group` of rows, or `none`."""
    higher_is_better: bool = False
    """Whether cells are precisions and recalls, not errors."""
    compares_methods: bool = False
    """Whether the systems that the user imports get rows in it."""
    members_alone: bool = False
    """Whether the outcomes of each averaged evaluation are kept beside those of the average."""
    unprinted: bool = False
    """Whether the paper states its results in words alone, so that it is made only when asked for."""
    figure: Literal["", "depth", "scale"] = ""
    """The figure of the report that is drawn from the table."""
    step: Mapping[str, str] = field(default_factory=dict)
    """`name` and `explanation` of its step in the error decomposition; none for a table that is no step."""

    @property
    def name(self) -> str:
        """The stem of the table's files: `table03`, `text`."""
        return table_name(self.number)

    @property
    def own_rows(self) -> tuple[Row, ...]:
        """Its rows without those of variants, which are printed apart."""
        return tuple(row for row in self.rows if row.varies is None)

    @property
    def quantities(self) -> frozenset[str]:
        """What its columns measure."""
        return frozenset(column.quantity for column in self.columns)

    @property
    def kept_systems(self) -> list[tuple[Mapping[str, str], System]]:
        """The systems whose outcomes are kept, with their key columns: those of rows, and their members alone if asked for."""
        systems = [(row.keys, row.system) for row in self.rows if row.system and not row.minus]
        alone = [
            (keys | {"Q": str(member.Q)}, ((member, Fraction(1)),))
            for keys, system in (systems if self.members_alone else ())
            for member in evaluations_of(system)
        ]
        return [*systems, *alone]

    @property
    def systems(self) -> list[System]:
        """The systems whose errors are needed, each once: the kept ones, and those that a row subtracts."""
        of_rows = [system for row in self.rows for system in (row.system, row.minus) if system]
        return list(dict.fromkeys([*(system for _, system in self.kept_systems), *of_rows]))

    def runs(self, seeds: tuple[int, ...]) -> list[Run]:
        """Every run that a row of the table measures, for every seed."""
        measured = [evaluation.run for evaluation in self.evaluations()]
        members = [run for row in self.rows for run in row.members]
        return [replace(run, seed=seed) for seed in seeds for run in (*measured, *members)]

    def evaluations(self, seeds: Sequence[int] = (0,)) -> tuple[Evaluation, ...]:
        """Every evaluation that a row of the table averages, for every seed, in order of first use."""
        averaged = dict.fromkeys(
            e for row in self.rows for s in (row.system, row.minus) for e in evaluations_of(s or ())
        )
        return tuple(evaluation.seeded(seed) for seed in seeds for evaluation in averaged)


def table_numbers(*kinds: str, unprinted: Collection[str] = ()) -> tuple[str, ...]:
    """The tables of these kinds, in the order in which they are reported; all where no kind is given.

    Of the tables that the paper describes and does not print, those that are named.
    """
    return tuple(
        number
        for number, about in _described().items()
        if (not kinds or about.kind in kinds) and (not about.unprinted or number in unprinted)
    )


def unprinted_tables() -> tuple[str, ...]:
    """The tables whose results the paper states in words alone, or "not shown for brevity": they are made when asked for."""
    return tuple(number for number, about in _described().items() if about.unprinted and number not in _OWN)


def table_name(number: str) -> str:
    """`3` -> `table03`; `text`, the numbers printed in the text, keeps its name."""
    return f"table{int(number):02d}" if number.isdigit() else number


def table_label(number: str) -> str:
    """`3` -> `Table 3`; `text` -> `Numbers printed in the text`."""
    return f"Table {number}" if number.isdigit() else published_table(number).title


def cell_id(table: str, row: int, column: int) -> str:
    """The id of a cell in the report and in exported data, `table03-1-2`: row and column count from 1."""
    return f"{table}-{row + 1}-{column + 1}"


@cache
def published_table(number: str) -> PublishedTable:
    """Table `number` ("1" to "12", or "text") with every cell that the paper prints; a ValueError that names a wrong line."""
    described = _described()
    if number not in described:
        raise ValueError(f"the paper has no table {number!r}: expected one of {', '.join(described)}")
    about, (path, _) = described[number], table_files(number)
    kind = TABLE_KINDS[about.kind]
    columns = tuple(Column(name, **column.model_dump()) for name, column in about.values.items())
    rows = []
    for line, cells in csv_lines(path, about):
        try:
            rows.append(_row(cells, columns, kind))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    words = about.model_dump(exclude={"kind", "keys", "values"})
    return PublishedTable(number, kind, headings=about.keys, columns=columns, rows=tuple(rows), **words)


@cache
def _described() -> dict[str, TableDescription]:
    """What `tables.yaml` says of each table; those of the user's own come last."""
    return read_descriptions(PUBLISHED / "tables.yaml") | {name: about for name, (_, about) in _OWN.items()}


_OWN: dict[str, tuple[Path, TableDescription]] = {}
"""Tables of the user's own that this process knows: the folder of each, and what its `tables.yaml` says."""


def know_own_tables(folder: Path) -> tuple[str, ...]:
    """Let this process know the tables in a user's folder, and their names; they are made by whoever asks for them by name.

    Raises ValueError for what is wrong in the folder, before anything is made.
    """
    tables = read_own_tables(folder, {*_described(), *RULE_NAMES} - set(_OWN))
    if changed := {name: (folder, about) for name, about in tables.items() if _OWN.get(name) != (folder, about)}:
        _OWN.update(changed)
        for function in (_described, published_table, _scales_by_run):
            function.cache_clear()
    try:
        for name in tables:
            published_table(name)
    except ValueError as error:
        for name in tables:
            del _OWN[name]
        _described.cache_clear()
        raise ValueError(f"tables: {error}") from None
    return tuple(tables)


RULE_NAMES = (
    *("all", "adopt", "answers", "boxes", "bundle", "claims", "classify", "draw", "evaluate", "evidence", "export"),
    *("features", "fetch", "flips", "labels", "manifest", "merging", "prepare", "report", "rescale", "splits", "table"),
    *("train", "verify", "whatif", "why"),
)
"""Names that the workflow's rules have, and no table may."""


def table_files(number: str) -> tuple[Path, Path]:
    """The CSV of a table, and the file that describes it."""
    folder = _OWN[number][0] if number in _OWN else PUBLISHED
    return folder / f"{table_name(number)}.csv", folder / "tables.yaml"


def _row(line: Mapping[str, str], columns: Sequence[Column], kind: TableKind) -> Row:
    """The row of a CSV's line: value columns become cells, the others keys and, where they name one, a system."""
    read = Published.parse if kind.numbers else Published.verbatim
    cells = {column.name: read(line[column.name]) for column in columns}
    keys = {name: text for name, text in line.items() if name not in cells}
    if not any(keys.values()):
        raise ValueError(f"expected something in a key column, of {', '.join(keys)}")
    nets = _nets(keys)
    if not kind.needed:
        row = Row(keys, cells, None, members=tuple(parse_net(text) for text in nets.split(" + ") if nets))
        _check_tasks(row, columns)
        return row
    _check_whole(keys, nets, kind)
    if not nets:
        return Row(keys, cells, None)
    minus = parse_system(keys["minus"], keys["protocol"]) if keys.get("minus") else None
    return Row(keys, cells, parse_system(nets, **{name: keys[name] for name in kind.needed}), minus)


def _nets(keys: Mapping[str, str]) -> str:
    """The nets that a row measures; empty where it quotes a number. Beside `systems`, S and Q alone are labels."""
    parts = [keys.get(name, "") for name in ("net", "S", "Q")]
    labels = not any(parts) or ("systems" in keys and not parts[0])
    return keys.get("systems") or ("" if labels else "/".join(parts))


def _check_whole(keys: Mapping[str, str], nets: str, kind: TableKind) -> None:
    """A ValueError for a row that is neither measured, with nets and all that these need, nor quoted, without any of it."""
    if nets and (missing := [name for name in kind.needed if not keys.get(name)]):
        raise ValueError(
            f"expected {' and '.join(missing)} beside the nets {nets}, in columns of these names; a quoted row names no nets"
        )
    given = [keys[name] for name in kind.measured_by if name not in ("S", "Q") and keys.get(name)]
    if given and not nets:
        raise ValueError(f"expected nets beside {', '.join(given)}, in the columns net, S and Q, or systems; got none")


def _check_tasks(row: Row, columns: Sequence[Column]) -> None:
    for task in [task_of(row, column) for column in columns if row.members]:
        if task not in TASKS:
            raise ValueError(
                f"no task of transfer is called {task!r}{nearest_hint(task, list(TASKS))}: expected the quantity of a column "
                f"and, behind a dash, the row's input or combined to be one of {', '.join(TASKS)}"
            )


def table_evaluations(number: str, seeds: tuple[int, ...] = (0,)) -> tuple[Evaluation, ...]:
    """The evaluations that a table needs, for every seed."""
    return published_table(number).evaluations(seeds)


def needed_runs(
    numbers: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] = (0,),
    *,
    parent_of: Callable[[Run], Run | None] = Run.parent,
    adopted: Collection[Run] = (),
) -> list[Run]:
    """The `adopted` runs, and those that the tables of these numbers need, or all tables, parents before children."""
    chosen = table_numbers() if numbers is None else numbers
    runs = (run for number in chosen for run in published_table(number).runs(seeds))
    return with_ancestors((*adopted, *runs), parent_of=parent_of, adopted=adopted)


def scales_of(run: Run, protocol: str, unprinted: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Every Q at which the paper evaluates a run under a protocol, ascending: one job evaluates them all.

    A variant is evaluated as the run that it varies. Those of the `unprinted` tables that were asked for are included.
    """
    return _scales_by_run(unprinted).get((replace(run.varied, seed=0), protocol), ())


@cache
def _scales_by_run(unprinted: tuple[str, ...]) -> dict[tuple[Run, str], tuple[int, ...]]:
    scales: dict[tuple[Run, str], set[int]] = {}
    for evaluation in (e for number in table_numbers(unprinted=unprinted) for e in table_evaluations(number)):
        scales.setdefault((evaluation.run, evaluation.protocol), set()).add(evaluation.Q)
    return {key: tuple(sorted(each)) for key, each in scales.items()}


SHALLOW_AND_DEEP = ("A/256/256", "E/256/256")
"""Rows of Table 3 that the report compares image by image: 11 and 19 weight layers, everything else the same."""


def best_classification() -> System:
    """PAPER A.1: "the top-5 class labels are predicted by our best-performing classification system": the best of Table 6."""
    return next(row.system for row in published_table("6").rows if row.system and row.cells["top5_val"].bold)


def localisation_systems() -> dict[str, System]:
    """The systems of Table 9 by name: `D/384/352,384`, with objective and layers in brackets unless they are PCR and all."""
    rows = [row for row in published_table("9").rows if row.system]
    trained = [(row.keys["objective"], row.keys["layers"]) for row in rows]
    notes = ["" if pair == ("PCR", "all") else f" ({', '.join(pair)})" for pair in trained]
    return {row.keys["systems"] + note: row.system for row, note in zip(rows, notes, strict=True) if row.system}


def best_localisation() -> str:
    """The name of the system of Table 9, a fusion, that Table 10 compares with others."""
    ours = next(row.system for row in published_table("10").rows if row.system)
    return next(name for name, system in localisation_systems().items() if system == ours)
