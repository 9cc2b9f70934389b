"""Writes the pages of the documentation that follow from the code: `make docs` calls it before it builds the site.

`explanation/choices.md` and `explanation/performance.md` are kept in git, because the README links to them; `index.md` and
`reference/` are made for the site alone.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from vggrepro.core.files import write_text
from vggrepro.core.paths import ROOT
from vggrepro.settings.choices import CHOICES, FIXED_CHOICES, list_choices
from vggrepro.settings.loading import load_settings, settings_schema

DOCS = ROOT / "docs"


def main() -> None:
    """Write all of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    write_text(DOCS / "index.md", readme.replace("](docs/", "]("))
    write_text(DOCS / "explanation" / "choices.md", choices_page())
    subprocess.run([sys.executable, ROOT / "bench" / "harness.py"], check=True, cwd=ROOT)
    write_text(DOCS / "reference" / "settings.md", settings_page())
    write_text(DOCS / "reference" / "commands.md", commands_page())
    for room, page in api_pages():
        write_text(DOCS / "reference" / "api" / f"{room}.md", page)


def choices_page() -> str:
    """The paper's silences by their number, and what fills each: settings with their defaults, and fixed choices."""
    rows: dict[int, list[str]] = {number: [] for number in CHOICES}
    for key, value, text in list_choices(load_settings({})):
        number, _, what = text.partition(":")
        rows[int(number)].append(f"| `{key}` | {_cell(value)} | {_cell(what)} |")
    for name, value, text in FIXED_CHOICES:
        number, _, what = text.partition(":")
        rows[int(number)].append(f"| {_cell(name)} | {_cell(value)} | {_cell(what)} (fixed) |")
    parts = [
        "# Choices where the paper is silent\n",
        "Made from the code by `make docs`. Each silence of the paper has a number, which the code, the settings and the report",
        "cite. The defaults are those of the paper preset; a choice marked *fixed* has no setting.\n",
    ]
    for number, title in CHOICES.items():
        parts += [
            f'## <a id="choice-{number}"></a>{number}. {title}\n',
            "| setting | default | what it decides |",
            "| --- | --- | --- |",
        ]
        parts += [*rows[number], ""]
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
    for name, about in blocks.items():
        parts += [f"## {name or 'Top level'}\n", _sentence(about.get("description", "")) if name else "", ""]
        parts += ["| setting | type | default | description |", "| --- | --- | --- | --- |"]
        parts += [
            f"| `{key}` | {_cell(_type(value))} | {_cell(_default(value))} | {_cell(value.get('description', ''))} |"
            for key, value in about.get("properties", {}).items()
        ]
        parts.append("")
    return "\n".join(parts)


def _type(value: dict[str, Any]) -> str:
    """The type of a setting as a reader writes it; a block links to its own heading."""
    if "$ref" in value:
        block = value["$ref"].rpartition("/")[2]
        return f"[{block}](#{block.lower()})"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{option}`" for option in value.get("enum", [value.get("const")]))
    if "anyOf" in value:
        return " or ".join(_type(option) for option in value["anyOf"])
    return str(value.get("type", ""))


def _default(value: dict[str, Any]) -> str:
    return f"`{json.dumps(value['default'])}`" if "default" in value and not isinstance(value["default"], dict) else ""


def commands_page() -> str:
    """The help of every verb, as the command prints it."""
    parts = ["# Commands\n", "Rules of the workflow call these verbs; each can be run by hand.\n"]
    parts += ["```", _help(), "```\n"]
    for verb in verbs():
        parts += [f"## {verb}\n", "```", _help(verb), "```\n"]
    return "\n".join(parts)


def verbs() -> list[str]:
    """The verbs of the command, in the order in which it lists them."""
    from vggrepro.cli.app import VERBS

    return list(VERBS)


def _help(*verb: str) -> str:
    call = [sys.executable, "-m", "vggrepro", *verb, "--help"]
    done = subprocess.run(
        call, capture_output=True, text=True, check=True, env={"COLUMNS": "110", "NO_COLOR": "1", "PATH": ""}
    )
    return done.stdout.rstrip()


def api_pages() -> Iterator[tuple[str, str]]:
    """A page per room: its docstring, and then the public functions and classes of each module."""
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]["layers"]
    for room in (room for layer in layers for room in layer.replace("|", " ").split() if room != "__main__"):
        place = ROOT / "vggrepro" / room
        modules = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        parts = [f"# {room}\n"]
        for module in modules:
            tree = ast.parse(module.read_text(encoding="utf-8"))
            if module.name == "__init__.py":
                parts += [f"{ast.get_docstring(tree)}\n"]
            else:
                parts += [f"::: {'.'.join(module.relative_to(ROOT).with_suffix('').parts)}\n"]
        yield room, "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").strip()


def _sentence(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
