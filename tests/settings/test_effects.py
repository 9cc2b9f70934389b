"""What another value of a setting means: every setting says it once, and what it says holds for the tables' cells."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import BaseModel

from vggrepro.paper.protocol import protocol_rules, rules_by_id
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.choices import CHOICES, described, setting_values
from vggrepro.settings.effects import HARMLESS, Effect, choice, effects
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

EFFECTS = dict(effects(Settings))


def test_every_setting_says_what_another_value_means():
    assert set(EFFECTS) == {key for key, _, _ in described(load_settings({}))}


def test_a_setting_that_does_not_say_it_is_refused():
    class Block(BaseModel):
        said: Annotated[int, HARMLESS]
        unsaid: int

    with pytest.raises(TypeError, match="unsaid: expected one Effect"):
        dict(effects(Block))


def test_the_text_of_a_setting_has_the_number_of_its_choice():
    for key, _, text in described(load_settings({})):
        numbers = {int(number) for number in re.findall(r"CHOICE (\d+)", text)}
        assert numbers == ({EFFECTS[key].number} - {None}), key
        assert numbers <= set(CHOICES)


def test_every_setting_that_is_not_harmless_is_one_that_a_rule_of_the_protocol_reads():
    rules = [rule for rules in protocol_rules().values() for rule in rules]
    read = {
        rule.setting.format(stage=stage, task=SimpleNamespace(data=data))
        for rule in rules
        if rule.setting
        for stage, data in (("train", "caltech101"), ("finetune", "caltech256"), ("localise", "voc2007"))
    }
    assert {key for key, effect in EFFECTS.items() if effect != HARMLESS} <= read


def test_what_a_rule_calls_a_setting_is_one():
    stages = [(stage, task) for stage in ("train", "finetune", "localise") for task in TASKS.values()]
    for rule in rules_by_id().values():
        names = {(rule.setting or "seeds").format(stage=stage, task=task) for stage, task in stages}
        unknown = {name for name in names - set(EFFECTS) if not name.startswith(("run.", "task.", "initial_layers."))}
        assert unknown <= {"transfer.voc2007_train", "transfer.voc2012_train"}, rule.id


def numeric(key: str) -> bool:
    """Whether a setting of the paper preset is a number or several, or may be one."""
    *blocks, name = key.split(".")
    model = Settings
    for block in blocks:
        model = model.model_fields[block].annotation
    return bool(re.search(r"\b(int|float)\b", str(model.model_fields[name].annotation)))


def test_every_choice_that_is_a_number_says_which_are_plausible_readings_of_the_paper():
    choices = {key for key, effect in EFFECTS.items() if effect.number and numeric(key)}
    assert {"train.patience", "finetune.drop_epochs", "transfer.C"} <= choices
    assert {key for key in choices if EFFECTS[key].plausible is None} == set()


@pytest.mark.parametrize("preset", ["paper", "tiny"])
def test_the_choices_of_presets_that_are_not_for_trial_are_plausible(preset):
    settings = load_settings({"preset": preset, "tiny_imagenet": "/"} if preset == "tiny" else {})
    assert [key for key, value in setting_values(settings) if not EFFECTS[key].is_plausible(value)] == []


def test_a_choice_departs_from_the_paper_where_no_reader_could_mean_its_value():
    effect = choice(16, plausible={"from": 3, "to": 20})
    assert [effect.departs(value, 5) for value in (1, 2, 3, 20, 21, None, (5, 30))] == [1, 1, 0, 0, 1, 0, 1]


def test_a_departure_may_be_a_choice_at_some_stages():
    effect = Effect("departure", 7, silent_at=("jitter",))
    assert (effect.choice_at("384"), effect.choice_at("jitter")) == (None, 7)
    assert (choice(3).choice_at("384"), HARMLESS.choice_at("384")) == (3, None)
