"""What a `tables.yaml` says of each table, checked: that of the paper, and that of a folder of the user's own. No torch.

`tables/published/tables.yaml` documents the keys; tables of the user's own have some of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from vggrepro.core.printable import shortened
from vggrepro.core.validation import FrozenModel, nearest_hint, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.kinds import TABLE_KINDS, TableKind
from vggrepro.paper.measures import MEASURES, allowed_labels

Text = Annotated[str, Field(min_length=1)]


class OwnColumn(FrozenModel):
    """A value column."""

    heading: Text
    quantity: Text
    split: Literal["val", "withheld"] = "val"


class PapersColumn(FrozenModel):
    """A value column of the paper's."""

    heading: Text
    quantity: Text
    split: Literal["", "val", "test", "withheld", "claims"]


class _AnyTable(FrozenModel):
    """What may be said of every table."""

    title: Text
    caption: str = ""
    section: str = ""
    keys: Annotated[dict[str, str], Field(min_length=1)]
    """Key column -> heading."""
    above: Annotated[dict[str, list[str]], Field(default_factory=dict)]
    texts: Annotated[dict[str, dict[str, str]], Field(default_factory=dict)]
    best: Literal["table", "group", "none"] = "table"
    members_alone: bool = False


class OwnTable(_AnyTable):
    """A table of the user's own, as its `tables.yaml` describes it."""

    kind: Literal["scores", "boxes"] = "scores"
    values: Annotated[dict[str, OwnColumn], Field(min_length=1)]
    """Value column -> what it measures."""


class TableDescription(_AnyTable):
    """A table, as the `tables.yaml` of the paper's describes it."""

    kind: Literal["layers", "parameters", "scores", "boxes", "svms"]
    values: Annotated[dict[str, PapersColumn], Field(min_length=1)]
    """Value column -> what it measures."""
    footnotes: Annotated[dict[str, str], Field(default_factory=dict)]
    higher_is_better: bool = False
    compares_methods: bool = False
    unprinted: bool = False
    figure: Literal["", "depth", "scale"] = ""
    step: Annotated[dict[Literal["name", "explanation"], str], Field(default_factory=dict, min_length=2)]


_Description = TypeVar("_Description", OwnTable, TableDescription)


def read_descriptions(file: Path) -> dict[str, TableDescription]:
    """The paper's tables by number or name; a ValueError that names the file, the table and the key where one is wrong."""
    described = {}
    for name, entry in _entries(file, str(file)).items():
        where = f"{file}: {name}"
        # YAML reads 08 as a text and 010 as an eight
        if isinstance(name, int):
            raise ValueError(
                f'{where}: expected a text for the name of a table, got a number: write "{name}" in quotes'
            )
        if not re.fullmatch("[1-9][0-9]*|[a-z][a-z0-9-]*", str(name), re.ASCII):
            raise ValueError(f"{where}: expected a number, or a name of a-z, 0-9 and dashes")
        described[str(name)] = _checked(_described(TableDescription, entry, where), where)
    return described


def read_own_tables(folder: Path, taken: Collection[str]) -> dict[str, TableDescription]:
    """The tables that a folder describes, by name, in the form of those of the paper.

    Raises ValueError that names the file, the table and the key where one is wrong or has a name of `taken`.
    """
    file = folder / "tables.yaml"
    if not file.is_file():
        raise ValueError(
            f"tables: {file}: no such file: expected it to describe the tables, as tables/published/tables.yaml does"
        )
    described = {}
    for name, entry in _entries(file, f"tables: {file}").items():
        where = f"tables: {file}: {name}"
        # files and commands call the paper's tables table03 and table3
        if not re.fullmatch("(?!table-?[0-9]*$)[a-z][a-z0-9-]*", str(name), re.ASCII) or name in taken:
            raise ValueError(
                f"{where}: expected a name of a-z, 0-9 and dashes that no table has, nor a command of the workflow"
            )
        table = _described(OwnTable, entry, where)
        # it is made where the settings name its folder, and nowhere else
        described[str(name)] = _checked(TableDescription(**table.model_dump(), unprinted=True), where)
    return described


def _entries(file: Path, where: str) -> dict[Any, Any]:
    entries = read_yaml(file)
    if not isinstance(entries, dict) or not entries:
        raise ValueError(
            f"{where}: expected names of tables, each with its title, keys and values, got {shortened(entries)}"
        )
    return entries


def _described(model: type[_Description], entry: Any, where: str) -> _Description:  # noqa: ANN401
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected title, keys and values, got {shortened(entry)}")
    return validated(model, entry, where)


def _checked(table: TableDescription, where: str) -> TableDescription:
    """The table; a ValueError for a column that its kind does not have, and a heading or text of no key column of its own."""
    kind, keys = TABLE_KINDS[table.kind], list(table.keys)
    named = [("keys", key, kind.key_columns) for key in keys]
    named += [(f"above.{text}", key, tuple(keys)) for text, over in table.above.items() for key in over]
    named += [("texts", key, tuple(keys)) for key in table.texts]
    for place, key, known in named:
        if key not in known:
            hint = nearest_hint(key, known)
            raise ValueError(f"{where}: {place}: no key column is called {key!r}{hint}. Known here: {', '.join(known)}")
    for name, column in table.values.items():
        place = f"{where}: values.{name}"
        if name in kind.key_columns:
            raise ValueError(f"{place}: {name} is a key column: call the value column otherwise")
        if column.split not in kind.splits:
            expected = " or ".join(map(repr, kind.splits))
            raise ValueError(f"{place}.split: expected {expected} in a table of {kind.name}, got {column.split!r}")
        # numbers that claims judge have any name, and the task of an SVM follows from its row, too
        if kind.quantities and column.split != "claims":
            _check_quantity(column.quantity, kind, f"{place}.quantity")
    return table


def _check_quantity(quantity: str, kind: TableKind, where: str) -> None:
    if quantity in kind.quantities or (kind.averages and allowed_labels(quantity)):
        return
    expected = f"{', '.join(MEASURES)} or top-N" if kind.averages else " or ".join(kind.quantities)
    raise ValueError(f"{where}: expected {expected}, got {quantity!r}{nearest_hint(quantity, kind.quantities)}")
