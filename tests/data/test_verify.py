"""Verification lists every image of a data set and names the damaged ones; an interrupted one is resumed."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import real
from vggrepro.core.checksums import CHECKSUMS
from vggrepro.core.paths import ROOT
from vggrepro.data import standin, verify
from vggrepro.data.store import decode
from vggrepro.data.transforms import Draws, training_crop


def encoded(image: Image.Image, kind: str, **given: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **given)
    return buffer.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8))


EXIF = Image.Exif()
EXIF[0x0112] = 6  # turn by 90 degrees to show
ODD = {
    "CMYK JPEG": (encoded(gradient(30, 20).convert("CMYK"), "JPEG"), (20, 30)),
    "PNG named JPEG": (encoded(gradient(30, 20), "PNG"), (20, 30)),
    "PNG with transparency": (encoded(gradient(30, 20).convert("RGBA"), "PNG"), (20, 30)),
    "greyscale": (encoded(gradient(30, 20).convert("L"), "JPEG"), (20, 30)),
    "EXIF says turn": (encoded(gradient(30, 20), "JPEG", exif=EXIF), (20, 30)),
    "progressive": (encoded(gradient(30, 20), "JPEG", progressive=True), (20, 30)),
    "one pixel": (encoded(gradient(1, 1), "JPEG"), (1, 1)),
    "a line": (encoded(gradient(500, 1), "JPEG"), (1, 500)),
    "wide": (encoded(gradient(10_000, 60), "JPEG"), (60, 10_000)),
    "huge": (encoded(Image.new("L", (10_000, 9_000), 7), "JPEG"), (9_000, 10_000)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("error")
def test_odd_images_decode_right(kind):
    data, shape = ODD[kind]
    pixels = decode(data, "x")
    assert pixels.shape == (*shape, 3)
    if kind == "huge":  # near the size that PIL refuses as an attack; a comparison of all pixels would take seconds
        assert (pixels[::500, ::500] == 7).all()
        return
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    if "PNG" in kind:
        assert np.array_equal(pixels, np.asarray(gradient(30, 20)))
    if kind == "greyscale":
        assert (pixels == pixels[:, :, :1]).all()
    if shape[0] < 100:
        draws = Draws.for_epoch(0, 1, 1, (64, 64))
        assert training_crop(pixels, draws, 0, 56).shape == (56, 56, 3)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    standin.draw_data_set(tmp_path / "images", train_per_class=4, val_per_class=2)
    (tmp_path / "images" / CHECKSUMS).unlink()  # as a user's own
    return tmp_path / "images"


def test_a_whole_data_set_is_listed(drawn, tmp_path):
    summary = verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "out", workers=3)
    assert "all 60 images are whole" in summary
    manifest = rows(tmp_path / "out/manifest.csv")
    assert len(manifest) == 60
    assert {(row["width"], row["height"], row["problem"]) for row in manifest} == {("64", "64", "")}
    assert not rows(tmp_path / "out/problems.csv")
    assert not (tmp_path / "out/manifest.part.csv").exists()


def test_every_damaged_image_is_listed(drawn, tmp_path):
    cut, empty = drawn / "train/n99000000/images/n99000000_1.JPEG", drawn / "val/images/val_3.JPEG"
    cut.write_bytes(cut.read_bytes()[:300])
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 60 images .* are damaged, the first is .*n99000000_1.JPEG"):
        verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "out")
    wrong = rows(tmp_path / "out/problems.csv")
    assert [row["id"] for row in wrong] == ["n99000000_1.JPEG", "val_3.JPEG"]
    assert len(rows(tmp_path / "out/manifest.csv")) == 60


def test_an_interrupted_verification_is_resumed(drawn, tmp_path, monkeypatch, capsys):
    """The last line of the manifest is incomplete, a byte of another is flipped, and one image was replaced since."""
    verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "out")
    whole = (tmp_path / "out/manifest.csv").read_text()
    lines = whole.splitlines(keepends=True)
    part, columns = tmp_path / "out/manifest.part.csv", (*verify.MANIFEST_COLUMNS, verify.SUM)
    verify._write(part, [row | {verify.SUM: verify._sum(row)} for row in rows(tmp_path / "out/manifest.csv")], columns)
    unfinished = part.read_text().splitlines(keepends=True)
    unfinished[7] = unfinished[7].replace(",64,", ",65,", 1)
    part.write_text("".join(unfinished[:31]) + unfinished[31][:40])
    changed = drawn / lines[5].split(",")[3]
    changed.write_bytes(changed.read_bytes() + b" ")
    checked, check = [], verify.check_image
    monkeypatch.setattr(
        verify, "check_image", lambda *arguments: checked.append(arguments[-1].name) or check(*arguments)
    )
    verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "out")
    assert "resumes after 28 of 60 images" in capsys.readouterr().err
    assert len(checked) == 32
    after = (tmp_path / "out/manifest.csv").read_text().splitlines(keepends=True)
    assert [i for i, (a, b) in enumerate(zip(lines, after, strict=True)) if a != b] == [5]


def test_a_verification_that_is_killed_several_times_ends_with_the_same_manifest(drawn, tmp_path):
    slow = (
        "import sys, time; from pathlib import Path; from vggrepro.data import verify; check = verify.check_image; "
        "verify.LINES_PER_SYNC = 1; verify.check_image = lambda *a: (time.sleep(0.02), check(*a))[1]; "
        "verify.verify_data_set('tiny-imagenet', Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    part = tmp_path / "out/manifest.part.csv"
    for _ in range(3):
        before = part.stat().st_size if part.exists() else 0
        with subprocess.Popen([sys.executable, "-c", slow, str(drawn), str(tmp_path / "out")], cwd=ROOT) as process:
            until = time.monotonic() + 30
            while time.monotonic() < until and not (part.exists() and part.stat().st_size > before + 500):
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
    assert rows(part)
    assert "all 60 images are whole" in verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "out")
    verify.verify_data_set("tiny-imagenet", drawn, tmp_path / "undisturbed")
    assert (tmp_path / "out/manifest.csv").read_bytes() == (tmp_path / "undisturbed/manifest.csv").read_bytes()


def test_the_real_validation_images_are_whole(tmp_path):
    """200 images in the layout of class folders: sides up to 3,264 px, some greyscale."""
    import zipfile

    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        names = [name for name in file.namelist() if name.endswith(".JPEG")]
        for i, name in enumerate(names):
            split = tmp_path / ("val" if i % 2 else "train") / f"n0144076{i % 10 // 2}"
            split.mkdir(parents=True, exist_ok=True)
            (split / Path(name).name).write_bytes(file.read(name))
    summary = verify.verify_data_set("ilsvrc", tmp_path, tmp_path / "out", workers=2)
    assert "all 200 images are whole (some are L and are converted to RGB)" in summary
