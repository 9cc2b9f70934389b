"""Writing stores: interrupted anywhere, on a full disk, by two processes at once, rescaled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import prepared
from vggrepro import cli
from vggrepro.core.paths import ROOT
from vggrepro.data import standin, writer
from vggrepro.data.layouts import TinyImageNet
from vggrepro.data.prepare import original_images, rescaled_images
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, rescale_image
from vggrepro.training.loader import Batches

SLOW = """
import sys, time
from pathlib import Path
from vggrepro.data import writer
from vggrepro.data.layouts import TinyImageNet
from vggrepro.data.prepare import original_images
writer.IMAGES_PER_SYNC = 3
layout = TinyImageNet(Path(sys.argv[1]))
source = original_images(layout, layout.items("train"), training=True)
read = source.read
object.__setattr__(source, "read", lambda i: (time.sleep(0.005), read(i))[1])
writer.write_store(Path(sys.argv[2]), source)
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "images"
    standin.draw_data_set(folder, train_per_class=16, val_per_class=2)
    return folder


def source(drawn: Path, **options: object) -> writer.StoreSource:
    layout = TinyImageNet(drawn)
    return original_images(layout, layout.items("train"), training=True, **options)


def same(a: Path, b: Path) -> bool:
    names = [path.name for path in sorted(a.iterdir())]
    return names == [path.name for path in sorted(b.iterdir())] and all(
        (a / name).read_bytes() == (b / name).read_bytes() for name in names
    )


def test_a_store_whose_writing_is_killed_several_times_is_the_same(drawn, tmp_path):
    out, part = tmp_path / "store", tmp_path / ".store.part"
    for _ in range(5):
        before = (part / "records.bin").stat().st_size if part.exists() else 0
        with subprocess.Popen([sys.executable, "-c", SLOW, str(drawn), str(out)], cwd=ROOT) as process:
            until = time.monotonic() + 30
            while time.monotonic() < until and process.poll() is None:
                if (part / "records.bin").exists() and (part / "records.bin").stat().st_size > before:
                    break
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    assert (part / "records.bin").stat().st_size
    writer.write_store(out, source(drawn))
    writer.write_store(tmp_path / "whole", source(drawn))
    assert same(out, tmp_path / "whole")
    assert not part.exists()


def interrupted(drawn: Path, out: Path, after: int, monkeypatch) -> writer.StoreSource:
    monkeypatch.setattr(writer, "IMAGES_PER_SYNC", 1)
    breaking = source(drawn)
    read = breaking.read

    def broken(i: int) -> writer.StoredImage:
        if i == after:
            raise ValueError("broken")
        return read(i)

    object.__setattr__(breaking, "read", broken)
    with pytest.raises(ValueError, match="broken"):
        writer.write_store(out, breaking, workers=0)
    return source(drawn)


@pytest.mark.parametrize(
    ("file", "bytes_off"), [("images.bin", 5000), ("images.bin", 1), ("records.bin", 10), ("records.bin", 400)]
)
def test_bytes_lost_in_a_power_cut_are_written_again(drawn, tmp_path, monkeypatch, file, bytes_off):
    whole = interrupted(drawn, tmp_path / "store", 40, monkeypatch)
    path = tmp_path / ".store.part" / file
    os.truncate(path, path.stat().st_size - bytes_off)
    writer.write_store(tmp_path / "store", whole)
    writer.write_store(tmp_path / "whole", whole)
    assert same(tmp_path / "store", tmp_path / "whole")


def test_an_unfinished_store_of_another_data_set_is_not_resumed(drawn, tmp_path, monkeypatch, capsys):
    interrupted(drawn, tmp_path / "store", 40, monkeypatch)
    writer.write_store(tmp_path / "store", source(drawn, encoding="files"))
    assert "resumes" not in capsys.readouterr().err
    assert len(Store(tmp_path / "store")) == 160


@pytest.mark.parametrize("name", ["a\nb.JPEG", "a\u2028b.JPEG", "a\udce4.JPEG"])
def test_a_file_name_that_cannot_be_a_line_is_named(drawn, tmp_path, name):
    renamed = source(drawn)
    renamed.ids[3] = name
    with pytest.raises(ValueError, match=r"has a line break or is not UTF-8: rename the file"):
        writer.write_store(tmp_path / "store", renamed)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_write_the_same_store(drawn, tmp_path):
    with subprocess.Popen([sys.executable, "-c", SLOW, str(drawn), str(tmp_path / "store")], cwd=ROOT) as process:
        until = time.monotonic() + 30
        while time.monotonic() < until and not (tmp_path / ".store.part/records.bin").exists():
            time.sleep(0.002)
        with pytest.raises(ValueError, match="store: another process is writing this store"):
            writer.write_store(tmp_path / "store", source(drawn))
        process.kill()


def test_a_full_disk_ends_with_a_message_and_the_store_is_resumed(drawn, tmp_path, monkeypatch):
    """The file system has 1 MB for a store of 2 MB."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(ValueError, match=r"needs 2.0 MB more, the disk has 1.0 MB free"):
            writer.write_store(small / "store", source(drawn))
        free = writer.free_bytes
        monkeypatch.setattr(writer, "free_bytes", lambda folder: 10**12)
        monkeypatch.setattr(writer, "IMAGES_PER_SYNC", 8)
        with pytest.raises(ValueError, match=r"no space left on the disk after \d\d of 160 images: free some space"):
            writer.write_store(small / "store", source(drawn))
        assert not (small / "store").exists()
        monkeypatch.setattr(writer, "free_bytes", free)
        subprocess.run(["mount", "-o", "remount,size=9m", str(small)], check=True)
        writer.write_store(small / "store", source(drawn))
        writer.write_store(tmp_path / "whole", source(drawn))
        assert same(small / "store", tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_dry_run_prints_bytes_and_exactness_and_writes_nothing(drawn, tmp_path, capsys):
    where = ["--train", str(tmp_path / "t"), "--val", str(tmp_path / "v"), "--path", str(drawn)]
    assert cli.main(["prepare", "--layout", "tiny-imagenet", *where, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "160 images, 2.0 MB" in printed
    assert "Exact: decoded pixels" in printed
    assert cli.main(["prepare", "--layout", "tiny-imagenet", *where, "--encoding", "files", "--dry-run"]) == 0
    assert "Exact: the original files" in capsys.readouterr().out
    writer.write_store(tmp_path / "store", source(drawn))
    for encoding, expected in (
        ("pixels", "160 images, 4.4 MB"),
        ("jpeg", "Not exact: JPEG of quality 95 changes a pixel by"),
    ):
        call = ["rescale", "--store", str(tmp_path / "store"), "--smallest", "96", "--encoding", encoding]
        assert cli.main([*call, "--out", str(tmp_path / "r"), "--dry-run"]) == 0
        assert expected in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.fixture(scope="module")
def stores_at_96(tmp_path_factory) -> dict[str, Store]:
    folder = tmp_path_factory.mktemp("rescaled")
    whole = Store(prepared(folder / "prepared")[0])
    opened = {"original": whole}
    for encoding in ("pixels", "jpeg"):
        writer.write_store(folder / encoding, rescaled_images(whole, 96, encoding)[0], workers=2)
        opened[encoding] = Store(folder / encoding)
    return opened


def test_rescaled_pixels_are_those_that_crops_are_cut_from(stores_at_96):
    whole, pixels = stores_at_96["original"], stores_at_96["pixels"]
    for i in range(0, len(whole), 7):
        assert np.array_equal(pixels.image(i), rescale_image(whole.image(i), 96))
    assert (pixels.smallest, pixels.ids, pixels.colours) == (96, whole.ids, whole.colours)
    assert np.array_equal(pixels.truth, whole.truth)
    assert np.array_equal(pixels.sizes, whole.sizes)


def test_training_sees_the_same_images_from_rescaled_pixels(stores_at_96):
    """Equal to the bit from pixels, but not from JPEG."""
    from vggrepro.settings.blocks import BoxTargets, TrainSettings

    def batch(store: Store):
        draws = Draws.for_epoch(0, 1, len(store), (96, 96))
        options = {"train": TrainSettings(batch=64), "crop": 56, "workers": 0, "boxes": BoxTargets()}
        return next(iter(Batches(store, draws, **options)))

    whole, pixels, jpeg = (batch(stores_at_96[name]) for name in ("original", "pixels", "jpeg"))
    assert torch.equal(whole.images(), pixels.images())
    assert 0.5 < (pixels.images() - jpeg.images()).abs().mean() < 5
    assert np.array_equal(whole.targets.numpy(), pixels.targets.numpy())


def test_rescaled_images_are_not_rescaled_again(stores_at_96):
    with pytest.raises(ValueError, match="its images are rescaled already"):
        rescaled_images(stores_at_96["pixels"], 64, "pixels")


@pytest.mark.parametrize("name", ["images.bin", "records.bin", "identity"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_store_that_goes_on_from_damage_ends_as_if_there_were_none(drawn, tmp_path, monkeypatch, name, share):
    writer.write_store(tmp_path / "whole", source(drawn))
    going_on = interrupted(drawn, tmp_path / "store", 10, monkeypatch)
    part = tmp_path / ".store.part" / name
    data = bytearray(part.read_bytes())
    data[int(share * len(data))] ^= 4
    part.write_bytes(data)
    writer.write_store(tmp_path / "store", going_on)
    assert same(tmp_path / "store", tmp_path / "whole")
