"""The whole report in a real browser: readable at every width, in both colour schemes, with a keyboard and by machines."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import cases, set_width
from vggrepro.diagnosis.evidence import write_evidence
from vggrepro.paper.tables import table_name
from vggrepro.report.page import write_report
from vggrepro.report.whatif import write_whatif
from vggrepro.scores.outcomes import read_outcomes
from vggrepro.scores.stores import read_scores
from vggrepro.tables import render
from vggrepro.tables.cells import Table

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS = cases([390, 1280], [1920])

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
    write_evidence(
        settings,
        table_files=sorted((results / "tables").glob("*.json")),
        scores_folder=results / "scores",
        val_folder=None,
        out=folder / "evidence",
    )
    write_report(
        settings,
        table_files=sorted((folder / "tables").glob("*.json")),
        run_files=sorted((results / "runs").glob("*/run.json")),
        out=folder / "report",
        claims=results / "claims/claims.json",
        packed=folder / "whatif.json",
        evidence=folder / "evidence",
        results=results,
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


def wait_until(browser: Chrome, happened: Callable[[], bool]) -> None:
    """Wait for what a script of the page does later."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda _: happened())


def compare_cells(browser: Chrome, *cells: str) -> str:
    """Show the evidence of a cell, or of two, with all its parts open; returns what the page says of it."""
    browser.execute_script("location.hash = arguments[0]", f"#evidence/{'/'.join(cells)}")
    says = "return document.querySelector('#evidence [role=status]').textContent"
    first = browser.execute_script(
        "return document.querySelector('#evidence [data-of=first]').selectedOptions[0].textContent"
    )
    wait_until(browser, lambda: browser.execute_script(says).startswith(first))
    browser.execute_script("for (const one of document.querySelectorAll('#evidence details')) one.open = true")
    return str(browser.execute_script(says))


LINES = """
  return [...document.querySelector(`[data-name="${arguments[0]}"]`).querySelectorAll('tbody tr')]
    .map((row) => [...row.cells].map((cell) => cell.textContent))"""
"""The lines of one of the evidence's tables."""


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


def test_on_paper_no_word_of_a_heading_is_broken(shown):
    reload_at(shown, 700)
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    broken = r"""
      const words = [];
      for (const heading of document.querySelectorAll('table.plain thead th')) {
        const walker = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT);
        for (let text = walker.nextNode(); text; text = walker.nextNode()) {
          for (const word of text.data.matchAll(/[\\p{L}\\d]+/gu)) {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            if (range.getClientRects().length > 1) words.push(word[0]);
          }
        }
      }
      return words"""
    assert shown.execute_script(broken) == []


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


def test_on_a_phone_no_table_but_that_of_layers_is_scrolled_sideways(shown):
    """Neither those of the paper nor those of choices, training runs, results, or behind a number."""
    reload_at(shown, 390)
    compare_cells(shown, "table03-1-1", "table03-2-1")
    wide = """
      return [...document.querySelectorAll('.scroll:has(table)')].filter((part) => part.scrollWidth > part.clientWidth)
        .map((part) => part.getAttribute('aria-label'))"""
    assert shown.execute_script(wide) == ["Table 1. The layer stacks"]


@pytest.mark.parametrize(("width", "scheme"), cases([(390, "dark")], [(1280, "light"), (390, "light"), (1280, "dark")]))
def test_axe_finds_no_violation(shown, width, scheme):
    """With a row of the paper picked in What-if, by a click, and the evidence of two cells open."""
    axe = pytest.importorskip("axe_playwright_python", reason="no axe-core here: pip install .[dev]")
    reload_at(shown, width, scheme)
    shown.execute_script("document.querySelector('#whatif button[data-row]').click()")
    compare_cells(shown, "table03-1-1", "table03-2-1")
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


@pytest.mark.parametrize("width", cases([390], [1280]))
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
    for _ in range(20):
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


def test_errors_and_confusion_of_classes_equal_what_loops_over_images_count(shown, results):
    """Of a system that averages three scales, from the posteriors themselves."""
    stores = [read_scores(results / f"scores/B_256_s0/dense/{Q}") for Q in (224, 256, 288)]
    labels, classes = stores[0].labels.tolist(), stores[0].classes
    answers = []
    for i in range(len(labels)):
        sums = [sum(float(store.posteriors[i, c]) for store in stores) for c in range(classes)]
        answers.append(sums.index(max(sums)))
    counts = [
        [sum(labels[i] == c and answers[i] == a for i in range(len(labels))) for a in range(classes)]
        for c in range(classes)
    ]
    wrong = sum(a != c for a, c in zip(answers, labels, strict=True))
    assert f"{wrong} of {len(labels)} images are wrong ({100 * wrong / len(labels):.2f}%)" in compare_cells(
        shown, "table04-1-1"
    )
    rows = """return [...document.querySelectorAll('#evidence .matrix tbody tr')]
      .map((row) => [...row.querySelectorAll('td')].map((cell) => Number(cell.textContent)))"""
    assert shown.execute_script(rows) == counts
    pairs = [
        [str(c), str(a), str(counts[c][a])] for c in range(classes) for a in range(classes) if c != a and counts[c][a]
    ]
    assert sorted(shown.execute_script(LINES, "pairs of classes")) == sorted(pairs)
    for name, images, errors, share, *_ in shown.execute_script(LINES, "classes"):
        n, bad = sum(counts[int(name)]), sum(counts[int(name)]) - counts[int(name)][int(name)]
        assert (images, errors, share) == (str(n), str(bad), f"{100 * bad / n:.2f}")


def test_of_two_numbers_the_page_lists_the_images_on_which_they_differ(shown, results):
    """Sorted by a click, narrowed by a search, a class and the nets that are right."""
    entries = {
        tuple(entry.row.values()): entry.outcome.wrong[0]
        for entry in read_outcomes(results / "tables/table03.npz").entries
        if entry.quantity == "top-1"
    }
    (_, first), (_, second), *_ = entries.items()
    says = compare_cells(shown, "table03-1-1", "table03-2-1")
    expected = {str(i) for i in range(len(first)) if first[i] and not second[i]}
    assert f"{len(expected)} wrong, then right" in says
    lines = shown.execute_script(LINES, "images")
    assert {line[0] for line in lines} == expected
    for line in lines:
        right = sum(not wrong[int(line[0])] for wrong in entries.values())
        assert line[-1].split(" ")[0] == str(right)
    sort = "document.querySelector('[data-name=images] th:last-child button').click()"
    shown.execute_script(sort)
    counts = [int(line[-1].split(" ")[0]) for line in shown.execute_script(LINES, "images")]
    assert counts == sorted(counts)
    set_to = """
      const one = document.querySelector(`#evidence [data-of="${arguments[0]}"]`);
      one.value = arguments[1]; one.dispatchEvent(new Event('change'))"""
    shown.execute_script(set_to, "show", "4")
    assert len(shown.execute_script(LINES, "images")) == len(first)
    shown.execute_script(set_to, "class", "2")
    labels = read_scores(results / "scores/A_256_s0/dense/256").labels
    assert {line[0] for line in shown.execute_script(LINES, "images")} == {str(i) for i in np.flatnonzero(labels == 2)}
    shown.execute_script(set_to, "nets", "none")
    assert all(line[-1].startswith("0 ") for line in shown.execute_script(LINES, "images"))
    shown.execute_script(set_to, "class", "")
    shown.execute_script(set_to, "nets", "")
    search = """
      const one = document.querySelector('[data-name=images] input');
      one.value = arguments[0]; one.dispatchEvent(new Event('input'))"""
    shown.execute_script(search, "19")
    found = shown.execute_script(LINES, "images")
    assert found
    assert all(any("19" in cell for cell in line) for line in found)


def test_cells_lead_to_their_images_and_claims_to_their_flips(shown):
    links = (
        "return [...document.querySelectorAll('a[href^=\"#evidence/\"]')].map((one) => one.hash.split('/').slice(1))"
    )
    pairs = shown.execute_script(links)
    assert {len(pair) for pair in pairs} == {1, 2}
    known = "return arguments[0].filter((cell) => !document.getElementById(cell))"
    assert shown.execute_script(known, sorted({cell for pair in pairs for cell in pair})) == []


def test_a_page_whose_evidence_is_gone_says_which_file_it_needs(page, browser, tmp_path):
    shutil.copy(page, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    browser.execute_script("location.hash = '#evidence/table03-1-1'")
    says = "return document.querySelector('#evidence [role=status]').textContent"
    wait_until(browser, lambda: "images.js" in browser.execute_script(says))
    [entry] = browser.get_log("browser")
    assert "images.js" in entry["message"]


def contrast(first: str, second: str) -> float:
    """The ratio of two colours `#rrggbb` by WCAG 2: from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def test_labels_and_colours_of_figures_can_be_read_on_paper_and_on_both_pages(page):
    """Printed 17 cm wide no label is below 8 points; each colour has 3:1 on the light and on the dark page."""
    text = page.read_text(encoding="utf-8")
    papers = re.findall(r"--paper: (#[0-9a-f]{6})", text)[:2]
    figures = re.findall(r'<figure id="([^"]+)">(.*?)</figure>', text, re.DOTALL)
    assert {"dag", "deltas-1", "claims-forest-1", "error-against-cost", "agreement", "class-errors"} <= dict(
        figures
    ).keys()
    assert contrast("#000000", "#ffffff") == 21
    for name, figure in figures:
        wide = float(re.search(r'viewBox="0 0 ([0-9.]+)', figure)[1])
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([0-9.]+)px", figure)]
        assert min(sizes) * min(1, 482.4 / wide) >= 7.99, name
        colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", figure)) - {"#ffffff"}
        faint = {colour: [round(contrast(colour, paper), 2) for paper in papers] for colour in colours}
        assert all(min(ratios) >= 3 for ratios in faint.values()), (name, faint)
        see_through = r"(?:fill|stroke): #[0-9a-f]{6};[^\"]*opacity: 0?\.[0-9]"
        assert not re.findall(see_through, re.sub("<defs>.*?</defs>", "", figure, flags=re.DOTALL)), name


def test_a_title_stands_above_its_figure(shown):
    below = """
      return [...document.querySelectorAll('main figure:has(svg)')].filter((figure) =>
        figure.querySelector('h3').getBoundingClientRect().bottom > figure.querySelector('svg').getBoundingClientRect().top)
        .map((figure) => figure.id)"""
    assert shown.execute_script(below) == []
