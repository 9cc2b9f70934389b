"""What the workflow makes for other labels, other images and claims of one's own."""

from __future__ import annotations

from pathlib import Path

from vggrepro.settings.loading import load_settings
from vggrepro.workflow.evaluate import evaluate_elsewhere_job, evaluate_job
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import claims_job, import_elsewhere_job, import_scores_job, labels_job, table_job

SETTINGS = load_settings(
    {
        "smoke": True,
        "labels": {"ReaL": "real.json"},
        "validation": {"V2": "v2", "V2 top": "top"},
        "imported": {
            "One": {"file": "one.npy", "order": "validation", "elsewhere": {"V2": "one-v2.npy"}},
            "Two": {"file": "two.csv"},
        },
        "claims": {"mine": "my.yaml"},
    }
)
PLAN, PLAIN = Plan.of(SETTINGS), Plan.of(load_settings({"smoke": True}))


def test_a_table_of_scores_is_made_from_the_same_evaluations_on_other_images():
    before = table_job(PLAIN, "table03")["scores"]
    job = table_job(PLAN, "table03")
    assert set(job["scores"]) == {
        store.replace("_s0/", f"_s0{at}/") for store in before for at in ("", "@v2", "@v2-top")
    }
    assert job["labels"] == ["results/smoke/labels/real"]
    assert job["runs"] == table_job(PLAIN, "table03")["runs"]


def test_tables_of_boxes_and_features_are_made_as_without():
    for table in ("table08", "table09", "table11", "table01"):
        assert table_job(PLAN, table)["scores"] == table_job(PLAIN, table)["scores"]
        assert table_job(PLAN, table)["labels"] == []


def test_a_system_of_others_is_read_on_other_images_where_it_names_a_file():
    assert table_job(PLAN, "table07")["imported"] == [
        "results/smoke/scores/imported/one",
        "results/smoke/scores/imported/two",
        "results/smoke/scores/imported/one@v2",
    ]
    # boxes are of the validation images alone
    assert "results/smoke/scores/imported/one@v2" not in table_job(PLAN, "table10")["imported"]


def test_evaluations_on_other_images_are_those_of_the_validation_images():
    there = evaluate_elsewhere_job(PLAN, "D_256_s0", "v2", "dense")
    assert there == evaluate_job(PLAN, "D_256_s0", "dense") == evaluate_job(PLAIN, "D_256_s0", "dense")


def test_a_file_for_other_images_is_read_as_the_first_but_for_its_order():
    first, there = import_scores_job(PLAN, "one"), import_elsewhere_job(PLAN, "one", "v2")
    assert (there["file"], there["folders"], there["order"]) == ("one-v2.npy", "v2", "folders")
    assert (there["name"], there["val"]) == (first["name"], first["val"])


def test_labels_and_claims_are_made_from_the_users_files():
    job = labels_job(PLAN, "real")
    assert (job["name"], job["file"], job["val"]) == ("ReaL", "real.json", "results/smoke/data/val")
    assert "my.yaml" in claims_job(PLAN)["files"]
    assert "my.yaml" not in claims_job(PLAIN)["files"]


def test_tables_of_released_nets_are_made_again_where_another_training_is_known_of_them():
    released = Plan.of(load_settings({"smoke": True, "released": {"D": {"file": "d.pth"}}}))
    names = [[Path(file).name for file in table_job(plan, "table04")["published"]] for plan in (PLAIN, released)]
    assert ["releases.yaml" in each for each in names] == [False, True]
