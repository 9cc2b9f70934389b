"""Evidence behind numbers: it adds up to the tables' own counts, and is refused where it would be of something else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.made_tables import table_with_outcomes
from vggrepro.data.store import Store
from vggrepro.diagnosis import evidence
from vggrepro.diagnosis.evidence import read_evidence, write_evidence
from vggrepro.paper.tables import table_evaluations
from vggrepro.scores.outcomes import write_outcomes
from vggrepro.scores.stores import read_scores, write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render

SETTINGS = load_settings({"smoke": True})
TABLES = ("3", "4")


def write_tables(folder: Path, numbers: tuple[str, ...] = TABLES) -> list[Path]:
    files = []
    for number in numbers:
        table, outcomes = table_with_outcomes(number, SETTINGS, folder / "scores")
        render.write_table(table, folder / "tables")
        write_outcomes(folder / "tables" / f"{table.name}.npz", outcomes)
        files.append(folder / "tables" / f"{table.name}.json")
    return files


@pytest.fixture(scope="module")
def root(tmp_path_factory, stores) -> Path:
    """Tables 3 and 4 from random posteriors of the stand-in's validation images, with their evidence."""
    folder, val, rng = tmp_path_factory.mktemp("evidence"), Store(stores[1]), np.random.default_rng(0)
    about = {"data": val.digest, "data set": "made up", "classes": val.classes}
    for e in {e: None for number in TABLES for e in table_evaluations(number)}:
        posteriors = rng.dirichlet(np.ones(val.classes), len(val)).astype(np.float32)
        identity = {"run": e.run.name, "protocol": e.protocol, "Q": e.Q}
        write_scores(folder / "scores" / e.path, posteriors, val.labels, list(val.ids), about | identity)
    files = write_tables(folder)
    write_evidence(
        SETTINGS, table_files=files, scores_folder=folder / "scores", val_folder=stores[1], out=folder / "out"
    )
    return folder


def script(root: Path, name: str) -> Any:
    """What a script of the folder gives the page."""
    text = (root / "out" / f"{name}.js").read_text(encoding="utf-8")
    start = f"(self.vggrepro ??= {{}})[{json.dumps(name)}] = "
    assert text.startswith(start)
    return json.loads(text.removeprefix(start).rstrip().rstrip(";"))


def test_every_measured_cell_has_the_errors_of_its_table(root):
    index, bits = read_evidence(root / "out"), script(root, "outcomes")
    cells = {cell: system for system in index.systems for cell in system.cells}
    for number in TABLES:
        table = render.read_table(root / "tables" / f"table0{number}.json")
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                if not cell.sources:
                    continue
                system = cells.pop(table.anchor(r, c))
                wrong = np.unpackbits(np.frombuffer(base64.b64decode(bits[system.outcome]), np.uint8))[: index.images]
                assert 100 * system.wrong / system.images == pytest.approx(cell.value)
                assert wrong.sum() == system.wrong
    assert not cells


def test_the_files_hold_each_system_of_a_table_image_by_image(root, stores):
    """Net A at one scale is its store: labels, confidence to a 65,535th, errors of classes."""
    index, val = read_evidence(root / "out"), Store(stores[1])
    posteriors = read_scores(root / "scores/A_256_s0/dense/256").posteriors
    net = next(net for net in index.nets if net.name == "A, 256, 256")
    system = next(s for s in index.systems if net.cell in s.cells)
    answers = script(root, f"answers/{system.answers}")
    labels = np.frombuffer(base64.b64decode(answers["labels"]), "<u2")
    confidence = np.frombuffer(base64.b64decode(answers["confidence"]), "<u2") / 65535
    for i, row in enumerate(posteriors.tolist()):
        assert labels[i] == row.index(max(row))
        assert confidence[i] == pytest.approx(max(row), abs=1e-5)
    expected = [sum(labels[i] != c for i in range(len(val)) if val.labels[i] == c) for c in range(val.classes)]
    assert list(net.class_wrong) == expected
    assert net.wrong == sum(expected)
    images = script(root, "images")
    assert (images["ids"], images["labels"]) == (list(val.ids), val.labels.tolist())
    assert images["classes"] == [val.about["words"][wnid] for wnid in val.about["wnids"]]


def test_pictures_are_bounded_and_spread_over_classes(root, stores, monkeypatch, tmp_path):
    val, shown = Store(stores[1]), script(root, "images")["thumbnails"]
    assert sorted(shown) == list(range(len(val)))
    monkeypatch.setattr(evidence, "MOST_THUMBNAILS", 15)
    write_evidence(
        SETTINGS,
        table_files=[root / "tables/table03.json"],
        scores_folder=root / "scores",
        val_folder=stores[1],
        out=tmp_path / "few",
    )
    few = json.loads((tmp_path / "few/images.js").read_text().split(" = ")[1].rstrip(";\n"))["thumbnails"]
    assert np.bincount(val.labels[few]).max() <= 2
    assert len(set(few)) == 15
    with Image.open(tmp_path / "few/thumbnails/0.jpg") as sheet:
        assert sheet.size == (evidence.SHEET * evidence.THUMBNAIL_SIDE,) * 2
        first = np.asarray(sheet)[: evidence.THUMBNAIL_SIDE, : evidence.THUMBNAIL_SIDE].astype(int)
    picture = Image.fromarray(val.image(few[0]))
    picture.thumbnail((evidence.THUMBNAIL_SIDE, evidence.THUMBNAIL_SIDE))
    if picture.size == (evidence.THUMBNAIL_SIDE,) * 2:
        assert np.abs(first - np.asarray(picture)).mean() < 12


def test_without_images_there_are_no_pictures_and_classes_are_numbers(root, tmp_path):
    files = [root / "tables/table03.json"]
    write_evidence(SETTINGS, table_files=files, scores_folder=root / "scores", val_folder=None, out=tmp_path / "out")
    index = read_evidence(tmp_path / "out")
    assert (index.thumbnails, index.classes[:3]) == (0, ("0", "1", "2"))
    assert not (tmp_path / "out/thumbnails").exists()


def test_a_table_of_other_scores_is_refused(root, tmp_path):
    for e in table_evaluations("3"):
        store = read_scores(root / "scores" / e.path)
        posteriors = np.array(store.posteriors)[:, ::-1]
        write_scores(tmp_path / "scores" / e.path, posteriors, store.labels, list(store.ids), store.metadata)
    with pytest.raises(ValueError, match="make the table again"):
        write_evidence(
            SETTINGS,
            table_files=[root / "tables/table03.json"],
            scores_folder=tmp_path / "scores",
            val_folder=None,
            out=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_images_of_another_store_are_refused(root, stores, tmp_path):
    with pytest.raises(ValueError, match="evaluate again"):
        write_evidence(
            SETTINGS,
            table_files=[root / "tables/table03.json"],
            scores_folder=root / "scores",
            val_folder=stores[0],
            out=tmp_path / "out",
        )
