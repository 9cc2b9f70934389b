"""The first screen of the report: what was run, what came out, and whether to believe it. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.judging.ledger import Ledger
from vggrepro.judging.verdicts import NOT_OURS
from vggrepro.paper.tables import published_table, table_label
from vggrepro.report.claims import DECISION_SIGNS
from vggrepro.scores.outcomes import Errors, read_outcomes
from vggrepro.scores.ranks import TOP
from vggrepro.scores.stores import read_scores
from vggrepro.tables.cells import MARKS, Cell, Table
from vggrepro.tables.lineage import StoredResult
from vggrepro.tables.numbers import printed_number
from vggrepro.tables.render import VERDICT_SIGNS

COMPARABLE = ("agrees", "differs", "inconclusive")
"""Verdicts of cells that can be compared with the paper's."""
INCOMPARABLE = ("other settings", "other data")
"""Verdicts of cells that cannot."""


def summary_section(
    tables: Mapping[Path, Table], ledger: Ledger | None, results: Path | None, stored: Mapping[str, StoredResult]
) -> dict[str, Any]:
    """The summary as strings: cells and claims by verdict, the level of chance, what looks ill, the largest difference."""
    labels = _labels(results, stored)
    by_number = {table.number: (path, table) for path, table in tables.items()}
    path, one_scale = by_number.get("3", (None, None))
    health = _ill_nets(path, one_scale, labels) if path and one_scale and labels is not None else []
    unfinished = _unfinished_runs(results) if results else []
    if unfinished:
        health.append({"text": f"Not finished: {', '.join(unfinished)}.", "href": "trainings"})
    return {
        "cells": _counted_cells([t for t in tables.values() if t.kind == "errors"]),
        "layers": _counted_cells([t for t in tables.values() if t.kind != "errors"]),
        "claims": _counted_claims(ledger) if ledger else [],
        "chance": _chance(labels) if labels is not None else "",
        "health": health,
        "healthy": labels is not None and not health,
        "largest": _largest_difference(list(tables.values())),
    }


def cells_warning(tables: Sequence[Table]) -> str:
    """What keeps cells from being compared with the paper's, whatever the settings say; empty where all of ours can be."""
    verdicts = [cell.verdict for table in tables if table.kind == "errors" for row in table.rows for cell in row.cells]
    like, unlike = (sum(verdict in kinds for verdict in verdicts) for kinds in (COMPARABLE, INCOMPARABLE))
    if like and not unlike:
        return ""
    if not like and not unlike:
        return "No cell of the paper's tables was measured here: no difference from a printed number is shown."
    return (
        f"{like} of {like + unlike} measured cells compare like with like; the others are of other images or settings than "
        "the paper's, and say so."
    )


def _unfinished_runs(results: Path) -> list[str]:
    """The training runs that have begun and not ended."""
    begun = (folder.name for folder in (results / "state").glob("*_s*") if folder.is_dir())
    return sorted(name for name in begun if not (results / "runs" / name / "run.json").exists())


def _labels(results: Path | None, stored: Mapping[str, StoredResult]) -> NDArray[np.int64] | None:
    """The true classes of the validation images; None where no scores lie beside the report."""
    store = next((path for path in stored if path.startswith("scores/") and "/dense/" in path), None)
    return np.asarray(read_scores(results / store).labels) if results and store else None


def _chance(labels: NDArray[np.int64]) -> str:
    """The errors of whoever guesses: `10 classes, 40 images each; by chance 90.0% wrong in top-1, 50.0% in top-5`."""
    classes, counts = np.unique(labels, return_counts=True)
    fewest, most = counts.min(), counts.max()
    each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    wrong = [f"{printed_number(100 * max(0, 1 - top / len(classes)))}% in {name}" for name, top in TOP.items()]
    return f"{len(classes):,} classes, {each} validation images each. A guess is wrong in {' and '.join(wrong)}."


def _ill_nets(path: Path, table: Table, labels: NDArray[np.int64]) -> list[dict[str, str]]:
    """Nets of Table 3 whose top-1 error may be that of a guess, and nets that never get a class right."""
    chance, classes = 100 * (1 - 1 / len(np.unique(labels))), np.unique(labels)
    near: list[tuple[float, str, str, str]] = []
    blind: list[tuple[float, str, str, str]] = []
    for r, row in enumerate(table.rows):
        cell, name = row.cells[0], "/".join(row.keys[:2])
        if cell.interval and cell.interval[1] >= chance:
            text = f"{name} is near chance: {printed_number(cell.value or 0)}% of its answers are wrong."
            near.append((cell.value or 0, name, text, table.anchor(r, 0)))
    printed = {frozenset(row.keys.items()): r for r, row in enumerate(published_table(table.number).rows)}
    for entry in read_outcomes(path.with_suffix(".npz")).entries:
        if entry.quantity != "top-1" or not isinstance(entry.outcome, Errors):
            continue
        wrong = entry.outcome.wrong.mean(0)
        never = sum(wrong[labels == c].min() == 1 for c in classes) if len(wrong) == len(labels) else 0
        # rows of the user's own are not the paper's to be summed up
        place = printed.get(frozenset(entry.row.items()))
        if never and place is not None:
            name = "/".join(table.rows[place].keys[:2])
            text = f"{name} never gets {never} of {len(classes)} classes right."
            blind.append((float(never), name, text, table.anchor(place, 0)))
    return [*_worst(near, "Also near chance"), *_worst(blind, "Nor do some classes come out right of")]


def _worst(ill: Sequence[tuple[float, str, str, str]], others: str) -> list[dict[str, str]]:
    """The worst of some nets (how ill it is, name, sentence, cell) with its sentence, and the names of the others."""
    if not ill:
        return []
    _, name, text, href = max(ill, key=lambda net: net[0])
    names = [other for _, other, *_ in ill if other != name]
    return [{"text": f"{text} {others}: {', '.join(names)}." if names else text, "href": href}]


def _counted_cells(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """How many cells of ours have each verdict, or why they have none, with a sign that needs no colour."""
    cells = [cell for table in tables for row in table.rows for cell in row.cells if cell.status not in NOT_OURS]
    counts = Counter(cell.verdict or MARKS.get(cell.status, "") for cell in cells)
    order = (*COMPARABLE, *INCOMPARABLE, *MARKS.values())
    signs: dict[str, str] = {str(verdict): sign for verdict, sign in VERDICT_SIGNS.items()}
    return [
        {
            "count": counts[name],
            "name": {"agrees": "agree", "differs": "differ"}.get(name, name),
            "sign": signs.get(name, ""),
            "chip": name.replace(" ", "-"),
        }
        for name in dict.fromkeys(order)
        if counts[name]
    ]


def _counted_claims(ledger: Ledger) -> list[dict[str, Any]]:
    """How many claims of the paper have each verdict."""
    counts = Counter(claim.verdict for claim in ledger.claims if claim.papers)
    return [
        {"count": counts[name], "name": name, "sign": sign, "chip": name.replace(" ", "-")}
        for name, sign in DECISION_SIGNS.items()
        if counts[name]
    ]


def _largest_difference(tables: Sequence[Table]) -> dict[str, str] | None:
    """The cell that is farthest from the published one: of those that can be compared, if there are any."""
    cells: list[tuple[bool, float, str, Cell, str]] = []
    for table in (t for t in tables if t.kind == "errors"):
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                if cell.delta is not None:
                    name = f"{table_label(table.number)}, {', '.join(filter(None, row.keys))}, {table.columns[c]}"
                    cells.append((cell.verdict in COMPARABLE, abs(cell.delta), name, cell, table.anchor(r, c)))
    if not cells:
        return None
    comparable, _, name, cell, anchor = max(cells, key=lambda each: each[:2])
    delta = printed_number(cell.delta or 0, signed=True)
    return {"text": f"{name}: {delta} points{'' if comparable else f' ({cell.verdict})'}", "href": anchor}
