"""Every format shows every number: CSV, HTML, Markdown, and LaTeX that compiles."""

from __future__ import annotations

import csv as csv_module
import io
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.made_tables import table_with_outcomes
from tests.tables.made_up import table
from vggrepro.paper.tables import published_table, table_numbers
from vggrepro.report.page import write_report
from vggrepro.scores import outcomes
from vggrepro.settings.loading import load_settings
from vggrepro.tables import markup, render
from vggrepro.tables.cells import Cell, Table


def numbers_in(kind: str, shown: Table) -> list[list[tuple[str, str | None]]]:
    """Of each row the numbers in its cells, in their order, as a format shows them: ours and the delta."""
    if kind == "html":
        rows = re.findall(
            r'<tr(?: class="group")?>.*?</tr>', render.table_html(shown).partition("<tbody>")[2], re.DOTALL
        )
        cell = re.compile(r'<span class="here[^>]*>(?:<a[^>]*>)?([^<]*).*?<span class="delta">([^<]*)', re.DOTALL)
        pairs = [cell.findall(row) for row in rows]
    else:
        lines = [line[len(shown.keys) :] for line in markdown_rows(shown)]
        pairs = [list(zip(line[::3], line[2::3], strict=False)) for line in lines]
    return [[(number_of(ours), number_of(delta)) for ours, delta in row if number_of(ours)] for row in pairs]


def number_of(text: str) -> str | None:
    return re.match(r"\s*(?:\*\*|\\emph{|\\textbf{)?([+\u2212]?\d+\.\d+)?", text.replace("$-$", "\u2212"))[1]


def markdown_rows(shown: Table) -> list[list[str]]:
    return [line.split("|")[1:-1] for line in render.table_markdown(shown).splitlines() if line.startswith("|")][2:]


def latex_cells(latex: str) -> list[list[str]]:
    """The cells of each row of a table's body; a cell of two lines is one line here."""
    body = re.search(r"\\midrule(.*)\\bottomrule", latex, re.DOTALL)[1].replace(r"\addlinespace", "")
    body = re.sub(r"\\begin{tabular}\[t\]{@{}[rl]@{}}(.*?)\\\\(.*?)\\end{tabular}", r"\1 \2", body)
    return [re.split(r"(?<!\\)&", row) for row in re.split(r"\\\\", body)[:-1]]


@pytest.mark.parametrize("number", table_numbers("parameters", "scores"))
def test_latex_has_ours_beside_the_papers_number_and_every_interval_in_a_table_of_its_own(made, number):
    shown = table(number, made)
    compact, *intervals = re.findall(r"\\begin{table}.*?\\end{table}", render.table_latex(shown), re.DOTALL)
    cells = [[cell for cell in row.cells if cell.status != "spanned"] for row in shown.rows]
    decimals = render.TABLE_LAYOUTS[shown.kind].decimals_of
    for line, row in zip(latex_cells(compact), cells, strict=True):
        for text, cell in zip(line[len(shown.keys) :], row, strict=False):
            assert number_of(re.sub(r".*?multicolumn{\d}{c}{", "", text)) == (
                None if cell.value is None else render.printed_number(cell.value, decimals=decimals(cell))
            )
            assert f"({'--' if cell.published == '-' else cell.published})" in re.sub(r"\\textbf{([^}]*)}", r"\1", text)
            assert ("(\\textbf{" in text) == cell.published_bold
    measured = [cell for row in cells for cell in row if cell.interval]
    lines = latex_cells(intervals[0]) if intervals else []
    assert [(number_of(line[2]), number_of(line[4])) for line in lines] == [
        (
            render.printed_number(cell.value, decimals=decimals(cell)),
            render.printed_delta(cell, decimals(cell)) or None,
        )
        for cell in measured
    ]


@pytest.mark.parametrize("number", table_numbers("parameters", "scores"))
def test_every_format_shows_every_number_in_its_cell(made, number):
    """Two cells that changed places would show."""
    shown = table(number, made)
    layout = render.TABLE_LAYOUTS[shown.kind]
    cells = [[cell for cell in row.cells if cell.value is not None] for row in shown.rows]
    expected = [
        [
            (
                render.printed_number(cell.value, decimals=layout.decimals_of(cell)),
                render.printed_delta(cell, layout.decimals_of(cell)) or None,
            )
            for cell in row
        ]
        for row in cells
    ]
    for kind in ("html", "md"):
        assert numbers_in(kind, shown) == expected, kind
    for record, row in zip(csv_module.DictReader(io.StringIO(render.table_csv(shown))), shown.rows, strict=True):
        for column, cell in zip(shown.columns, row.cells, strict=True):
            assert record[f"{column}: here"] == ("" if cell.value is None else f"{cell.value:.6g}")


@pytest.mark.parametrize("number", table_numbers())
def test_no_cell_is_blank(made, number):
    records = list(csv_module.DictReader(io.StringIO(render.table_csv(table(number, made)))))
    assert len(records) == len(published_table(number).rows)
    body = render.table_html(table(number, made)).partition("<tbody>")[2]
    for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
        assert all(
            re.sub(r"<[^>]+>|\s", "", cell) for cell in re.findall(r"<td(?! class=\"key\").*?</td>", row, re.DOTALL)
        )


def test_rows_have_as_many_columns_as_the_head(made):
    for number in table_numbers():
        lines = [line for line in render.table_markdown(table(number, made)).splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(("value", "text"), [(0.04, "0.0"), (-0.04, "0.0"), (-1.26, "\u22121.3"), (3.0, "3.0")])
def test_numbers_are_printed_with_a_true_minus_and_no_negative_zero(value, text):
    assert render.printed_number(value) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (28.75, 1, "28.8"),
        (27.75, 1, "27.8"),
        (0.05, 1, "0.1"),
        (-0.05, 1, "\u22120.1"),
        (100 * 0.2875, 1, "28.8"),
        (27.125, 2, "27.13"),
    ],
)
def test_halves_are_rounded_away_from_zero(value, decimals, text):
    assert render.printed_number(value, decimals=decimals) == text


@pytest.mark.parametrize("n", [400, 1200, 1999, 2000, 50_000])
def test_the_printed_numbers_of_a_cell_add_up(n):
    """Whoever subtracts the published number from ours has the printed delta; of few images no count is rounded away."""
    layout = render.TABLE_LAYOUTS["errors"]
    for wrong in range(0, n, max(1, n // 97)):
        value = 100 * wrong / n
        cell = Cell("measured", "24.8", value=value, delta=value - 24.8, n=n)
        decimals = layout.decimals_of(cell)
        here, delta = (
            float(text.replace("\u2212", "-"))
            for text in (render.printed_number(value, decimals=decimals), render.printed_delta(cell, decimals))
        )
        assert math.isclose(here - 24.8, delta, abs_tol=1e-9)
        assert abs(here - value) <= 0.5 / 10**decimals + 1e-9
        assert decimals == (2 if 100 / n > 0.05 else 1)


def test_latex_escapes_what_it_would_take_for_a_command():
    assert markup.escape_tex(r"50% & _#$ \x {y} [1;2]") == r"50\% \& \_\#\$ \textbackslash{}x \{y\} {[}1;2{]}"


def compiled(file: Path) -> str:
    """What pdflatex says of a file that it compiles."""
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name]
    done = subprocess.run(call, cwd=file.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: install texlive-latex-recommended")
def test_the_report_compiles_with_pdflatex(made, tmp_path):
    settings = load_settings({"smoke": True})
    for number in table_numbers():
        shown, found = table_with_outcomes(number, settings, made)
        render.write_table(shown, tmp_path / "tables")
        outcomes.write_outcomes(tmp_path / "tables" / f"{shown.name}.npz", found)
    write_report(settings, table_files=sorted((tmp_path / "tables").glob("*.json")), run_files=[], out=tmp_path)
    log = compiled(tmp_path / "report.tex")
    assert "Overfull" not in log.replace("Overfull \\vbox", "")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: install texlive-latex-recommended")
def test_every_table_can_be_pasted_into_an_article(made, tmp_path):
    """With the packages that it names, at its size, without running over the line or renumbering the host's tables."""
    tables = [render.table_latex(table(number, made)) for number in table_numbers()]
    head = (
        r"\documentclass[10pt]{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{array,booktabs}"
    )
    text = "\\clearpage\n".join([head + r"\begin{document}", *tables, r"\end{document}"])
    (tmp_path / "paper.tex").write_text(text, encoding="utf-8")
    log = compiled(tmp_path / "paper.tex")
    assert "Overfull \\hbox" not in log
    assert all("resizebox" not in latex and "renewcommand" not in latex for latex in tables)
