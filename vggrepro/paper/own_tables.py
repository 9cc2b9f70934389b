"""Tables of the user's own: a folder with `tables.yaml` and a CSV each, in the form of `tables/published/`. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vggrepro.core.files import read_yaml
from vggrepro.core.validation import FrozenModel, nearest_hint, validated
from vggrepro.paper.measures import MEASURES, allowed_labels

Text = Annotated[str, Field(min_length=1)]


class OwnColumn(FrozenModel):
    """A value column."""

    heading: Text
    quantity: Text
    split: Literal["val", "withheld"] = "val"


class OwnTable(FrozenModel):
    """A table of the user's own, as its `tables.yaml` describes it."""

    kind: Literal["scores", "boxes"] = "scores"
    title: Text
    caption: str = ""
    section: str = ""
    keys: Annotated[dict[str, str], Field(min_length=1)]
    """Key column -> heading."""
    above: Annotated[dict[str, list[str]], Field(default_factory=dict)]
    texts: Annotated[dict[str, dict[str, str]], Field(default_factory=dict)]
    values: Annotated[dict[str, OwnColumn], Field(min_length=1)]
    """Value column -> what it measures."""
    best: Literal["table", "group", "none"] = "table"
    members_alone: bool = False


def read_own_tables(folder: Path, taken: list[str]) -> dict[str, dict[str, Any]]:
    """The tables that a folder describes, by name, in the form of those of the paper.

    Raises ValueError that names the file, the table and the key where one is wrong, has a name of `taken`, or has no CSV.
    """
    file = folder / "tables.yaml"
    if not file.is_file():
        raise ValueError(
            f"tables: {file}: no such file: expected it to describe the tables, as tables/published/tables.yaml does"
        )
    entries = read_yaml(file)
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"tables: {file}: expected names of tables, each with its title, keys and values")
    return {str(name): _entry(folder, file, str(name), entry, taken) for name, entry in entries.items()}


def _entry(folder: Path, file: Path, name: str, entry: Any, taken: list[str]) -> dict[str, Any]:  # noqa: ANN401
    where = f"tables: {file}: {name}"
    # files and commands call the paper's tables table03 and table3
    if not re.fullmatch("(?!table-?[0-9]*$)[a-z][a-z0-9-]*", name, re.ASCII) or name in taken:
        raise ValueError(
            f"{where}: expected a name of a-z, 0-9 and dashes that no table has, nor a command of the workflow"
        )
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected title, keys and values")
    table = validated(OwnTable, entry, where)
    known = [*MEASURES, "top-1", "top-5", "top-2"] if table.kind == "scores" else ["localisation"]
    for column, about in table.values.items():
        if about.quantity not in known and not (table.kind == "scores" and allowed_labels(about.quantity)):
            hint = nearest_hint(about.quantity, known)
            expected = ", ".join(known[: len(MEASURES)]) + " or top-N" if table.kind == "scores" else "localisation"
            raise ValueError(f"{where}: values.{column}.quantity: expected {expected}, got {about.quantity!r}{hint}")
    if not (folder / f"{name}.csv").is_file():
        raise ValueError(
            f"{where}: there is no {folder / name}.csv: expected a line for each row, under {', '.join(table.keys)}, ..."
        )
    values = {column: about.model_dump() for column, about in table.values.items()}
    given = table.model_dump(exclude={"values"})
    # it is made where the settings name its folder, and nowhere else
    return {**given, "values": values, "unprinted": True}
