"""Tables of others in the forms that libraries write: what is plain is read, what is not is asked for in one message."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from vggrepro.data.store import Store
from vggrepro.external.imported import import_scores
from vggrepro.external.score_files import read_score_file
from vggrepro.scores.stores import Scores, TopLabels

KNOWN = {f"val_{i}" for i in range(40)}
LISTS = np.random.default_rng(0).permuted(np.tile(np.arange(100), (40, 1)), axis=1)[:, :5]
WNIDS = [f"n{i:08d}" for i in range(100)]


@pytest.fixture(scope="module")
def val(stores) -> Store:
    return Store(stores[1])


@pytest.fixture(scope="module")
def posteriors(val) -> np.ndarray:
    """Of a net that is right for three images in four; no two are equal."""
    rng = np.random.default_rng(0)
    posteriors = rng.dirichlet(np.ones(val.classes), len(val))
    posteriors[np.arange(len(val)), val.labels] += np.where(rng.random(len(val)) < 0.75, 2, 0)
    return posteriors / posteriors.sum(1, keepdims=True)


def imported(file, stores, **options) -> Scores | TopLabels:
    options = {"order": "folders"} | options
    return import_scores(file, name="Theirs", out=file.parent / "store", val=stores[1], **options)


def test_labels_and_scores_in_one_array_are_sorted_by_their_scores(stores, posteriors, tmp_path):
    best = np.argsort(-posteriors, 1)[:, :5]
    scores = np.take_along_axis(posteriors, best, 1)
    shuffled = np.random.default_rng(1).permuted(np.tile(np.arange(5), (len(best), 1)), axis=1)
    pairs = np.stack([np.take_along_axis(a, shuffled, 1) for a in (best, scores)], 2)
    np.save(tmp_path / "pairs.npy", pairs)
    store = imported(tmp_path / "pairs.npy", stores)
    assert np.array_equal(store.predicted, best)
    assert store.metadata["as"]["labels"] == "sorted by their scores"
    np.save(tmp_path / "halves.npy", pairs + 0.5)
    with pytest.raises(
        ValueError, match="halves.npy: expected .*labels and their scores, got labels that are not whole"
    ):
        imported(tmp_path / "halves.npy", stores)


KERAS = [[[WNIDS[k], f"words {k}", 0.5 - 0.1 * i] for i, k in enumerate(row)] for row in LISTS.tolist()]
PAIRS = [[[k, 0.5 - 0.1 * i] for i, k in enumerate(row)] for row in LISTS.tolist()]
LABELLED = [[{"label": WNIDS[k], "score": 0.5 - 0.1 * i} for i, k in enumerate(row)] for row in LISTS.tolist()]
NAMED = [{WNIDS[k]: 0.5 - 0.1 * i for i, k in enumerate(row)} for row in LISTS.tolist()]


@pytest.mark.parametrize("rows", [KERAS, PAIRS, LABELLED, NAMED], ids=["Keras", "pairs", "Hugging Face", "by name"])
@pytest.mark.parametrize("by_image", [True, False])
def test_json_of_labels_with_scores_keeps_both(tmp_path, rows, by_image):
    content = {f"val_{i}.JPEG": row for i, row in enumerate(rows)} if by_image else rows
    (tmp_path / "p.json").write_text(json.dumps(content))
    file = read_score_file(tmp_path / "p.json", KNOWN, 100)
    labels = LISTS if rows is PAIRS else np.array(WNIDS)[LISTS]
    assert np.array_equal(file.values, labels)
    np.testing.assert_allclose(file.scores, np.tile([0.5, 0.4, 0.3, 0.2, 0.1], (40, 1)))
    assert file.ids == ([f"val_{i}.JPEG" for i in range(40)] if by_image else None)


def test_decimal_commas_are_numbers(stores, val, posteriors, tmp_path):
    rows = [
        ";".join([name, *(f"{v:.9f}".replace(".", ",") for v in p)])
        for name, p in zip(val.ids, posteriors, strict=True)
    ]
    (tmp_path / "p.csv").write_text(
        "\n".join([";".join(["Bild", *val.about["wnids"]]), *rows]) + "\n", encoding="cp1252"
    )
    store = imported(tmp_path / "p.csv", stores, order=None)
    np.testing.assert_allclose(store.posteriors, posteriors, atol=1e-6)


@pytest.mark.parametrize("ids", [True, False])
def test_a_numeric_index_in_another_order_is_not_an_order_of_images(val, posteriors, stores, tmp_path, ids):
    """Rows that pandas shuffled keep the numbers that they had; with the images' names, these do not matter."""
    best = np.argsort(-posteriors, 1)[:, :5]
    shuffled = np.random.default_rng(1).permutation(len(best))
    head = ["", *(["image"] if ids else []), *(f"top{k}" for k in range(5))]
    rows = [[i, *([val.ids[i]] if ids else []), *best[i]] for i in shuffled]
    (tmp_path / "p.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in [head, *rows]))
    if ids:
        assert np.array_equal(imported(tmp_path / "p.csv", stores, order=None).predicted, best)
    else:
        with pytest.raises(ValueError, match="index column is in another order .* sort it by the index"):
            imported(tmp_path / "p.csv", stores)


@pytest.mark.parametrize(("classes", "background"), [("sorted-from-1", 0), ("sorted", 10)])
def test_one_column_more_than_classes_is_a_choice_that_can_be_made(stores, posteriors, tmp_path, classes, background):
    with_background = np.insert(0.9 * posteriors, background, 0.1, axis=1)
    np.save(tmp_path / "p.npy", with_background)
    with pytest.raises(
        ValueError, match="11 columns, one more than classes: .* give --classes sorted-from-1; .* sorted$"
    ):
        imported(tmp_path / "p.npy", stores)
    store = imported(tmp_path / "p.npy", stores, classes=classes)
    np.testing.assert_allclose(store.posteriors, posteriors, atol=1e-6)
    other = {"sorted": "sorted-from-1", "sorted-from-1": "sorted"}[classes]
    with pytest.raises(ValueError, match=f"as of a wrong order; with classes {classes} it is"):
        imported(tmp_path / "p.npy", stores, classes=other)


ODD_NAMES = [
    "a,b.JPEG",
    'a "quoted" name.JPEG',
    "semi;colon.JPEG",
    "naïve.JPEG",
    "日本.JPEG",
    "with space.JPEG",
    "n1.v2.JPEG",
]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("form", ["csv", "tsv", "json"])
def test_odd_names_of_images_are_ids_as_any_others(tmp_path, name, form):
    ids = [name, *(f"val_{i}.JPEG" for i in range(1, 40))]
    if form == "json":
        (tmp_path / "p.json").write_text(json.dumps(dict(zip(ids, LISTS.tolist(), strict=True))))
    else:
        with (tmp_path / f"p.{form}").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if form == "tsv" else ",")
            writer.writerows(
                [["image", *(f"p{k}" for k in range(5))], *([i, *row] for i, row in zip(ids, LISTS, strict=True))]
            )
    stem = name.removesuffix(".JPEG")
    read = read_score_file(tmp_path / f"p.{form}", KNOWN - {"val_0"} | {stem}, 100)
    assert read.ids == ids
    assert np.array_equal(read.values, LISTS)


@pytest.mark.parametrize("content", ["", "\n\n", ","])
@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_a_text_without_entries_is_refused_in_one_message(tmp_path, content, ending):
    file = tmp_path / f"a.{ending}"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"a\.{ending}"):
        read_score_file(file, {"image0"}, 10)
