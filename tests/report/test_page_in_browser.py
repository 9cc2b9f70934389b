"""The whole report in a real browser: readable at every width, in both colour schemes, with a keyboard and by machines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import set_width
from vggrepro.paper.tables import table_name
from vggrepro.report.page import write_report
from vggrepro.report.whatif import write_whatif
from vggrepro.tables import render
from vggrepro.tables.cells import Table

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS = (390, 1280, 1920)

FAULTS = """
  const faults = [];
  for (const region of document.querySelectorAll('.scroll:has(table)')) {
    const name = region.getAttribute('aria-label');
    const limit = region.tabIndex === 0 ? Infinity : region.getBoundingClientRect().right;
    for (const cell of region.querySelectorAll('td, th')) {
      const text = document.createRange();
      text.selectNodeContents(cell);
      const inner = text.getBoundingClientRect(), outer = cell.getBoundingClientRect();
      if (inner.width && (inner.right > outer.right + 1 || inner.left < outer.left - 1 || outer.right > limit + 1))
        faults.push(`${name}: ${cell.textContent.trim().slice(0, 40)}`);
    }
    // parts of one cell: ours, the published number, the difference
    for (const trio of region.querySelectorAll('.trio')) {
      const parts = [...trio.children].map((part) => {
        const text = document.createRange();
        text.selectNodeContents(part);
        return text.getBoundingClientRect();
      }).filter((part) => part.width);
      parts.forEach((a, i) => parts.slice(i + 1).forEach((b) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 4) faults.push(`${name}: overprinted ${trio.textContent.trim().slice(0, 40)}`);
      }));
    }
  }
  return faults;
"""
"""Cells whose text leaves them or is cut, and cells whose parts lie upon each other."""


def with_numbers(table: Table) -> Table:
    """The table as if all its cells that were not run had been measured: SVMs and boxes take minutes."""
    numbers = {"value": 52.5, "interval": (47.61, 57.34), "delta": -40.1, "delta_interval": (-44.99, -35.26)}
    measured = {"status": "measured", "verdict": "other data", "n": 400, "seeds": 2, "spread": 1.25} | numbers
    rows = [
        replace(row, cells=tuple(replace(c, **measured) if c.status == "not run" else c for c in row.cells))
        for row in table.rows
    ]
    return replace(table, rows=tuple(rows))


@pytest.fixture(scope="module")
def page(results, settings, tmp_path_factory) -> Path:
    """A report of all tables, with numbers of ours in each, and with What-if."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(results / "tables", folder / "tables")
    for number in ("8", "9", "10", "11", "12"):
        file = folder / "tables" / f"{table_name(number)}.json"
        render.write_table(with_numbers(render.read_table(file)), folder / "tables")
    write_whatif(settings, results / "scores", folder / "whatif.json")
    write_report(
        settings,
        table_files=sorted((folder / "tables").glob("*.json")),
        run_files=sorted((results / "runs").glob("*/run.json")),
        out=folder / "report",
        claims=results / "claims/claims.json",
        packed=folder / "whatif.json",
    )
    return folder / "report/report.html"


@pytest.fixture
def shown(page, browser) -> Iterator[Chrome]:
    """The browser, which shows the report; afterwards it is as it was."""
    browser.set_script_timeout(600)
    browser.get(page.as_uri())
    browser.get_log("browser")  # of pages before
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert browser.get_log("browser") == [], "a script of the page failed"


def reload_at(browser: Chrome, width: int, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    set_width(browser, width)
    browser.refresh()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_is_cut_or_overprinted(shown, width):
    reload_at(shown, width)
    assert shown.execute_script(FAULTS) == []
    assert shown.execute_script("return document.documentElement.scrollWidth") <= width


def test_no_table_is_cut_or_overprinted_on_paper(shown):
    reload_at(shown, 700)  # of A4 within its margins
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert shown.execute_script(FAULTS) == []
    wide = """
      return [...document.querySelectorAll('main table')].filter((table) => table.getBoundingClientRect().right > 701)
        .map((table) => table.parentElement.getAttribute('aria-label'))"""
    assert shown.execute_script(wide) == []


def test_on_a_phone_the_numbers_of_every_table_are_in_sight(shown):
    """Nobody has to scroll a table sideways to see its numbers; of Table 1 the first nets are in sight."""
    reload_at(shown, 390)
    hidden = """
      return [...document.querySelectorAll('figure.table:not(.layers) td')]
        .filter((cell) => cell.textContent.trim() && cell.getBoundingClientRect().right > 391).map((cell) => cell.id)"""
    assert shown.execute_script(hidden) == []
    assert (
        shown.execute_script("return document.querySelector('figure.layers tbody td').getBoundingClientRect().left")
        < 390
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(shown, width, scheme):
    """With a row of the paper picked in What-if, by a click."""
    axe = pytest.importorskip("axe_playwright_python", reason="no axe-core here: pip install .[dev]")
    reload_at(shown, width, scheme)
    shown.execute_script("document.querySelector('#whatif button[data-row]').click()")
    shown.execute_script((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    violations = shown.execute_async_script("""
      const done = arguments[0];
      axe.run(document, {resultTypes: ['violations']}).then((result) =>
        done(result.violations.map((one) => `${one.id}: ${one.nodes[0].html} (${one.nodes.length})`)))""")
    assert violations == []


def test_buttons_of_what_if_say_whether_they_are_pressed(shown):
    pressed = "return [...document.querySelectorAll('#whatif button[aria-pressed=true]')].map((one) => one.textContent)"
    shown.execute_script("document.querySelector('#whatif button[data-clear]').click()")
    assert shown.execute_script(pressed) == []
    row = "document.querySelector('#whatif button[data-row=\"0\"]')"
    name = shown.execute_script(f"{row}.click(); return {row}.textContent")
    assert name in shown.execute_script(pressed)
    net = name.partition("/")[0]
    some = "return [...document.querySelectorAll('#whatif legend button')].map((one) => [one.textContent, one.ariaPressed])"
    assert {run.partition("/")[0] for run, state in shown.execute_script(some) if state != "false"} == {net}


@pytest.mark.parametrize("width", [390, 1280])
def test_few_tab_stops_lie_before_what_if_and_none_hides_behind_a_bar(shown, width):
    from selenium.webdriver.common.keys import Keys

    reload_at(shown, width)
    stops, hidden = 0, []
    where = """
      const one = document.activeElement, box = one.getBoundingClientRect();
      const top = document.elementFromPoint(box.left + Math.min(box.width, 20) / 2, box.top + Math.min(box.height, 16) / 2);
      return [!!one.closest('#whatif'), one.contains(top) || !!(top && top.contains(one)), one.outerHTML.slice(0, 80)]"""
    while stops < 120:
        shown.switch_to.active_element.send_keys(Keys.TAB)
        inside, seen, text = shown.execute_script(where)
        hidden += [] if seen else [text]
        if inside:
            break
        stops += 1
    assert stops < 60
    for _ in range(50):
        shown.switch_to.active_element.send_keys(Keys.TAB)
        _, seen, text = shown.execute_script(where)
        hidden += [] if seen else [text]
    assert hidden == []


def test_arrows_lead_from_number_to_number_of_a_table(shown):
    from selenium.webdriver.common.keys import Keys

    if not shown.execute_script("return document.querySelectorAll('table.claims td a').length > 3"):
        pytest.fail("the claims of this page compare nothing")
    at = "return document.activeElement.closest('tr').rowIndex"
    shown.execute_script("document.querySelector('table.claims summary').focus()")
    first = shown.execute_script(at)
    shown.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert shown.execute_script(at) > first
    shown.switch_to.active_element.send_keys(Keys.ARROW_UP)
    assert shown.execute_script(at) == first


def test_beside_each_table_lie_its_other_forms(shown, page):
    links = "return [...document.querySelectorAll('.files a')].map((one) => one.getAttribute('href'))"
    names = shown.execute_script(links)
    assert len(names) == 3 * len(list((page.parent.parent / "tables").glob("*.json")))
    assert all((page.parent / name).exists() for name in names)
