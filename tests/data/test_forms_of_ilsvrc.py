"""ILSVRC in the forms that people have besides the official ones: the same images have the same labels, or a message says what
is missing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.data.test_ilsvrc import VAL, WNIDS, as_flat, as_folders, devkit, images, jpeg, lay, name, xml
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import prepare_stores
from vggrepro.data.store import Store
from vggrepro.data.verify import verify_data_set

LABELS = {f"{name(i)}": wnid for i, wnid in enumerate(VAL)}
WORDS = "".join(f"{wnid} words\n" for wnid in WNIDS)


def val_images() -> dict[str, bytes]:
    return {f: d for f, d in images().items() if f.startswith("val/")}


def solution(folder: Path, labels: dict[str, str], where: str = "LOC_val_solution.csv") -> None:
    lines = ["ImageId,PredictionString", *(f"{image},{wnid} 1 2 9 8 " for image, wnid in labels.items())]
    (folder / where).write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")


def with_solution(folder: Path) -> None:
    lay(folder, val_images())
    solution(folder, LABELS)
    (folder / "LOC_synset_mapping.txt").write_text(WORDS)


def with_list(folder: Path, line: str, listing: str) -> None:
    lay(folder, val_images())
    numbers = {wnid: i for i, wnid in enumerate(WNIDS)}
    lines = [line.format(image=image, wnid=wnid, number=numbers[wnid]) for image, wnid in LABELS.items()]
    (folder / listing).write_text("".join(f"{line}\n" for line in lines))
    (folder / "synset_words.txt").write_text(WORDS)


def of_hugging_face(folder: Path) -> None:
    lay(folder, {f"val/{image}_{wnid}.JPEG": val_images()[f"val/{image}.JPEG"] for image, wnid in LABELS.items()})


FORMS = {
    "LOC_val_solution.csv": with_solution,
    "Caffe's val.txt": lambda f: with_list(f, "{image}.JPEG {number}", "val.txt"),
    "a list of WNIDs": lambda f: with_list(f, "{image}.JPEG {wnid}", "val_labels.txt"),
    "a CSV of WNIDs": lambda f: with_list(f, "{image},{wnid}", "val.csv"),
    "Hugging Face's names": of_hugging_face,
    "class folders": lambda f: lay(f, {f"val/{w}/{i}.JPEG": val_images()[f"val/{i}.JPEG"] for i, w in LABELS.items()}),
    "the devkit": lambda f: lay(f, val_images() | devkit()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("trained", [True, False])
def test_validation_images_have_the_same_labels_in_every_form(tmp_path, form, trained):
    FORMS[form](tmp_path)
    if trained:
        lay(tmp_path, {f: d for f, d in images().items() if f.startswith("train/")})
    layout = open_ilsvrc(tmp_path)
    stem_labels = {item.id.split(".")[0][:23]: layout.wnids[item.label] for item in layout.items("val")}
    assert stem_labels == LABELS
    assert layout.splits == (("train", "val") if trained else ("val",))


@pytest.mark.parametrize("form", FORMS)
def test_validation_images_alone_are_verified_and_prepared(tmp_path, form, capsys):
    FORMS[form](tmp_path / "d") if (tmp_path / "d").mkdir() is None else None
    message = verify_data_set("ilsvrc", tmp_path / "d", tmp_path / "v")
    assert "all 3 images (of validation; there are no training images) are whole" in message
    options = {"classes": None, "per_class": (None, None), "encoding": "files", "workers": 1}
    prepare_stores("ilsvrc", tmp_path / "d", train_folder=None, val_folder=tmp_path / "val", **options)
    store = Store(tmp_path / "val")
    assert sorted(store.about["wnids"][label] for label in store.labels) == sorted(VAL)
    with pytest.raises(ValueError, match="no training images: expected train/"):
        prepare_stores("ilsvrc", tmp_path / "d", train_folder=tmp_path / "t", val_folder=None, **options)


def test_a_slice_of_the_validation_images_is_read_and_told(tmp_path, capsys):
    lay(tmp_path, {f"val/{name(i)}.JPEG": jpeg(i) for i in range(3)})
    labels = LABELS | {name(i): WNIDS[i % 2] for i in range(3, 9)}
    solution(tmp_path, labels)
    (tmp_path / "LOC_synset_mapping.txt").write_text(WORDS)
    items = open_ilsvrc(tmp_path).items("val")
    assert {item.id.removesuffix(".JPEG"): WNIDS[item.label] for item in items} == LABELS
    assert all(item.boxes for item in items)
    assert "3 of the 9 images" in capsys.readouterr().err
    assert "all 3 images" in verify_data_set("ilsvrc", tmp_path, tmp_path / "v")


def test_images_of_which_nothing_says_the_class_are_answered_with_what_could(tmp_path):
    lay(tmp_path, val_images())
    with pytest.raises(ValueError, match=r"nothing says their classes: expected .*LOC_val_solution.csv; or a list"):
        open_ilsvrc(tmp_path).items("val")


@pytest.mark.parametrize("wnid", WNIDS)
def test_an_image_that_a_list_labels_twice_is_named(tmp_path, wnid):
    FORMS["a list of WNIDs"](tmp_path)
    with (tmp_path / "val_labels.txt").open("a") as file:
        file.write(f"{name(1)}.JPEG {wnid}\n")
    with pytest.raises(ValueError, match=f"val_labels.txt: expected each image once, but {name(1)} is listed twice"):
        open_ilsvrc(tmp_path).items("val")


ODD = ["a, b.JPEG", "naïve 日本.JPEG", 'a "quoted" one.JPEG', "semi;colon.JPEG", "$(touch evil).JPEG"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_file_names_are_names_as_any_others(tmp_path, odd):
    as_folders(tmp_path / "d")
    (tmp_path / "d/train" / WNIDS[0] / odd).write_bytes(jpeg(1))
    verify_data_set("ilsvrc", tmp_path / "d", tmp_path / "v")
    with (tmp_path / "v/manifest.csv").open(newline="", encoding="utf-8") as file:
        assert odd in [row["id"] for row in csv.DictReader(file)]
    options = {"classes": None, "per_class": (None, None), "encoding": "files", "workers": 1}
    prepare_stores("ilsvrc", tmp_path / "d", train_folder=tmp_path / "t", val_folder=None, **options)
    assert odd in Store(tmp_path / "t").ids


@pytest.mark.parametrize("odd", [b"two\nlines.JPEG", b"na\xefve.JPEG", b"carriage\rreturn.JPEG"])
def test_file_names_that_fit_on_no_line_are_refused_by_name(tmp_path, odd):
    """A line break, or bytes of another encoding than UTF-8: a store keeps a name on a line of UTF-8."""
    as_folders(tmp_path / "d")
    (Path(f"{tmp_path}/d/train/{WNIDS[0]}") / odd.decode("utf-8", "surrogateescape")).write_bytes(jpeg(1))
    assert "are whole" in verify_data_set("ilsvrc", tmp_path / "d", tmp_path / "v")
    options = {"classes": None, "per_class": (None, None), "encoding": "files", "workers": 1}
    with pytest.raises(ValueError, match="the file name .* has a line break or is not UTF-8: rename the file"):
        prepare_stores("ilsvrc", tmp_path / "d", train_folder=tmp_path / "t", val_folder=None, **options)
    assert not (tmp_path / "t").exists()


def test_links_that_loop_are_left_out_and_other_links_are_followed(tmp_path, capsys):
    as_flat(tmp_path / "d")
    (tmp_path / "d/train" / WNIDS[0]).rename(tmp_path / "elsewhere")
    (tmp_path / "d/train" / WNIDS[0]).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "d")
    (tmp_path / "d/val/itself").symlink_to(tmp_path / "d/val")
    layout = open_ilsvrc(tmp_path / "d")
    assert [item.id for item in layout.items("train")] == [f"{w}_{i}.JPEG" for w in WNIDS for i in (2, 10)]
    assert len(layout.items("val")) == 3
    assert "leaves out a link to a folder that it lies in" in capsys.readouterr().err


def test_a_link_to_nothing_is_named(tmp_path):
    as_folders(tmp_path / "d")
    (tmp_path / "d/train" / WNIDS[0] / "n_gone.JPEG").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="n_gone.JPEG"):
        verify_data_set("ilsvrc", tmp_path / "d", tmp_path / "v")


def test_an_image_without_its_class_in_xml_of_others_is_named(tmp_path):
    lay(tmp_path, val_images() | {f"Annotations/CLS-LOC/val/{name(i)}.xml": xml(w) for i, w in enumerate(VAL[:2])})
    with pytest.raises(ValueError, match=f"{name(2)} has no label in"):
        open_ilsvrc(tmp_path).items("val")
