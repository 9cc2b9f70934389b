"""The rooms of `vggrepro` in their order, and the picture of them in `images/rooms.svg`."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

from vggrepro.core.paths import ROOT

WIDTH, ROW, NAME = 1000, 34, 150
"""Pixels: width of the picture, height of a row, width of a room's name."""


def room_names() -> list[str]:
    """The rooms from top to bottom: the layers of the import-linter contract in `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    return [room for room in contract["layers"] if room != "__main__"]


def module_paths(room: str) -> list[Path]:
    """The files of a room, its `__init__.py` first."""
    folder = ROOT / "vggrepro" / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def rooms_svg() -> str:
    """A row per room: its name, what it does, and whether its modules import torch. Dark text on pale rows is readable on a
    light page and on a dark one."""
    rows = [_row(room, index * ROW) for index, room in enumerate(room_names())]
    height = len(rows) * ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
            "<title>The rooms of vggrepro; each imports only from those below it</title>",
            *rows,
            "</svg>\n",
        ]
    )


def _row(room: str, top: int) -> str:
    needs_torch = any(_imports_torch(path) for path in module_paths(room))
    fill, middle = ("#ffe3c2" if needs_torch else "#dbe7fb"), top + ROW // 2
    sentence = ast.get_docstring(ast.parse(module_paths(room)[0].read_text(encoding="utf-8"))).splitlines()[0]
    parts = [
        f'<rect x="1" y="{top + 2}" width="{WIDTH - 2}" height="{ROW - 4}" rx="5" fill="{fill}" stroke="#7a8aa8"/>',
        f'<text x="14" y="{middle + 5}" font-weight="bold" fill="#14213d">{room}</text>',
        f'<text x="{NAME}" y="{middle + 5}" fill="#14213d">{escape(sentence.replace("`", ""))}</text>',
    ]
    if needs_torch:
        parts.append(f'<text x="{WIDTH - 14}" y="{middle + 5}" text-anchor="end" fill="#8a3b00">torch</text>')
    return "\n".join(parts)


def _imports_torch(path: Path) -> bool:
    """Whether a module imports torch when it is imported; imports for type checkers and in functions do not count."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    names = [
        alias.name if isinstance(statement, ast.Import) else statement.module or ""
        for statement in statements
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    ]
    return any(name.split(".")[0] == "torch" for name in names)
