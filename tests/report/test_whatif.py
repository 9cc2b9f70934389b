"""Fusions in the browser: what is packed against the full scores, and the page, clicked, against what is packed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.conftest import set_width
from vggrepro.core.files import read_json
from vggrepro.paper import catalogue
from vggrepro.paper.catalogue import Evaluation
from vggrepro.report import whatif
from vggrepro.report.page import write_report
from vggrepro.scores import statistics
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, mixture_ranks, read_scores, write_scores
from vggrepro.settings.models import load_settings
from vggrepro.tables import render
from vggrepro.tables.build import make_table

N, CLASSES = 400, 30
EVALUATIONS = list(dict.fromkeys(e for number in whatif.TABLES_COMPARED for e in catalogue.evaluations(number)))


class Made(NamedTuple):
    folder: Path
    stores: dict[str, Scores]
    file: Path
    packed: dict
    parts: list[whatif.Contest]
    evaluations: list[Evaluation]

    def weights(self, systems) -> np.ndarray:
        return np.array([whatif.integer_weights(system, self.evaluations) for system in systems], np.float64)

    def wrong(self, systems) -> np.ndarray:
        """From what is packed."""
        return np.sum([whatif.with_decoded_margins(part).wrong(self.weights(systems)) for part in self.parts], 0)


def of_full_scores(stores, systems) -> np.ndarray:
    """From all posteriors, [systems, 2]: the slow way."""
    mixtures = {str(k): {e.path: weight for e, weight in system} for k, system in enumerate(systems)}
    ranks = mixture_ranks(stores, mixtures).values()
    return np.array([[wrong_images(found, quantity).sum() for quantity in TOP] for found in ranks])


def posteriors(seed: int) -> np.ndarray:
    """Evaluations agree on most images; in some, posteriors are eighths: most are 0, and many tie."""
    together, alone = np.random.default_rng(0), np.random.default_rng(seed + 1)
    x = 2 * together.normal(size=(N, CLASSES)) + 0.8 * alone.normal(size=(N, CLASSES))
    x[np.arange(N), together.integers(0, CLASSES, N)] += 2
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[: N // 8] = alone.multinomial(8, p[: N // 8]) / 8
    return p.astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """Every evaluation of Tables 3-7, packed in chunks."""
    folder = tmp_path_factory.mktemp("scores")
    labels = posteriors(99).argmax(1)
    for seed, evaluation in enumerate(EVALUATIONS):
        write_scores(folder / evaluation.path, posteriors(seed), labels, [str(i) for i in range(N)], {})
    whatif.write_whatif(load_settings({"smoke": True}), folder, folder / "whatif.json", workers=2)
    packed = read_json(folder / "whatif.json")
    named = {(e.run.label, e.protocol, e.Q): e for e in EVALUATIONS}
    evaluations = [named[e["run"], e["protocol"], e["Q"]] for e in packed["evaluations"]]
    stores = {e.path: read_scores(folder / e.path) for e in evaluations}
    parts, _ = whatif.pack_stores(list(stores.values()), np.ones((1, len(stores))))
    return Made(folder, stores, folder / "whatif.json", packed, parts, evaluations)


def random_systems(count: int) -> list[catalogue.System]:
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 9, count)
    return [catalogue.averaged_system(EVALUATIONS[i] for i in rng.choice(len(EVALUATIONS), n, False)) for n in sizes]


def test_the_rows_of_the_paper_are_averages_over_scales_then_protocols_then_nets():
    systems = [
        row.system for number in whatif.TABLES_COMPARED for row in catalogue.published_table(number).rows if row.system
    ]
    assert len(systems) == 35
    assert all(dict(catalogue.averaged_system(e for e, _ in system)) == dict(system) for system in systems)


def test_an_average_weighs_nets_alike_whatever_was_evaluated_of_them():
    D, E = catalogue.Run("D", "256"), catalogue.Run("E", "256")
    picked = [Evaluation(D, "dense", 224), Evaluation(D, "dense", 256), Evaluation(D, "multi-crop", 256)]
    fused = dict(catalogue.averaged_system([*picked, Evaluation(E, "dense", 256)]))
    assert list(fused.values()) == [Fraction(1, 8), Fraction(1, 8), Fraction(1, 4), Fraction(1, 2)]


def test_a_contest_decides_every_fusion_as_all_posteriors_do(made):
    systems = random_systems(60)
    stores = list(made.stores.values())
    found = whatif.contest_of([store.posteriors for store in stores], stores[0].labels)
    assert found.wrong(made.weights(systems)).tolist() == of_full_scores(made.stores, systems).tolist()
    assert len(found.always) < N


def test_one_evaluation_alone_is_exact(made):
    alone = [catalogue.averaged_system([e]) for e in made.evaluations]
    assert made.wrong(alone).tolist() == of_full_scores(made.stores, alone).tolist()


def test_the_file_says_how_far_packed_errors_are_from_those_of_all_posteriors(made):
    seed_systems = [system for _, system in whatif._rows(made.evaluations, 0)]
    systems = seed_systems + whatif._random_systems(made.evaluations)
    distance = 100 * abs(made.wrong(systems) - of_full_scores(made.stores, systems)) / N
    said = made.packed["closeness"]
    assert list(said["largest"].values()) == pytest.approx(distance.max(0))
    assert list(said["mean"].values()) == pytest.approx(distance.mean(0))
    assert distance.max() <= 0.75, "three images of 400"
    assert (said["rows"], said["random"]) == (35, 100)


def test_codes_keep_the_sign_and_the_order_of_a_pairs_margins():
    margins = np.concatenate([[0, 1e-30, -1e-30], np.random.default_rng(0).normal(0, 0.1, 500)]).astype(np.float32)
    code = whatif.margin_codes(margins[:, None])[:, 0]
    assert np.array_equal(np.sign(code), np.sign(margins))
    assert (np.diff(code[np.argsort(margins)].astype(int)) >= 0).all()
    assert abs(code.astype(int)).max() == 127


def test_chunks_and_threads_change_nothing(made, monkeypatch):
    monkeypatch.setattr(whatif, "IMAGES_PER_PACK", 37)
    whatif.write_whatif(load_settings({"smoke": True}), made.folder, made.folder / "again.json", workers=1)
    again = read_json(made.folder / "again.json")
    assert {k: v for k, v in again.items() if k != "made"} == {k: v for k, v in made.packed.items() if k != "made"}


def test_a_page_that_would_be_too_large_keeps_the_most_wanted_classes(made, monkeypatch):
    limit = made.packed["pairs"] * len(made.stores) // 2
    monkeypatch.setattr(whatif, "MAX_MARGINS", limit)
    parts, _ = whatif.pack_stores(list(made.stores.values()), np.ones((1, len(made.stores))))
    assert 0.5 * limit < sum(part.margins.size for part in parts) <= limit
    assert all(set(part.image) == set(range(len(part.always))) for part in parts)


def test_evaluations_that_are_not_there_are_left_out(made, tmp_path):
    kept = [e for e in made.evaluations if e.run.name == "D_256-512_s0" and e.protocol == "dense"]
    for evaluation in kept:
        (tmp_path / evaluation.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / evaluation.path).symlink_to(made.folder / evaluation.path)
    whatif.write_whatif(load_settings({"smoke": True}), tmp_path, tmp_path / "whatif.json")
    packed = read_json(tmp_path / "whatif.json")
    assert [e["Q"] for e in packed["evaluations"]] == [256, 384, 512]
    assert [row["table"] for row in packed["rows"]] == ["3", "4", "5"]
    with pytest.raises(ValueError, match="no score store of the paper's evaluations"):
        whatif.write_whatif(load_settings({"smoke": True}), tmp_path / "nowhere", tmp_path / "whatif.json")


@pytest.fixture(scope="module")
def page(made, browser):
    """The report in a browser, which has opened it anew."""
    settings, folder = load_settings({"smoke": True}), made.folder / "report"
    render.write_table(make_table("2", settings, None), folder)
    write_report(settings, table_files=[folder / "table02.json"], run_files=[], packed=made.file, out=folder)
    set_width(browser, 1280)
    browser.get((folder / "report.html").as_uri())
    return browser


def shown(page) -> tuple[str, list[list[str]], list[list[str]]]:
    """What the result says: its line, and of every number the text and the value."""
    line, *rows = page.execute_script("""
        const result = document.querySelector("#whatif .result");
        const rows = [...result.querySelectorAll("tbody tr")].map(row => [...row.querySelectorAll("data")]);
        return [result.querySelector("p").innerText,
                rows.map(row => row.map(one => one.innerText)), rows.map(row => row.map(one => one.value))]""")
    return line, *rows


def click(page, selector: str) -> None:
    """A click of the mouse where the element is, once it is in the middle of the window; fails if another one covers it."""
    from selenium.webdriver.common.by import By

    element = page.find_element(By.CSS_SELECTOR, f"#whatif {selector}")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def pick(page, made, evaluations) -> None:
    """Click so that just these are picked."""
    if page.execute_script("return document.querySelectorAll('#whatif input[type=checkbox]:checked').length"):
        click(page, "button[data-clear]")
    for evaluation in evaluations:
        click(page, f"input[type=checkbox][value='{made.evaluations.index(evaluation)}']")


def test_clicked_fusions_have_the_errors_of_what_is_packed(page, made):
    for system in random_systems(6):
        pick(page, made, [e for e, _ in system])
        _, _, values = shown(page)
        assert [int(row[0]) for row in values] == made.wrong([system])[0].tolist()
        for row in values:
            assert [float(x) for x in row[1].split()] == pytest.approx(statistics.wilson(int(row[0]), N), abs=1e-12)


def test_every_row_of_the_paper_is_a_button_and_is_found_again(page, made):
    rows = made.packed["rows"]
    page.execute_script("document.querySelectorAll('#whatif details').forEach(one => one.open = true)")
    wrong = made.wrong([system for _, system in whatif._rows(made.evaluations, 0)])
    for number, row in enumerate(rows):
        click(page, f"button[data-row='{number}']")
        line, texts, values = shown(page)
        assert "Exactly" in line
        assert f"Table {row['table']}, {row['name']}" in line
        assert [int(value[0]) for value in values] == wrong[number].tolist()
        assert [float(text[2]) for text in texts] == row["published"]
        deltas = 100 * wrong[number] / N - row["published"]
        assert [float(value[3]) for value in values] == pytest.approx(deltas)


def test_a_fusion_that_the_paper_lacks_is_told_its_nearest_row(page, made):
    row = next(row for row in catalogue.published_table("5").rows if row.keys["protocol"] == "multi-crop & dense")
    pick(page, made, [e for e, _ in row.system][:-1])
    line, _, _ = shown(page)
    assert (
        "No row of the paper. Nearest: Table 5, D/[256;512]/256,384,512, multi-crop & dense (1 evaluation differs)"
        in line
    )


def test_evaluations_can_weigh_alike(page, made):
    D = catalogue.Run("D", "256-512")
    picked = [Evaluation(D, "dense", q) for q in (256, 384, 512)] + [Evaluation(D, "multi-crop", 256)]
    pick(page, made, picked)
    click(page, "input[value=alike]")
    _, _, values = shown(page)
    alike = tuple((e, Fraction(1, 4)) for e in picked)
    assert [int(row[0]) for row in values] == made.wrong([alike])[0].tolist()
    click(page, "input[value=paper]")
    assert [int(row[0]) for row in shown(page)[2]] == made.wrong([catalogue.averaged_system(picked)])[0].tolist()


def test_the_keyboard_picks_and_a_run_is_picked_and_dropped_at_once(page, made):
    from selenium.webdriver.common.keys import Keys

    pick(page, made, [])
    assert shown(page)[0] == "Nothing is picked: pick an evaluation."
    page.execute_script("document.querySelector('#whatif input[type=checkbox]').focus()")
    page.switch_to.active_element.send_keys(Keys.SPACE)
    assert shown(page)[0].startswith("1 evaluation of 1 net. Exactly Table 3, A/256/256, dense.")
    page.switch_to.active_element.send_keys(Keys.SPACE)
    click(page, "button[aria-label='all of D/[256;512]']")
    assert shown(page)[0].startswith(
        "6 evaluations of 1 net. Exactly Table 5, D/[256;512]/256,384,512, multi-crop & dense"
    )
    click(page, "button[aria-label='all of D/[256;512]']")
    assert shown(page)[0].startswith("Nothing")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_complains_of_nothing(page, width):
    set_width(page, width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.get_log("browser") == []


def test_paper_and_browsers_without_scripts_are_told_what_is_missing(page):
    from selenium.webdriver.common.by import By

    sentence = page.find_element(By.CSS_SELECTOR, "#whatif .missing")
    assert not sentence.is_displayed()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert sentence.is_displayed()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
        assert page.find_element(By.CSS_SELECTOR, "#whatif .missing").is_displayed()
        assert not page.find_element(By.CSS_SELECTOR, "#whatif .result").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
