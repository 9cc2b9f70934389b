"""Readers of the records, and the form that a record has because of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vggrepro.judging import records
from vggrepro.judging.records import FIELD_READERS, measured, record_form, training_recipes, value_at
from vggrepro.paper.protocol import STAGES, Ends, SampleSpread, call, protocol_rules
from vggrepro.settings.blocks import NetSettings

RATES = [[1, 0.01], [4, 0.001], [6, 0.0002]]


def read(reader: str, *fields: object) -> object:
    return FIELD_READERS[reader][0](*fields)


@pytest.mark.parametrize("section", STAGES)
def test_every_rule_has_a_reader_and_every_field_one_type(section):
    types: dict[str, object] = {}
    for rule in protocol_rules()[section]:
        reader, fields, _ = call(rule.measured)
        for field, kind in zip(fields, FIELD_READERS[reader][1], strict=True):
            assert types.setdefault(field, kind) == kind, field


@pytest.mark.parametrize("reading", [{"half": "record.flipped"}, {"share": "record.flipped"}], ids=str)
def test_a_rule_without_a_reader_is_named(reading):
    rule = protocol_rules()["training"][0].model_copy(update={"measured": reading})
    with pytest.raises(ValueError, match=r"protocol.yaml: rule data-set: measured: expected .* share of 2, .* got \{'"):
        measured(rule, {"record": {"flipped": 0.5}})


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
    (tmp_path / "releases.yaml").write_text(json.dumps({"somebody": recipe}))
    monkeypatch.setattr(records, "RECIPES_FILE", tmp_path / "releases.yaml")
    with pytest.raises(ValueError, match=f"releases.yaml: somebody: {problem}"):
        training_recipes.__wrapped__()


def test_the_schedule_is_read_off_the_rates():
    assert read("first_rate", RATES) == 0.01
    assert read("drop_epochs", RATES) == [3, 5]
    assert read("drop_count", RATES) == 2
    assert read("drop_factors", RATES) == pytest.approx([10, 5])


def test_draws_have_the_error_of_their_number():
    assert read("share", 0.49, 10_000) == SampleSpread(0.49, 0.005)
    assert read("share", 0.0, 0) == SampleSpread(0.0, 0.0)
    assert read("deviation", 0.1, 5_000) == SampleSpread(0.1, pytest.approx(0.001))


def test_scales_are_in_the_papers_pixels():
    assert read("drawn_scales", [64, 128], 10**9, [56]) == Ends(256, 512, pytest.approx(0, abs=1e-5))


@pytest.mark.parametrize(
    ("still", "trained"), [([], "all"), (["conv1_1"], "fc"), (["conv1_1", "fc6"], ["fc7", "fc8"])], ids=str
)
def test_trained_layers_are_those_that_did_not_stay(still, trained):
    assert read("trained_layers", still, ["conv1_1", "fc6", "fc7"], {"fc8": 0.01}) == trained


def test_crops_of_all_scales_are_counted_together_and_whole_images_by_scale():
    model = NetSettings(scale_unit=8)
    assert read("views_per_image", {"56": 1500}, [256, 384, 512], "multi-crop", [256], model, 10) == [50]
    assert read("views_per_image", {"64": 20, "96": 10}, [256, 384], "dense", [256, 384, 512], model, 10) == [2, 1, 0]


def test_a_value_is_found_through_mappings_and_attributes():
    assert value_at({"model": NetSettings(width=8)}, "model.width") == 8
    for field in ("model.depth", "boxes.target"):
        with pytest.raises(LookupError, match=field):
            value_at({"model": NetSettings(), "boxes": None}, field)
