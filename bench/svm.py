"""The SVMs of VOC-2007 at full size, the search for C included: wall time and memory of `vggrepro classify`.

    python bench/svm.py FOLDER      made-up features: 9,963 images x (4,096 of D + 4,096 of E), 5 scales, 20 classes

The process is measured whole: reading and averaging five scales of two nets, 5 costs x 20 classes on train, 20 on trainval.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from harness import REPEATS, process, row, write
from PIL import Image

from vggrepro.core.files import write_json
from vggrepro.data.collections import VOC
from vggrepro.paper.tasks import TASKS

SIZES = {"train": 2501, "val": 2510, "test": 4952}
CLASSES, DIMENSIONS = 20, 4096


def make_voc(root: Path) -> VOC:
    """VOC's lists with random labels, about 1.5 classes an image; every image is the same pixel."""
    rng = np.random.default_rng(0)
    lists = root / "ImageSets" / "Main"
    for folder in (lists, root / "JPEGImages"):
        folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for part, count in SIZES.items():
        ids = [f"{start + i:06d}" for i in range(count)]
        start += count
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in ids))
        labels = np.where(rng.random((count, CLASSES)) < 0.075, 1, -1)
        for c in range(CLASSES):
            rows = (f"{name} {label:2d}\n" for name, label in zip(ids, labels[:, c], strict=True))
            (lists / f"class{c:02d}_{part}.txt").write_text("".join(rows))
        for name in ids:
            if not (root / "JPEGImages" / f"{name}.jpg").exists():
                Image.new("RGB", (1, 1)).save(root / "JPEGImages" / f"{name}.jpg")
    return VOC(root, "2007")


def make_features(folder: Path, voc: VOC, seed: int) -> None:
    """Features as a net's: none negative, half of them zero; a class adds a pattern of its own."""
    rng = np.random.default_rng(seed)
    patterns = rng.exponential(0.5, (CLASSES, DIMENSIONS)) * (rng.random((CLASSES, DIMENSIONS)) < 0.1)
    signal = (voc.labels > 0) @ patterns
    folder.mkdir(parents=True, exist_ok=True)
    for Q in TASKS["voc2007"].scales:
        values = np.maximum(rng.standard_normal(signal.shape) + signal, 0)
        np.save(folder / f"{Q}.npy", values.astype(np.float32))
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in voc.ids))
    write_json(folder / "made.json", {"run": folder.name, "name": "voc2007", "data": voc.digest})


def main(folder: Path) -> None:
    """Make the features if they are not there, then measure."""
    voc = make_voc(folder / "VOC2007")
    nets = [folder / "features" / name for name in "DE"]
    for seed, net in enumerate(nets):
        if not (net / "made.json").exists():
            make_features(net, voc, seed)
    rows = []
    for threads in (1, 2):
        call = [sys.executable, "-m", "vggrepro", "classify", "voc2007", "--path", str(folder / "VOC2007")]
        call += ["--features", *map(str, nets), "--out", str(folder / "result"), "--threads", str(threads)]
        taken = [process(call) for _ in range(REPEATS)]
        what = f"VOC-2007, {threads} thread{'s' * (threads > 1)}"
        rows.append(row(what, "s", {"ours": [seconds for seconds, _ in taken]}, GB=max(peak for _, peak in taken)))
    write(
        "svm", {"title": "SVMs of D & E, 9,963 x 8,192 x 5 scales, 20 classes, C chosen of 5", "ours": "vggrepro"}, rows
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
