"""The report in a real browser: nothing is fetched, nothing overflows a phone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import set_width, small
from tests.made_tables import judged_table
from vggrepro.core.files import write_json
from vggrepro.paper.runs import Run
from vggrepro.report.page import _common, report_warning, write_report
from vggrepro.settings.choices import CHOICES, departures, list_choices
from vggrepro.settings.loading import load_settings
from vggrepro.tables import markup, render
from vggrepro.training.train import train_run


@pytest.fixture(scope="module")
def page(tmp_path_factory, stores) -> Path:
    """A report of Tables 1 and 2 and one training."""
    import torch

    folder, settings = tmp_path_factory.mktemp("report"), load_settings({"smoke": True})
    for number in ("1", "2"):
        render.write_table(judged_table(number, settings, None), folder / "tables")
    paths = {
        "train_folder": stores[0],
        "val_folder": stores[1],
        "initial_weights": None,
        "out": folder / "runs" / "A_256_s0",
    }
    train_run(Run("A", "256"), small(), **paths, device=torch.device("cpu"), workers=0)
    table_files = sorted((folder / "tables").glob("*.json"))
    write_report(settings, table_files=table_files, run_files=[folder / "runs" / "A_256_s0" / "run.json"], out=folder)
    return folder / "report.html"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(page, browser, width):
    set_width(browser, width)
    browser.get(page.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.querySelectorAll('svg').length") == 2
    assert browser.get_log("browser") == []


def test_the_facts_name_data_hardware_versions_and_commit(page):
    text = page.read_text(encoding="utf-8")
    for fact in ("stand-in (drawn by the program), 160 training images", "CPU: ", "torch 2", "commit", "A_256_s0"):
        assert fact in text


def test_a_numbered_choice_leads_to_its_entry_in_the_list(page):
    anchors = re.findall(r'id="choice-(\d+)"', page.read_text(encoding="utf-8"))
    assert anchors == [str(number) for number in CHOICES]
    linked = markup.choice_links("1 epoch (choice 7: 3), 3.1, choice 12")
    assert linked == '1 epoch (<a href="#choice-7">choice 7</a>: 3), 3.1, <a href="#choice-12">choice 12</a>'


def test_every_choice_of_the_settings_is_listed():
    listed = {key for key, _, _ in list_choices(load_settings({}))}
    assert {
        "train.init",
        "model.pooling",
        "evaluate.average",
        "evaluate.crop_grid",
        "finetune.epochs",
        "higher",
    } <= listed


def test_the_paper_preset_departs_nowhere():
    assert departures(load_settings({})) == []
    assert report_warning(load_settings({})) == ""


def test_the_smoke_preset_says_where_it_departs():
    values = {key: (here, paper) for key, here, paper in departures(load_settings({"smoke": True}))}
    assert values["train.batch"] == ("16", "256")
    assert values["model.scale_unit"] == ("4", "32")


def test_released_nets_name_their_file_and_reading(tmp_path):
    settings = load_settings({"smoke": True, "released": {"D": "vgg16.pth"}})
    render.write_table(judged_table("1", settings, None), tmp_path / "tables")
    about = {
        "run": "D_256-512_s0",
        "file": "vgg16.pth",
        "digest": "0123456789abcdef",
        "format": "torchvision",
        "trained by": "torchvision",
        "reading": {"channels": "rgb", "input": "torchvision", "classes": "sorted", "full": "chw", "kernels": "hw"}
        | {"mean": [123.675, 116.28, 103.53]},
        "checked": {"images": 400, "top-1 errors": 114},
        "data": {"val": "0" * 64, "data set": "ILSVRC-2012"},
        "weights": "f" * 64,
        "made": {"commit": "c" * 40, "versions": {}, "processor": "a CPU", "at": "2026-01-02T03:04:05+00:00"},
    }
    write_json(tmp_path / "adopted.json", about)
    table_files = [tmp_path / "tables/table01.json"]
    write_report(
        settings, table_files=table_files, run_files=[], adopted_files=[tmp_path / "adopted.json"], out=tmp_path
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for fact in ("vgg16.pth (torchvision)", "0123456789ab<", "channels rgb, input torchvision", "28.5 (n = 400)"):
        assert fact in page
    assert "None: nothing was trained here." in page


def test_runs_of_different_code_are_not_hidden():
    assert _common(["a", "a", "b"]) == "a (2 runs); b (1 run)"
    assert _common(["a", "a"]) == "a"


def test_settings_with_imported_systems_cause_no_warning(smoke):
    imported = {"imported": {"Theirs": {"file": "p.npy"}}, "fusions": {"both": "D/256/256 + Theirs"}}
    assert report_warning(load_settings({"smoke": True} | imported)) == report_warning(smoke)
