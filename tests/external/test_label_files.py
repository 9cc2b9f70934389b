"""Other labels of the validation images: several of one, none of another, from files of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.data.devkit import official_order
from vggrepro.data.store import Store
from vggrepro.external.label_files import read_label_file
from vggrepro.scores.label_sets import read_label_sets


@pytest.fixture(scope="module")
def val(stores) -> Store:
    return Store(stores[1])


@pytest.fixture(scope="module")
def sets(val) -> list[list[int]]:
    """Label sets of the stand-in's images in the order of our store: the own label and a second, the first image none."""
    return [[], *([int(label), (int(label) + 3) % 10] for label in val.labels[1:])]


def write(file: Path, content: object) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def numbered(val: Store, sets: list) -> list:
    """The sets by number of the validation image."""
    return [sets[row] for row in official_order(val.ids)]


@pytest.mark.parametrize("form", ["list", "keys", "wnids"])
def test_labels_are_known_by_number_or_by_name(stores, val, sets, tmp_path, form):
    wnids = val.about["wnids"]
    by_name = dict(zip(val.ids, sets, strict=True))
    shuffled = {name: by_name[name] for name in sorted(by_name, reverse=True)}
    content = {
        "list": numbered(val, sets),
        "keys": shuffled,
        "wnids": {name: [wnids[label] for label in labels] for name, labels in shuffled.items()},
    }[form]
    read_label_file(write(tmp_path / "l.json", content), name="Two", out=tmp_path / "out", val=stores[1])
    store = read_label_sets(tmp_path / "out")
    assert [sorted(set(row.tolist()) - {-1}) for row in store.labels] == [sorted(labels) for labels in sets]
    assert (list(store.ids), store.metadata["name"]) == (val.ids, "Two")


def test_a_label_alone_needs_no_brackets_and_a_label_twice_counts_once(stores, val, tmp_path):
    content = [int(label) if i % 2 else [int(label)] * 2 for i, label in enumerate(val.labels[official_order(val.ids)])]
    read_label_file(write(tmp_path / "l.json", content), name="Own", out=tmp_path / "out", val=stores[1])
    assert read_label_sets(tmp_path / "out").labels[:, 0].tolist() == val.labels.tolist()
    assert read_label_sets(tmp_path / "out").labels[:, 1:].max(initial=-1) == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sets, val: json.dumps(sets)[:-9], "l.json: expected a list .* cannot be read as it: .*Is it cut"),
        (lambda sets, val: "[" * 100_000, "l.json: expected a list .* cannot be read as it"),
        (lambda sets, val: [], r"l.json: expected a list .*, got \[\]"),
        (lambda sets, val: 7, "l.json: expected a list .*, got 7"),
        (lambda sets, val: sets[:-1], "l.json: expected 40 rows, one per validation image, got 39"),
        (lambda sets, val: dict(zip(val.ids[1:], sets[1:], strict=True)), "1 of 40 images are missing, the first is"),
        (lambda sets, val: {f"{name}x": [0] for name in val.ids}, "40 of 40 images are not among the 40"),
        (lambda sets, val: [*sets[:3], [10], *sets[4:]], "l.json, image 4: expected labels from 0 to 9, .* got 10"),
        (lambda sets, val: [*sets[:3], [-1], *sets[4:]], "image 4: expected labels from 0 to 9, .* got -1"),
        (lambda sets, val: [*sets[:3], [1.0], *sets[4:]], "image 4: expected labels from 0 to 9, .* got 1.0"),
        (lambda sets, val: [*sets[:3], [True], *sets[4:]], "image 4: expected labels from 0 to 9, .* got True"),
        (lambda sets, val: [*sets[:3], None, *sets[4:]], "image 4: expected labels from 0 to 9, .* got None"),
        (lambda sets, val: [*sets[:3], ["n99"], *sets[4:]], "image 4: expected labels from 0 to 9, .* got 'n99'"),
        (lambda sets, val: [[]] * 40, r"the data set's own label is among the file's in 0.0% of the images"),
        (lambda sets, val: sets[7:] + sets[:7], "its labels are in another order, or of other classes"),
    ],
)
def test_what_is_wrong_with_labels_is_named_in_one_message(stores, val, sets, tmp_path, change, message):
    file = write(tmp_path / "l.json", change(numbered(val, sets), val))
    with pytest.raises(ValueError, match=message) as error:
        read_label_file(file, name="Two", out=tmp_path / "out", val=stores[1])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_wrong_order_that_fits_is_named(stores, val, sets, tmp_path):
    """Images of a store are sorted by class; a file in that order is not in that of their numbers."""
    assert official_order(val.ids) != list(range(len(val)))
    file = write(tmp_path / "l.json", sets)
    with pytest.raises(ValueError, match=r"read in the order of folders, it would be 100.0%"):
        read_label_file(file, name="Two", out=tmp_path / "out", val=stores[1])


def test_labels_counted_from_1_are_told(stores, val, tmp_path):
    content = [[int(label) + 1] if label < 9 else [] for label in val.labels[official_order(val.ids)]]
    with pytest.raises(ValueError, match=r"with labels counted from 1, it would be 100.0%"):
        read_label_file(write(tmp_path / "l.json", content), name="One", out=tmp_path / "out", val=stores[1])


def test_images_have_to_be_given(tmp_path, capsys):
    file = write(tmp_path / "l.json", [[1]])
    assert cli.main(["labels", str(file), "--name", "Two", "--out", str(tmp_path / "out")]) == 2
    assert "give --val STORE, or --devkit FOLDER" in capsys.readouterr().err


def test_the_verb_says_how_many_images_count(stores, val, sets, tmp_path, capsys):
    file = write(tmp_path / "l.json", numbered(val, sets))
    options = ["--name", "Two", "--val", str(stores[1]), "--out", str(tmp_path / "out")]
    assert cli.main(["labels", str(file), *options]) == 0
    assert capsys.readouterr().out == "Two: 39 of 40 images have a label, 78 labels in all\n"
