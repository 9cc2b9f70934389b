"""Cells of a user's claims that are named by the text of a system: the row of whichever table measures it. No torch.

    cell: My net                                   a row of the user's own, by its name: imported, fused, a variant
    cell: D/256/256                                a row of the paper, by its system, as `fusions` writes them
    cell: {system: "E/[256;512]/384", table: "3"}  the same, in one table

Rows are found by what they are, not by where they come from, so that whatever adds a row to a table can be claimed about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from vggrepro.core.validation import nearest_hint
from vggrepro.paper.systems import Imported, parse_fusion
from vggrepro.paper.tables import PublishedTable, Row


def with_named_cells(
    entry: Mapping[str, Any], tables: Callable[[str], PublishedTable], numbers: Sequence[str], where: str
) -> dict[str, Any]:
    """The entry of a claims file, with a table and key columns in place of each system's text; other cells stay.

    `numbers` are the tables that systems are looked for in, in this order. Raises ValueError that names the nearest system.
    """
    placed = partial(_placed, entry=entry, tables=tables, numbers=numbers, where=where)
    pairs, order = entry.get("pairs"), entry.get("order")
    changes: dict[str, Any] = {}
    if isinstance(pairs, list):
        changes["pairs"] = [
            {side: placed(cell) for side, cell in pair.items()} if isinstance(pair, Mapping) else pair for pair in pairs
        ]
    if isinstance(order, list):
        changes["order"] = [placed(cell) for cell in order]
    return {**entry, **changes}


def _placed(
    cell: Any,  # noqa: ANN401
    *,
    entry: Mapping[str, Any],
    tables: Callable[[str], PublishedTable],
    numbers: Sequence[str],
    where: str,
) -> Any:  # noqa: ANN401
    """A cell by table and key columns; what names no system is left to the check that follows."""
    given = {"system": cell} if isinstance(cell, str) else cell
    if not isinstance(given, Mapping) or not isinstance(text := given.get("system"), str):
        return cell
    if others := sorted(map(str, set(given) - {"system", "table"})):
        raise ValueError(
            f"{where}: {', '.join(others)}: means nothing beside system: {text!r}, which names a row by itself"
        )
    table = given.get("table", entry.get("table"))
    try:
        places = list(_places(text, tables, [str(table)] if table else numbers))
    except ValueError as error:
        raise ValueError(f"{where}: table: {error}") from None
    if not places:
        raise ValueError(f"{where}: {_unknown(text, tables, numbers, table)}")
    quantity = entry.get("quantity")
    for number, row in places:
        if not quantity or quantity in tables(number).quantities:
            return {"table": number, **row.keys}
    measured = sorted(quantity for number, _ in places for quantity in tables(number).quantities)
    hint = nearest_hint(str(quantity), measured)
    raise ValueError(
        f"{where}: quantity: {quantity!r} of {text} is not measured{hint}. Measured there: {', '.join(measured)}"
    )


def _places(text: str, tables: Callable[[str], PublishedTable], numbers: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Every row that a text names: the user's rows by their names, and all rows by their systems."""
    rows = list(_measured_rows(tables, numbers))
    yield from ((number, row) for number, row in rows if row.name == text)
    imported = [member.name for _, row in rows for member, _ in row.system or () if isinstance(member, Imported)]
    try:
        system = dict(parse_fusion(text, imported))
    except ValueError:
        return
    yield from ((number, row) for number, row in rows if row.name != text and dict(row.system or ()) == system)


def _measured_rows(tables: Callable[[str], PublishedTable], numbers: Sequence[str]) -> Iterator[tuple[str, Row]]:
    yield from ((number, row) for number in numbers for row in tables(number).rows if row.ours and not row.minus)


def _unknown(text: str, tables: Callable[[str], PublishedTable], numbers: Sequence[str], table: object) -> str:
    """What to say of a text that names no row: the nearest name, or the form of a system."""
    known = list(dict.fromkeys(row.name for _, row in _measured_rows(tables, numbers) if row.name))
    written = list(dict.fromkeys(_written(row) for number, row in _measured_rows(tables, numbers)))
    where = f"no row of table {table} is" if table else "no system is"
    return (
        f"{where} called {text!r}{nearest_hint(text, [*known, *filter(None, written)])}. Rows of your own: "
        f"{', '.join(known) or 'none'}; a row of the paper is written as its system, such as D/256/256, "
        "D/256/224,256,288 or E/[256;512]/256,384,512 (multi-crop & dense)"
    )


def _written(row: Row) -> str:
    """A printed row as the text of its system, for a proposal: `D/256/256`; empty where its key columns do not say it."""
    keys = row.keys
    system = keys.get("systems") or "/".join(filter(None, (keys.get(name, "") for name in ("net", "S", "Q"))))
    protocol = keys.get("protocol", "")
    return f"{system} ({protocol})" if system and protocol not in ("", "dense") else system
