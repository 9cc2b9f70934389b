"""A table is a value: what the paper printed, what was measured here, and how far apart they are. No torch, no markup.

`make` computes; `render` turns the value into HTML, LaTeX, Markdown and CSV and computes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vggrepro.judging import verdicts
from vggrepro.localisation.judging import missed_images
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, read_boxes
from vggrepro.paper.systems import Imported, System, evaluations_of, with_seed
from vggrepro.paper.tables import Column, PublishedTable, Row, published_table
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, ids_digest
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import (
    Scores,
    TopLabels,
    mixture_ranks,
    open_evaluations,
    read_scores,
    read_scores_or_labels,
)
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import (
    Cell,
    Table,
    TableRow,
    Verdict,
    difference,
    error_cell,
    groups,
    not_trained_here,
    published_cell,
    quoted_cell,
    rounding,
    row_keys,
    settings_differences,
)
from vggrepro.tables.svms import svm_rows

Quantities = dict[str, Errors]
"""The outcomes of one system, by quantity: top-1 and top-5, or localisation."""


def make_table(
    number: str, settings: Settings, folder: Path | None, workers: int = 1, imported: Sequence[Path] = ()
) -> Table:
    """Table `number` from what lies below `folder`: score stores, box stores (8 to 10), results of SVMs (11, 12), or nothing.

    `imported` are the stores of other systems (`vggrepro import`), which have rows in Tables 7 and 10.

    Raises ValueError for a table that the paper does not have, and for stores that are missing or do not fit together.
    """
    return make_table_with_outcomes(number, settings, folder, workers, imported)[0]


def make_table_with_outcomes(
    number: str, settings: Settings, folder: Path | None, workers: int = 1, imported: Sequence[Path] = ()
) -> tuple[Table, Outcomes]:
    """The same, and beside it what each measured row made of every image."""
    published = settings.table(number)
    if published.kind.layout != "errors":
        return _of_nets(published, published.kind.layout), Outcomes(number, ())
    if folder is None:
        raise ValueError(
            f"table {number} needs --scores: the folder of score stores (8 to 10: boxes; 11, 12: transfer)"
        )
    if published.kind.name == "svms":
        rows, notes, entries, incomparable = svm_rows(published, settings, folder)
        rows = verdicts.with_verdicts(rows, published, incomparable, settings.higher)
        return _described(published, rows, "errors", notes), Outcomes(number, settings.seeds, tuple(entries))
    evaluations = tuple(e.seeded(seed) for seed in settings.seeds for e in published.evaluations())
    theirs = _open_imported(imported, settings) if published.compares_methods else {}
    opened: Mapping[str, Stored]
    if published.kind.name == "boxes" and not settings.localisation:
        opened, found = {}, {}
    elif published.kind.name == "boxes":
        opened = boxes = open_evaluations(folder, evaluations, read_boxes)
        found = _localised(published, settings, boxes, workers)
    else:
        opened = stores = open_evaluations(folder, evaluations, read_scores)
        found = _classified(published, settings, stores, theirs)
    found |= {((Imported(name), Fraction(1)),): judge_imported(store) for name, store in theirs.items()}
    rows = [
        TableRow(row_keys(published, row), _cells(published, row, found, settings), group)
        for row, group in zip(published.rows, groups(published), strict=True)
    ]
    incomparable = dict.fromkeys((c.quantity for c in published.columns), _incomparable(number, settings, opened))
    rows = verdicts.with_verdicts(rows, published, incomparable, settings.higher)
    notes = (*_notes(number, settings, opened), *map(_imported_note, theirs.values()))
    # theirs may be measured on other images than ours: the best is marked among the paper's rows
    printed = len(published_table(number).rows)
    made = _described(published, rows[:printed], "errors", notes)
    made = replace(made, rows=(*made.rows, *rows[printed:]))
    entries = [
        OutcomeEntry(keys, quantity, errors)
        for keys, system in _kept(published)
        for quantity, errors in found.get(system, {}).items()
    ]
    return made, Outcomes(number, settings.seeds, tuple(entries))


def _open_imported(folders: Sequence[Path], settings: Settings) -> dict[str, Theirs]:
    """The stores of other systems, by name; a ValueError for one that the settings do not have."""
    found = {}
    for folder in folders:
        store = read_scores_or_labels(folder)
        if store.metadata["name"] not in settings.imported:
            raise ValueError(
                f"{folder}: the settings import no {store.metadata['name']!r}: add it to imported, or leave it out"
            )
        found[store.metadata["name"]] = store
    return found


def judge_imported(store: Theirs) -> Quantities:
    """What a system of somebody else gets wrong of the images that it was given for."""
    ranks = mixture_ranks({"": store}, {"": {"": Fraction(1)}})[""]
    wrong, how = {name: wrong_images(ranks, name) for name in TOP}, (f"imported/{store.folder.name}",)
    found = {name: Errors(values[None], ids_digest(store.ids), how) for name, values in wrong.items()}
    if isinstance(store, TopLabels) and store.boxes is not None:
        missed, counted = store.boxes
        found["localisation"] = Errors(missed[None, counted], ids_digest(np.array(store.ids)[counted].tolist()), how)
    return found


def _imported_note(store: Theirs) -> str:
    said = store.metadata
    kind = "labels" if isinstance(store, TopLabels) else "posteriors"
    return (
        f"{said['name']}: {kind} of {len(store):,} images of {said['data set']} from {said['file']} (SHA-256 "
        f"{said['digest'][:12]}), judged here."
    )


def _described(published: PublishedTable, rows: list[TableRow], kind: Any, notes: tuple[str, ...]) -> Table:  # noqa: ANN401
    columns = tuple(column.heading for column in published.columns) or tuple(list(published.rows[0].keys)[1:])
    notes += verdicts.verdict_legend(rows)
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


Stored = Scores | BoxStore
Theirs = Scores | TopLabels


def _kept(published: PublishedTable) -> Sequence[tuple[Mapping[str, str], System]]:
    """The systems whose outcomes are kept, and their key columns: what the rows measure; of Table 4 also each scale alone."""
    found = [(row.keys, row.system) for row in published.rows if row.system and not row.minus]
    if not published.members_alone:
        return found
    alone = [(keys | {"Q": str(e.Q)}, ((e, Fraction(1)),)) for keys, system in found for e in evaluations_of(system)]
    return [*found, *alone]


def _systems(published: PublishedTable) -> list[System]:
    kept = [system for _, system in _kept(published)]
    return list(dict.fromkeys([*kept, *(s for row in published.rows for s in (row.system, row.minus) if s)]))


def _localised(
    published: PublishedTable, settings: Settings, opened: Mapping[str, BoxStore], workers: int
) -> dict[System, Quantities]:
    """The outcome of every system whose boxes were all predicted: their union, merged."""
    outcomes = {}
    for system in _systems(published):
        missed = []
        for seed in settings.seeds:
            paths = [e.path for e, _ in with_seed(system, seed)]
            if set(paths) <= set(opened):
                stores = [opened[path] for path in paths]
                boxes = merged_label_boxes(
                    stores, settings.merge, true_only=True, workers=workers, about=", ".join(paths)
                )
                missed.append(missed_images(stores[0], boxes)[0])
        if len(missed) == len(settings.seeds):
            counted = ids_digest(np.array(stores[0].ids)[stores[0].counted].tolist())
            outcomes[system] = {"localisation": Errors(np.stack(missed), counted, tuple(e.path for e, _ in system))}
    return outcomes


def _classified(
    published: PublishedTable, settings: Settings, ours: Mapping[str, Scores], theirs: Mapping[str, Theirs]
) -> dict[System, Quantities]:
    """The outcome of every system whose evaluations were all run; every store is read once for all of them."""
    systems = [system for system in _systems(published) if evaluations_of(system)]
    fused = {e.path: theirs[e.name] for s in systems for e, _ in s if isinstance(e, Imported) and e.name in theirs}
    opened = {**ours, **fused}
    images = ids_digest(next(iter(opened.values())).ids) if opened else ""
    mixtures = {
        f"{i}/{seed}": {e.path: share for e, share in with_seed(system, seed)}
        for i, system in enumerate(systems)
        for seed in settings.seeds
    }
    found = mixture_ranks(opened, {name: mixture for name, mixture in mixtures.items() if set(mixture) <= set(opened)})
    outcomes = {}
    for i, system in enumerate(systems):
        ranks = tuple(found[f"{i}/{seed}"] for seed in settings.seeds if f"{i}/{seed}" in found)
        if len(ranks) == len(settings.seeds):
            how = tuple(e.path for e, _ in system)
            wrong = {name: np.stack([wrong_images(found, name) for found in ranks]) for name in TOP}
            outcomes[system] = {name: Errors(values, images, how) for name, values in wrong.items()}
    return outcomes


def _cells(
    published: PublishedTable, row: Row, found: Mapping[System, Quantities], settings: Settings
) -> tuple[Cell, ...]:
    return tuple(_cell(row, column, found, settings) for column in published.columns)


def _cell(row: Row, column: Column, found: Mapping[System, Quantities], settings: Settings) -> Cell:
    printed, cell = row.cells[column.name], published_cell(row, column.name)
    if row.system is None:
        return quoted_cell(cell, printed)
    if column.split == "withheld":
        return replace(cell, status="withheld")
    if {row.system, row.minus or row.system} - set(found):
        return cell  # not run
    if column.quantity not in found[row.system]:
        return replace(cell, status="not reported")
    ours = found[row.system][column.quantity]
    if row.minus:
        return difference(cell, printed, ours, found[row.minus][column.quantity], settings.higher)
    return error_cell(cell, printed, ours)


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
        switched_off = published_table(number).kind.name == "boxes" and not settings.localisation
        return (
            "Nothing of ours was run for this table" + (": localisation is switched off." if switched_off else "."),
        )
    data = next(iter(opened.values()))
    classes = data.classes
    seen = f"{data.metadata['data set']}, {len(data):,} validation images of {classes} classes"
    notes = [f"Measured on {seen}, preset {settings.preset}."]
    if isinstance(data, BoxStore) and (left_out := int((~data.counted).sum())):
        notes.append(f"{left_out:,} blacklisted images are left out of the localisation error.")
    elif isinstance(data, BoxStore) and data.metadata["data set"] == ILSVRC_IMAGES[0]:
        notes.append("The data set came without ILSVRC's blacklist: all its images count, 1,762 more than the paper's.")
    if _other_data(data):
        notes.append(
            "The deltas compare different data: the published errors are of the paper's nets on ILSVRC-2012, "
            f"ours of the {settings.preset} preset's nets on other images. They say nothing about the paper."
        )
    elif differs := _departures(number, settings):
        notes.append(
            f"The deltas do not compare like with like: this run departs from the paper in {', '.join(differs)}."
        )
    notes += [released] if (released := not_trained_here(settings)) else []
    if len(settings.seeds) > 1:
        notes.append(f"Mean and standard deviation over the seeds {', '.join(map(str, settings.seeds))}.")
    return tuple(notes)


ILSVRC_IMAGES = ("ILSVRC-2012", 50_000, 1_000)
"""Data set, validation images and classes of the published errors."""

BLACKLISTED = 1_762
"""Of these images the published localisation errors leave out."""


def _other_data(data: Stored) -> bool:
    return (data.metadata["data set"], len(data), data.classes) != ILSVRC_IMAGES


def _departures(number: str, settings: Settings) -> list[str]:
    others = ("localise", "boxes", "merge") if published_table(number).kind.name == "scores" else ()
    return settings_differences(settings, but=("transfer", *others))


def _incomparable(number: str, settings: Settings, opened: Mapping[str, Stored]) -> Verdict:
    """Why the table's cells say nothing about the paper's, if they do not."""
    data = next(iter(opened.values()), None)
    if data is None:
        return ""
    whole = not isinstance(data, BoxStore) or int((~data.counted).sum()) == BLACKLISTED
    if _other_data(data) or not whole:
        return "other data"
    return "other settings" if _departures(number, settings) else ""


def _of_nets(published: PublishedTable, kind: Literal["layers", "parameters"]) -> Table:
    """Table 1 or 2: columns are nets, of full size whatever the preset."""
    nets = [column.name for column in published.columns]
    ours = _layer_rows(nets) if kind == "layers" else [_parameters(nets)]
    rows = []
    for row, found in zip(published.rows, ours, strict=True):
        cells = tuple(
            _net_cell(replace(published_cell(row, net), published=row.cells[net].text), found[net]) for net in nets
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
    # arithmetic: nothing but the rounding of the printed number stands between the two
    verdict: Verdict = "agrees" if abs(delta) <= rounding(cell.published) else "differs"
    return replace(cell, status="measured", value=ours, delta=delta, verdict=verdict)


def _layer_rows(nets: list[str]) -> list[dict[str, str | float]]:
    """Table 1's rows from the layer lists."""
    from vggrepro.nets.vgg import blocks_of, full_size_net

    def named(layer: Any) -> str:  # noqa: ANN401
        return layer if isinstance(layer, str) else f"conv{layer.size}-{layer.channels}"

    stacks = {net: [[named(layer) for layer in block] for block in blocks_of(net)] for net in nets}
    depth = {net: sum(layer != "LRN" for block in stacks[net] for layer in block) + 3 for net in nets}
    rows: list[dict[str, str | float]] = [{net: str(depth[net]) for net in nets}]
    for b in range(5):
        before = [None, *nets][: len(nets)]
        pairs = zip(nets, before, strict=True)
        rows.append({net: _block(stacks[net][b], stacks[left][b] if left else None) for net, left in pairs})
    heads = {net: [fc.out_features for fc in (n.fc6, n.fc7, n.fc8)] for net in nets for n in [full_size_net(net)]}
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
    from vggrepro.nets.vgg import count_parameters, full_size_net

    return {net: count_parameters(full_size_net(net)) / 1e6 for net in nets}
