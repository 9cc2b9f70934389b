"""A table's value as HTML, LaTeX, Markdown, CSV and JSON. Nothing is computed here, values are only written. No torch.

Templates lie in `tables/templates/`; they get strings and lists, and a name that is undefined stops them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from vggrepro.core.files import write_json, write_text
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import read_typed
from vggrepro.judging.footnotes import ALL
from vggrepro.paper.tables import table_label
from vggrepro.tables.cells import MARKS, Cell, CellInterval, Table, TableRow, Verdict

TABLE_FORMATS = ("json", "csv", "md", "html", "tex")
MINUS, RANGE = "\u2212", " to "


def write_table(table: Table, out: Path) -> None:
    """Write `<name>.json`, `.csv`, `.md`, `.html` and `.tex` into the folder `out`."""
    write_json(out / f"{table.name}.json", asdict(table))
    write_text(out / f"{table.name}.csv", table_csv(table))
    write_text(out / f"{table.name}.md", table_markdown(table))
    write_text(out / f"{table.name}.html", table_html(table) + "\n")
    write_text(out / f"{table.name}.tex", table_latex(table) + "\n")


def read_table(path: Path) -> Table:
    """The table in a JSON file that `write` wrote."""
    return read_typed(Table, path, "make the table again")


def table_heading(table: Table) -> str:
    """`Table 3. One test scale`."""
    return f"{table_label(table.number)}. {table.title}" if table.number.isdigit() else table.title


def printed_number(value: float, *, signed: bool = False, decimals: int = 1) -> str:
    """A number as it is printed: one decimal, a true minus sign."""
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("+-")


def printed_interval(bounds: CellInterval | None, *, signed: bool = False) -> str:
    """An interval as it is printed: `1.2 to 3.4`."""
    return "" if bounds is None else RANGE.join(printed_number(bound, signed=signed) for bound in bounds)


VERDICT_SIGNS: dict[Verdict, str] = {"agrees": "=", "differs": "\u2260", "cannot be told": "?"}
"""What stands before a verdict, for who does not see its colour."""


def _because(cell: Cell) -> str:
    """Why a cell has its verdict, in a sentence."""
    if cell.tolerance is None or cell.tellable is None:
        said: dict[Verdict, str] = {
            "other data": "measured on other images than the published number",
            "other settings": "made with other settings than the published number",
            "agrees": "the same when rounded as printed",
            "differs": "not the same when rounded as printed",
        }
        return said.get(cell.verdict, "")
    inside = printed_interval(cell.delta_narrow, signed=True)
    return (
        f"tolerance {printed_number(cell.tolerance)} points; 90% interval of the difference {inside}; a true difference of "
        f"{printed_number(cell.tellable)} would be found with 80% power"
    )


def _cell(cell: Cell, kind: str, anchor: str, link: str) -> dict[str, Any]:
    """What a template needs of a cell, as strings."""
    decimals = 3 if kind == "parameters" else 1
    ours = cell.text if cell.value is None else printed_number(cell.value, decimals=decimals)
    over = f"{cell.splits} splits" if cell.splits else f"{cell.seeds} seeds"
    spread = "" if cell.spread is None else f"\u00b1\u2009{printed_number(cell.spread)} over {over}"
    if cell.status == "validation":
        spread = ", ".join(filter(None, (spread, MARKS["validation"])))
    return {
        "id": anchor,
        "link": link,
        "status": cell.status,
        "here": ours,
        "mark": MARKS.get(cell.status, "") if cell.value is None else "",
        "interval": printed_interval(cell.interval),
        "spread": spread,
        "best": cell.best,
        "paper": cell.published.replace("+-", "\u00b1") if cell.published != "-" else "\u2013",
        "paper_bold": cell.published_bold,
        "delta": "" if cell.delta is None else printed_number(cell.delta, signed=True, decimals=decimals),
        "delta_interval": printed_interval(cell.delta_interval, signed=True),
        "verdict": f"{VERDICT_SIGNS.get(cell.verdict, '')} {cell.verdict}".strip(),
        "kind_of_verdict": cell.verdict.replace(" ", "-"),
        "because": _because(cell),
        "n": f"{cell.n:,}" if cell.n else "",
        "span": cell.span,
        "agrees": "" if not cell.text else "same" if cell.text == cell.published else "different",
        "how": ", ".join(cell.how),
        "footnotes": [mark for mark in cell.footnotes if mark != ALL],
    }


Links = Mapping[tuple[int, int], str]
"""Where cells lead to within a page, by row and column from 0."""


def table_view(table: Table, links: Links | None = None) -> dict[str, Any]:
    """The table as strings and lists: all that a template sees."""
    links = links or {}
    rows = [
        {
            "group": row.group,
            "keys": list(row.keys),
            "cells": [
                _cell(cell, table.kind, table.anchor(r, c), links.get((r, c), ""))
                for c, cell in enumerate(row.cells)
                if cell.status != "spanned"
            ],
            "n": _images(row),
        }
        for r, row in enumerate(table.rows)
    ]
    return {
        "name": table.name,
        "heading": table_heading(table),
        "number": table.number,
        "title": table.title,
        "section": table.section,
        "caption": table.caption,
        "kind": table.kind,
        "key_headings": list(table.keys),
        "columns": list(table.columns),
        "rows": rows,
        "long": [max(len(row.keys[i]) for row in table.rows) > 40 for i in range(len(table.keys))],
        "footnotes": [(mark, text) for mark, text in table.footnotes if mark != ALL],
        "all_cells": next((text for mark, text in table.footnotes if mark == ALL), ""),
        "notes": list(table.notes),
    }


def _images(row: TableRow) -> str:
    counts = sorted({cell.n for cell in row.cells if cell.n})
    return ", ".join(f"{n:,}" for n in counts) or "\u2013"


def table_html(table: Table, links: Links | None = None) -> str:
    """A `<figure>` with the table, to stand in any page; with links, where its numbers lead to within that page."""
    return _environment().get_template("table.html.j2").render(table_view(table, links)).strip()


def table_latex(table: Table) -> str:
    """A `table` environment for array, booktabs and graphicx."""
    return _latex_environment().get_template("table.tex.j2").render(table_view(table)).strip()


def table_markdown(table: Table) -> str:
    """A pipe table under a heading, ours beside the published values."""
    from tabulate import tabulate

    shown = table_view(table)
    headers = [*table.keys]
    for column in table.columns:
        headers += [column] if table.kind == "layers" else [f"{column}: here", "paper", "\u0394 (95%)"]
    headers += ["n"] if table.kind == "errors" else []
    rows = []
    for row in shown["rows"]:
        line = list(row["keys"]) if row["group"] else ["", *row["keys"][1:]]
        for cell in row["cells"]:
            line += _markdown_cell(cell, table.kind)
        line = line + [""] * (len(headers) - len(line) - 1) + [row["n"]] if table.kind == "errors" else line
        rows.append(line + [""] * (len(headers) - len(line)))
    body = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    notes = [
        table.caption,
        *table.notes,
        *(f"{mark.capitalize() if mark == ALL else mark}: {text}" for mark, text in table.footnotes),
    ]
    return f"### {shown['heading']} (section {table.section})\n\n{body}\n\n" + "\n\n".join(notes) + "\n"


def _markdown_cell(cell: dict[str, Any], kind: str) -> list[str]:
    if kind == "layers":
        published = f" (published: {cell['paper']})" if cell["agrees"] == "different" else ""
        return [cell["here"] + published] + [""] * (cell["span"] - 1)
    here = cell["mark"] or (f"**{cell['here']}**" if cell["best"] else cell["here"])
    here += f" ({cell['interval']})" if cell["interval"] else ""
    here += f" {cell['spread']}" if cell["spread"] else ""
    here += f" <sup>{' '.join(cell['footnotes'])}</sup>" if cell["footnotes"] else ""
    paper = f"**{cell['paper']}**" if cell["paper_bold"] else cell["paper"]
    paper += f" (one cell for {cell['span']} columns)" if cell["span"] > 1 else ""
    delta = cell["delta"] + (f" ({cell['delta_interval']})" if cell["delta_interval"] else "")
    delta += f" {cell['verdict']}" if cell["verdict"] else ""
    return [here, paper, delta] + ["", "", ""] * (cell["span"] - 1)


def table_csv(table: Table) -> str:
    """The table in its own shape, a line per row: for each column ours, its interval, the published value, the delta."""
    import pandas as pd

    records = []
    for row in table.rows:
        record: dict[str, Any] = dict(zip((key or "row" for key in table.keys), row.keys, strict=True))
        for heading, cell in zip(table.columns, row.cells, strict=True):
            record |= {f"{heading}: {name}": value for name, value in _values(cell, table.kind).items()}
        records.append(record)
    text: str = pd.DataFrame(records).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return text


def _values(cell: Cell, kind: str) -> dict[str, Any]:
    if kind == "layers":
        return {"here": cell.text, "paper": cell.published}
    found = {"here": cell.value, "paper": cell.published, "delta": cell.delta}
    if kind == "parameters":
        return found
    low, high = cell.interval or (None, None)
    delta_low, delta_high = cell.delta_interval or (None, None)
    return found | {
        "low": low,
        "high": high,
        "delta low": delta_low,
        "delta high": delta_high,
        "verdict": cell.verdict or None,
        "tolerance": cell.tolerance,
        "tellable": cell.tellable,
        "n": cell.n or None,
        "seeds": cell.seeds or None,
        "spread": cell.spread,
        "status": cell.status,
        "footnotes": " ".join(cell.footnotes) or None,
    }


@cache
def _environment() -> jinja2.Environment:
    folders = [ROOT / "tables" / "templates", ROOT / "reports" / "templates"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: bool(name) and ".html" in str(name),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "tex": escape_tex,
        "tex_layers": tex_layers,
        "html_layers": html_layers,
        "bold": marked_bold,
        "choice_links": choice_links,
    }
    return environment


@cache
def _latex_environment() -> jinja2.Environment:
    """The same with delimiters that do not clash with LaTeX's braces: <% block %>, << value >>, <# comment #>."""
    return _environment().overlay("<%", "%>", "<<", ">>", "<#", "#>")


def render_template(name: str, values: dict[str, Any]) -> str:
    """A template of `reports/templates/`, filled in; a name that is undefined stops it."""
    environment = _latex_environment() if name.endswith(".tex.j2") else _environment()
    return environment.get_template(name).render(values)


TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "]": "{]}", "*": "{*}",
    MINUS: "$-$", "\u2009": r"\,", "\u00b1": r"$\pm$", "\u0394": r"$\Delta$", "\u2013": "--", "\u00d7": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "+-": r"$\pm$",
    "\u2260": r"$\neq$",
}  # fmt: skip
_TEX = re.compile("|".join(re.escape(key) for key in sorted(TEX, key=len, reverse=True)))


def escape_tex(text: str) -> str:
    """Text with all that LaTeX would take for a command escaped."""
    return _TEX.sub(lambda match: TEX[match[0]], str(text))


def marked_bold(text: str, *, markup: str) -> str:
    """`**text**` as `markup`, in which `{}` stands for the text."""
    return re.sub(r"\*\*(.+?)\*\*", lambda match: markup.replace("{}", match[1]), text)


def choice_links(html: str) -> jinja2.utils.markupsafe.Markup:  # type: ignore[name-defined]
    """HTML of the report in which each `choice 7` leads to the entry of that number in the report's list of choices."""
    from markupsafe import Markup

    return Markup(re.sub(r"\bchoice (\d+)", r'<a href="#choice-\1">choice \1</a>', html))


def tex_layers(text: str) -> str:
    """A cell of Table 1 for LaTeX: a layer a line."""
    lines = (escape_tex(layer).replace("{*}{*}", "**") for layer in text.split(", "))
    return marked_bold(r" \\ ".join(lines), markup=r"\textbf{{}}")


def html_layers(text: str) -> jinja2.utils.markupsafe.Markup:  # type: ignore[name-defined]
    """A cell of Table 1 for HTML: a layer a line."""
    from markupsafe import Markup, escape

    return Markup(marked_bold("<br>".join(str(escape(layer)) for layer in text.split(", ")), markup="<b>{}</b>"))
