"""Judging as the official devkit does, on the real labels, boxes and blacklist of ILSVRC-2012."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import real
from vggrepro import cli
from vggrepro.data.devkit import Guess, Truth, format_guesses, judge_guesses, read_guesses, read_truth

FIRST_TEN = [65, 970, 230, 809, 516, 57, 334, 415, 674, 332]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ilsvrc")
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        file.extractall(root)
    return root / "ilsvrc2012-val-200"


@pytest.fixture(scope="module")
def truth(folder) -> Truth:
    return read_truth(folder / "devkit", folder / "LOC_val_solution.csv")


def made_up(labels: list[int], boxes: list[list[list[int]]], blacklisted: list[bool]) -> Truth:
    wnids = {label: f"n{label:08d}" for label in range(1, 1001)}
    return Truth(wnids, np.array(labels), tuple(map(np.array, boxes)), np.array(blacklisted))


def test_all_validation_images_are_there(truth):
    assert len(truth.labels) == 50_000
    assert (~truth.blacklisted).sum() == 48_238
    assert len(truth.wnids) == 1000


def test_no_class_keeps_its_place_and_the_anchor_holds(truth):
    assert truth.labels[0] == 490
    assert truth.wnids[490] == "n01751748"
    assert truth.indices()[:10].tolist() == FIRST_TEN
    place = {wnid: i for i, wnid in enumerate(sorted(truth.wnids.values()))}
    assert not [label for label, wnid in truth.wnids.items() if place[wnid] == label - 1]


def test_the_whole_image_as_the_box_misses_what_the_csv_says(folder):
    """Worked out by hand from the CSV: a box passes if it covers half of the image, counted pixel by pixel."""
    truth = read_truth(folder / "devkit", folder / "LOC_val_solution.csv", first=200)
    guesses, missed = [], 0
    rows = dict(line.split(",") for line in (folder / "LOC_val_solution.csv").read_text().splitlines()[1:])
    blacklist = set((folder / "devkit/ILSVRC2014_clsloc_validation_blacklist.txt").read_text().split())
    for i in range(1, 201):
        width, height = Image.open(folder / f"val/ILSVRC2012_val_{i:08d}.JPEG").size
        # the annotations count pixels from 0 and reach up to the width, so that this is their whole image
        guesses.append(Guess((int(truth.labels[i - 1]),), np.array([[0.0, 0.0, width - 1, height - 1]])))
        if str(i) in blacklist:
            continue
        fields = rows[f"ILSVRC2012_val_{i:08d}"].split()
        boxes = [list(map(int, fields[k + 1 : k + 5])) for k in range(0, len(fields), 5)]
        shares = []
        for x0, y0, x1, y1 in boxes:
            inside = max(0, min(x1, width - 1) - max(x0, 0) + 1) * max(0, min(y1, height - 1) - max(y0, 0) + 1)
            shares.append(inside / (width * height + (x1 - x0 + 1) * (y1 - y0 + 1) - inside))
        missed += max(shares) < 0.5
    found = judge_guesses(truth, guesses)
    assert (found.localisation, found.localisation_images) == (missed, 200 - sum(int(b) <= 200 for b in blacklist))
    assert (found.top1, found.top5, found.images) == (0, 0, 200)


def test_an_overlap_of_exactly_one_half_passes():
    truth = made_up([7], [[[0, 0, 9, 9]]], [False])
    assert judge_guesses(truth, [Guess((7,), np.array([[0.0, 0, 9, 4]]))]).localisation == 0  # 50 of 100 pixels
    assert judge_guesses(truth, [Guess((7,), np.array([[0.0, 0, 9, 3]]))]).localisation == 1
    assert judge_guesses(truth, [Guess((7,), np.array([[0.0, 0, 9, 19]]))]).localisation == 0
    assert judge_guesses(truth, [Guess((7,), np.array([[0.0, 0, 9, 20]]))]).localisation == 1


def test_any_true_box_and_any_of_five_guesses_will_do():
    truth = made_up([7], [[[0, 0, 9, 9], [50, 50, 69, 69]]], [False])
    far, near = [200.0, 200, 210, 210], [51.0, 50, 70, 69]
    assert judge_guesses(truth, [Guess((1, 7, 7), np.array([near, far, near]))]).localisation == 0
    assert judge_guesses(truth, [Guess((1, 2, 7), np.array([near, near, far]))]).localisation == 1
    assert judge_guesses(truth, [Guess((1, 2, 3, 4, 5), np.array([near] * 5))]).localisation == 1


def test_blacklisted_images_count_for_classification_only():
    truth = made_up([7, 8], [[[0, 0, 9, 9]]] * 2, [False, True])
    wrong = Guess((1,), np.array([[0.0, 0, 9, 9]]))
    found = judge_guesses(truth, [wrong, wrong])
    assert (found.top5, found.images, found.localisation, found.localisation_images) == (2, 2, 1, 1)


def test_top_1_and_top_5():
    truth = made_up([7, 7, 7], [[[0, 0, 1, 1]]] * 3, [False] * 3)
    found = judge_guesses(truth, [Guess((7, 1), None), Guess((1, 2, 3, 4, 7), None), Guess((1, 2, 3), None)])
    assert (found.top1, found.top5, found.localisation) == (2, 1, None)


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


def damaged(folder: Path, tmp_path: Path, name: str, change) -> ValueError:
    """The error of reading a devkit in which one file is changed."""
    for file in [*(folder / "devkit").iterdir(), folder / "LOC_val_solution.csv"]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed = tmp_path / name
    changed.write_text(change(changed.read_text().splitlines(keepends=True)))
    with pytest.raises(ValueError) as found:
        read_truth(tmp_path, tmp_path / "LOC_val_solution.csv")
    return found.value


GROUND_TRUTH, SOLUTION = "ILSVRC2014_clsloc_validation_ground_truth.txt", "LOC_val_solution.csv"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            GROUND_TRUTH,
            lambda lines: "".join(["1001\n", *lines[1:]]),
            "ground_truth.txt, line 1: expected a number from 1",
        ),
        (GROUND_TRUTH, lambda lines: "".join(lines[:-1]), "is not among the 49999"),
        (GROUND_TRUTH, lambda lines: "".join(["1\n", *lines[1:]]), "but the image's label is n02119789"),
        (SOLUTION, lambda lines: "".join(lines[:-1]), "1 of 50000 images have no line"),
        (SOLUTION, lambda lines: "".join([*lines, lines[1]]), "line 50002: .*there twice"),
        (
            SOLUTION,
            lambda lines: "".join([lines[0], lines[1].replace(" 85 ", " 700 "), *lines[2:]]),
            "line 2: .*xmin <= xmax",
        ),
        (SOLUTION, lambda lines: "".join([lines[0], "x\n", *lines[2:]]), "line 2: expected ImageId,PredictionString"),
    ],
)
def test_truth_that_does_not_fit_together_is_named(folder, tmp_path, name, change, message):
    import re

    assert re.search(message, str(damaged(folder, tmp_path, name, change)))


def test_a_cut_list_of_synsets_is_named(folder, tmp_path):
    (tmp_path / "meta_clsloc.mat").write_bytes((folder / "devkit/meta_clsloc.mat").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"meta_clsloc.mat: cannot be read"):
        read_truth(tmp_path, folder / "LOC_val_solution.csv")


def test_judge_from_the_command_line(folder, truth, tmp_path, capsys):
    lines = [f"{label} 0 0 100 100" for label in truth.labels[:200]]
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    where = ["--devkit", str(folder / "devkit"), "--solution", str(folder / "LOC_val_solution.csv"), "--first", "200"]
    assert cli.main(["judge", str(tmp_path / "p.txt"), *where]) == 0
    told = capsys.readouterr().out
    assert "top-1 error" in told
    assert "0 of 200" in told
    assert "localisation error" in told
