"""Imported scores: known errors come out to the image, in whatever file, order and numbering they are stored."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import real, write_devkit
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.external.imported import ImportedImages, import_scores
from vggrepro.localisation.errors import count_errors
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, TopLabels, mixture_ranks, read_scores, read_scores_or_labels
from vggrepro.tables.imported import imported_errors

FOLDER = "ilsvrc2012-val-200"
TOP1, TOP5 = 14_321, 4_567
"""Errors of the made-up lists, of 50,000."""


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    """The real devkit."""
    root = tmp_path_factory.mktemp("devkit")
    with zipfile.ZipFile(real(f"{FOLDER}.zip")) as file:
        for name in file.namelist():
            if "/devkit/" in name or name.endswith("LOC_val_solution.csv"):
                file.extract(name, root)
    return root / FOLDER


@pytest.fixture(scope="module")
def lists(official) -> tuple[list[str], np.ndarray, list[str]]:
    """File names in a shuffled order, top-5 lists of WNIDs with known errors, and the sorted WNIDs; all keyed by hand."""
    rng = np.random.default_rng(6)
    ids = (official / "devkit/ILSVRC2014_clsloc_validation_ground_truth.txt").read_text().split()
    wnids = devkit.read_wnids(official / "devkit")
    ordered = sorted(wnids.values())
    # place of the true label: first, second to fifth, or not there
    place = np.repeat([0, 1, 9], [50_000 - TOP1, TOP1 - TOP5, TOP5])
    place = rng.permutation(np.where(place == 1, rng.integers(1, 5, 50_000), place))
    rows = []
    for number, where in zip(ids, place, strict=True):
        true = wnids[int(number)]
        others = [name for name in rng.choice(1000, 6, replace=False) if ordered[name] != true][:5]
        row = [ordered[i] for i in others]
        if where < 5:
            row[where] = true
        rows.append(row)
    shuffled = rng.permutation(50_000)
    names = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in shuffled]
    return names, np.array(rows)[shuffled], ordered


def imported(file: Path, **options) -> Scores | TopLabels:
    """The store of a file, written beside it."""
    return import_scores(file, name="Theirs", out=file.parent / "store", **options)


def errors(store: Scores | TopLabels) -> dict[str, int]:
    ranks = mixture_ranks({"": store}, {"": {"": Fraction(1)}})[""]
    return {name: int(wrong_images(ranks, name).sum()) for name in TOP}


def numbered(rows: np.ndarray, official: Path, classes: str, ordered: list[str]) -> np.ndarray:
    numbers = {wnid: i for i, wnid in enumerate(ordered)}
    if classes == "devkit":
        numbers = {wnid: i for i, wnid in devkit.read_wnids(official / "devkit").items()}
    return rows if classes == "wnid" else np.array([[numbers[name] for name in row] for row in rows])


@pytest.mark.parametrize(("classes", "kind"), [("devkit", "npy"), ("wnid", "csv"), ("sorted", "parquet")])
def test_top_5_lists_of_50_000_images_in_another_order_come_out_to_the_image(official, lists, tmp_path, classes, kind):
    names, rows, ordered = lists
    values, file, order = numbered(rows, official, classes, ordered), tmp_path / f"theirs.{kind}", None
    if kind == "npy":
        np.save(file, values)
        order = str(tmp_path / "order.txt")
        Path(order).write_text("".join(f"val/{name} {i}\n" for i, name in enumerate(names)))
    elif kind == "csv":
        lines = [
            ",".join([name.removesuffix(".JPEG"), *map(str, row)]) for name, row in zip(names, values, strict=True)
        ]
        file.write_text("\n".join(["image,1,2,3,4,5", *lines]) + "\n")
    else:
        columns = {f"label {k}": values[:, k].tolist() for k in range(5)}
        parquet.write_table(pa.table(columns | {"filename": names}), file)
    options = {"devkit_folder": official / "devkit", "order": order, "classes": classes}
    assert errors(imported(file, **options)) == {"top-1": TOP1, "top-5": TOP5}
    assert errors(read_scores_or_labels(tmp_path / "store")) == {"top-1": TOP1, "top-5": TOP5}
    if classes == "devkit":
        with pytest.raises(ValueError, match=r"the top-1 error is 99.\d%.*with classes devkit it is 28.6%"):
            imported(file, **options | {"classes": "sorted"})


@pytest.mark.parametrize(("order", "other"), [("validation", "folders"), ("folders", "validation")])
def test_a_wrong_order_of_images_is_refused_and_the_right_one_named(official, lists, tmp_path, order, other):
    names, rows, ordered = lists
    key = [int(name[-13:-5]) for name in names]
    images = ImportedImages.of_devkit(official / "devkit")
    if order == "folders":
        place = {name: i for i, name in enumerate(images.ids)}
        key = [place[name] for name in names]
    np.save(tmp_path / "p.npy", numbered(rows, official, "sorted", ordered)[np.argsort(key)])
    options = {"devkit_folder": official / "devkit"}
    assert errors(imported(tmp_path / "p.npy", **options, order=order))["top-1"] == TOP1
    with pytest.raises(ValueError, match=f"with images in the order {order} it is 28.6%"):
        imported(tmp_path / "p.npy", **options, order=other)


def test_the_devkit_alone_has_the_images_of_a_store_in_its_order(official):
    images = ImportedImages.of_devkit(official / "devkit")
    wnids, labels = devkit.read_labels(official / "devkit")
    place = {wnid: i for i, wnid in enumerate(sorted(wnids.values()))}
    truth = [place[wnids[label]] for label in labels]
    assert images.ids == [
        f"ILSVRC2012_val_{i:08d}.JPEG" for _, i in sorted((t, i) for i, t in enumerate(truth, start=1))
    ]
    assert images.labels.tolist() == sorted(truth)


@pytest.fixture(scope="module")
def val(stores) -> Store:
    return Store(stores[1])


@pytest.fixture(scope="module")
def posteriors(val) -> np.ndarray:
    """Of a net that is right for three images in four."""
    rng = np.random.default_rng(0)
    posteriors = rng.dirichlet(np.ones(val.classes), len(val))
    posteriors[np.arange(len(val)), val.labels] += np.where(rng.random(len(val)) < 0.75, 2, 0)
    return (posteriors / posteriors.sum(1, keepdims=True)).astype(np.float32)


def write(path: Path, p: np.ndarray, ids: list[str], wnids: list[str]) -> None:
    """Posteriors in a file whose rows and columns are named, both in an order of its own."""
    rows, columns = np.random.default_rng(1).permutation(len(p)), np.random.default_rng(2).permutation(p.shape[1])
    p, ids, wnids = p[rows][:, columns], [ids[i] for i in rows], [wnids[i] for i in columns]
    if path.suffix == ".npz":
        np.savez(path, scores=p, files=np.array([f"/data/val/{name}" for name in ids]), classes=np.array(wnids))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table({"id": ids} | dict(zip(wnids, p.T, strict=True))), path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(["what", *wnids])]
        lines += [mark.join([name, *(f"{v:.9g}" for v in row)]) for name, row in zip(ids, p, strict=True)]
        path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", ["npz", "csv", "tsv", "parquet"])
def test_posteriors_come_back_in_our_order(stores, val, posteriors, tmp_path, kind):
    write(tmp_path / f"p.{kind}", posteriors, val.ids, val.about["wnids"])
    imported(tmp_path / f"p.{kind}", val=stores[1])
    scores = read_scores(tmp_path / "store")
    assert np.array_equal(scores.posteriors, posteriors)
    assert (list(scores.ids), scores.labels.tolist()) == (val.ids, val.labels.tolist())
    assert (scores.metadata["name"], scores.metadata["data"], scores.metadata["classes"]) == ("Theirs", val.digest, 10)


@pytest.mark.parametrize("named", [True, False], ids=["rows by id", "rows in order"])
def test_scores_of_labels_are_of_the_images_that_their_rows_name(stores, val, tmp_path, named):
    """The labels have no ids, but an order; their scores are listed by image number, and every second list is worst first."""
    rng, n = np.random.default_rng(0), len(val.ids)
    lists = np.array([[label, *rng.permutation(np.delete(np.arange(10), label))[:4]] for label in val.labels])
    confidences = np.tile([0.5, 0.2, 0.1, 0.05, 0.01], (n, 1))
    lists[::2], confidences[::2] = lists[::2, ::-1], confidences[::2, ::-1]
    np.save(tmp_path / "labels.npy", lists)
    order = rng.permutation(n) if named else np.arange(n)
    rows = [",".join([val.ids[i]] * named + [f"{score}" for score in confidences[i]]) for i in order]
    header = ",".join(["image"] * named + [f"score{k}" for k in range(5)])
    scores = tmp_path / "scores.csv"
    scores.write_text("\n".join([header, *rows]))
    options = {"val": stores[1], "order": "folders", "scores": scores}
    store = imported(tmp_path / "labels.npy", **options)
    assert not (store.predicted[:, 0] != val.labels).any()
    if named:
        scores.write_text("\n".join([header, *rows[:-1], rows[0]]))
        with pytest.raises(ValueError, match="--scores: 1 images have more than one row"):
            imported(tmp_path / "labels.npy", **options)
        scores.write_text("\n".join([header, *rows[:-1]]))
        with pytest.raises(ValueError, match="--scores: 1 of .* images are missing"):
            imported(tmp_path / "labels.npy", **options)


def test_an_image_that_json_has_twice_is_refused(stores, val, tmp_path):
    entries = [f'"{name}": [{", ".join(map(str, range(5)))}]' for name in [*val.ids, val.ids[3]]]
    (tmp_path / "p.json").write_text(f"{{{', '.join(entries)}}}")
    with pytest.raises(ValueError, match=f"p.json: .*'{val.ids[3]}' stands twice"):
        imported(tmp_path / "p.json", val=stores[1])


def test_logits_are_scores_before_the_soft_max(stores, val, posteriors, tmp_path):
    logits = np.log(posteriors) * 1.0 + np.random.default_rng(3).normal(0, 50, (len(val), 1))
    np.save(tmp_path / "l.npy", logits)
    scores = imported(tmp_path / "l.npy", val=stores[1], order="folders", logits=True)
    np.testing.assert_allclose(scores.posteriors, posteriors, rtol=1e-5)
    with pytest.raises(ValueError, match=r"l.npy, row 1: no posterior: it sums to .* give --logits"):
        imported(tmp_path / "l.npy", val=stores[1], order="folders")
    np.save(tmp_path / "p.npy", posteriors)
    with pytest.raises(ValueError, match="every row is a posterior already: leave out --logits"):
        imported(tmp_path / "p.npy", val=stores[1], order="folders", logits=True)


def test_columns_in_the_devkits_order(stores, val, posteriors, tmp_path):
    write_devkit(tmp_path / "devkit", val)
    np.save(tmp_path / "p.npy", posteriors[:, ::-1])  # that devkit numbers classes backwards
    options = {"val": stores[1], "devkit_folder": tmp_path / "devkit", "order": "folders"}
    scores = imported(tmp_path / "p.npy", **options, classes="devkit")
    assert np.array_equal(scores.posteriors, posteriors)
    with pytest.raises(ValueError, match="with classes devkit it is"):
        imported(tmp_path / "p.npy", **options)
    with pytest.raises(ValueError, match="need the devkit: give --devkit"):
        imported(tmp_path / "p.npy", val=stores[1], order="folders", classes="devkit")


@pytest.mark.parametrize("boxes", [True, False])
def test_the_official_format_is_judged_as_the_devkit_does(stores, val, tmp_path, boxes):
    write_devkit(tmp_path / "devkit", val, blacklisted=(2,))
    truth = devkit.read_truth(tmp_path / "devkit", tmp_path / "devkit/LOC_val_solution.csv")
    rng, guesses = np.random.default_rng(5), []
    for label, true in zip(truth.labels, truth.boxes, strict=True):
        labels = rng.permutation(10)[: rng.integers(1, 6)] + 1
        labels[-1] = label if label not in labels else labels[-1]
        guesses.append(devkit.Guess(tuple(labels.tolist()), true[:1] + rng.integers(0, 12, (len(labels), 1)) * 1.0))
    if not boxes:
        guesses = [devkit.Guess(guess.labels, None) for guess in guesses]
    (tmp_path / "p.txt").write_text("".join(f"{line}\n" for line in devkit.format_guesses(guesses)))
    judged = count_errors(truth, guesses)
    options = {"devkit_folder": tmp_path / "devkit", "solution": tmp_path / "devkit/LOC_val_solution.csv"}
    imported(tmp_path / "p.txt", val=stores[1], accept=("order",), **options)
    store = read_scores_or_labels(tmp_path / "store")
    assert errors(store) == {"top-1": judged.top1, "top-5": judged.top5}
    assert (store.boxes is not None) == boxes
    if boxes:
        missed, counted = store.boxes
        assert (int(missed.sum()), int(counted.sum())) == (judged.localisation, judged.localisation_images)
        assert [store.ids[i] for i in np.flatnonzero(~counted)] == [val.ids[devkit.official_order(val.ids)[1]]]


def test_labels_alone_cannot_be_averaged(stores, val, posteriors, tmp_path):
    np.save(tmp_path / "l.npy", np.argsort(-posteriors, 1)[:, :5])
    np.save(tmp_path / "p.npy", posteriors)
    lists, dense = (
        import_scores(tmp_path / f"{kind}.npy", name=kind, out=tmp_path / kind, val=stores[1], order="folders")
        for kind in "lp"
    )
    assert errors(lists) == errors(dense)
    with pytest.raises(ValueError, match="holds the best labels alone, which cannot be averaged"):
        mixture_ranks({"x": lists, "y": dense}, {"both": {"x": Fraction(1, 2), "y": Fraction(1, 2)}})


def test_a_short_list_is_wrong_for_labels_that_it_does_not_name(stores, val, tmp_path):
    wrong = (val.labels + 1 + np.arange(len(val)) % 9) % 10
    np.save(tmp_path / "l.npy", np.column_stack([wrong, np.full(len(val), -1)]))
    store = imported(tmp_path / "l.npy", val=stores[1], order="folders", accept=("chance",))
    assert errors(store) == {"top-1": len(val), "top-5": len(val)}


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_lists_of_fewer_than_five_labels_have_no_top_5_error(stores, posteriors, tmp_path, count):
    np.save(tmp_path / "l.npy", np.argsort(-posteriors, 1)[:, :count])
    store = imported(tmp_path / "l.npy", val=stores[1], order="folders")
    assert list(imported_errors(store)) == ["top-1", "top-5"][: 1 + (count == 5)]


def spoilt(p: np.ndarray, row: int, column: int, value: float) -> np.ndarray:
    changed = p.copy()
    changed[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, ids: (spoilt(p, 3, 2, np.nan), ids), "p.npz, row 4: a number that is not finite"),
        (lambda p, ids: (spoilt(p, 3, 2, 7), ids), "p.npz, row 4: no posterior: it sums to 7"),
        (lambda p, ids: (spoilt(p, 3, slice(None), [-1, 2, *[0] * 8]), ids), "its smallest number is -1"),
        (
            lambda p, ids: (p[:, :-1], ids),
            "expected 10 numbers an image, one per class, or up to 5 labels, got 9 columns",
        ),
        (
            lambda p, ids: (p, ["nobody.JPEG", *ids[1:]]),
            "1 of 40 images are not among the 40 .* the first is 'nobody.JPEG'",
        ),
        (lambda p, ids: (p, [ids[1], *ids[1:]]), "1 images have more than one row, the first is val_"),
        (lambda p, ids: (p[1:], ids[1:]), "1 of 40 images are missing, the first is val_"),
        (lambda p, ids: (p[1:], []), "expected 40 rows, one per validation image, got 39"),
        (lambda p, ids: (p, []), "does not say which image a row is of: give --order"),
        (lambda p, ids: (np.tile([1, 2, 2], (40, 1)), ids), "row 1: expected different labels, got 1 2 2"),
        (lambda p, ids: (np.tile([1, -1, 2], (40, 1)), ids), "row 1: expected labels, best first, without a gap"),
        (
            lambda p, ids: (np.tile([1, 10, 2], (40, 1)), ids),
            r"row 1: expected 0 to 9 \(sorted WNIDs are counted from 0",
        ),
        (lambda p, ids: (np.tile(["n99000000", "cat"], (40, 1)), ids), "row 1: 'cat' is no class of the images"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(stores, val, posteriors, tmp_path, change, message):
    values, ids = change(posteriors, val.ids)
    np.savez(tmp_path / "p.npz", p=values, **({"ids": np.array(ids)} if ids else {}))
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "p.npz", val=stores[1])
    assert not (tmp_path / "store").exists()


def test_contradictions_are_named(stores, val, posteriors, tmp_path):
    write(tmp_path / "p.csv", posteriors, val.ids, val.about["wnids"])
    options = {"val": stores[1], "file": tmp_path / "p.csv"}
    with pytest.raises(ValueError, match="has the images' ids itself: leave out the order validation"):
        imported(**options, order="validation")
    with pytest.raises(ValueError, match="its classes are wnid, not sorted"):
        imported(**options, classes="sorted")
    with pytest.raises(ValueError, match="no column is called 'nobody'"):
        imported(**options, ids="nobody")
    with pytest.raises(ValueError, match=r"order nowhere: neither validation nor folders nor a list of images"):
        np.save(tmp_path / "q.npy", posteriors)
        imported(tmp_path / "q.npy", val=stores[1], order="nowhere")
    np.save(tmp_path / "o.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="without unpickling"):
        imported(tmp_path / "o.npy", val=stores[1], order="folders")
    with pytest.raises(ValueError, match="expected a file that ends in"):
        imported(tmp_path / "o.h5", val=stores[1])
    with pytest.raises(ValueError, match="give --val STORE, or --devkit FOLDER"):
        imported(tmp_path / "q.npy")


def test_answers_for_other_images_are_judged_by_the_numbers_of_their_folders(stores, val, tmp_path):
    """ImageNetV2's folders are places among the sorted WNIDs; rows are by class number and file name."""
    names = [f"{label}/{label}{place}.jpeg" for label in range(10) for place in range(3)]
    for name in names:
        (tmp_path / "v2" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v2" / name).touch()
    labels = np.repeat(np.arange(10), 3)
    posteriors = np.full((30, 10), 0.05)
    posteriors[np.arange(30), labels] = 0.55
    posteriors[[4, 9]] = np.roll(posteriors[[4, 9]], 1, 1)
    np.save(tmp_path / "p.npy", posteriors)
    store = imported(tmp_path / "p.npy", val=stores[1], folders=tmp_path / "v2", order="folders")
    assert int(imported_errors(store)["top-1"].wrong.sum()) == 2
    assert (store.ids[:4], store.metadata["data set"]) == (("00.jpeg", "01.jpeg", "02.jpeg", "10.jpeg"), "v2")
    shuffled = np.random.default_rng(1).permutation(30)
    np.savez(tmp_path / "s.npz", p=posteriors[shuffled], ids=np.array(names)[shuffled])
    by_id = imported(tmp_path / "s.npz", val=stores[1], folders=tmp_path / "v2")
    assert np.array_equal(by_id.posteriors, store.posteriors)
