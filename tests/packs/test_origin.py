"""A pack knows the settings of its tables from the workflow's recipes, and takes no path of a machine along."""

from __future__ import annotations

import json
import zipfile

import pytest

from tests.packs.made import smoke, write_results
from vggrepro.core.files import write_json
from vggrepro.packs.manifest import MANIFEST, open_pack
from vggrepro.packs.merge import merge_packs
from vggrepro.packs.origin import overrides, recorded_settings
from vggrepro.packs.write import write_pack
from vggrepro.settings.loading import load_settings


def write_recipe(results, settings, table="table03"):
    """The recipe of a table as the workflow writes it."""
    lines = [repr("3"), repr(settings.model_dump_json()), "[]", "tables.yaml: 0"]
    write_json(results / "recipes" / "tables" / f"{table}.json.json", lines)


def test_settings_come_back_from_the_recipes_of_tables(tmp_path):
    settings = smoke(0, 3, train={"batch": 8})
    write_recipe(tmp_path, settings)
    write_recipe(tmp_path, settings, "table04")
    assert recorded_settings(tmp_path) == settings
    write_recipe(tmp_path, smoke(0, 3), "table04")
    with pytest.raises(
        ValueError, match="train.batch is 8 in table03.json.json, but 16 in table04.json.json: run snakemake"
    ):
        recorded_settings(tmp_path)
    (tmp_path / "recipes/tables/table04.json.json").write_text('["\'{"]')
    with pytest.raises(ValueError, match="table04.json.json: damaged"):
        recorded_settings(tmp_path)


@pytest.mark.parametrize("config", [{}, {"seeds": [2, 1]}, {"train": {"batch": 8, "epochs": 2, "drop_epochs": None}}])
def test_overrides_give_the_settings_again(config):
    settings = load_settings({"smoke": True} | config)
    assert load_settings(overrides(settings)) == settings


def test_paths_stay_and_come_back_as_those_of_the_machine_that_merges(tmp_path):
    """A recipe with the path of a data set fits where it lies elsewhere, so that nothing is made again."""
    settings = smoke(0, transfer={"voc2007": "/far/away/VOC"})
    results = write_results(tmp_path / "results", settings, nets="A", tables=False)
    recipe = results / "recipes/scores/A_256_s0/dense.json"
    write_json(recipe, ["'/far/away/VOC'", "data/val: 12", "runs/A_256_s0/run.json: 34"])
    write_pack(results, tmp_path / "a.zip", settings=settings)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [name for name in archive.namelist() if b"/far/away" in archive.read(name)] == []
        assert json.loads(archive.read(MANIFEST))["settings"]["transfer"]["voc2007"] == "VOC"
    assert open_pack(tmp_path / "a.zip").settings.transfer.voc2007 == "VOC"
    merged = merge_packs([tmp_path / "a.zip"], tmp_path / "out", given={"transfer.voc2007": "/near/VOC"})
    lines = json.loads((tmp_path / "out/recipes/scores/A_256_s0/dense.json").read_text())
    assert lines == ["'/near/VOC'", "data/val: 12", "runs/A_256_s0/run.json: 34"]
    assert json.loads((tmp_path / "out/recipes/elsewhere.json").read_text()) == {"data/val": "12"}
    assert merged.settings.transfer.voc2007 == "/near/VOC"


def test_other_validation_images_stay_behind_with_what_was_measured_on_them(tmp_path):
    """Their place is of one machine, and scores on them are not of the images that packs have in common."""
    settings = smoke(0, validation={"V2": "/far/away/V2"})
    results = write_results(tmp_path / "results", smoke(0), nets="A", tables=False)
    elsewhere = write_results(tmp_path / "v2", smoke(0), nets="A", images="v2", labels=1, tables=False)
    (elsewhere / "scores/A_256_s0").rename(results / "scores/A_256_s0@v2")
    write_json(results / "recipes/scores/A_256_s0@v2/dense.json", ["validation/v2: 1"])
    write_pack(results, tmp_path / "a.zip", settings=settings)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [name for name in archive.namelist() if "@" in name or b"/far/away" in archive.read(name)] == []
    assert not merge_packs([tmp_path / "a.zip"], tmp_path / "out").settings.validation
