"""Writes the pages of the documentation that follow from the code: `make docs` calls it before it builds the site.

`explanation/choices.md`, `explanation/performance.md` and `images/rooms.svg` are kept in git, because the README leads to
them; `index.md` and `reference/` are written for the site alone. MkDocs loads this file too: `on_config` lists the pages of
the API.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooms import module_paths, room_names, rooms_svg

from vggrepro.cli import main as vggrepro
from vggrepro.core.files import write_text
from vggrepro.core.paths import ROOT
from vggrepro.paper.protocol import text_of
from vggrepro.settings.choices import CHOICES, choices_by_number
from vggrepro.settings.effects import HARMLESS, effects
from vggrepro.settings.loading import load_settings, settings_schema
from vggrepro.settings.models import Settings

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

DOCS = ROOT / "docs"
KEPT = DOCS / "explanation" / "choices.md", DOCS / "images" / "rooms.svg"


def main() -> None:
    """Write all of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    write_text(DOCS / "index.md", readme.replace("](docs/", "]("))
    for path, text in kept_pages().items():
        write_text(path, text)
    subprocess.run([sys.executable, ROOT / "bench" / "harness.py"], check=True, cwd=ROOT)
    write_text(DOCS / "reference" / "settings.md", settings_page())
    write_text(DOCS / "reference" / "commands.md", commands_page())
    for room in room_names():
        write_text(DOCS / "reference" / "api" / f"{room}.md", api_page(room))


def on_config(config: MkDocsConfig) -> None:
    """A hook of MkDocs: the navigation gets a page per room, in the order of the rooms."""
    config.nav[-1]["Reference"].append({"API": [f"reference/api/{room}.md" for room in room_names()]})


def kept_pages() -> dict[Path, str]:
    """The files that are kept in git though the code determines them; a test compares them with what is there."""
    return dict(zip(KEPT, (choices_page(), rooms_svg()), strict=True))


def choices_page() -> str:
    """The choices by their number: settings with their defaults, and fixed choices."""
    parts = [
        "# Choices where the paper is unspecified\n",
        "Made from the code by `make docs`. Each choice has a number, which the code, the settings and the",
        "report cite. The defaults are those of the paper preset; a choice marked *fixed* has no setting. A number",
        "outside of what is plausible departs from the paper: cells made with it get no verdict.\n",
    ]
    declared = dict(effects(Settings))
    for number, choices in choices_by_number(load_settings({})).items():
        parts += [
            f'## <a id="choice-{number}"></a>Choice {number}: {CHOICES[number]}\n',
            "| setting | default | what it decides |",
            "| --- | --- | --- |",
        ]
        for name, value, meaning, fixed in choices:
            key, mark = (_cell(name), " (fixed)") if fixed else (f"`{name}`", "")
            if (plausible := declared.get(name, HARMLESS).plausible) is not None:
                mark += f" Plausible: {text_of(plausible)}."
            parts.append(f"| {key} | {_cell(value)} | {_cell(meaning)}{mark} |")
        parts.append("")
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting with its type, default and description, from the JSON schema."""
    schema = json.loads(settings_schema())
    parts = [
        "# Settings\n",
        "Every setting can be set with `--config`: `--config smoke=true train='{epochs: 8}'`. Defaults are those of the code;",
        "presets (`workflow/config/*.yaml`) override them.\n",
    ]
    blocks = {"": schema, **schema["$defs"]}
    for name, block in blocks.items():
        parts += [f"## {name or 'Top level'}\n", _sentence(block.get("description", "")) if name else "", ""]
        parts += ["| setting | type | default | description |", "| --- | --- | --- | --- |"]
        parts += [
            f"| `{key}` | {_cell(_type(field))} | {_cell(_default(field))} | {_cell(field.get('description', ''))} |"
            for key, field in block.get("properties", {}).items()
        ]
        parts.append("")
    return "\n".join(parts)


def _type(field: dict[str, Any]) -> str:
    """The type of a setting as a reader writes it; a block links to its own heading."""
    if "$ref" in field:
        block = field["$ref"].rpartition("/")[2]
        return f"[{block}](#{block.lower()})"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{option}`" for option in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    return str(field.get("type", ""))


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field and not isinstance(field["default"], dict) else ""


def commands_page() -> str:
    """The help of every verb, as the command prints it."""
    overview = _help()
    verbs = re.findall(r"^(?:│|   ) ([a-z]+) ", overview, re.MULTILINE)
    parts = ["# Commands\n", "Rules of the workflow call these verbs; each can be run by hand.\n"]
    parts += ["```", overview, "```\n"]
    for verb in verbs:
        parts += [f"## {verb}\n", "```", _help(verb), "```\n"]
    return "\n".join(parts)


def _help(*verb: str) -> str:
    os.environ.update(COLUMNS="110", NO_COLOR="1")
    with redirect_stdout(io.StringIO()) as output, suppress(SystemExit):
        vggrepro([*verb, "--help"])
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def api_page(room: str) -> str:
    """A room: its docstring, and then the public functions and classes of each module."""
    parts = [f"# {room}\n"]
    for module in module_paths(room):
        if module.name == "__init__.py":
            parts += [f"{ast.get_docstring(ast.parse(module.read_text(encoding='utf-8')))}\n"]
        else:
            parts += [f"::: {'.'.join(module.relative_to(ROOT).with_suffix('').parts)}\n"]
    return "\n".join(parts)


def _cell(text: str) -> str:
    return _sentence(str(text)).replace("|", "\\|")


def _sentence(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
