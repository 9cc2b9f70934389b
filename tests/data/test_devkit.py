"""Reading the official devkit: the real labels, boxes and blacklist of ILSVRC-2012."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vggrepro.data.devkit import (
    Guess,
    format_guesses,
    official_order,
    predictions_have_boxes,
    read_guesses,
    read_truth,
)
from vggrepro.data.ilsvrc import open_ilsvrc

FIRST_TEN = [65, 970, 230, 809, 516, 57, 334, 415, 674, 332]


def test_all_validation_images_are_read(ilsvrc_truth):
    assert len(ilsvrc_truth.labels) == 50_000
    assert (~ilsvrc_truth.blacklisted).sum() == 48_238
    assert len(ilsvrc_truth.wnids) == 1000


def test_no_class_has_the_same_place_in_both_orders(ilsvrc_truth):
    assert ilsvrc_truth.labels[0] == 490
    assert ilsvrc_truth.wnids[490] == "n01751748"
    assert ilsvrc_truth.indices()[:10].tolist() == FIRST_TEN
    place = {wnid: i for i, wnid in enumerate(sorted(ilsvrc_truth.wnids.values()))}
    assert not [label for label, wnid in ilsvrc_truth.wnids.items() if place[wnid] == label - 1]


@pytest.mark.parametrize("with_boxes", [True, False])
def test_a_file_comes_back(tmp_path, with_boxes):
    boxes = np.array([[0.0, 1, 20, 30.5], [3, 3, 3, 3]])
    guesses = [Guess((490, 1), boxes if with_boxes else None), Guess((1000,), boxes[:1] if with_boxes else None)]
    (tmp_path / "p.txt").write_text("".join(f"{line}\n" for line in format_guesses(guesses)))
    back = read_guesses(tmp_path / "p.txt", 2, with_boxes=with_boxes)
    assert [g.labels for g in back] == [g.labels for g in guesses]
    assert not with_boxes or all(np.array_equal(a.boxes, b.boxes) for a, b in zip(back, guesses, strict=True))


BAD_LINES = [
    ("", "expected one to five label"),
    ("1 2 3 4", "expected one to five label xmin ymin xmax ymax, got 4 numbers"),
    (" ".join(["1 0 0 5 5"] * 6), "got 30 numbers"),
    ("0 0 0 5 5", "expected a devkit id from 1 to 1000, got 0"),
    ("1001 0 0 5 5", "got 1001"),
    ("1.5 0 0 5 5", "got 1.5"),
    ("1 0 0 nan 5", "expected four finite numbers"),
    ("1 0 0 inf 5", "expected four finite numbers"),
    ("nan 0 0 5 5", "expected a devkit id"),
    ("1 9 0 5 5", "xmin <= xmax"),
    ("n01751748 0 0 5 5", "expected numbers"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named(tmp_path, line, message):
    (tmp_path / "p.txt").write_text(f"1 0 0 5 5\n{line}\n")
    with pytest.raises(ValueError, match=rf"p.txt, line 2: .*{message}"):
        read_guesses(tmp_path / "p.txt", 2)


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_too_few_or_too_many_lines(tmp_path, lines):
    (tmp_path / "p.txt").write_text("1 0 0 5 5\n" * lines)
    with pytest.raises(ValueError, match=f"expected 2 lines.*got {lines}"):
        read_guesses(tmp_path / "p.txt", 2)


def damaged(ilsvrc_folder: Path, tmp_path: Path, name: str, change) -> ValueError:
    """The error of reading a devkit in which one file is changed."""
    for file in [*(ilsvrc_folder / "devkit").iterdir(), ilsvrc_folder / "LOC_val_solution.csv"]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed = tmp_path / name
    changed.write_text(change(changed.read_text().splitlines(keepends=True)))
    with pytest.raises(ValueError) as caught:
        read_truth(tmp_path, tmp_path / "LOC_val_solution.csv")
    return caught.value


GROUND_TRUTH, SOLUTION = "ILSVRC2014_clsloc_validation_ground_truth.txt", "LOC_val_solution.csv"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            GROUND_TRUTH,
            lambda lines: "".join(["1001\n", *lines[1:]]),
            "ground_truth.txt, line 1: expected a number from 1",
        ),
        (GROUND_TRUTH, lambda lines: "".join(lines[:-1]), "expected each of 49999 images once, but .* does not exist"),
        (GROUND_TRUTH, lambda lines: "".join(["1\n", *lines[1:]]), "expected boxes of n02119789, the image's label"),
        (SOLUTION, lambda lines: "".join(lines[:-1]), "1 of 50000 images have no line"),
        (SOLUTION, lambda lines: "".join([*lines, lines[1]]), "line 50002: .*is listed twice"),
        (
            SOLUTION,
            lambda lines: "".join([lines[0], lines[1].replace(" 85 ", " 700 "), *lines[2:]]),
            "line 2: .*xmin <= xmax",
        ),
        (SOLUTION, lambda lines: "".join([lines[0], "x\n", *lines[2:]]), "line 2: expected ImageId,PredictionString"),
    ],
)
def test_truth_that_does_not_fit_together_is_named(ilsvrc_folder, tmp_path, name, change, message):
    assert re.search(message, str(damaged(ilsvrc_folder, tmp_path, name, change)))


BLACKLIST = "ILSVRC2014_clsloc_validation_blacklist.txt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: "", "got an empty file: fetch it again"),
        (lambda lines: "36\n36\n", "expected each number once, got 36 2 times"),
        (lambda lines: "".join(lines)[:30], "expected the 1,762 numbers of ILSVRC's 50,000 images, got 9"),
        (lambda lines: "".join([*lines, "1\n"]), "got 1,763"),
    ],
)
def test_a_damaged_blacklist_is_named_by_both_who_read_it(ilsvrc_folder, tmp_path, change, message):
    assert re.search(f"{BLACKLIST}: .*{message}", str(damaged(ilsvrc_folder, tmp_path, BLACKLIST, change)))
    shutil.copytree(ilsvrc_folder / "val", tmp_path / "val")
    with pytest.raises(ValueError, match=f"{BLACKLIST}: .*{message}"):
        open_ilsvrc(tmp_path).items("val")


def test_an_emptied_ground_truth_is_named_not_the_predictions(ilsvrc_folder, tmp_path):
    shutil.copytree(ilsvrc_folder / "devkit", tmp_path / "devkit")
    (tmp_path / "devkit" / GROUND_TRUTH).write_text("")
    with pytest.raises(ValueError, match=f"{GROUND_TRUTH}: expected a number .* got an empty file"):
        read_truth(tmp_path / "devkit", None)


def test_a_cut_list_of_synsets_is_named(ilsvrc_folder, tmp_path):
    (tmp_path / "meta_clsloc.mat").write_bytes((ilsvrc_folder / "devkit/meta_clsloc.mat").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"meta_clsloc.mat: cannot be read"):
        read_truth(tmp_path, ilsvrc_folder / "LOC_val_solution.csv")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a_1.JPEG", "b.JPEG"], "b.JPEG: expected a number in its name"),
        (["a_1.JPEG", "b_01.JPEG"], "b_01.JPEG: expected number 2 next"),
        (["a_5.JPEG", "a_6.JPEG"], "predict for the whole validation set"),
        (["a_1.JPEG", "a_3.JPEG"], "a_3.JPEG: expected number 2 next"),
    ],
)
def test_images_are_listed_by_number(ids, message):
    assert official_order(["v_3.JPEG", "v_2.JPEG", "v_1.JPEG"]) == [2, 1, 0]
    with pytest.raises(ValueError, match=message):
        official_order(ids)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["1 2 3 4 5", "5 4 3 2 1"], False),
        (["1 2 3 4 5", "7 0 0 5 5"], True),
        (["1 2 3", "5 4 3 2 1"], False),
        (["1 0 0 5.5 5"], True),
        (["1 0 0 5 9 2 0 0 5 9", "5 4 3 2 1"], True),
    ],
)
def test_whether_predictions_have_boxes_shows_in_their_numbers_of_fields(tmp_path, lines, expected):
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    assert predictions_have_boxes(tmp_path / "p.txt") == expected
