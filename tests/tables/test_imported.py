"""Imported systems in Tables 7 and 10."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_tables import judged_table
from vggrepro import cli
from vggrepro.data.store import Store
from vggrepro.external.imported import judge_predictions
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import render


@pytest.fixture(scope="module")
def imported(box_stores, stores, small_devkit, tmp_path_factory) -> Path:
    """Our own submission, imported as `Theirs` with boxes, and as `Labels` without."""
    root, solution = tmp_path_factory.mktemp("imported"), str(small_devkit / "LOC_val_solution.csv")
    images = ["--val", str(stores[1]), "--devkit", str(small_devkit)]
    for name, more in (("Theirs", []), ("Labels", ["--labels-only"])):
        file = str(root / f"{name}.txt")
        options = ["--settings", "smoke", "--boxes", str(box_stores), *images, "--out", file]
        assert cli.main(["submission", *more, *options]) == 0
        out = ["--name", name, "--out", str(root / name)]
        assert cli.main(["import", file, *images, "--solution", solution, "--accept", "chance", *out]) == 0
    return root


@pytest.fixture(scope="module")
def settings(small_devkit) -> Settings:
    files = {"Theirs": {"file": "Theirs.txt"}, "Labels": {"file": "Labels.txt"}}
    devkit = {"folder": str(small_devkit), "solution": str(small_devkit / "LOC_val_solution.csv")}
    return load_settings({"smoke": True, "imported": files, "devkit": devkit})


def test_an_imported_system_has_a_row_with_its_errors(imported, settings, box_stores, stores, small_devkit):
    folders, n = [imported / "Theirs", imported / "Labels"], len(Store(stores[1]))
    ten, seven = (judged_table(number, settings, box_stores, imported=folders) for number in ("10", "7"))
    assert [row.keys for row in ten.rows[-2:]] == [("Theirs",), ("Labels",)] == [row.keys for row in seven.rows[-2:]]
    solution = small_devkit / "LOC_val_solution.csv"
    options = {"devkit_folder": small_devkit, "solution": solution, "first": None, "labels_only": False}
    counts = judge_predictions(imported / "Theirs.txt", **options)
    with_boxes, without = ten.rows[-2].cells, ten.rows[-1].cells
    assert [cell.status for cell in with_boxes] == ["measured", "withheld"]
    assert [cell.status for cell in without] == ["not reported", "withheld"]
    assert with_boxes[0].n == n - 2
    assert with_boxes[0].value == pytest.approx(100 * counts.localisation / (n - 2))
    for row in seven.rows[-2:]:
        assert [cell.n for cell in row.cells] == [n, n, 0]
        errors = [100 * counts.top1 / n, 100 * counts.top5 / n]
        assert [cell.value for cell in row.cells[:2]] == pytest.approx(errors)


def test_a_note_says_where_an_imported_system_is_from(imported, settings, box_stores):
    html = render.table_html(judged_table("10", settings, box_stores, imported=[imported / "Theirs"]))
    assert "judged here" in html
    assert "Theirs.txt" in html


def test_imported_systems_change_no_other_table(imported, settings, box_stores):
    with_imported = judged_table("9", settings, box_stores, imported=[imported / "Theirs"])
    assert with_imported == judged_table("9", settings, box_stores)


def test_a_system_that_the_settings_do_not_import_is_refused(imported, smoke, box_stores):
    with pytest.raises(ValueError, match="the settings import no 'Theirs'"):
        judged_table("10", smoke, box_stores, imported=[imported / "Theirs"])


def test_imported_systems_of_the_same_images_are_compared_in_pairs(imported, settings, box_stores):
    folders = [imported / "Theirs", imported / "Labels"]
    seven = judged_table("7", settings, box_stores, imported=folders)
    (note,) = (n for n in seven.notes if n.startswith("Theirs, top-1 error less that of others"))
    assert "Labels: +0.00 (" in note
