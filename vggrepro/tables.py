"""A table is a value: what the paper printed, what was measured here, and how far apart they are. No torch, no markup.

`make` computes; `render` turns the value into HTML, LaTeX, Markdown and CSV and computes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vggrepro import catalogue, metrics, predictions, scores, statistics, transfer
from vggrepro.catalogue import Evaluation, Published, PublishedTable, Row, System
from vggrepro.config import Settings, departures
from vggrepro.devkit import Judgement
from vggrepro.files import read_json

Status = Literal["measured", "validation", "withheld", "quoted", "not reported", "not run", "spanned", "undefined"]
Interval = tuple[float, float]

MARKS: dict[Status, str] = {
    "validation": "on val",
    "withheld": "labels withheld",
    "quoted": "quoted",
    "not reported": "not reported",
    "not run": "not run",
    "undefined": "not defined",
}
"""What stands in a cell that has no number of ours: never a blank."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the published value, and ours beside it. Errors are in per cent."""

    status: Status
    published: str
    """As printed, without the marks for bold; `-` where the paper has a dash."""
    published_bold: bool = False
    span: int = 1
    """Columns that the published value covers."""
    text: str = ""
    """Of Table 1, whose cells are layers: ours."""
    value: float | None = None
    interval: Interval | None = None
    """95%."""
    delta: float | None = None
    """Ours less the published value."""
    delta_interval: Interval | None = None
    """95%, the rounding of the printed number included."""
    n: int = 0
    """Images."""
    seeds: int = 0
    spread: float | None = None
    """Standard deviation over seeds, or over splits where there are several."""
    splits: int = 0
    """Random splits that the value is a mean over, where there are several."""
    best: bool = False
    how: tuple[str, ...] = ()
    """The evaluations that were averaged."""


@dataclass(frozen=True)
class TableRow:
    """A row: its keys as printed and its cells, a cell per column."""

    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    group: int
    """Rows in the group that starts here; 0 for a row that continues one."""


@dataclass(frozen=True)
class Table:
    """A table of the paper, re-made."""

    number: str
    name: str
    title: str
    section: str
    caption: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    """What has to be known to read the deltas."""
    kind: Literal["errors", "layers", "parameters"] = "errors"
    higher_is_better: bool = False
    """Whether cells are precisions and recalls, not errors."""


def make(number: str, settings: Settings, folder: Path | None, workers: int = 1, outside: Sequence[Path] = ()) -> Table:
    """Table `number` from what lies below `folder`: score stores, box stores (8 to 10), results of SVMs (11, 12), or nothing.

    `outside` are judgements of other systems (`vggrepro judge --out`): each becomes a row of Tables 7 and 10.

    Raises ValueError for a table that the paper does not have, and for stores that are missing or do not fit together.
    """
    published = catalogue.table(number)
    if number == "1":
        return _of_nets(published, "layers")
    if number == "2":
        return _of_nets(published, "parameters")
    if folder is None:
        raise ValueError(
            f"table {number} needs --scores: the folder of score stores (8 to 10: boxes; 11, 12: transfer)"
        )
    if number in catalogue.TRANSFER:
        return _transferred(published, settings, folder)
    evaluations = catalogue.evaluations(number, settings.seeds)
    opened: Mapping[str, Stored]
    if number in catalogue.LOCALISATION and not settings.localisation:
        opened, found = {}, {}
    elif number in catalogue.LOCALISATION:
        opened = boxes = open_stores(folder, evaluations, predictions.read)
        found = _localised(published, settings, boxes, workers)
    else:
        opened = stores = open_stores(folder, evaluations, scores.read)
        found = _classified(published, settings, stores)
    rows = [
        TableRow(_keys(published, row), _cells(published, row, found, settings), group)
        for row, group in zip(published.rows, _groups(published), strict=True)
    ]
    made = _described(published, rows, "errors", _notes(number, settings, opened))
    if number not in catalogue.COMPARED or not outside:
        return made
    # after the best was marked: theirs is measured on ILSVRC, ours perhaps on other images
    return replace(made, rows=made.rows + tuple(_outside(published, path) for path in outside))


def _outside(published: PublishedTable, path: Path) -> TableRow:
    """The row of a system that was judged by its predictions on ILSVRC's validation images."""
    said = read_json(path, ("name", "file", *(field.name for field in fields(Judgement))))
    judged = Judgement(**{field.name: said[field.name] for field in fields(Judgement)}).counts()
    cells = []
    for column in published.columns:
        cell = Cell("not reported", "-")
        errors, n = judged.get(column.quantity, (0, 0))
        if column.split == "val" and n:
            low, high = statistics.wilson(errors, n)
            bounds = (100 * low, 100 * high)
            cell = replace(cell, status="measured", value=100 * errors / n, interval=bounds, n=n, how=(said["file"],))
        cells.append(cell)
    return TableRow((f"{said['name']} (judged here)",), tuple(cells), 1)


def _described(published: PublishedTable, rows: list[TableRow], kind: Any, notes: tuple[str, ...]) -> Table:  # noqa: ANN401
    columns = tuple(column.heading for column in published.columns) or tuple(list(published.rows[0].keys)[1:])
    keys = tuple(published.headings.values())
    footnotes = tuple(published.footnotes.items())
    p = published
    return Table(
        p.number,
        p.name,
        p.title,
        str(p.section),
        p.caption,
        keys,
        columns,
        _with_best(p, rows),
        footnotes,
        notes,
        kind,
        p.higher_is_better,
    )


@dataclass(frozen=True)
class Outcome:
    """Which images one system gets wrong."""

    wrong: Mapping[str, NDArray[np.bool_]]
    """By quantity (top-1, top-5, localisation): [seeds, N]."""
    how: tuple[str, ...]

    def errors(self, quantity: str) -> NDArray[np.float64]:
        """[seeds, N]: 1 where the answer is wrong."""
        return self.wrong[quantity].astype(np.float64)


Stored = scores.Scores | predictions.Predictions
S = TypeVar("S", scores.Scores, predictions.Predictions)


def open_stores(folder: Path, evaluations: tuple[Evaluation, ...], read: Callable[[Path], S]) -> dict[str, S]:
    """The stores that are there; a ValueError for one that is damaged, of another evaluation, or of other images."""
    opened: dict[str, S] = {}
    for e in evaluations:
        if not (folder / e.path).exists():
            continue
        store = opened[e.path] = read(folder / e.path)
        said, expected = [store.made.get(key) for key in ("run", "protocol", "Q")], [e.run.name, e.protocol, e.Q]
        if said != expected:
            raise ValueError(f"{folder / e.path}: holds the scores of {said}, expected {expected}: evaluate again")
        first = next(iter(opened.values()))
        if store.made.get("data") != first.made.get("data"):
            raise ValueError(f"{store.folder} and {first.folder} were made on different images: evaluate again")
    return opened


def _systems(published: PublishedTable) -> list[System]:
    return list(dict.fromkeys(s for row in published.rows for s in (row.system, row.minus) if s))


def _localised(
    published: PublishedTable, settings: Settings, opened: Mapping[str, predictions.Predictions], workers: int
) -> dict[System, Outcome]:
    """The outcome of every system whose boxes were all predicted: their union, merged."""
    outcomes = {}
    for system in _systems(published):
        missed = []
        for seed in settings.seeds:
            paths = [e.path for e, _ in catalogue.with_seed(system, seed)]
            if set(paths) <= set(opened):
                stores = [opened[path] for path in paths]
                boxes = predictions.answer_boxes(
                    stores, settings.merge, true_only=True, workers=workers, about=", ".join(paths)
                )
                missed.append(predictions.missed(stores[0], boxes)[0])
        if len(missed) == len(settings.seeds):
            outcomes[system] = Outcome({"localisation": np.stack(missed)}, tuple(e.path for e, _ in system))
    return outcomes


def _classified(
    published: PublishedTable, settings: Settings, opened: Mapping[str, scores.Scores]
) -> dict[System, Outcome]:
    """The outcome of every system whose evaluations were all run; every store is read once for all of them."""
    systems = _systems(published)
    mixtures = {
        f"{i}/{seed}": {e.path: share for e, share in catalogue.with_seed(system, seed)}
        for i, system in enumerate(systems)
        for seed in settings.seeds
    }
    found = scores.ranks(opened, {name: mixture for name, mixture in mixtures.items() if set(mixture) <= set(opened)})
    outcomes = {}
    for i, system in enumerate(systems):
        ranks = tuple(found[f"{i}/{seed}"] for seed in settings.seeds if f"{i}/{seed}" in found)
        if len(ranks) == len(settings.seeds):
            wrong = {name: np.stack([metrics.wrong(found, name) for found in ranks]) for name in metrics.TOP}
            outcomes[system] = Outcome(wrong, tuple(e.path for e, _ in system))
    return outcomes


def _cells(
    published: PublishedTable, row: Row, found: Mapping[System, Outcome], settings: Settings
) -> tuple[Cell, ...]:
    cells = []
    for column in published.columns:
        printed = row.cells[column.name]
        cell = _printed(printed, row, column.name)
        if not row.ours:
            cells.append(_quoted(cell, printed))
        elif row.system is None:
            raise AssertionError("rows of transfer are made elsewhere")
        elif column.split == "withheld":
            cells.append(replace(cell, status="withheld"))
        elif {row.system, row.minus or row.system} - set(found):
            cells.append(cell)  # not run
        elif row.minus:
            cells.append(
                _difference(cell, printed, found[row.system], found[row.minus], column.quantity, settings.higher)
            )
        else:
            cells.append(_error(cell, printed, found[row.system], column.quantity))
    return tuple(cells)


def _quoted(cell: Cell, printed: Published) -> Cell:
    """A cell of another paper's row."""
    status: Status = "quoted" if printed.value is not None else "not reported"
    return replace(cell, status="spanned" if printed.spanned else status)


def _transferred(published: PublishedTable, settings: Settings, folder: Path) -> Table:
    """Table 11 or 12 from the results of SVMs below `folder`; a data set that was not given is not run."""
    rows: list[TableRow] = []
    seen: dict[str, list[transfer.Result]] = {}
    for row, group in zip(published.rows, _groups(published), strict=True):
        cells = []
        for column in published.columns:
            printed = row.cells[column.name]
            cell = _printed(printed, row, column.name)
            task = catalogue.task_of(row, column)
            folders = [folder / task / catalogue.members_name(row.members, seed) for seed in settings.seeds]
            if not row.ours:
                cell = _quoted(cell, printed)
            elif settings.transfer.given(catalogue.TASKS[task].data) and all(found.exists() for found in folders):
                results = [_result(found, task, seen.get(task, ())) for found in folders]
                cell = _of_results(cell, printed, results)
                seen[task] = [*seen.get(task, ()), *results]
            cells.append(cell)
        rows.append(TableRow(_keys(published, row), tuple(cells), group))
    return _described(published, rows, "errors", _transfer_notes(published, seen, settings))


def _result(folder: Path, task: str, others: Sequence[transfer.Result]) -> transfer.Result:
    """A result; a ValueError for that of another task or other nets, or of other images than those before it."""
    found = transfer.read(folder)
    if (found.made["task"], "+".join(found.made["nets"])) != (task, folder.name):
        raise ValueError(f"{folder}: holds {found.made['task']} with {', '.join(found.made['nets'])}: classify again")
    if others and others[0].made["data"] != found.made["data"]:
        raise ValueError(f"{folder} and {others[0].folder} are of different images: classify again")
    return found


def _of_results(cell: Cell, printed: Published, results: Sequence[transfer.Result]) -> Cell:
    """A mean precision or recall with its interval, over seeds and splits."""
    values = np.array([[r.values(k).mean() for k in range(len(r.scores))] for r in results])
    n = len(results[0].scores[0])
    if values.shape[1] > 1:
        interval = statistics.student_interval(values, n)
    else:
        interval = statistics.resampled_interval([partial(_mean_of, r) for r in results], results[0].groups[0])
    outcome = Outcome({}, tuple(f"{r.made['task']}/{r.folder.name}" for r in results))
    splits = values.shape[1] if values.shape[1] > 1 else 0
    per = values.mean(0) if splits else values[:, 0]
    measured = _measured(cell, printed, outcome, float(values.mean()), interval, n, per)
    measured = replace(measured, seeds=len(results), splits=splits)
    if results[0].made["part"] == "test":
        return measured
    # the published number is of the test part: a difference would compare two sets of images
    return replace(measured, status="validation", delta=None, delta_interval=None)


def _mean_of(result: transfer.Result, chosen: NDArray[np.int64]) -> float:
    # a class of which a resample has no image says nothing there
    values = result.values(0, chosen)
    said = values[~np.isnan(values)]
    return float(said.mean()) if len(said) else float("nan")


def _transfer_notes(
    published: PublishedTable, seen: Mapping[str, Sequence[transfer.Result]], settings: Settings
) -> tuple[str, ...]:
    if not seen:
        needed = "voc2012" if published.number == "12" else "voc2007"
        return (f"Nothing of ours was run for this table: give the folders of its data sets, such as {needed}=PATH.",)
    notes = [_task_note(task, results) for task, results in seen.items()]
    firsts = [results[0] for results in seen.values()]
    if any(r.made["part"] == "val" for r in firsts):
        beside = any(r.made["submission"] for r in firsts)
        notes.append(
            'Cells "on val": the test labels are withheld, so val is measured and train alone trains; no difference is '
            f"taken from the published test figure.{' The files for the evaluation server lie beside the result.' * beside}"
        )
    drawn = [task for task in seen if settings.transfer.paths[catalogue.TASKS[task].data] is None]
    other = [t for t, r in seen.items() if t not in drawn and len(r[0].made["classes"]) != catalogue.TASKS[t].classes]
    differs = _differences(settings, but=("localise", "boxes", "merge"))
    if drawn:
        notes.append(
            f"Images drawn by the program stand for {', '.join(drawn)}: the deltas there say nothing about the paper."
        )
    for task in other:
        notes.append(
            f"{task} has {len(seen[task][0].made['classes'])} classes here and {catalogue.TASKS[task].classes} in the paper: "
            "the delta compares different data."
        )
    if differs:
        notes.append(
            f"The deltas do not compare like with like: the nets depart from the paper in {', '.join(differs)}."
        )
    return tuple(notes)


def _task_note(task: str, results: Sequence[transfer.Result]) -> str:
    """What a column measures, on how many images, and with which C."""
    first, made = results[0], results[0].made
    named = {"11-point": "11-point mean AP", "area": "mean AP", "recall": "mean class recall"}[made["measure"]]
    costs = sorted({C for result in results for C in result.made["C"]})
    ends = {min(made["C from"]), max(made["C from"])} & set(costs)
    what = "persons" if task.startswith("actions") else "images"
    splits = f" in each of {len(first.scores)} splits" if len(first.scores) > 1 else ""
    return (
        f"{task}: {made['collection']}, {named} of {len(made['counted'])} classes, {len(first.scores[0]):,} {what} of its "
        f"{made['part']} part{splits}, C = {', '.join(f'{C:g}' for C in costs)}"
        f"{' (at the end of what was tried)' if ends and len(made['C from']) > 1 else ''}."
    )


def _differences(settings: Settings, but: tuple[str, ...]) -> list[str]:
    """The settings that are not the paper preset's, without those of some blocks."""
    return [key for key, _, _ in departures(settings) if key.split(".")[0] not in but]


def _printed(printed: Published, row: Row, name: str) -> Cell:
    """The published part of a cell, with the number of columns that it covers."""
    after = list(row.cells)[list(row.cells).index(name) + 1 :]
    span = 1
    while span <= len(after) and row.cells[after[span - 1]].spanned:
        span += 1
    return Cell("not run", printed.printed, printed.bold, span)


def _error(cell: Cell, printed: Published, outcome: Outcome, quantity: str) -> Cell:
    """An error rate with its interval."""
    errors = outcome.errors(quantity)
    per_seed, n = errors.mean(1), errors.shape[1]
    mean, spread = float(per_seed.mean()), _spread(per_seed)
    interval = statistics.wilson(float(errors.sum()), n) if spread is None else statistics.nested_interval(errors)
    return _measured(cell, printed, outcome, mean, interval, n, per_seed)


def _difference(cell: Cell, printed: Published, a: Outcome, b: Outcome, quantity: str, higher: str) -> Cell:
    """How much higher the error of `a` is than that of `b`: images are paired, so that what both miss cancels out.

    CHOICE 8: in points, or relative to the error of `b`.
    """
    x, y = a.errors(quantity), b.errors(quantity)
    if higher == "points":
        ratio, scale = 1.0, 1.0
    elif y.mean() == 0:
        return replace(cell, status="undefined")
    else:
        ratio, scale = x.mean() / y.mean(), 1 / y.mean()
    value = float((x.mean() - y.mean()) * scale)
    # x - ratio * y is each image's influence on the value, to first order
    low, high = statistics.nested_interval((x - ratio * y) * scale)
    off = value - (low + high) / 2
    per_seed = (x.mean(1) - y.mean(1)) * scale
    return _measured(cell, printed, a, value, (low + off, high + off), x.shape[1], per_seed)


def _measured(
    cell: Cell,
    printed: Published,
    outcome: Outcome,
    value: float,
    interval: Interval,
    n: int,
    per_seed: NDArray[np.float64],
) -> Cell:
    """The cell with a measured value; all of it in per cent."""
    value, low, high = 100 * value, 100 * interval[0], 100 * interval[1]
    spread = _spread(per_seed)
    delta, between = None, None
    if printed.value is not None:
        rounding = _rounding(printed.printed)
        delta = value - printed.value
        between = (low - printed.value - rounding, high - printed.value + rounding)
    return replace(
        cell,
        status="measured",
        value=value,
        interval=(low, high),
        delta=delta,
        delta_interval=between,
        n=n,
        seeds=len(per_seed),
        spread=None if spread is None else 100 * spread,
        how=outcome.how,
    )


def _spread(per_seed: NDArray[np.float64]) -> float | None:
    return float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None


def _rounding(printed: str) -> float:
    """Half a unit of the last printed digit: `25.5` may be 25.45 to 25.55."""
    decimals = re.match(r"[0-9]*\.?([0-9]*)", printed)
    assert decimals is not None, "the pattern matches anything"
    return float(0.5 * 10.0 ** -len(decimals[1]))


def _keys(published: PublishedTable, row: Row) -> tuple[str, ...]:
    """A row's keys as printed. In fusions a member is written as a system: net/train S/test Q."""
    return tuple(row.keys[name] for name in published.headings)


def _groups(published: PublishedTable) -> list[int]:
    """For each row the size of the group that starts there, 0 within a group. A group shares its first key."""
    first = [next(iter(row.keys.values())) for row in published.rows]
    starts = [i for i, key in enumerate(first) if i == 0 or key != first[i - 1]]
    sizes = dict(zip(starts, np.diff([*starts, len(first)]).tolist(), strict=True))
    return [sizes.get(i, 0) for i in range(len(first))]


def _with_best(published: PublishedTable, rows: list[TableRow]) -> tuple[TableRow, ...]:
    """Mark the best value of ours in each column: of the whole table, or of each group where the paper does so."""
    if published.best == "none":
        return tuple(rows)
    groups = np.cumsum([row.group > 0 for row in rows]) if published.best == "group" else np.zeros(len(rows))
    marked = [list(row.cells) for row in rows]
    best = max if published.higher_is_better else min
    for column in range(len(published.columns)):
        for group in set(groups):
            inside = [cells for cells, g in zip(marked, groups, strict=True) if g == group]
            values = [c[column].value for c in inside if c[column].value is not None]
            for cells in inside:
                if len(set(values)) > 1 and cells[column].value == best(v for v in values if v is not None):
                    cells[column] = replace(cells[column], best=True)
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True))


def _notes(number: str, settings: Settings, opened: Mapping[str, Stored]) -> tuple[str, ...]:
    if not opened:
        switched_off = number in catalogue.LOCALISATION and not settings.localisation
        return (
            "Nothing of ours was run for this table" + (": localisation is switched off." if switched_off else "."),
        )
    data = next(iter(opened.values()))
    classes = data.classes
    seen = f"{data.made['data set']}, {len(data):,} validation images of {classes} classes"
    notes = [f"Measured on {seen}, preset {settings.preset}."]
    if isinstance(data, predictions.Predictions) and (left_out := int((~data.counted).sum())):
        notes.append(f"{left_out:,} blacklisted images are left out of the localisation error.")
    elif isinstance(data, predictions.Predictions) and data.made["data set"] == ILSVRC[0]:
        notes.append("The data set came without ILSVRC's blacklist: all its images count, 1,762 more than the paper's.")
    others = ("localise", "boxes", "merge") if number in catalogue.CLASSIFICATION else ()
    differs = _differences(settings, but=("transfer", *others))
    if (data.made["data set"], len(data), classes) != ILSVRC:
        notes.append(
            "The deltas compare different data: the published errors are of the paper's nets on ILSVRC-2012, "
            f"ours of the {settings.preset} preset's nets on other images. They say nothing about the paper."
        )
    elif differs:
        notes.append(
            f"The deltas do not compare like with like: this run departs from the paper in {', '.join(differs)}."
        )
    if len(settings.seeds) > 1:
        notes.append(f"Mean and standard deviation over the seeds {', '.join(map(str, settings.seeds))}.")
    return tuple(notes)


ILSVRC = ("ILSVRC-2012", 50_000, 1_000)
"""Data set, validation images and classes of the published errors."""


def _of_nets(published: PublishedTable, kind: Literal["layers", "parameters"]) -> Table:
    """Table 1 or 2: columns are nets, of full size whatever the preset."""
    nets = list(published.rows[0].keys)[1:]
    ours = _layer_rows(nets) if kind == "layers" else [_parameters(nets)]
    rows = []
    for row, found in zip(published.rows, ours, strict=True):
        printed = {net: Published(text, None, spanned=text == "<") for net, text in row.keys.items() if net in nets}
        spans = replace(row, cells=printed)
        cells = tuple(
            _net_cell(replace(_printed(printed[net], spans, net), published=printed[net].text), found[net])
            for net in nets
        )
        rows.append(TableRow((row.keys["row"],), cells, 1))
    notes = ["Read off the full-size nets, whatever the preset; they are built without memory behind their parameters."]
    if kind == "layers":
        differ = sum(cell.text != cell.published for row in rows for cell in row.cells if cell.status == "measured")
        notes.append(f"{differ} cells differ from the published ones." if differ else "Every cell is as published.")
    return _described(published, rows, kind, tuple(notes))


def _net_cell(cell: Cell, ours: str | float) -> Cell:
    if cell.published == "<":
        return replace(cell, status="spanned", text=str(ours))
    if isinstance(ours, str):
        return replace(cell, status="measured", text=ours)
    delta = ours - float(cell.published)
    return replace(cell, status="measured", value=ours, delta=delta)


def _layer_rows(nets: list[str]) -> list[dict[str, str | float]]:
    """Table 1's rows from the layer lists."""
    from vggrepro.nets import blocks, full_size

    def named(layer: Any) -> str:  # noqa: ANN401
        return layer if isinstance(layer, str) else f"conv{layer.size}-{layer.channels}"

    stacks = {net: [[named(layer) for layer in block] for block in blocks(net)] for net in nets}
    depth = {net: sum(layer != "LRN" for block in stacks[net] for layer in block) + 3 for net in nets}
    rows: list[dict[str, str | float]] = [{net: str(depth[net]) for net in nets}]
    for b in range(5):
        before = [None, *nets][: len(nets)]
        pairs = zip(nets, before, strict=True)
        rows.append({net: _block(stacks[net][b], stacks[left][b] if left else None) for net, left in pairs})
    heads = {net: [fc.out_features for fc in (n.fc6, n.fc7, n.fc8)] for net in nets for n in [full_size(net)]}
    counted = {net: Counter(f"FC-{units}" for units in head) for net, head in heads.items()}
    named_heads = {
        net: [name if c == 1 else f"{name} x{c}" for name, c in found.items()] for net, found in counted.items()
    }
    return [*rows, {net: ", ".join([*names, "soft-max"]) for net, names in named_heads.items()}]


def _block(layers: list[str], left: list[str] | None) -> str:
    """A block's layers, equal ones counted; what the net on the left does not have is bold."""
    had = Counter(left if left is not None else layers)
    old = Counter(layers) & had
    new = Counter(layers) - had
    parts = [name if count == 1 else f"{name} x{count}" for name, count in old.items()]
    return ", ".join(parts + [f"**{name}**" if count == 1 else f"**{name} x{count}**" for name, count in new.items()])


def _parameters(nets: list[str]) -> dict[str, str | float]:
    from vggrepro.nets import count_parameters, full_size

    return {net: count_parameters(full_size(net)) / 1e6 for net in nets}
