"""The paper as typed values: its tables, and the runs and evaluations that follow from their key columns.

Nothing here is chosen by us: `tables/published/*.csv` says which systems the paper measured, section 3.1 says which run
each one is initialised from. Whoever adds a line to a CSV adds its runs and evaluations to the DAG.

Words: a *run* is one training; an *evaluation* is a run under a protocol at one test scale Q; a *system* is what a row of
a table measures: a weighted average of evaluations (scales, protocols, nets).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the package reads `tables/`, `reports/` and `workflow/config/` beside itself."""

PUBLISHED = ROOT / "tables" / "published"

NETS = ("A", "A-LRN", "B", "B-5x5", "C", "D", "E")
"""The nets of Table 1, and B-5x5, the shallow net of section 4.1."""

SCALES = ("256", "384", "256-512")
"""Training scales S, in the order in which they are trained (section 3.1)."""

PROTOCOLS = ("dense", "multi-crop", "centre-crop")

CLASSIFICATION = ("3", "4", "5", "6", "7", "text")
"""The tables whose cells are classification errors."""

REPRODUCED = ("1", "2", *CLASSIFICATION)
"""The tables that the DAG makes."""


@dataclass(frozen=True, order=True)
class Run:
    """One training: a net at a training scale, with all layers moving or the fully connected ones only."""

    net: str
    S: str
    layers: Literal["all", "fc"] = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.net not in NETS or self.S not in SCALES or self.layers not in ("all", "fc"):
            raise ValueError(f"no run {self.net}/{self.S}/{self.layers}: nets are {NETS}, training scales {SCALES}")

    @property
    def name(self) -> str:
        """The run in file names: `D_256-512_fc_s0`."""
        return f"{self.net}_{self.S}{'_fc' if self.layers == 'fc' else ''}_s{self.seed}"

    @property
    def label(self) -> str:
        """The run as the paper writes it: `D-fc/[256;512]`."""
        return f"{self.net}{'-fc' if self.layers == 'fc' else ''}/{printed_scale(self.S)}"

    @classmethod
    def parse(cls, name: str) -> Run:
        """The inverse of `name`; a ValueError for anything else."""
        match = re.fullmatch(r"([A-Z0-9x-]+?)_(256|384|256-512)(_fc)?_s(\d+)", name, re.IGNORECASE)
        if not match:
            raise ValueError(f"no run is called {name!r}: a name looks like D_256_s0 or D_256-512_fc_s0")
        return cls(match[1], match[2], "fc" if match[3] else "all", int(match[4]))

    def parent(self, *, staged: bool = True) -> Run | None:
        """The run that this one is initialised from, None where it starts from random weights.

        PAPER 3.1: B-E from A; S = 384 from S = 256 of the same net; S in [256;512] from S = 384.
        `staged=False` is the paper's remark that a good random initialisation needs no A.
        """
        if self.S == "256":
            return Run("A", "256", seed=self.seed) if staged and self.net not in ("A", "A-LRN") else None
        return Run(self.net, SCALES[SCALES.index(self.S) - 1], seed=self.seed)


@dataclass(frozen=True, order=True)
class Evaluation:
    """A run under a protocol at one test scale Q: one score store."""

    run: Run
    protocol: str
    Q: int

    @property
    def path(self) -> str:
        """Where its scores lie below `scores/`."""
        return f"{self.run.name}/{self.protocol}/{self.Q}"


System = tuple[tuple[Evaluation, Fraction], ...]
"""Evaluations and their weights, which sum to one, for seed 0."""


def with_seed(system: System, seed: int) -> System:
    """The same system, of runs trained with another seed."""
    return tuple((replace(e, run=replace(e.run, seed=seed)), weight) for e, weight in system)


@dataclass(frozen=True)
class Published:
    """A cell as it is printed. See tables/published/README.md for how a cell is written."""

    text: str
    value: float | None
    spread: float | None = None
    bold: bool = False
    mark: str = ""
    spanned: bool = False
    """The cell is the continuation of the one to its left."""

    @property
    def printed(self) -> str:
        """The cell's text without the marks for bold."""
        return self.text.replace("**", "")

    @classmethod
    def parse(cls, text: str) -> Published:
        """Read a cell such as `**25.5**`, `-`, `<`, `93.4 +- 0.5`, `70.2*` or `81.5 (85.2*)`."""
        text = text.strip()
        if text in ("-", "<"):
            return cls(text, None, spanned=text == "<")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?: \+- (\d+(?:\.\d+)?))?(\*?)( \(\d+\.\d+\*\))?", text.replace("**", ""))
        if not match:
            raise ValueError(f"a published cell reads {text!r}: expected a number, '-', '<', or see the README there")
        mark = "*" if "*" in text.replace("**", "") else ""
        spread = float(match[2]) if match[2] else None
        return cls(text, float(match[1]), spread, bold="**" in text, mark=mark)


@dataclass(frozen=True)
class Column:
    """A value column of a table: what is measured, on which images."""

    name: str
    heading: str
    quantity: str
    split: str
    """`val`, `test`, or `withheld` where the labels are held by an evaluation server."""


@dataclass(frozen=True)
class Row:
    """A row as printed: its key columns, its cells, and the system it measures (None: another paper's row, quoted)."""

    keys: dict[str, str]
    cells: dict[str, Published]
    system: System | None
    minus: System | None = None
    """For a printed difference: the system that is subtracted."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper as data."""

    number: str
    title: str
    section: str
    caption: str
    headings: dict[str, str]
    """Heading of every key column."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: dict[str, str]

    @property
    def name(self) -> str:
        """The stem of its files: `table03`, `text`."""
        return table_name(self.number)

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation that a row of the table averages, for seed 0, in order of first use."""
        systems = [s for row in self.rows for s in (row.system, row.minus) if s]
        return tuple(dict.fromkeys(evaluation for system in systems for evaluation, _ in system))


def table_name(number: str) -> str:
    """`3` -> `table03`; `text`, the numbers printed in the text, keeps its name."""
    return number if number == "text" else f"table{int(number):02d}"


def printed_scale(S: str) -> str:
    """`256-512` -> `[256;512]`, as the paper prints it."""
    return f"[{S.replace('-', ';')}]" if "-" in S else S


def parse_system(text: str, protocol: str) -> System:
    """The evaluations and weights of `D/256/224,256,288 + E/[256;512]/384` under `dense`, `multi-crop & dense`, ...

    PAPER 3.2, 4.3, 4.4: posteriors are averaged over scales, then over protocols, then over nets.
    """
    members = text.split(" + ")
    protocols = protocol.split(" & ")
    if unknown := set(protocols) - set(PROTOCOLS):
        raise ValueError(f"no protocol {sorted(unknown)} in {protocol!r}: protocols are {PROTOCOLS}")
    weights: dict[Evaluation, Fraction] = {}
    for member in members:
        try:
            net, S, Q = member.split("/")
            run = Run(net.removesuffix("-fc"), S.strip("[]").replace(";", "-"), "fc" if net.endswith("-fc") else "all")
            scales = [int(q) for q in Q.split(",")]
        except ValueError as error:
            raise ValueError(
                f"{member!r} is no system: expected net/train S/test Q like D/256/224,256 ({error})"
            ) from None
        for name in protocols:
            for q in scales:
                key = Evaluation(run, name, q)
                share = Fraction(1, len(members) * len(protocols) * len(scales))
                weights[key] = weights.get(key, Fraction(0)) + share
    return tuple(weights.items())


def _row(record: dict[str, str], columns: tuple[Column, ...]) -> Row:
    """A line of a CSV: value columns into cells, the others into keys and, where they name one, a system."""
    names = [column.name for column in columns]
    keys = {name: text for name, text in record.items() if name not in names}
    member = keys.get("systems") or "/".join(keys.get(name, "") for name in ("net", "S", "Q"))
    protocol = keys.get("protocol", "")
    # Localisation and transfer rows have no protocol of classification: their systems are read by their own rooms.
    system = parse_system(member, protocol) if protocol else None
    minus = parse_system(keys["minus"], protocol) if keys.get("minus") else None
    return Row(keys, {name: Published.parse(record[name]) for name in names}, system, minus)


@cache
def _described() -> dict[str, Any]:
    """`tables.yaml`: titles, captions and what each column is."""
    described: dict[str, Any] = yaml.safe_load((PUBLISHED / "tables.yaml").read_text(encoding="utf-8"))
    return described


@cache
def table(number: str) -> PublishedTable:
    """Table `number` ("1" to "12", or "text") with every cell that the paper prints."""
    described = _described()
    if number not in described:
        raise ValueError(f"the paper has no table {number!r}: expected one of {', '.join(described)}")
    about = described[number]
    columns = tuple(Column(name, **what) for name, what in about.get("values", {}).items())
    path = PUBLISHED / f"{table_name(number)}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    rows = []
    for line, record in enumerate(records, start=2):
        try:
            rows.append(_row(record, columns) if columns else Row(record, {}, None))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path.name}, line {line}: {error}") from None
    titles = {name: about[name] for name in ("title", "section", "caption")}
    return PublishedTable(
        number,
        headings=about["keys"],
        columns=columns,
        rows=tuple(rows),
        footnotes=about.get("footnotes", {}),
        **titles,
    )


def evaluations(number: str, seeds: tuple[int, ...] = (0,)) -> tuple[Evaluation, ...]:
    """The evaluations that a table needs, for every seed."""
    found = table(number).evaluations()
    return tuple(replace(e, run=replace(e.run, seed=seed)) for seed in seeds for e in found)


def runs(numbers: tuple[str, ...] = CLASSIFICATION, seeds: tuple[int, ...] = (0,), *, staged: bool = True) -> list[Run]:
    """The trainings that some tables need, parents before children."""
    wanted: dict[Run, None] = {}

    def visit(run: Run) -> None:
        if (parent := run.parent(staged=staged)) is not None:
            visit(parent)
        wanted.setdefault(run)

    for number in numbers:
        for evaluation in evaluations(number, seeds):
            visit(evaluation.run)
    return list(wanted)


@cache
def _scales_by_run(numbers: tuple[str, ...]) -> dict[tuple[Run, str], tuple[int, ...]]:
    scales: dict[tuple[Run, str], set[int]] = {}
    for evaluation in (e for number in numbers for e in evaluations(number)):
        scales.setdefault((evaluation.run, evaluation.protocol), set()).add(evaluation.Q)
    return {key: tuple(sorted(found)) for key, found in scales.items()}


def scales_of(run: Run, protocol: str, numbers: tuple[str, ...] = CLASSIFICATION) -> tuple[int, ...]:
    """Every Q at which the paper evaluates a run under a protocol, ascending: one job evaluates them all."""
    return _scales_by_run(numbers).get((replace(run, seed=0), protocol), ())
