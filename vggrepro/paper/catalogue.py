"""The paper as typed values: its tables, and the runs and evaluations that follow from their key columns.

Nothing here is chosen by us: `tables/published/*.csv` says which systems the paper measured, section 3.1 says which run
each one is initialised from. Whoever adds a line to a CSV adds its runs and evaluations to the DAG.

Words: a *run* is one training; an *evaluation* is a run under a protocol at one test scale Q; a *system* is what a row of
a table measures: a weighted average of evaluations (scales, protocols, nets), or the union of their boxes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import yaml

from vggrepro.core.paths import ROOT

PUBLISHED = ROOT / "tables" / "published"

NETS = ("A", "A-LRN", "B", "B-5x5", "C", "D", "E")
"""The nets of Table 1, and B-5x5, the shallow net of section 4.1."""

SCALES = ("256", "384", "256-512")
"""Training scales S, in the order in which they are trained (section 3.1)."""

SMALLEST_Q = 224
"""A net sees no less than its input."""

PROTOCOLS = ("dense", "multi-crop", "centre-crop")

OBJECTIVES = ("classification", "SCR", "PCR")
"""What a net is trained for: class scores, or a box shared by all classes (SCR) or one per class (PCR; appendix A)."""

CLASSIFICATION = ("3", "4", "5", "6", "7", "text")
"""The tables whose cells are classification errors."""

LOCALISATION = ("8", "9", "10")
"""The tables whose cells are localisation errors."""

TRANSFER = ("11", "12")
"""The tables whose cells are of linear SVMs on features (appendix B)."""

MEASURED = (*CLASSIFICATION, *LOCALISATION, *TRANSFER)
"""The tables whose cells need trained nets."""

COMPARED = ("7", "10")
"""The tables that compare methods, to which systems of others are added."""

REPRODUCED = ("1", "2", *MEASURED)
"""The tables that the DAG makes."""


@dataclass(frozen=True, order=True)
class Run:
    """One training: a net at a training scale, for an objective, with all layers moving or the fully connected ones only."""

    net: str
    S: str
    layers: Literal["all", "fc"] = "all"
    seed: int = 0
    objective: Literal["classification", "SCR", "PCR"] = "classification"

    def __post_init__(self) -> None:
        known = (self.net, NETS), (self.S, SCALES), (self.layers, ("all", "fc")), (self.objective, OBJECTIVES)
        for value, values in known:
            if value not in values:
                raise ValueError(f"no run with {value!r}: expected one of {', '.join(values)}")
        if self.seed < 0 or (self.layers == "fc" and self.S == "256" and not self.localises):
            raise ValueError(
                f"no run {self.name}: seeds count from 0, and fine-tuning FC layers needs a trained net: S > 256"
            )

    @property
    def localises(self) -> bool:
        """Whether the net predicts boxes instead of class scores."""
        return self.objective != "classification"

    @property
    def name(self) -> str:
        """The run in file names: `D_256-512_fc_s0`, `D_384_pcr_s0`."""
        parts = (self.net, self.S, self.objective.lower() * self.localises, "fc" * (self.layers == "fc"))
        return "_".join([part for part in parts if part] + [f"s{self.seed}"])

    @property
    def label(self) -> str:
        """The run as the paper writes it: `D-fc/[256;512]`, `D-PCR/384`."""
        parts = (self.net, self.objective * self.localises, "fc" * (self.layers == "fc"))
        return "-".join(part for part in parts if part) + f"/{printed_scale(self.S)}"

    def outputs(self, classes: int) -> int:
        """Outputs of the last layer: a score per class, one box of 4 numbers (SCR), or a box per class (PCR)."""
        return {"classification": classes, "SCR": 4, "PCR": 4 * classes}[self.objective]

    @classmethod
    def parse(cls, name: str) -> Run:
        """The inverse of `name`; a ValueError for anything else."""
        match = re.fullmatch(r"([A-Zx0-9-]+?)_(256|384|256-512)(?:_(scr|pcr))?(_fc)?_s(0|[1-9][0-9]*)", name)
        if not match:
            raise ValueError(f"no run is called {name!r}: a name looks like D_256_s0, D_256-512_fc_s0 or D_384_pcr_s0")
        objective: Any = match[3].upper() if match[3] else "classification"
        return cls(match[1], match[2], "fc" if match[4] else "all", int(match[5]), objective)

    def parent(self, *, staged: bool = True) -> Run | None:
        """The run that this one is initialised from, None where it starts from random weights.

        PAPER 3.1: B-E from A; S = 384 from S = 256 of the same net; S in [256;512] from S = 384.
        PAPER A.1: a net that predicts boxes from the classification net of its scale.
        `staged=False` is the paper's remark that a good random initialisation needs no A.
        """
        if self.localises:
            return Run(self.net, self.S, seed=self.seed)
        if self.S == "256":
            return Run("A", "256", seed=self.seed) if staged and self.net not in ("A", "A-LRN") else None
        return Run(self.net, SCALES[SCALES.index(self.S) - 1], seed=self.seed)


@dataclass(frozen=True, order=True)
class Evaluation:
    """A run under a protocol at one test scale Q: one score store, or box store."""

    run: Run
    protocol: str
    Q: int

    @property
    def path(self) -> str:
        """Where its scores lie below `scores/`, or its boxes below `boxes/`."""
        return f"{self.run.name}/{self.protocol}/{self.Q}"

    @property
    def job(self) -> str:
        """Where one job writes its scores at every Q, below `scores/`, or its boxes."""
        return f"{self.run.name}/{self.protocol}"

    def seeded(self, seed: int) -> Evaluation:
        """The same of a run trained with another seed."""
        return replace(self, run=replace(self.run, seed=seed))


@dataclass(frozen=True, order=True)
class Imported:
    """A system of somebody else, by the name that the user gives it: a store that takes the place of an evaluation."""

    name: str

    @property
    def path(self) -> str:
        """Where its scores lie below `scores/`."""
        return "imported/" + re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.")

    job = path

    def seeded(self, seed: int) -> Imported:
        """Itself: it is what it is, whatever the seed of ours."""
        return self


System = tuple[tuple[Evaluation | Imported, Fraction], ...]
"""Evaluations and their weights, which sum to one, for seed 0. Of boxes the union is taken, and weights say nothing."""


def evaluations_of(system: System) -> tuple[Evaluation, ...]:
    """The evaluations of ours that a system averages."""
    return tuple(member for member, _ in system if isinstance(member, Evaluation))


def with_seed(system: System, seed: int) -> System:
    """The same system, of runs trained with another seed."""
    return tuple((member.seeded(seed), weight) for member, weight in system)


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
        """Read a cell such as `**25.5**`, `-`, `<`, `93.4 +- 0.5`, `70.2*` or `81.5 (85.2*)`.

        Value and bold are those of the first number; what follows in brackets is kept in the text.
        """
        if text in ("-", "<"):
            return cls(text, None, spanned=text == "<")
        number = r"([0-9]+(?:\.[0-9]+)?)(?: \+- ([0-9]+\.[0-9]+))?\*?"
        bracket = r" \((?:\*\*[0-9.]+\*{3}|[0-9.]+\*)\)"
        match = re.fullmatch(rf"(?:(\*\*){number}\*\*|{number})(?:{bracket})?", text)
        if not match:
            raise ValueError(f"a published cell reads {text!r}: expected a number, '-', '<', or see the README there")
        bold, *first = match.groups()
        value, spread = first[:2] if bold else first[2:]
        mark = "*" if "*" in text.replace("**", "") else ""
        return cls(text, float(value), float(spread) if spread else None, bold=bool(bold), mark=mark)


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
    """A row as printed: its key columns, its cells, and the system that it measures.

    None where another paper is quoted, and in the tables of transfer, whose rows have `members`.
    """

    keys: dict[str, str]
    cells: dict[str, Published]
    system: System | None
    minus: System | None = None
    """For a printed difference: the system that is subtracted."""
    members: tuple[Run, ...] = ()
    """In the tables of transfer: the nets whose features are stacked."""

    @property
    def ours(self) -> bool:
        """Whether the row is measured here, not quoted."""
        return bool(self.system or self.members)


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
    best: str
    """Where the best is sought: in the whole `table`, in each `group` of rows, or nowhere (`none`)."""
    higher_is_better: bool
    """Whether cells are precisions and recalls, not errors."""

    @property
    def name(self) -> str:
        """The stem of its files: `table03`, `text`."""
        return table_name(self.number)

    def runs(self, seeds: tuple[int, ...]) -> list[Run]:
        """Every run of ours that a row of the table measures, for every seed."""
        measured = [evaluation.run for evaluation in self.evaluations()]
        members = [run for row in self.rows for run in row.members]
        return [replace(run, seed=seed) for seed in seeds for run in (*measured, *members)]

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation that a row of the table averages, for seed 0, in order of first use."""
        systems = [s for row in self.rows for s in (row.system, row.minus) if s]
        return tuple(dict.fromkeys(e for system in systems for e in evaluations_of(system)))


def table_name(number: str) -> str:
    """`3` -> `table03`; `text`, the numbers printed in the text, keeps its name."""
    return number if number == "text" else f"table{int(number):02d}"


def cell_id(table: str, row: int, column: int) -> str:
    """The id of a cell, in the report and in what is exported: `table03-1-2`, rows and columns counted from 1."""
    return f"{table}-{row + 1}-{column + 1}"


def printed_scale(S: str) -> str:
    """`256-512` -> `[256;512]`, as the paper prints it."""
    return f"[{S.replace('-', ';')}]" if "-" in S else S


def parse_system(
    text: str, protocol: str, objective: str = "", layers: str = "", imported: Collection[str] = ()
) -> System:
    """The evaluations and weights of `D/256/224,256,288 + E/[256;512]/384` under `dense`, `multi-crop & dense`, ...

    PAPER 3.2, 4.3, 4.4: posteriors are averaged over scales, then over protocols, then over nets.
    PAPER A.1: with an objective of localisation, whose fine-tuned layers are named apart, boxes are pooled instead.
    A member may be one of the `imported` systems, by its name, whatever the protocol of ours.
    """
    members, protocols = text.split(" + "), protocol.split(" & ")
    if set(protocols) - set(PROTOCOLS) or len(set(protocols)) < len(protocols):
        raise ValueError(f"no protocol {protocol!r}: expected one of {PROTOCOLS}, or several with ' & ' between")
    weights: dict[Evaluation | Imported, Fraction] = {}
    for member in members:
        if member in imported:
            theirs = Imported(member)
            weights[theirs] = weights.get(theirs, Fraction(0)) + Fraction(1, len(members))
            continue
        run, scales = _parse_member(member)
        if objective:
            moved: Any = {"objective": objective, "layers": layers}
            run = replace(run, **moved)
        for name in protocols:
            for q in scales:
                key = Evaluation(run, name, q)
                share = Fraction(1, len(members) * len(protocols) * len(scales))
                weights[key] = weights.get(key, Fraction(0)) + share
    return tuple(weights.items())


def averaged_system(evaluations: Iterable[Evaluation]) -> System:
    """The system that fuses some evaluations as the paper does: over scales, then over protocols, then over nets."""
    nets: dict[Run, dict[str, set[int]]] = {}
    for evaluation in evaluations:
        nets.setdefault(evaluation.run, {}).setdefault(evaluation.protocol, set()).add(evaluation.Q)
    return tuple(
        (Evaluation(run, protocol, q), Fraction(1, len(nets) * len(protocols) * len(scales)))
        for run, protocols in nets.items()
        for protocol, scales in protocols.items()
        for q in sorted(scales)
    )


def parse_fusion(text: str, imported: Collection[str]) -> System:
    """A system that the user declares: as in a table, dense if not said otherwise: `D/384/384 + Theirs (multi-crop)`."""
    match = re.fullmatch(rf"(.*) \(({'|'.join(PROTOCOLS)})((?: & [a-z-]+)*)\)", text)
    systems, protocol = (match[1], match[2] + match[3]) if match else (text, "dense")
    return parse_system(systems, protocol, imported=imported)


def with_systems(table: PublishedTable, systems: Mapping[str, System]) -> PublishedTable:
    """A table that compares methods, with rows at its end for systems of the user's, of which the paper prints nothing."""
    cells = {column.name: Published("-", None) for column in table.columns}
    added = [
        Row({**dict.fromkeys(table.headings, ""), "method": name}, cells, system) for name, system in systems.items()
    ]
    return replace(table, rows=(*table.rows, *added))


def _parse_member(text: str) -> tuple[Run, list[int]]:
    """The run and the test scales of `D-fc/[256;512]/256,384,512`."""
    match = re.fullmatch(r"([^/]+?)(-fc)?/(256|384|\[256;512\])/([1-9][0-9]*(?:,[1-9][0-9]*)*)", text)
    scales = [int(q) for q in match[4].split(",")] if match else []
    if not match or match[1] not in NETS or len(set(scales)) < len(scales) or min(scales) < SMALLEST_Q:
        raise ValueError(
            f"{text!r} is no system: expected net/train S/test Q like D/256/224,256,288, Q of at least {SMALLEST_Q}"
        )
    return Run(match[1], match[3].strip("[]").replace(";", "-"), "fc" if match[2] else "all"), scales


def _parse_net(text: str) -> Run:
    """The run of `D/[256;512]`, as the tables of transfer write it."""
    net, _, scale = text.partition("/")
    S = scale.strip("[]").replace(";", "-")
    if net not in NETS or S not in SCALES:
        raise ValueError(f"{text!r} is no net: expected net/train S like D/[256;512]")
    return Run(net, S)


def _row(record: dict[str, str], columns: tuple[Column, ...]) -> Row:
    """A line of a CSV: value columns into cells, the others into keys and, where they name one, a system."""
    if None in record or None in record.values():
        raise ValueError(f"expected {len([key for key in record if key])} cells, got another number of them")
    names = [column.name for column in columns]
    keys = {name: text for name, text in record.items() if name not in names}
    member = keys.get("systems") or ("/".join(keys[name] for name in ("net", "S", "Q")) if "Q" in keys else "")
    protocol = keys.get("protocol", "")
    if "protocol" not in keys:
        members = tuple(_parse_net(text) for text in keys["systems"].split(" + ")) if keys.get("systems") else ()
        return Row(keys, {name: Published.parse(record[name]) for name in names}, None, members=members)
    if bool(member) != bool(protocol):
        raise ValueError(
            f"a row of ours has nets and a protocol, another paper's has neither: got {member!r}, {protocol!r}"
        )
    how = keys.get("objective", ""), keys.get("layers", "")
    system = parse_system(member, protocol, *how) if protocol else None
    minus = parse_system(keys["minus"], protocol) if keys.get("minus") else None
    return Row(keys, {name: Published.parse(record[name]) for name in names}, system, minus)


@cache
def _described() -> dict[str, Any]:
    """`tables.yaml`: titles, captions and what each column is."""
    described: dict[str, Any] = yaml.safe_load((PUBLISHED / "tables.yaml").read_text(encoding="utf-8"))
    return described


@cache
def published_table(number: str) -> PublishedTable:
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
        best=about.get("best", "table"),
        higher_is_better=about.get("higher_is_better", False),
        **titles,
    )


def evaluations(number: str, seeds: tuple[int, ...] = (0,)) -> tuple[Evaluation, ...]:
    """The evaluations that a table needs, for every seed."""
    found = published_table(number).evaluations()
    return tuple(e.seeded(seed) for seed in seeds for e in found)


def with_ancestors(runs: Iterable[Run], *, staged: bool = True, adopted: Collection[Run] = ()) -> list[Run]:
    """Runs and all that they began from, parents before children. What `adopted` nets began from was not trained here."""
    wanted: dict[Run, None] = {}

    def visit(run: Run) -> None:
        if run not in adopted and (parent := run.parent(staged=staged)) is not None:
            visit(parent)
        wanted.setdefault(run)

    for run in runs:
        visit(run)
    return list(wanted)


def runs(numbers: tuple[str, ...] = MEASURED, seeds: tuple[int, ...] = (0,), *, staged: bool = True) -> list[Run]:
    """The trainings that some tables need, parents before children."""
    needed = (run for number in numbers for run in published_table(number).runs(seeds))
    return with_ancestors(needed, staged=staged)


@dataclass(frozen=True)
class Task:
    """A problem of transfer: a column of Table 11, or a row of Table 12."""

    data: str
    """The data set, by the name that it has in the settings."""
    collections: tuple[str, ...]
    """What is described: images, or the persons in them. Descriptors of several are stacked."""
    scales: tuple[int, ...]
    """PAPER B: test scales Q."""
    combine: Literal["average", "stack"]
    """PAPER B: what becomes of an image's features at several Q."""
    classes: int
    """How many the data set has in the paper."""
    counted: Literal["all", "but other"] = "all"
    """The classes whose mean is printed. VOC's "other" is no action."""


VOC_SCALES, CALTECH_SCALES = (256, 384, 512, 640, 768), (256, 384, 512)
TASKS = {
    "voc2007": Task("voc2007", ("voc2007",), VOC_SCALES, "average", 20),
    "voc2012": Task("voc2012", ("voc2012",), VOC_SCALES, "average", 20),
    "caltech101": Task("caltech101", ("caltech101",), CALTECH_SCALES, "stack", 102),
    "caltech256": Task("caltech256", ("caltech256",), CALTECH_SCALES, "stack", 257),
    "actions-image": Task("voc2012", ("actions-image",), VOC_SCALES, "average", 11, "but other"),
    "actions-image-and-box": Task("voc2012", ("actions-image", "actions-box"), VOC_SCALES, "average", 11, "but other"),
}
"""Every problem of Tables 11 and 12, by the name of its folder."""

COLLECTIONS = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.collections))


def task_of(row: Row, column: Column) -> str:
    """The name of the task that a cell of Table 11 or 12 measures."""
    return f"{column.quantity}-{row.keys['input'].replace(' ', '-')}" if "input" in row.keys else column.quantity


def members_name(members: tuple[Run, ...], seed: int) -> str:
    """Nets whose features are stacked, in file names: `D_256-512_s0+E_256-512_s0`."""
    return "+".join(replace(run, seed=seed).name for run in members)


@cache
def _scales_by_run(numbers: tuple[str, ...]) -> dict[tuple[Run, str], tuple[int, ...]]:
    scales: dict[tuple[Run, str], set[int]] = {}
    for evaluation in (e for number in numbers for e in evaluations(number)):
        scales.setdefault((evaluation.run, evaluation.protocol), set()).add(evaluation.Q)
    return {key: tuple(sorted(found)) for key, found in scales.items()}


def scales_of(run: Run, protocol: str, numbers: tuple[str, ...] = MEASURED) -> tuple[int, ...]:
    """Every Q at which the paper evaluates a run under a protocol, ascending: one job evaluates them all."""
    return _scales_by_run(numbers).get((replace(run, seed=0), protocol), ())


SHALLOW_AND_DEEP = ("A/256/256", "E/256/256")
"""Rows of Table 3 whose answers the report shows image by image: 11 and 19 weight layers, all else the same."""


def best_classification() -> System:
    """PAPER A.1: "the top-5 class labels are predicted by our best-performing classification system": the best of Table 6."""
    return next(row.system for row in published_table("6").rows if row.system and row.cells["top5_val"].bold)


def localisation_systems() -> dict[str, System]:
    """What the rows of Table 9 measure, by their names: `D/384/352,384`, with the objective and layers where not PCR, all."""
    rows = [row for row in published_table("9").rows if row.system]
    how = {id(row): (row.keys["objective"], row.keys["layers"]) for row in rows}
    names = [row.keys["systems"] + (f" ({', '.join(how[id(row)])})" * (how[id(row)] != ("PCR", "all"))) for row in rows]
    return {name: row.system for name, row in zip(names, rows, strict=True) if row.system}


def best_localisation() -> str:
    """The name of the system that Table 10 compares with others: the fusion of Table 9."""
    ours = next(row.system for row in published_table("10").rows if row.system)
    return next(name for name, system in localisation_systems().items() if system == ours)
