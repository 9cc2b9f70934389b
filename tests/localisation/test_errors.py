"""Judging as the official devkit does, on the real labels, boxes and blacklist of ILSVRC-2012."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.box_stores import random_boxes
from vggrepro import cli
from vggrepro.data.devkit import Guess, Truth, read_truth
from vggrepro.data.store import Store
from vggrepro.localisation.errors import count_errors, missed_images
from vggrepro.localisation.stores import merged_label_boxes
from vggrepro.settings.blocks import MergeSettings


def truth_of(labels: list[int], boxes: list[list[list[int]]], blacklisted: list[bool]) -> Truth:
    wnids = {label: f"n{label:08d}" for label in range(1, 1001)}
    return Truth(wnids, np.array(labels), tuple(map(np.array, boxes)), np.array(blacklisted))


def test_the_whole_image_as_the_box_misses_what_the_csv_says(ilsvrc_folder):
    """Worked out by hand from the CSV: a box passes if it covers half of the image, counted pixel by pixel."""
    truth = read_truth(ilsvrc_folder / "devkit", ilsvrc_folder / "LOC_val_solution.csv", first=200)
    guesses, missed = [], 0
    rows = dict(line.split(",") for line in (ilsvrc_folder / "LOC_val_solution.csv").read_text().splitlines()[1:])
    blacklist = set((ilsvrc_folder / "devkit/ILSVRC2014_clsloc_validation_blacklist.txt").read_text().split())
    for i in range(1, 201):
        width, height = Image.open(ilsvrc_folder / f"val/ILSVRC2012_val_{i:08d}.JPEG").size
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
    counts = count_errors(truth, guesses)
    assert (counts.localisation, counts.localisation_images) == (
        missed,
        200 - sum(int(b) <= 200 for b in blacklist),
    )
    assert (counts.top1, counts.top5, counts.images) == (0, 0, 200)


def test_an_overlap_of_exactly_one_half_passes():
    truth = truth_of([7], [[[0, 0, 9, 9]]], [False])
    assert count_errors(truth, [Guess((7,), np.array([[0.0, 0, 9, 4]]))]).localisation == 0  # 50 of 100 pixels
    assert count_errors(truth, [Guess((7,), np.array([[0.0, 0, 9, 3]]))]).localisation == 1
    assert count_errors(truth, [Guess((7,), np.array([[0.0, 0, 9, 19]]))]).localisation == 0
    assert count_errors(truth, [Guess((7,), np.array([[0.0, 0, 9, 20]]))]).localisation == 1


def test_any_true_box_and_any_of_five_guesses_will_do():
    truth = truth_of([7], [[[0, 0, 9, 9], [50, 50, 69, 69]]], [False])
    far, near = [200.0, 200, 210, 210], [51.0, 50, 70, 69]
    assert count_errors(truth, [Guess((1, 7, 7), np.array([near, far, near]))]).localisation == 0
    assert count_errors(truth, [Guess((1, 2, 7), np.array([near, near, far]))]).localisation == 1
    assert count_errors(truth, [Guess((1, 2, 3, 4, 5), np.array([near] * 5))]).localisation == 1


def test_blacklisted_images_count_for_classification_only():
    truth = truth_of([7, 8], [[[0, 0, 9, 9]]] * 2, [False, True])
    wrong = Guess((1,), np.array([[0.0, 0, 9, 9]]))
    counts = count_errors(truth, [wrong, wrong])
    assert (counts.top5, counts.images, counts.localisation, counts.localisation_images) == (2, 2, 1, 1)


def test_top_1_and_top_5():
    truth = truth_of([7, 7, 7], [[[0, 0, 1, 1]]] * 3, [False] * 3)
    counts = count_errors(truth, [Guess((7, 1), None), Guess((1, 2, 3, 4, 7), None), Guess((1, 2, 3), None)])
    assert (counts.top1, counts.top5, counts.localisation) == (2, 1, None)


def test_images_that_a_box_store_misses_are_those_of_the_devkit(stores):
    """The box of the true label alone against the devkit's way with all five; some images are blacklisted."""
    val = Store(stores[1])
    store, blacklisted = random_boxes(val, 0), np.arange(len(val)) % 5 == 0
    store.counted[:] = ~blacklisted
    of_all = merged_label_boxes([store], MergeSettings())[0]
    of_true = merged_label_boxes([store], MergeSettings(), true_only=True)[0]
    truth = Truth({}, val.labels, tuple(val.boxes(i).astype(np.int64) for i in range(len(val))), blacklisted)
    guesses = [Guess(tuple(row.tolist()), boxes) for row, boxes in zip(store.box_labels, of_all, strict=True)]
    counts = count_errors(truth, guesses)
    for boxes in (of_all, of_true):
        missed = missed_images(store, boxes)
        assert (int(missed.sum()), missed.size) == (counts.localisation, counts.localisation_images)
    assert 0 < counts.localisation < counts.localisation_images


def test_judge_from_the_command_line(ilsvrc_folder, ilsvrc_truth, tmp_path, capsys):
    lines = [f"{label} 0 0 100 100" for label in ilsvrc_truth.labels[:200]]
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    solution = str(ilsvrc_folder / "LOC_val_solution.csv")
    options = ["--devkit", str(ilsvrc_folder / "devkit"), "--solution", solution, "--first", "200"]
    assert cli.main(["judge", str(tmp_path / "p.txt"), *options]) == 0
    printed = capsys.readouterr().out
    assert "top-1 error" in printed
    assert "0 of 200" in printed
    assert "localisation error" in printed
