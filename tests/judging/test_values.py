"""The values of a rule: what is measured, the form that a record has because of that, and what settings declare."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from typing import Any

import pytest

from vggrepro.judging import values
from vggrepro.judging.values import (
    EFFECTS,
    FUNCTIONS,
    declaration,
    record_form,
    training_recipes,
    value_of,
)
from vggrepro.paper.protocol import SILENT, STAGES, SampleEstimate, protocol_rules, rules_by_id
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import RunSettings, Settings

RATES = [[1, 0.01], [4, 0.001], [6, 0.0002]]


def read(function: str, *fields: object) -> object:
    return FUNCTIONS[function][0](*fields)


def declared(name: str, given: dict, **more: object) -> object:
    return declaration(rules_by_id()[name], dict(load_settings(given)) | more)[0]


@pytest.mark.parametrize("section", STAGES)
def test_every_rule_has_a_function_and_every_field_of_a_record_one_type(section):
    types: dict[str, object] = {}
    for rule in protocol_rules()[section]:
        function, fields = rule.measurement
        for field, kind in zip_longest(fields, FUNCTIONS[function][1:] if function else ()):
            if field.startswith(("record.", "recipe.")):
                assert kind is not None, field
                assert types.setdefault(field, kind) == kind, field


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("document.epochs", "epochs is missing"),
        ("document['data set']", "data set is missing"),
        ("document.classes|length", "classes is missing"),
        ("steering(document.drop_epochs)", "drop_epochs is missing"),
        ("patience(document.patience, train.drop_epochs)", "patience is missing"),
        ("half(train.momentum)", "half is missing"),
        ("share(record.flipped, record.drawn)", "drawn is missing"),
        ("{1: 2}[train.momentum]", "0.9 is missing"),
        ("boxes.target", "target is missing"),
        ("record.flipped|length", "object of type 'float' has no len"),
        ("share(record.flipped)", "missing 1 required positional argument: 'draws'"),
        ("train.batch / 0", "division by zero"),
        ("10**400 / 1", "too large"),
        ("1 + 'one'", "unsupported operand"),
        ("train.__class__.__mro__", "access to attribute '__class__' .* is unsafe"),
    ],
)
def test_an_expression_without_a_value_says_why(expression, problem):
    names = dict(load_settings({})) | {"record": {"flipped": 0.5}, "document": {}, "boxes": None}
    with pytest.raises(ValueError, match=f"^{re.escape(expression)}: .*{problem}"):
        value_of(expression, names)


def test_a_rule_whose_declaration_cannot_be_computed_is_named():
    rule = rules_by_id()["data-set"]
    with pytest.raises(ValueError, match="protocol.yaml: rule data-set: .*: mine is missing"):
        declaration(rule, {"data": {"layout": "mine"}})


def test_a_setting_of_a_rule_that_is_none_is_named():
    for setting in ("{stge}.learning_rate", "{stage.foo}.learning_rate", "{stage.learning_rate"):
        rule = rules_by_id()["rate"].model_copy(update={"setting": setting})
        with pytest.raises(ValueError, match="protocol.yaml: rule rate: "):
            declaration(rule, dict(load_settings({})) | {"stage": "train"})


@pytest.mark.parametrize("written", ["", "[]", "text", "torchvision: {}"])
def test_recipes_are_of_all_makers_whose_nets_are_known(written, tmp_path, monkeypatch):
    (tmp_path / "releases.yaml").write_text(written)
    monkeypatch.setattr(values, "RECIPES_FILE", tmp_path / "releases.yaml")
    with pytest.raises(ValueError, match="releases.yaml: expected the recipes of torchvision, mmpretrain, got "):
        training_recipes.__wrapped__()


def test_a_function_that_is_not_there_is_named_before_any_record_is_blamed(monkeypatch):
    rule = rules_by_id()["momentum"].model_copy(update={"measured": "halves(record.momentum)"})
    monkeypatch.setattr(values, "protocol_rules", lambda: {"training": [rule]})
    with pytest.raises(ValueError, match="rule momentum: measured: expected one of flag, .* got halves"):
        record_form.__wrapped__("training")


def test_no_setting_hides_a_function_of_expressions():
    assert not set(FUNCTIONS) & {*Settings.model_fields, *RunSettings.model_fields}


@pytest.mark.parametrize("where", [("training",), ("evaluation",), ("released", "recipe")], ids=str)
def test_every_field_of_a_record_is_required_and_has_a_type(where):
    fields = record_form(*where).model_fields
    assert fields
    for name, field in fields.items():
        assert field.is_required(), name
        assert field.annotation is not Any, name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"colour_sd": 0.1}, "no key is called 'colour_sd' .did you mean 'colour_std'"),
        ({"epochs": "90"}, "epochs: expected a valid integer, got '90'"),
    ],
)
def test_a_recipe_of_a_released_net_has_the_fields_that_rules_are_read_from_and_no_other(
    change, problem, tmp_path, monkeypatch
):
    recipe = training_recipes()["torchvision"].model_dump() | change
    (tmp_path / "releases.yaml").write_text(json.dumps({"torchvision": recipe, "mmpretrain": recipe}))
    monkeypatch.setattr(values, "RECIPES_FILE", tmp_path / "releases.yaml")
    with pytest.raises(ValueError, match=f"releases.yaml: torchvision: {problem}"):
        training_recipes.__wrapped__()


def test_the_schedule_is_read_off_the_rates():
    assert read("first_rate", RATES) == 0.01
    assert read("drop_epochs", RATES) == [3, 5]
    assert read("drop_count", RATES) == 2
    assert read("drop_factors", RATES) == pytest.approx([10, 5])


def test_draws_have_the_error_of_their_number():
    assert read("share", 0.49, 10_000) == SampleEstimate(0.49, pytest.approx(0.465), pytest.approx(0.515))
    assert read("share", 0.0, 0) == SampleEstimate(0.0, 0.0, 0.0)
    assert read("deviation", 0.1, 5_000) == SampleEstimate(0.1, pytest.approx(0.095), pytest.approx(0.105))


@pytest.mark.parametrize(
    ("in_epoch", "localises", "kept"), [([100], False, True), ([50], False, False), ([50], True, True)]
)
def test_an_epoch_shows_every_image_and_of_boxes_those_that_have_some(in_epoch, localises, kept):
    assert read("every_image_once", 2 * in_epoch[0], in_epoch, 100, 2, localises) == kept


def test_boxes_are_of_true_classes_without_a_classifier_or_of_labels_with_one():
    assert read("labels_of_boxes", "the true classes", None) == "true classes"
    assert read("labels_of_boxes", "3dff", "a0fd") == "top-5 labels"
    for mixed in (("the true classes", "a0fd"), ("3dff", None)):
        assert read("labels_of_boxes", *mixed) not in ("true classes", "top-5 labels")


def test_scales_are_in_the_papers_pixels():
    low, high = read("drawn_scales", [64, 126], 50, [56])
    assert (low.value, low.high, high.value, high.low) == (256, 256, 504, 504)
    assert (low.low, high.high) == pytest.approx((256 - 70.56, 504 + 70.56))


@pytest.mark.parametrize(
    ("still", "trained"),
    [
        ([], "all"),
        (["conv1_1"], "fc"),
        (["conv1_1", "fc6"], ["fc7", "fc8"]),
        (["conv1_1", "fc6", "fc7", "fc8"], "none"),
    ],
    ids=str,
)
def test_trained_layers_are_those_that_did_not_stay(still, trained):
    assert read("trained_layers", still, ["conv1_1", "fc6", "fc7"], {"fc8": 0.01}) == trained


def test_crops_of_all_scales_are_counted_together_and_whole_images_by_scale():
    model = NetSettings(scale_unit=8)
    assert read("views_per_image", {"56": 1500}, [256, 384, 512], "multi-crop", [256], model, 10) == [50]
    assert read("views_per_image", {"64": 20, "96": 10}, [256, 384], "dense", [256, 384, 512], model, 10) == [2, 1, 0]


def test_a_value_is_found_through_mappings_and_attributes():
    assert value_of("model.width", {"model": NetSettings(width=8)}) == 8
    assert value_of("transfer.C", dict(load_settings({}))) == [0.1, 0.3, 1.0, 3.0, 10.0]


def test_a_setting_declares_its_value_and_a_message_names_it():
    assert declaration(rules_by_id()["colour"], dict(load_settings({"train": {"colour_std": 0.2}}))) == (
        0.2,
        "train.colour_std",
    )
    assert declared("svm-c", {"transfer": {"C": [1.0, 2.0]}}) == [1.0, 2.0]
    assert declared("optimiser", {}) == SILENT


def test_a_setting_can_declare_what_it_makes_of_the_net_and_the_training():
    assert declared("flip", {"train": {"flip": False}}) == 0
    assert declared("crop", {"smoke": True}) == 28
    assert declared("precision", {"train": {"precision": "tf32"}}) == {"one_of": ["tf32", "fp32"]}


def test_a_stage_declares_by_its_own_block():
    settings = load_settings({"finetune": {"learning_rate": 0.002}})
    names = {"stage": "finetune", "finetune": settings.for_run(Run("D", "384")).train}
    assert declaration(rules_by_id()["rate"], names) == (0.002, "finetune.learning_rate")


def test_a_setting_says_at_which_stage_it_is_a_choice():
    rate, names = rules_by_id()["rate"], dict(load_settings({})) | {"stage": "finetune"}
    setting = declaration(rate, names)[1]
    assert [EFFECTS[setting].choice_at(stage) for stage in ("384", "jitter")] == [None, 7]


def test_images_that_nobody_limited_have_to_be_the_papers():
    assert declared("train-images", {}) == SILENT
    assert declared("train-images", {"data": {"classes": 10}}) == {"from": 1, "to": float("inf")}
    assert declared("train-images", {"smoke": True}) == {"from": 1, "to": 1000}
    assert declared("classes", {"preset": "tiny"}) == {"from": 1, "to": 200}


@pytest.mark.parametrize(("drop_epochs", "drops"), [([5], 1), (None, {"from": 0, "to": 3})])
def test_a_fixed_schedule_has_its_drops_and_one_that_is_steered_may_have_fewer(drop_epochs, drops):
    given = {"train": {"drop_epochs": drop_epochs}}
    assert declared("drop-epochs", given, stage="train") == (drop_epochs or SILENT)
    assert declared("length", given, stage="train") == 74
    assert declared("drop-count", given, stage="train") == drops


def test_a_run_declares_its_scale_and_its_parent_by_name():
    run = Run("D", "256-512")
    assert declaration(rules_by_id()["scale"], {"run": run} | dict(load_settings({}))) == (
        [256, 512],
        "the run's name",
    )
    assert declared("parent", {}, run=Run("D", "256"), begins=None) == "A_256_s0"
    assert declared("parent", {"staged": False}, run=Run("D", "256"), begins=None) is None
    assert declared("parent", {}, run=Run("D", "256", variant="x"), begins="B_256_s0") == "B_256_s0"
    assert declared("parent", {}, run=Run("D", "256", variant="x"), begins="nothing") is None


def test_a_batch_is_no_larger_than_an_epoch():
    record = {"in_epoch": [100]}
    assert declared("batch", {}, record=record) == 100
    assert declared("iterations", {"train": {"batch": 30}}, record=record, document={"epochs": 2}, stage="train") == 8
