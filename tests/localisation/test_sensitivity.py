"""The sensitivity of Table 9 to the parameters of merging, from made-up boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_tables import judged_table
from vggrepro.localisation.sensitivity import Example, read_sensitivity, write_sensitivity
from vggrepro.paper.tables import best_localisation, published_table
from vggrepro.report.figures import localisation
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

FUSED = best_localisation()


@pytest.fixture(scope="module")
def study(smoke, box_stores, stores, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sensitivity") / "study"
    write_sensitivity(smoke, boxes_folder=box_stores, val_folder=stores[1], out=out, workers=2)
    return out


@pytest.fixture(scope="module")
def points(study) -> list[dict[str, str]]:
    return read_sensitivity(study)[0]


@pytest.fixture(scope="module")
def examples(study) -> list[Example]:
    return read_sensitivity(study)[1]


def table_errors(settings: Settings, box_stores: Path) -> dict[str, float]:
    rows = zip(published_table("9").rows, judged_table("9", settings, box_stores).rows, strict=True)
    return {printed.keys["systems"]: row.cells[0].value for printed, row in rows if row.cells[0].status == "measured"}


def test_the_default_parameters_give_table_9(points, smoke, box_stores):
    merge = smoke.merge
    default = {"match": merge.match, "average": merge.average, "top_k": "all", "threshold": str(merge.threshold)}
    errors = {point["system"]: float(point["error"]) for point in points if default.items() <= point.items()}
    assert errors == pytest.approx(table_errors(smoke, box_stores))


def test_every_changed_parameter_gives_the_table_of_that_setting(points, smoke, box_stores):
    at_threshold = [p for p in points if p["system"] == FUSED and p["threshold"] == str(smoke.merge.threshold)]
    assert len({(p["match"], p["average"], p["top_k"]) for p in at_threshold}) == len(at_threshold) == 8
    for point in at_threshold:
        merge = {"match": point["match"], "average": point["average"]}
        merge["top_k"] = None if point["top_k"] == "all" else int(point["top_k"])
        settings = load_settings({"smoke": True, "merge": merge})
        assert float(point["error"]) == pytest.approx(table_errors(settings, box_stores)[FUSED])


def test_examples_are_localised_images_and_others(study, examples):
    assert [example.localised for example in examples] == [True] * 4 + [False] * 4
    assert all((study / example.picture).exists() for example in examples)


def test_figures_are_drawn_of_points_and_examples(study, points, examples, smoke, tmp_path):
    for figure in (
        localisation.draw_sensitivity(points, smoke.merge, tmp_path),
        localisation.draw_boxes(examples, study, tmp_path),
    ):
        assert figure.svg.startswith("<svg")
        assert (tmp_path / f"{figure.name}.pdf").stat().st_size > 1000


def test_boxes_that_were_not_predicted_are_named(box_stores, stores, tmp_path):
    options = {"boxes_folder": box_stores, "val_folder": stores[1], "out": tmp_path / "study", "workers": 1}
    with pytest.raises(ValueError, match="no boxes of D_256_pcr_s7/dense/256: predict them first"):
        write_sensitivity(load_settings({"smoke": True, "seeds": [7]}), **options)


def test_boxes_of_other_images_are_refused(smoke, box_stores, stores, tmp_path):
    options = {"boxes_folder": box_stores, "val_folder": stores[0], "out": tmp_path / "study", "workers": 1}
    with pytest.raises(ValueError, match="boxes of other images than those in"):
        write_sensitivity(smoke, **options)
