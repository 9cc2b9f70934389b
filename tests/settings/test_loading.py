"""Settings of the user are typed, checked and laid over a preset; one message names all wrong keys."""

from __future__ import annotations

import json
import os
from datetime import date

import pytest

from vggrepro.core.validation import validated
from vggrepro.paper.runs import Run
from vggrepro.settings.choices import setting_values
from vggrepro.settings.loading import SCHEMA_FILE, load_settings, settings_schema
from vggrepro.settings.models import RunSettings, Settings


def test_the_paper_preset_is_the_default_and_the_papers():
    settings = load_settings({})
    train = settings.train
    assert (settings.preset, settings.model.crop, settings.model.width, settings.model.fc) == ("paper", 224, 64, 4096)
    assert (train.batch, train.epochs, train.learning_rate, train.momentum) == (256, 74, 0.01, 0.9)
    assert (train.weight_decay, train.drops, settings.model.dropout) == (5e-4, 3, 0.5)
    assert {settings.for_run(Run("D", S)).train.learning_rate for S in ("384", "256-512")} == {1e-3}


def test_tiny_is_a_quarter_of_the_papers_resolution_with_its_widths():
    model = load_settings({"preset": "tiny"}).model
    assert (model.crop, model.pixels(256), model.pixels(384), model.width) == (56, 64, 96, 64)


@pytest.mark.parametrize("config", [{"smoke": True}, {"smoke": "true"}, {"smoke": "True"}, {"preset": "smoke"}])
def test_smoke_is_short_for_its_preset(config):
    assert load_settings(config).preset == "smoke"


def test_text_values_of_snakemake_become_typed():
    settings = load_settings(
        {"smoke": "true", "seeds": ["0", "1", "2"], "train": {"learning_rate": "1e-3", "flip": "false"}}
    )
    assert settings.seeds == (0, 1, 2)
    assert settings.train.learning_rate == 1e-3
    assert settings.train.flip is False


def test_a_value_of_the_user_overrides_the_presets():
    settings = load_settings({"smoke": True, "train": {"epochs": 9}})
    assert settings.train.epochs == 9
    assert settings.train.batch == load_settings({"smoke": True}).train.batch


def test_two_data_sets_do_not_share_a_folder():
    assert load_settings({"smoke": True}).folder == "smoke"
    assert load_settings({"smoke": True, "tiny_imagenet": "x.zip"}).folder == "smoke-tiny-imagenet"


NESTED: dict[str, object] = {}
for _ in range(5000):
    NESTED = {"a": NESTED}


def test_a_fixed_schedule_is_of_the_stage_that_it_is_given_for():
    settings = load_settings({"train": {"drop_epochs": [30, 50]}, "localise": {"drop_epochs": [9]}})
    runs = (Run("D", "256"), Run("D", "384"), Run("D", "256-512"), Run("D", "384", objective="PCR"))
    assert [settings.for_run(run).train.drop_epochs for run in runs] == [(30, 50), None, None, (9,)]


WRONG = [
    ({"smok": True}, r"no key is called 'smok' \(did you mean 'smoke'\?\)"),
    ({"preset": "papper"}, r"expected one of paper, tiny, smoke, got 'papper' \(did you mean 'paper'\?\)"),
    ({"smoke": True, "train": {"learning_rat": 1}}, r"'train.learning_rat' \(did you mean 'learning_rate'\?\)"),
    ({"smoke": True, "train": {"learning_rate": -1}}, r"train.learning_rate: expected greater than 0, got -1"),
    ({"smoke": True, "train": {"batch": 0}}, r"train.batch: .* greater than or equal to 1, got 0"),
    ({"smoke": True, "train": {"batch": 2.5}}, r"train.batch: .*integer, got 2.5"),
    ({"smoke": True, "model": {"dropout": 1}}, r"model.dropout: .*less than 1"),
    ({"smoke": True, "seeds": []}, r"seeds: expected at least 1 entry, got \[\]$"),
    ({"smoke": True, "seeds": [-1]}, r"seeds.0: expected greater than or equal to 0, got -1$"),
    ({"smoke": True, "model": {"scale_unit": 7}}, r"model.scale_unit: expected 4, 8, 16 or 32, got 7"),
    ({"smoke": True, "train": {"init": "he-normal"}}, r"train.init: expected 'normal-0.01'"),
    (
        {"smoke": True, "train": {"drop_epochs": [4, 2]}},
        r"drop_epochs: expected ascending epochs below epochs=8, got \[4, 2\]",
    ),
    ({"smoke": True, "train": {"drop_epochs": [8]}}, r"below epochs=8, got \[8\]"),
    ({"smoke": True, "seeds": [1, 1]}, r"seeds: expected each seed once"),
    ({"smoke": "perhaps"}, r"smoke: expected true or false, got 'perhaps'"),
    ({"smoke": True, "preset": "paper"}, r"smoke=true stands for preset=smoke"),
    ({"tiny_imagenet": "x.zip"}, r"without a preset: add smoke=true"),
    ({"smoke": True, "tiny_imagenet": "x", "ilsvrc": "y"}, r"both given: give one data set"),
    ({"smoke": True, "data": {"path": "x"}}, r"data.path: expected none for the stand-in, got x"),
    (
        {stage: {"drop_epochs": [9]} for stage in ("finetune", "localise")}
        | {"train": {"drop_epochs": [9], "patience": 9}},
        r"train.patience have no effect, because drop_epochs=\[9\]",
    ),
    ({"smoke": True, "train": {"patience": 1}}, r"train.patience have no effect, because drop_epochs=\[7\]"),
    ({"smoke": True, "train": {"learning_rate": float("inf")}}, r"train.learning_rate: .*finite"),
    ({"smoke": True, "seeds": [10**30]}, r"seeds.0: "),
    ({"smoke": True, "data": {"layout": "ilsvrc", "path": None}}, r"data.path: the layout ilsvrc needs"),
    ({"smoke": True, "tiny_imagenet": None}, r"tiny_imagenet: expected a value, got nothing"),
    ({"a[b": 1}, r"no key is called 'a\[b'"),
    ({"smoke": None}, r"smoke: expected a value, got nothing"),
    ({"train": None}, r"train: expected a value, got nothing"),
    ({"voc2007": True}, r"voc2007: expected a path, got True"),
    ({"voc2007": 1e3}, r"voc2007: expected a path, got 1000.0"),
    ({"train": {"epochs": ""}}, r"train.epochs: expected a valid integer, got \'\'"),
    ({"train": []}, r"train: expected keys and values, got \[\]"),
    ({"imported": {"A": {"file": None}}}, r"imported.A.file: expected a valid string, got None"),
    ({"imported": {"A": {"file": "x", "odrer": "folders"}}}, r"'imported.A.odrer' \(did you mean 'order'\?\)"),
    ({"released": {"D": {"file": "x", "chanels": "bgr"}}}, r"'released.D.chanels' \(did you mean 'channels'\?\)"),
    ({"devkit": {"foldre": "x"}}, r"'devkit.foldre' \(did you mean 'folder'\?\)"),
    ({"imported": {"A": {"file": date(2014, 9, 4)}}}, r"imported.A.file: expected text, .* got a date, 2014-09-04"),
    ({"seeds": {0, 1}}, r"seeds: expected text, a number, a list or keys, got a set, \{0, 1\}"),
    (
        {"imported": {date(2014, 9, 4): {"file": "x"}}},
        r"imported: the key .*2014, 9, 4.* is no text: write it in quotes",
    ),
    ({"train": {"epochs": NESTED}}, r"train: expected at most 20 levels inside of each other"),
    ({"imported": {"A": {"file": "\udc80.npy"}}}, r"imported.A.file: expected text in UTF-8"),
    ({"imported": {"A": {"file": "-p.npy"}}}, r"imported.A.file: '-p.npy' has a dash before it"),
    ({"imported": {"A": {"file": "{a}.npy"}}}, r"imported.A.file: '{a}.npy' has .* a brace in it"),
    ({"imported": {"日本": {"file": "p.npy"}}}, r"imported.日本: expected a name .* with a letter of a-z or a digit"),
    ({"imported": {"-A": {"file": "p.npy"}}}, r"imported.-A: expected a name .* or a dash before it"),
    ({"imported": {"A": {"file": "p.npy"}, "a.": {"file": "p.npy"}}}, r"names that differ in a letter .* A and a\."),
    ({"imported": {"A\x1b[2J": {"file": "p.npy"}}}, r"imported: expected text without .* control characters"),
    ({"fusions": {"A\nB": "D/256/256"}}, r"fusions.* expected text without line breaks"),
    # a claim about D/384/384 would be judged by E
    ({"fusions": {"D/384/384": "E/384/384"}}, r"fusions.*: 'D/384/384' reads as a system of the paper"),
    ({"fusions": {"D/256/224,256 (multi-crop)": "E/384/384"}}, r"fusions.*reads as a system of the paper"),
]


@pytest.mark.parametrize(("config", "message"), WRONG)
def test_a_wrong_value_is_named(config, message):
    with pytest.raises(ValueError, match=f"^config: .*{message}"):
        load_settings(config)


def test_all_wrong_values_are_named_at_once():
    with pytest.raises(ValueError, match=r"train.batch.*\n.*train.epochs"):
        load_settings({"smoke": True, "train": {"batch": 0, "epochs": 0}})


def test_later_stages_have_their_own_number_of_epochs():
    settings = load_settings({"smoke": True})
    assert settings.for_run(Run("D", "256")).train.epochs == 8
    assert settings.for_run(Run("D", "384")).train.epochs == 3


def test_settings_of_a_run_come_back_from_the_command_line():
    sent = load_settings({}).for_run(Run("D", "256-512"))
    assert validated(RunSettings, json.loads(sent.model_dump_json()), "--settings") == sent


def test_the_schema_file_follows_from_the_classes():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == settings_schema(), "generate it again with: vggrepro schema"


def test_every_setting_says_what_it_is():
    """At the top and in every block; a setting that is a block says it in its block."""
    top = json.loads(settings_schema())
    blocks = {"Settings": top} | top["$defs"]
    described = {f"#/$defs/{block}" for block, about in blocks.items() if "description" in about}
    silent = [
        f"{block}.{key}"
        for block, about in blocks.items()
        for key, value in about["properties"].items()
        if "description" not in value and value.get("$ref") not in described
    ]
    assert set(top["properties"]) == set(Settings.model_fields)
    assert silent == []


def test_an_empty_path_is_no_path():
    with pytest.raises(ValueError, match="transfer.voc2007: expected at least 1 character, got ''"):
        load_settings({"voc2007": ""})


def test_a_data_set_of_transfer_has_a_short_name():
    settings = load_settings({"smoke": True, "voc2007": "VOC devkit", "caltech101": 101})
    assert (settings.transfer.voc2007, settings.transfer.caltech101) == ("VOC devkit", "101")
    assert settings.transfer.given("voc2012")
    assert not load_settings({"voc2007": "x"}).transfer.given("voc2012")


def test_a_text_stays_text_where_the_setting_is_a_text():
    settings = load_settings({"smoke": "true", "released": {"D": "5"}, "transfer": {"voc2007": "1e3"}})
    assert (settings.released["D"].file, settings.transfer.voc2007) == ("5", "1e3")
    assert list(load_settings({"imported": {2014: {"file": "p.npy"}}}).imported) == ["2014"]
    assert load_settings({"smoke": True, "train": {"drop_epochs": "null"}}).train.drop_epochs is None


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.npy").touch()
    (tmp_path / "devkit").mkdir()
    (tmp_path / "devkit" / "meta_clsloc.mat").touch()
    os.mkfifo(tmp_path / "pipe")


NAMED = [
    ({"imported": {"A": {"file": "gone.npy"}}}, "imported.A.file: there is no file .*gone.npy"),
    ({"imported": {"A": {"file": "devkit"}}}, "imported.A.file: expected a file, and .*devkit is none"),
    ({"imported": {"A": {"file": "pipe"}}}, "imported.A.file: expected a file, and .*pipe is none"),
    ({"imported": {"A": {"file": "p.npy", "order": "gone.txt"}}}, "imported.A.order.*: there is no file .*gone.txt"),
    ({"released": {"D": "gone.pth"}}, "released.D.file: there is no file .*gone.pth"),
    ({"devkit": {"folder": "gone"}}, "devkit.folder: there is no file or folder .*gone"),
    ({"devkit": {"folder": "devkit", "solution": "gone.csv"}}, "devkit.solution: there is no file .*gone.csv"),
    ({"unstaged": {"he": "p.npy"}}, "unstaged.he: expected a folder, and .*p.npy is none"),
    ({"tiny_imagenet": "gone.zip"}, "data.path: there is no file or folder .*gone.zip"),
    ({"voc2007": "pipe"}, "transfer.voc2007: expected a file or folder, and .*pipe is none"),
]


@pytest.mark.parametrize(("config", "message"), NAMED)
def test_a_file_that_the_user_names_is_looked_for_when_settings_are_read(files, config, message):
    with pytest.raises(ValueError, match=message):
        load_settings({"smoke": True} | config, look_for_files=True)


def test_files_that_are_there_pass_and_a_presets_own_data_set_may_be_absent(files):
    given = {"imported": {"A": {"file": "p.npy", "order": "folders"}}, "devkit": {"folder": "devkit"}}
    assert load_settings({"smoke": True, **given}, look_for_files=True).imported["A"].file == "p.npy"
    assert load_settings({}, look_for_files=True).data.path == "data/ilsvrc"


def test_settings_that_come_back_from_results_need_no_files():
    sent = load_settings({"smoke": True, "tiny_imagenet": "gone.zip", "imported": {"A": {"file": "gone.npy"}}})
    assert load_settings(json.loads(sent.model_dump_json())) == sent


FETCHED = {
    "data.path": ({"smoke": True, "tiny_imagenet": "fetch"}, "downloads/tiny_imagenet/tiny-imagenet-200.zip"),
    "transfer.voc2007": ({"voc2007": "fetch"}, "downloads/voc2007"),
    "transfer.caltech101": ({"caltech101": "fetch:caltech256"}, "downloads/caltech256/256_ObjectCategories.tar"),
    "labels": ({"labels": {"ReaL": "fetch"}}, {"ReaL": "downloads/real/real.json"}),
    "devkit.folder": ({"devkit": {"folder": "fetch:real"}, "downloads": {"folder": "d"}}, "d/real/real.json"),
}


@pytest.mark.parametrize("key", FETCHED)
def test_fetch_stands_for_the_place_of_a_download_which_need_not_be_there(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, expected = FETCHED[key]
    settings = load_settings(config, look_for_files=True)
    assert dict(setting_values(settings))[key] == expected
    again = load_settings(settings.model_dump(mode="json"))
    assert dict(setting_values(again))[key] == expected, "a command gets the place"


def test_of_a_released_net_fetch_stands_for_the_one_that_takes_the_place_of_the_run():
    names = {"A/256": "vgg11", "E/256": "vgg19", "D": "authors-16", "E/256-512": "authors-19"}
    settings = load_settings({"released": dict.fromkeys(names, "fetch")})
    assert [release.file.split("/")[1] for release in settings.released.values()] == list(names.values())
    assert [run.label for run in settings.releases] == ["A/256", "E/256", "D/[256;512]", "E/[256;512]"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ilsvrc": "fetch"}, r"config: data.path: ILSVRC-2012 is handed out to those who register"),
        ({"released": {"D/384": "fetch"}}, r"released.D/384: nothing is usually fetched for D/384: write fetch:NAME"),
        ({"released": {"D": "fetch:vgg"}}, r"released.D: nothing is called 'vgg' \(did you mean 'vgg"),
        ({"released": {"D": "fetch:"}}, r"released.D: nothing is called ''"),
        ({"smoke": True, "data": {"path": "fetch"}}, "data.path: nothing is usually fetched for stand_in"),
        ({"released": {"A": "x"}}, r"released: no table evaluates A/\[256;512\]: expected some of .*A/256"),
        ({"released": {"D": "x", "D/[256;512]": "y"}}, "released: expected each run once"),
        ({"downloads": {"folder": "{a}"}}, "downloads.folder: '{a}' has .* a brace in it"),
    ],
)
def test_what_cannot_be_fetched_is_named_with_its_key(config, message):
    with pytest.raises(ValueError, match=message):
        load_settings(config)
