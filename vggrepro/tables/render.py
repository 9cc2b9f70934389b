"""A table as HTML, LaTeX, Markdown, CSV and JSON: values are printed, and nothing is computed. No torch.

The templates in `tables/templates/` get strings and lists; an undefined name raises an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from vggrepro.core.files import write_json, write_text
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import read_typed
from vggrepro.paper.tables import table_label
from vggrepro.tables import markup
from vggrepro.tables.cells import ALL_CELLS, MARKS, Cell, Table, TableRow, VariantRow, Verdict
from vggrepro.tables.numbers import decimals_of_images, printed_interval, printed_number, rounded
from vggrepro.tables.variant_lines import VARIANT_HEADINGS, VARIANTS_HEADING, VARIANTS_NOTE, VariantLine, variant_lines

TABLE_FORMATS = ("json", "csv", "md", "html", "tex")


@dataclass(frozen=True)
class TableLayout:
    """How the cells of a kind of table are printed."""

    compared: bool = True
    """With ours, the published value and the delta in columns of their own; else ours alone."""
    measured: bool = True
    """With intervals, verdicts and a column of the number of images."""
    decimals: int = 1
    """Of values that are counted; those that are measured have as many as their images can tell."""

    def decimals_of(self, cell: Cell) -> int:
        """Of one cell: of a measured one, as many as its images can tell."""
        return decimals_of_images(cell.n) if self.measured else self.decimals


TABLE_LAYOUTS = {
    "layers": TableLayout(compared=False, measured=False),
    "parameters": TableLayout(measured=False, decimals=3),
    "errors": TableLayout(),
}
"""By `Table.kind`."""


def write_table(table: Table, out: Path) -> None:
    """Write `<name>.json`, `.csv`, `.md`, `.html` and `.tex` into the folder `out`."""
    write_json(out / f"{table.name}.json", asdict(table))
    write_text(out / f"{table.name}.csv", table_csv(table))
    write_text(out / f"{table.name}.md", table_markdown(table))
    write_text(out / f"{table.name}.html", table_html(table) + "\n")
    write_text(out / f"{table.name}.tex", table_latex(table) + "\n")


def read_table(path: Path) -> Table:
    """The table in a JSON file that `write_table` wrote; a ValueError that names the file where it is damaged."""
    return read_typed(Table, path, "make the table again")


def table_heading(table: Table) -> str:
    """`Table 3. One test scale`."""
    return f"{table_label(table.number)}. {table.title}" if table.number.isdigit() else table.title


def printed_delta(cell: Cell, decimals: int) -> str:
    """Ours less the published value, as both are printed: a reader who subtracts them comes to the same. Empty without one."""
    if cell.delta is None or cell.value is None:
        return ""
    published = Decimal(cell.published.split()[0].rstrip("*"))
    return printed_number(rounded(cell.value, decimals) - published, signed=True, decimals=decimals)


VERDICT_SIGNS: dict[Verdict, str] = {"agrees": "=", "differs": "\u2260", "inconclusive": "?"}
"""Printed before a verdict, so that it can be read without colours."""


def _reason(cell: Cell) -> str:
    """Why a cell has its verdict, in a sentence."""
    if cell.tolerance is None or cell.minimum_detectable_difference is None:
        # a note below the table says why cells of other data or settings have no verdict
        reasons: dict[Verdict, str] = {
            "agrees": "the same when rounded as printed",
            "differs": "not the same when rounded as printed",
        }
        return reasons.get(cell.verdict, "")
    interval = printed_interval(cell.delta_narrow, signed=True)
    return (
        f"tolerance {printed_number(cell.tolerance)} points; 90% interval of the difference {interval}; a true difference of "
        f"{printed_number(cell.minimum_detectable_difference)} would be found with 80% power"
    )


def _cell_view(cell: Cell, layout: TableLayout, anchor: str, link: str, column: str) -> dict[str, Any]:
    """What a template needs of a cell, as strings."""
    decimals = layout.decimals_of(cell)
    return {
        "id": anchor,
        "column": column,
        "link": link,
        "status": cell.status,
        "here": cell.text if cell.value is None else printed_number(cell.value, decimals=decimals),
        "mark": MARKS.get(cell.status, "") if cell.value is None else "",
        "interval": printed_interval(cell.interval, decimals=decimals),
        "spread": _spread(cell, decimals),
        "best": cell.best,
        "paper": cell.published.replace("+-", "\u00b1") if cell.published != "-" else "\u2013",
        "paper_bold": cell.published_bold,
        "delta": printed_delta(cell, decimals),
        "delta_interval": printed_interval(cell.delta_interval, signed=True, decimals=decimals),
        "verdict": f"{VERDICT_SIGNS.get(cell.verdict, '')} {cell.verdict}".strip(),
        "kind_of_verdict": cell.verdict.replace(" ", "-"),
        "span": cell.span,
        "agrees": "" if not cell.text else "same" if cell.text == cell.published else "different",
        "footnotes": [mark for mark in cell.footnotes if mark != ALL_CELLS],
    }


def _spread(cell: Cell, decimals: int) -> str:
    """`± 0.3 over 5 seeds`, and `on val` where the published number is of the test images."""
    draws = f"{cell.splits} splits" if cell.splits else f"{cell.seeds} seeds"
    spread = "" if cell.spread is None else f"\u00b1\u2009{printed_number(cell.spread, decimals=decimals)} over {draws}"
    return ", ".join(filter(None, (spread, MARKS["validation"] if cell.status == "validation" else "")))


Links = Mapping[tuple[int, int], str]
"""Anchors within a page that cells link to, by row and column from 0."""


def table_view(table: Table, links: Links | None = None) -> dict[str, Any]:
    """The table as strings and lists: all that a template sees."""
    links, layout = links or {}, TABLE_LAYOUTS[table.kind]
    rows = [
        {
            "group": row.group,
            "keys": list(row.keys),
            "cells": [
                _cell_view(cell, layout, table.anchor(r, c), links.get((r, c), ""), table.columns[c])
                for c, cell in enumerate(row.cells)
                if cell.status != "spanned"
            ],
            "n": _images(row),
        }
        for r, row in enumerate(table.rows)
    ]
    images = {row["n"] for row in rows if row["n"] != NO_IMAGES}
    n_of_all = images.pop() if layout.measured and len(images) == 1 else ""
    return {
        "name": table.name,
        "heading": table_heading(table),
        "label": table_label(table.number),
        "number": table.number,
        "title": table.title,
        "section": table.section,
        "caption": table.caption,
        "kind": table.kind,
        "layout": layout,
        "above": list(table.above),
        "key_headings": list(table.keys),
        "columns": list(table.columns),
        "rows": rows,
        "n_column": layout.measured and not n_of_all,
        "n_of_all": n_of_all,
        "key_widths": [_key_width(max(len(row.keys[i]) for row in table.rows)) for i in range(len(table.keys))],
        "long": [max(len(row.keys[i]) for row in table.rows) > 40 for i in range(len(table.keys))],
        "footnotes": [(mark, text) for mark, text in table.footnotes if mark != ALL_CELLS],
        "all_cells": next((text for mark, text in table.footnotes if mark == ALL_CELLS), ""),
        "notes": list(table.notes),
        "reasons": _reasons(table),
        "variants": variant_lines(table),
        "variants_heading": VARIANTS_HEADING,
        "variants_note": VARIANTS_NOTE,
        "variant_headings": VARIANT_HEADINGS,
    }


def _reasons(table: Table) -> list[dict[str, Any]]:
    """What the numbers of each row of ours are made from, and why its cells have their verdicts."""
    rows = [
        {
            "name": ", ".join(filter(None, row.keys)),
            "sources": ", ".join(dict.fromkeys(name for cell in row.cells for name in cell.sources)),
            "cells": [
                {"column": column, "verdict": cell.verdict, "reason": reason}
                for column, cell in zip(table.columns, row.cells, strict=True)
                if (reason := _reason(cell))
            ],
        }
        for row in table.rows
    ]
    return [row for row in rows if row["sources"]]


def _key_width(letters: int) -> str:
    """The share of the line that LaTeX gives to a key column whose text has so many letters; empty if it need not wrap."""
    return "" if letters <= 12 else "0.16" if letters <= 20 else "0.23"


NO_IMAGES = "\u2013"
"""Printed for a row of which nothing was measured."""


def _images(row: TableRow) -> str:
    """The number of images, or numbers where they differ between the row's cells."""
    counts = sorted({cell.n for cell in row.cells if cell.n})
    return ", ".join(f"{n:,}" for n in counts) or NO_IMAGES


def table_html(
    table: Table, links: Links | None = None, departures: str = "", beside: str = "", without: Collection[str] = ()
) -> str:
    """A `<figure>` with the table, for any page; `links` are anchors within that page that its numbers link to.

    `departures` is the anchor of what holds for all cells, where the page says it once for all tables. `beside` leads from
    the page to the folder of the table's other forms. The notes `without` stand elsewhere on the page.
    """
    view = table_view(table, links) | {"departures": departures, "beside": beside}
    view["notes"] = [note for note in table.notes if note not in without]
    return _environment().get_template("table.html.j2").render(view).strip()


def table_latex(table: Table) -> str:
    """Two `table` environments for array and booktabs: a compact one, "ours (paper)", and one with the intervals."""
    return _latex_environment().get_template("table.tex.j2").render(table_view(table)).strip()


def table_markdown(table: Table) -> str:
    """A pipe table under a heading: ours beside the published values."""
    from tabulate import tabulate

    view, layout = table_view(table), TABLE_LAYOUTS[table.kind]
    columns = [[f"{name}: here", "paper", "\u0394 (95%)"] if layout.compared else [name] for name in table.columns]
    headers = [*table.keys, *(name for names in columns for name in names), *(["n"] if view["n_column"] else [])]
    rows = []
    for row in view["rows"]:
        keys = [markup.escape_markdown(key) for key in row["keys"]]
        line = keys if row["group"] else ["", *keys[1:]]
        line += [text for cell in row["cells"] for text in _markdown_cell(cell, layout)]
        line += [""] * (len(headers) - view["n_column"] - len(line))
        rows.append([*line, row["n"]] if view["n_column"] else line)
    body = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    footnotes = [f"{mark.capitalize() if mark == ALL_CELLS else mark}: {text}" for mark, text in table.footnotes]
    images = [f"n = {view['n_of_all']} images in every row."] if view["n_of_all"] else []
    notes = "\n\n".join([table.caption, *images, *table.notes, *footnotes])
    section = f" (section {table.section})" if table.section else ""
    parts = [f"### {view['heading']}{section}", body, notes, *_markdown_variants(view["variants"])]
    return "\n\n".join(parts) + "\n"


def _markdown_variants(lines: Sequence[VariantLine]) -> Iterator[str]:
    from tabulate import tabulate

    if lines:
        rows = [[markup.escape_markdown(text) for text in line.texts] for line in lines]
        yield f"#### {VARIANTS_HEADING}"
        yield tabulate(rows, VARIANT_HEADINGS, tablefmt="github", disable_numparse=True)
        yield VARIANTS_NOTE


def _markdown_cell(cell: dict[str, Any], layout: TableLayout) -> list[str]:
    if not layout.compared:
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
    """The table in its own shape, a line per row: for each column ours, the published value, the delta and its verdict."""
    import pandas as pd

    records = []
    for row in table.rows:
        record: dict[str, Any] = dict(zip((key or "row" for key in table.keys), row.keys, strict=True))
        for heading, cell in zip(table.columns, row.cells, strict=True):
            record |= {
                f"{heading}: {name}": value for name, value in _csv_values(cell, TABLE_LAYOUTS[table.kind]).items()
            }
        records.append(record)
    records += [_csv_variant(table, row) for row in table.variants]
    text: str = pd.DataFrame(records).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return text


def _csv_variant(table: Table, row: VariantRow) -> dict[str, Any]:
    """A line for a variant: its values, and in columns that only such lines have, how they differ from the row varied."""
    record: dict[str, Any] = dict(zip((key or "row" for key in table.keys), row.keys, strict=True))
    for heading, cell, difference in zip(table.columns, row.cells, row.differences, strict=True):
        values = _csv_values(cell, TABLE_LAYOUTS[table.kind])
        record |= {f"{heading}: {name}": value for name, value in values.items()}
        for name, value in (asdict(difference) if difference else {}).items():
            low_high = zip(("low", "high"), value, strict=True) if name == "interval" else ((name, value),)
            record |= {f"{heading}: varied {part}": each for part, each in low_high}
    return record


def _csv_values(cell: Cell, layout: TableLayout) -> dict[str, Any]:
    if not layout.compared:
        return {"here": cell.text, "paper": cell.published}
    compared = {"here": cell.value, "paper": cell.published.replace("**", ""), "delta": cell.delta}
    if not layout.measured:
        return compared
    low, high = cell.interval or (None, None)
    delta_low, delta_high = cell.delta_interval or (None, None)
    return compared | {
        "low": low,
        "high": high,
        "delta low": delta_low,
        "delta high": delta_high,
        "verdict": cell.verdict or None,
        "tolerance": cell.tolerance,
        "minimum_detectable_difference": cell.minimum_detectable_difference,
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
        "tex": markup.escape_tex,
        "tex_bold": markup.tex_bold,
        "tex_breaks": markup.tex_breaks,
        "tex_layers": markup.tex_layers,
        "tex_lines": markup.tex_lines,
        "tex_label": markup.tex_label,
        "html_layers": markup.html_layers,
        "html_bold": markup.html_bold,
        "bold": markup.marked_bold,
        "choice_links": markup.choice_links,
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
