"""Fusions in the browser: the packed file against the full scores, and the clicked page against the packed file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.conftest import set_width
from tests.made_tables import judged_table
from vggrepro.core.files import read_json
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation, System, averaged_system
from vggrepro.paper.tables import published_table, table_evaluations
from vggrepro.report import whatif
from vggrepro.report.page import write_report
from vggrepro.scores import statistics
from vggrepro.scores.outcomes import Errors
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, mixture_ranks, read_scores, write_scores
from vggrepro.scores.trainings import differing, pooled_spread, trainings_of, with_trainings
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render

N, CLASSES = 400, 30
COMPARED = ("3", "4", "5", "6", "7")
"""The tables that print errors of ours: rows of the text print none, and unprinted tables none at all."""
EVALUATIONS = list(dict.fromkeys(e for number in COMPARED for e in table_evaluations(number)))


class PackedScores(NamedTuple):
    folder: Path
    stores: dict[str, Scores]
    file: Path
    packed: dict
    parts: list[whatif.Contest]
    evaluations: list[Evaluation]

    def weights(self, systems) -> np.ndarray:
        return np.array([whatif.integer_weights(system, self.evaluations) for system in systems], np.float64)

    def wrong(self, systems) -> np.ndarray:
        """Numbers of wrong images by the packed file, [systems, 2]."""
        return np.sum([whatif.with_decoded_margins(part).wrong(self.weights(systems)) for part in self.parts], 0)


def exact_counts(stores, systems) -> np.ndarray:
    """Numbers of wrong images from all posteriors, [systems, 2]: the slow way."""
    mixtures = {str(k): {e.path: weight for e, weight in system} for k, system in enumerate(systems)}
    ranks = mixture_ranks(stores, mixtures).values()
    return np.array([[wrong_images(ranks_of_fusion, quantity).sum() for quantity in TOP] for ranks_of_fusion in ranks])


def posteriors(seed: int) -> np.ndarray:
    """Evaluations agree on most images; in some, posteriors are eighths: most are 0, and many tie."""
    together, alone = np.random.default_rng(0), np.random.default_rng(seed + 1)
    x = 2 * together.normal(size=(N, CLASSES)) + 0.8 * alone.normal(size=(N, CLASSES))
    x[np.arange(N), together.integers(0, CLASSES, N)] += 2
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[: N // 8] = alone.multinomial(8, p[: N // 8]) / 8
    return p.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def coded() -> Iterator[None]:
    """These images count as many, if a test does not say otherwise: margins are coded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whatif, "MAX_FLOAT_MARGINS", 0)
        yield


@pytest.fixture(scope="module")
def packing(tmp_path_factory) -> PackedScores:
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
    return PackedScores(folder, stores, folder / "whatif.json", packed, parts, evaluations)


def random_systems(count: int) -> list[System]:
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 9, count)
    return [averaged_system(EVALUATIONS[i] for i in rng.choice(len(EVALUATIONS), n, False)) for n in sizes]


def test_the_rows_of_the_paper_are_averages_over_scales_then_protocols_then_nets():
    systems = [row.system for number in COMPARED for row in published_table(number).rows if row.system]
    assert len(systems) == 35
    assert all(dict(averaged_system(e for e, _ in system)) == dict(system) for system in systems)


def test_an_average_weighs_nets_alike_whatever_was_evaluated_of_them():
    D, E = Run("D", "256"), Run("E", "256")
    picked = [Evaluation(D, "dense", 224), Evaluation(D, "dense", 256), Evaluation(D, "multi-crop", 256)]
    fused = dict(averaged_system([*picked, Evaluation(E, "dense", 256)]))
    assert list(fused.values()) == [Fraction(1, 8), Fraction(1, 8), Fraction(1, 4), Fraction(1, 2)]


def test_a_contest_and_the_full_posteriors_agree_on_every_fusion(packing):
    systems = random_systems(60)
    stores = list(packing.stores.values())
    contest = whatif.contest_of([store.posteriors for store in stores], stores[0].labels)
    assert contest.wrong(packing.weights(systems)).tolist() == exact_counts(packing.stores, systems).tolist()
    assert len(contest.always) < N


def test_a_single_evaluation_is_exact(packing):
    alone = [averaged_system([e]) for e in packing.evaluations]
    assert packing.wrong(alone).tolist() == exact_counts(packing.stores, alone).tolist()


def test_the_file_states_its_distance_from_the_full_posteriors(packing):
    seed_systems = [system for _, system in whatif._rows(packing.evaluations, 0)]
    systems = seed_systems + whatif._random_systems(packing.evaluations)
    distance = 100 * abs(packing.wrong(systems) - exact_counts(packing.stores, systems)) / N
    closeness = packing.packed["closeness"]
    assert list(closeness["largest"].values()) == pytest.approx(distance.max(0))
    assert list(closeness["mean"].values()) == pytest.approx(distance.mean(0))
    assert distance.max() <= 0.75, "three images of 400"
    assert (closeness["rows"], closeness["random"]) == (35, 100)


@pytest.fixture(scope="module")
def few(packing) -> PackedScores:
    """The same scores, kept as of few images: nothing is coded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whatif, "MAX_FLOAT_MARGINS", len(packing.stores) * N * CLASSES)
        whatif.write_whatif(load_settings({"smoke": True}), packing.folder, packing.folder / "few.json")
        parts, _ = whatif.pack_stores(list(packing.stores.values()), np.ones((1, len(packing.stores))))
    return packing._replace(
        file=packing.folder / "few.json", packed=read_json(packing.folder / "few.json"), parts=parts
    )


def test_of_few_images_every_fusion_is_exact(few):
    systems = random_systems(200)
    assert few.packed["bits"] == 32
    assert few.packed["closeness"]["largest"] == {"top-1": 0, "top-5": 0}
    assert few.wrong(systems).tolist() == exact_counts(few.stores, systems).tolist()


@pytest.mark.parametrize("form", ["packing", "few"])
def test_the_rows_of_the_paper_carry_the_errors_of_the_tables(form, request):
    packed = request.getfixturevalue(form)
    rows = whatif._rows(packed.evaluations, 0)
    assert [row["wrong"] for row in packed.packed["rows"]] == exact_counts(packed.stores, [s for _, s in rows]).tolist()


def test_codes_keep_the_sign_and_the_order_of_a_pairs_margins():
    margins = np.concatenate([[0, 1e-30, -1e-30], np.random.default_rng(0).normal(0, 0.1, 500)]).astype(np.float32)
    code = whatif.margin_codes(margins[:, None])[:, 0]
    assert np.array_equal(np.sign(code), np.sign(margins))
    assert (np.diff(code[np.argsort(margins)].astype(int)) >= 0).all()
    assert abs(code.astype(int)).max() == 127


def test_chunks_and_threads_change_nothing(packing, monkeypatch):
    monkeypatch.setattr(whatif, "IMAGES_PER_PACK", 37)
    whatif.write_whatif(load_settings({"smoke": True}), packing.folder, packing.folder / "again.json", workers=1)
    again = read_json(packing.folder / "again.json")
    assert {k: v for k, v in again.items() if k != "made"} == {k: v for k, v in packing.packed.items() if k != "made"}


def test_a_page_that_would_be_too_large_keeps_the_most_important_classes(packing, monkeypatch):
    limit = packing.packed["pairs"] * len(packing.stores) // 2
    monkeypatch.setattr(whatif, "MAX_MARGINS", limit)
    parts, _ = whatif.pack_stores(list(packing.stores.values()), np.ones((1, len(packing.stores))))
    assert 0.5 * limit < sum(part.margins.size for part in parts) <= limit
    assert all(set(part.image) == set(range(len(part.always))) for part in parts)


def test_evaluations_that_were_not_run_are_left_out(packing, tmp_path):
    kept = [e for e in packing.evaluations if e.run.name == "D_256-512_s0" and e.protocol == "dense"]
    for evaluation in kept:
        (tmp_path / evaluation.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / evaluation.path).symlink_to(packing.folder / evaluation.path)
    whatif.write_whatif(load_settings({"smoke": True}), tmp_path, tmp_path / "whatif.json")
    packed = read_json(tmp_path / "whatif.json")
    assert [e["Q"] for e in packed["evaluations"]] == [256, 384, 512]
    assert [row["table"] for row in packed["rows"]] == ["3", "4", "5"]
    with pytest.raises(ValueError, match="no score store of the paper's evaluations"):
        whatif.write_whatif(load_settings({"smoke": True}), tmp_path / "nowhere", tmp_path / "whatif.json")


@pytest.fixture(scope="module")
def page(packing, browser):
    """The report in a browser, which has opened it anew."""
    return opened(packing, browser)


def opened(packing, browser):
    settings, folder = load_settings({"smoke": True}), packing.folder / packing.file.stem
    render.write_table(judged_table("2", settings, None), folder)
    write_report(settings, table_files=[folder / "table02.json"], run_files=[], packed=packing.file, out=folder)
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


def pick(page, packing, evaluations) -> None:
    """Click so that just these are picked."""
    if page.execute_script("return document.querySelectorAll('#whatif input[type=checkbox]:checked').length"):
        click(page, "button[data-clear]")
    for evaluation in evaluations:
        click(page, f"input[type=checkbox][value='{packing.evaluations.index(evaluation)}']")


def test_clicked_fusions_have_the_errors_of_the_packed_file(page, packing):
    for system in random_systems(6):
        pick(page, packing, [e for e, _ in system])
        _, _, values = shown(page)
        assert [int(row[0]) for row in values] == packing.wrong([system])[0].tolist()
        outcome = Errors(np.zeros((1, N), bool), "", tuple(e.path for e, _ in system))
        for row, quantity in zip(values, TOP, strict=True):
            once = with_trainings(
                statistics.nested(outcome.values), pooled_spread([], quantity), differing(trainings_of(outcome))
            )
            expected = statistics.one_seed_interval(int(row[0]), N, once)
            assert [float(x) for x in row[1].split()] == pytest.approx(expected, abs=1e-12)


def test_every_row_of_the_paper_is_a_button_that_selects_it(page, packing):
    rows = packing.packed["rows"]
    page.execute_script("document.querySelectorAll('#whatif details').forEach(one => one.open = true)")
    wrong = exact_counts(packing.stores, [system for _, system in whatif._rows(packing.evaluations, 0)])
    for number, row in enumerate(rows):
        click(page, f"button[data-row='{number}']")
        line, texts, values = shown(page)
        assert "Exactly" in line
        assert f"Table {row['table']}, {row['name']}" in line
        assert [int(value[0]) for value in values] == wrong[number].tolist()
        assert [float(text[2]) for text in texts] == row["published"]
        deltas = 100 * wrong[number] / N - row["published"]
        assert [float(value[3]) for value in values] == pytest.approx(deltas)


def test_a_fusion_that_the_paper_lacks_names_its_nearest_row(page, packing):
    row = next(row for row in published_table("5").rows if row.keys["protocol"] == "multi-crop & dense")
    pick(page, packing, [e for e, _ in row.system][:-1])
    line, _, _ = shown(page)
    assert (
        "No row of the paper. Nearest: Table 5, D/[256;512]/256,384,512, multi-crop & dense (1 evaluation differs)"
        in line
    )


def test_evaluations_can_have_equal_weights(page, packing):
    D = Run("D", "256-512")
    picked = [Evaluation(D, "dense", q) for q in (256, 384, 512)] + [Evaluation(D, "multi-crop", 256)]
    pick(page, packing, picked)
    click(page, "input[value=alike]")
    _, _, values = shown(page)
    alike = tuple((e, Fraction(1, 4)) for e in picked)
    assert [int(row[0]) for row in values] == packing.wrong([alike])[0].tolist()
    click(page, "input[value=paper]")
    assert [int(row[0]) for row in shown(page)[2]] == packing.wrong([averaged_system(picked)])[0].tolist()


def test_the_keyboard_picks_and_a_button_picks_a_whole_run(page, packing):
    from selenium.webdriver.common.keys import Keys

    pick(page, packing, [])
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


def test_the_page_of_few_images_shows_the_errors_of_the_full_scores(few, browser):
    page = opened(few, browser)
    for system in random_systems(6):
        pick(page, few, [e for e, _ in system])
        assert [int(row[0]) for row in shown(page)[2]] == exact_counts(few.stores, [system])[0].tolist()
    page.get((few.folder / "whatif/report.html").as_uri())


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_logs_no_error(page, width):
    set_width(page, width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.get_log("browser") == []


def test_print_and_browsers_without_scripts_say_what_is_missing(page):
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
