"""What the settings declare: the value that a record must have."""

from __future__ import annotations

import pytest

from vggrepro.judging.declarations import EFFECTS, declaration
from vggrepro.paper.protocol import SILENT, Ends, protocol_rules
from vggrepro.paper.runs import Run
from vggrepro.settings.loading import load_settings

RULES = {rule.id: rule for rules in protocol_rules().values() for rule in rules}


def declared(name: str, given: dict, **more: object) -> object:
    return declaration(RULES[name], dict(load_settings(given)) | more)[0]


def test_a_setting_declares_its_value_and_a_message_names_it():
    assert declaration(RULES["colour"], dict(load_settings({"train": {"colour_std": 0.2}}))) == (
        0.2,
        "train.colour_std",
    )
    assert declared("svm-c", {"transfer": {"C": [1.0, 2.0]}}) == [1.0, 2.0]
    assert declared("optimiser", {}) == SILENT


def test_a_setting_can_declare_another_value_by_a_table():
    assert declared("flip", {"train": {"flip": False}}) == 0
    assert declared("crop", {"smoke": True}) == 28
    assert declared("precision", {"train": {"precision": "tf32"}}) == {"one_of": ["tf32", "fp32"]}


@pytest.mark.parametrize("written", [{"twice": "train.momentum"}, {"train.momentum": {"0.5": 1}}], ids=str)
def test_a_rule_whose_declaration_is_unknown_is_named(written):
    rule = RULES["momentum"].model_copy(update={"declared": written})
    with pytest.raises(ValueError, match="protocol.yaml: rule momentum: declared: expected one of .*, got (twice|0.9)"):
        declaration(rule, dict(load_settings({})))


def test_a_stage_declares_by_its_own_block():
    settings = load_settings({"finetune": {"learning_rate": 0.002}})
    names = {"stage": "finetune", "finetune": settings.for_run(Run("D", "384")).train}
    assert declaration(RULES["rate"], names) == (0.002, "finetune.learning_rate")


def test_a_setting_says_at_which_stage_it_is_a_choice():
    rate, names = RULES["rate"], dict(load_settings({})) | {"stage": "finetune"}
    setting = declaration(rate, names)[1]
    assert [EFFECTS[setting].choice_at(stage) for stage in ("384", "jitter")] == [None, 7]


def test_images_that_nobody_limited_have_to_be_the_papers():
    assert declared("train-images", {}) == SILENT
    assert declared("train-images", {"data": {"classes": 10}}) == {"from": 1, "to": float("inf")}
    assert declared("train-images", {"smoke": True}) == {"from": 1, "to": 2000}
    assert declared("classes", {"preset": "tiny"}) == {"from": 1, "to": 200}


@pytest.mark.parametrize(("drop_epochs", "drops"), [([5], {"from": 1, "to": 1}), (None, {"from": 0, "to": 3})])
def test_a_fixed_schedule_has_its_drops_and_one_that_is_steered_may_have_fewer(drop_epochs, drops):
    given = {"train": {"drop_epochs": drop_epochs}}
    assert declared("drop-epochs", given, stage="train") == (drop_epochs or SILENT)
    assert declared("length", given, stage="train") == 74
    assert declared("drop-count", given, stage="train") == drops


def test_a_run_declares_its_scale_and_its_parent_by_name():
    run = Run("D", "256-512")
    assert declaration(RULES["scale"], {"run": run} | dict(load_settings({}))) == (Ends(256, 512), "the run's name")
    assert declared("parent", {}, run=Run("D", "256"), begins=None) == "A_256_s0"
    assert declared("parent", {"staged": False}, run=Run("D", "256"), begins=None) is None
    assert declared("parent", {}, run=Run("D", "256", variant="x"), begins="B_256_s0") == "B_256_s0"
    assert declared("parent", {}, run=Run("D", "256", variant="x"), begins="nothing") is None


def test_a_batch_is_no_larger_than_an_epoch():
    record = {"in_epoch": [100]}
    assert declared("batch", {}, record=record) == 100
    assert declared("iterations", {"train": {"batch": 30}}, record=record, epochs=2, stage="train") == 8
