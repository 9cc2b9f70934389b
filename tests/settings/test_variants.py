"""Variants: what a user may vary is checked before anything runs, and nothing of the paper's runs moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vggrepro.paper.nets import weight_shapes
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import needed_runs, table_numbers
from vggrepro.settings.blocks import NetSettings
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import table_job

LESS = {"of": "C/256", "train": {"weight_decay": 1e-4}}
WITH_BN = [64, "BN", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
SQUARE = {"evaluate": {"crop_grid": "square"}}


def settings_with(variants: object, **more: object) -> Settings:
    return load_settings({"smoke": True, "variants": variants, **more})


def parents(settings: Settings) -> dict[str, str | None]:
    return {run.name: (parent := settings.parent(run)) and parent.name for run in settings.variant_runs}


def test_a_variant_has_what_it_sets_and_all_else_of_the_run_that_it_varies():
    settings = settings_with({"less decay": LESS})
    (run,) = settings.variant_runs
    own, usual = settings.for_run(run), settings.for_run(Run("C", "256"))
    assert run.name == "C_256_less-decay_s0"
    assert own.train.weight_decay == 1e-4
    assert own == usual.model_copy(update={"train": usual.train.model_copy(update={"weight_decay": 1e-4})})


def test_variants_leave_the_settings_of_every_run_of_the_paper_as_they_are():
    """What decides a training is compared as text, as the workflow does: without variants it has no word of them."""
    plain = load_settings({"smoke": True})
    varied = settings_with(
        {"less decay": LESS, "bn": {"of": "A/256", "net": WITH_BN}, "z": {"of": "D/384", "from": "nothing"}}
    )
    for run in needed_runs(table_numbers(), (0, 1)):
        assert varied.for_run(run).model_dump_json() == plain.for_run(run).model_dump_json()
        assert varied.parent(run) == plain.parent(run)
    assert "variants" not in plain.model_dump_json()


def test_another_variant_leaves_a_variants_own_settings_as_they_are():
    alone, both = (
        settings_with(each) for each in ({"a1": LESS}, {"a1": LESS, "b1": {"of": "D/256", "from": "nothing"}})
    )
    (run,) = alone.variant_runs
    assert alone.for_run(run).model_dump_json() == both.for_run(run).model_dump_json()


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ({"x": LESS}, {"C_256_x_s0": "A_256_s0"}),
        ({"x": LESS | {"of": "C/[256;512]"}}, {"C_256-512_x_s0": "C_384_s0"}),
        # stages of one variant follow each other
        ({"x": LESS | {"of": ["C/256", "C/384"]}}, {"C_256_x_s0": "A_256_s0", "C_384_x_s0": "C_256_x_s0"}),
        ({"x": {"of": "E/256", "from": "nothing"}}, {"E_256_x_s0": None}),
        ({"x": {"of": "E/256", "from": "D/256"}}, {"E_256_x_s0": "D_256_s0"}),
        (
            {"x": {"of": "D/256", "from": "nothing"}, "y": {"of": "D/384", "from": "x"}},
            {"D_256_x_s0": None, "D_384_y_s0": "D_256_x_s0"},
        ),
        (
            {"x": LESS | {"of": ["C/256", "D/256"]}, "y": {"of": "D/384", "from": "D (x)/256"}},
            {"C_256_x_s0": "A_256_s0", "D_256_x_s0": "A_256_s0", "D_384_y_s0": "D_256_x_s0"},
        ),
        ({"x": {"of": "D-PCR/384", "localise": {"learning_rate": 0.001}}}, {"D_384_pcr_x_s0": "D_384_s0"}),
    ],
)
def test_a_variant_begins_as_the_run_that_it_varies_unless_it_says_otherwise(variants, expected):
    settings = settings_with(variants)
    assert parents(settings) == expected
    for run in settings.variant_runs:
        # the command that trains knows nothing but these settings
        begins = settings.for_run(run).begins
        assert (begins or (run.parent() and run.parent().name)) == (expected[run.name] or "nothing")


def test_a_list_or_a_range_is_a_variant_for_every_value_but_the_papers_own():
    def names(key: str, values: object) -> list[str]:
        return [run.variant for run in settings_with({"s1": {"of": "C/256", "train": {key: values}}}).variant_runs]

    assert names("weight_decay", ["1e-4", "5e-4", "1e-3"]) == ["s1-1e-4", "s1-1e-3"]
    assert names("weight_decay", {"from": 1e-4, "to": 1e-2, "times": 10}) == ["s1-0.0001", "s1-0.001", "s1-0.01"]
    assert names("epochs", {"from": 9, "to": 14, "step": 2}) == ["s1-9", "s1-11", "s1-13"]
    # of a setting that is a list itself, a list of lists
    assert names("drop_epochs", [[2], [3, 4]]) == ["s1-2", "s1-3-4"]
    assert names("drop_epochs", [2, 4]) == ["s1"]


def test_settings_with_variants_are_read_back_as_they_were_written():
    settings = settings_with(
        {
            "s1": LESS | {"train": {"weight_decay": [1e-4, 1e-3]}},
            "bn": {"of": "A/256", "from": "nothing", "net": WITH_BN},
        }
    )
    again = load_settings(json.loads(settings.model_dump_json()))
    assert again == settings
    assert again.variant_runs == settings.variant_runs


def test_a_file_holds_variants(tmp_path):
    (tmp_path / "mine.yaml").write_text("less decay: {of: C/256, train: {weight_decay: 1e-4}}")
    assert settings_with(str(tmp_path / "mine.yaml")) == settings_with({"less decay": LESS})


def test_a_variant_that_is_tested_otherwise_has_the_weights_of_the_run_that_it_varies():
    settings = settings_with({"order": {"of": "C/256", "evaluate": {"average": "posteriors"}}, "less": LESS})
    order, less = settings.variant_runs
    assert settings.trained_as(order) == Run("C", "256")
    assert settings.trained_as(less) == less
    assert settings.of(order).evaluate.average == "posteriors"


@pytest.mark.parametrize(
    "variants",
    [
        {"x": SQUARE | {"of": ["A/256", "C/256", "C/384"]}},
        {"x": {"of": ["C/256", "D/384"]} | SQUARE, "y": {"of": "C/384", "from": "C (x)/256"} | SQUARE},
    ],
)
def test_what_begins_with_a_variant_that_is_tested_otherwise_is_trained_as_the_papers(variants):
    """Such a variant has no weights and no record: nothing is trained again, and its tables need no run of its name."""
    plan = Plan.of(settings_with(variants))
    assert not [run for run in plan.trained if Run.parse(run).variant]
    records = {Path(file).parent.name for table in plan.tables for file in table_job(plan, table)["runs"]}
    assert records <= set(plan.trained)


def test_a_released_net_is_tested_otherwise_without_what_it_began_with():
    """Nobody released D at S = 384, from which D with S in [256;512] is initialised."""
    plan = Plan.of(settings_with({"x": SQUARE | {"of": "D/[256;512]"}}, released={"D": {"file": "d.pth"}}))
    assert plan.runs == ("D_256-512_s0", "D_256-512_x_s0")
    assert not plan.trained


WRONG = [
    ({"x": LESS | {"of": "C/200"}}, r"variants\.x: of: no run has '200': expected .* of at least 224"),
    ({"x": LESS | {"of": "C/"}}, r"variants\.x: of: 'C/' is no run"),
    (
        {"x": {"of": "C/256", "train": {"weight_decai": 1}}},
        r"variants\.x\.train\.weight_decai' \(did you mean 'weight_decay'",
    ),
    ({"x": {"of": "C/256", "trian": {}}}, r"variants\.x\.trian' \(did you mean 'train'\?\).*of, from, net"),
    (
        {"x": {"of": "C/256", "train": {"weight_decay": -1}}},
        r"variants\.x\.train\.weight_decay: expected greater than or",
    ),
    ({"x": {"train": {"weight_decay": 1}}}, r"variants\.x\.of is missing"),
    ({"x": 3}, r"variants\.x: expected keys and values, got 3"),
    # a key that has no part in the run
    (
        {"x": LESS | {"of": "D/384", "train": {"learning_rate": 1}}},
        r"has no part in D/384 \(did you mean 'finetune\.learning_",
    ),
    (
        {"x": {"of": "C/256", "finetune": {"epochs": 9}}},
        r"finetune\.epochs has no part in C/256 \(did you mean 'train\.epoc",
    ),
    (
        {"x": {"of": "C/256", "merge": {"threshold": 1}}},
        r"merge\.threshold has no part in C/256: expected a key of train, mo",
    ),
    (
        {"x": {"of": "C/256", "train": {"patience": 3}}},
        r"train\.patience has no part in C/256: train\.drop_epochs fixes",
    ),
    (
        {"x": {"of": "D/384", "train": {"init": "he"}}},
        r"train\.init has no part in D/384: all its layers come from the run",
    ),
    # nothing differs, or from nobody
    ({"x": {"of": "C/256"}}, r"variants\.x: nothing differs from C/256"),
    ({"x": {"of": "C/256", "from": "A/256"}}, r"variants\.x: nothing differs from C/256"),
    ({"x": {"of": "C/256", "train": {"weight_decay": 5e-4}}}, r"train\.weight_decay: 0\.0005 is what other runs have"),
    ({"x": LESS, "y": LESS}, r"'x' and 'y' are the same of C/256"),
    ({"x y": LESS, "X-y": LESS}, r"names that differ in a letter or a digit, got x y and X-y"),
    ({"x": LESS | {"of": ["C/256", "C/256"]}}, r"variants\.x: of: expected each run once"),
    # names
    ({"D": LESS}, r"variants\.D.*'D' is a name that the paper has"),
    ({"fc": LESS}, r"'fc' is a name that the paper has"),
    ({"a/b": LESS}, r"without / and brackets, got 'a/b'"),
    ({"!!": LESS}, r"a name with a letter of a-z or a digit"),
    # what it begins with
    (
        {"x": {"of": "D/256", "from": "y"}, "y": {"of": "E/256", "from": "x"}},
        r"begins with D \(x\)/256: expected an end",
    ),
    ({"x": {"of": "D/256", "from": "yy"}, "y1": LESS}, r"from: 'yy' is no run.*did you mean 'y1'"),
    ({"x": {"of": "D/384", "from": "D (y)/256"}, "y": LESS}, r"no variant has the run 'D \(y\)/256'.*C \(y\)/256"),
    (
        {"x": {"of": "D/384", "from": "y"}, "y": LESS | {"of": ["C/256", "D/256"]}},
        r"is of several runs: expected one of them",
    ),
    ({"x": {"of": "D/384", "from": "D-PCR/384"}}, r"predicts boxes: expected a run that predicts classes"),
    # sweeps
    (
        {"x": {"of": "C/256", "train": {"weight_decay": [1, 2], "epochs": [8, 9]}}},
        r"have several values: expected them for one",
    ),
    ({"x": {"of": "C/256", "train": {"weight_decay": [1e-4]}}}, r"expected at least two values for a sweep"),
    (
        {"x": {"of": "C/256", "train": {"weight_decay": [0.001, 0.002, 0.001]}}},
        r"variants\.x\.train\.weight_decay: the sweep has the value 0\.001 twice: leave one out",
    ),
    ({"x": LESS | {"train": {"weight_decay": [1, 2]}}, "x 2": LESS}, r"'x 2' is a variant and a value of a sweep: re"),
    (
        {"x": {"of": "C/256", "train": {"weight_decay": {"from": 1, "to": 2, "by": 1}}}},
        r"expected a value, a list of values, or",
    ),
    (
        {"x": {"of": "C/256", "train": {"weight_decay": {"from": 0, "to": 2, "times": 2}}}},
        r"expected a value, a list of value",
    ),
    ({"x": {"of": "C/256", "train": {"epochs": {"from": 6, "to": 9e9, "step": 1}}}}, r"a range of at most 100"),
    # nets
    ({"x": {"of": "A/256", "net": WITH_BN[:-1]}}, r"variants\.x\.net: expected five M"),
    (
        {"x": {"of": "A/256", "net": ["conv4-64", *WITH_BN]}},
        r"conv4-64: expected a kernel of odd size, such as conv5-64",
    ),
    ({"x": {"of": "A/256", "net": ["BM", *WITH_BN]}}, r"'BM' is no layer: expected a number of channels"),
    ({"x": {"of": "A/256", "net": ["BN", *WITH_BN]}}, r"expected it behind a convolution"),
    ({"x": {"of": "A/256", "net": [*WITH_BN, 64]}}, r"expected M as the last layer, or GAP"),
    (
        {"x": {"of": "E/256", "net": [32, "M", 32, "M", 32, "M", 32, "M", 32, "M", "GAP"]}},
        r"no layer of its net has the name and sh",
    ),
    (
        {"x": {"of": "C/256", "model": {"width": 6, "fc": 9}}},
        r"no layer of its net has the name and shape of one of A/256",
    ),
    ({"x": {"of": "C/256", "model": {"scale_unit": 8}}}, r"no key is called 'variants\.x\.model\.scale_unit'"),
    ("nowhere.yaml", r"variants: there is no file .*nowhere\.yaml: name a YAML file"),
]


@pytest.mark.parametrize(("variants", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_in_a_variant_is_one_message_with_its_key(variants, message):
    with pytest.raises(ValueError, match=message) as caught:
        settings_with(variants)
    assert len(str(caught.value).splitlines()) == 1


def test_layers_are_a_variants_alone():
    with pytest.raises(ValueError, match=r"model\.layers: expected a net of one's own in a variant"):
        load_settings({"smoke": True, "model": {"layers": WITH_BN}})


FIVE_BLOCKS = (32, "M", 64, "M", 64, "M", 64, "M", 128, 256, "M")


@pytest.mark.parametrize("layers", [None, FIVE_BLOCKS, (*FIVE_BLOCKS, "GAP")], ids=["the paper's", "own", "average"])
def test_the_sizes_of_a_net_as_built_are_those_of_its_weights(layers):
    model = NetSettings(width=8, fc=24, layers=layers)
    shapes = dict(weight_shapes("A", 10, width=8, fc=24, own=layers))
    built = model.as_built
    assert (built.width, built.fc) == (shapes["conv1_1"][0], shapes["fc8"][1])
    assert built.dropout == (0.5 if "fc6" in shapes else 0), "dropout is on the layers before the last"
