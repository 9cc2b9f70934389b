"""Stores on a disk of the machine that reads them: copied once, kept, checked, and cleared when room is needed."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.core.checksums import recorded_checksum
from vggrepro.core.paths import ROOT
from vggrepro.data.staging import Staging
from vggrepro.data.store import Store

READ = """
import sys, time
from pathlib import Path
from vggrepro.data.staging import Staging
from vggrepro.data.store import Store
with Staging(Path(sys.argv[1]), float(sys.argv[3])).store(Path(sys.argv[2])) as folder:
    print(folder, len(Store(folder)), flush=True)
    sys.stdin.readline()
"""


def reader(place: Path, folder: Path, limit: float = math.inf) -> subprocess.Popen:
    """A job of this machine that reads a store until it is told to end."""
    return subprocess.Popen(
        [sys.executable, "-c", READ, place, folder, str(limit)], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def used(staging: Staging, folder: Path) -> Path:
    with staging.store(folder) as place:
        assert len(Store(place)) == len(Store(folder))
        return place


def damage(copy: Path) -> None:
    with (copy / "images.bin").open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def test_a_store_is_copied_once_and_kept_for_the_next_job(stores, tmp_path, capfd):
    staging = Staging(tmp_path / "disk", math.inf)
    first = used(staging, stores[0])
    assert first.parent == tmp_path / "disk"
    assert {file.name for file in first.iterdir()} == {file.name for file in stores[0].iterdir()}
    assert "copied in" in capfd.readouterr().err
    (first / "seen").touch()
    assert used(staging, stores[0]) == first
    assert (first / "seen").exists()
    text = capfd.readouterr().err
    assert "read from" in text
    assert "copied in" not in text


def test_another_content_is_another_copy(stores, tmp_path):
    staging = Staging(tmp_path, math.inf)
    assert used(staging, stores[0]) != used(staging, stores[1])


def test_the_longest_unasked_copy_makes_room_and_one_that_is_read_stays(stores, tmp_path, capfd):
    train, val = stores
    staging = Staging(tmp_path / "disk", size_of(train) + size_of(val) / 2)
    copy = used(staging, val)
    with staging.store(train) as place:
        assert place.parent == staging.folder
        assert not copy.exists()
        # now there is no room, because the training set is read
        assert used(staging, val) == val
        assert "has room for" in capfd.readouterr().err
    assert used(staging, val) == copy
    assert not place.exists()


def test_what_does_not_fit_is_read_where_it_lies_and_clears_nothing_that_is_read(stores, tmp_path, capfd):
    assert used(Staging(tmp_path / "disk", 1000), stores[0]) == stores[0]
    assert "takes 2.0 MB, " in capfd.readouterr().err
    file = tmp_path / "file"
    file.touch()
    assert used(Staging(file / "disk", math.inf), stores[0]) == stores[0]
    assert "no copy in" in capfd.readouterr().err


def test_what_others_have_in_the_folder_is_never_cleared(stores, tmp_path):
    """A user may name a whole scratch disk."""
    others = [tmp_path / "thesis", tmp_path / ("0" * 32)]
    for folder in others:
        folder.mkdir()
        (folder / "chapter").write_bytes(bytes(5000))
    assert used(Staging(tmp_path, 1000), stores[0]) == stores[0]
    assert all((folder / "chapter").exists() for folder in others)
    # nor do they count: the limit is of copies
    assert used(Staging(tmp_path, size_of(stores[0])), stores[0]).parent == tmp_path


def test_a_full_disk_leaves_nothing_behind(stores, tmp_path, monkeypatch, capfd):
    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    assert used(Staging(tmp_path, math.inf), stores[0]) == stores[0]
    assert "could not be copied" in capfd.readouterr().err
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}


def test_a_copy_that_a_job_found_damaged_is_copied_again(stores, tmp_path, capfd):
    staging = Staging(tmp_path, math.inf)
    damage(used(staging, stores[0]))
    with pytest.raises(ValueError, match=r"images.bin: damaged"), staging.store(stores[0]) as place:
        Store(place).image(0)
    capfd.readouterr()
    with staging.store(stores[0]) as place:
        assert (Store(place).image(0) == Store(stores[0]).image(0)).all()
    assert "damaged, copied again" in capfd.readouterr().err


def test_a_damaged_store_gives_no_copy(stores, tmp_path):
    shutil.copytree(stores[0], tmp_path / "store")
    damage(tmp_path / "store")
    with (
        pytest.raises(ValueError, match="its fresh copy in .* is damaged"),
        Staging(tmp_path / "disk", math.inf).store(tmp_path / "store"),
    ):
        pass
    assert {path.suffix for path in (tmp_path / "disk").iterdir()} == {".lock"}


def test_a_list_that_is_not_the_stores_is_not_believed(stores, tmp_path):
    staging, key = Staging(tmp_path, math.inf), recorded_checksum(stores[0])
    shutil.copytree(stores[1], tmp_path / key)
    with staging.store(stores[0]) as place:
        assert len(Store(place)) == len(Store(stores[0]))


def test_a_store_without_checksums_is_read_where_it_lies(stores, tmp_path, capfd):
    shutil.copytree(stores[1], tmp_path / "store")
    (tmp_path / "store" / "checksums.xxh128").unlink()
    with Staging(tmp_path / "disk", math.inf).store(tmp_path / "store") as place:
        assert place == tmp_path / "store"
    assert "vggrepro checksums FOLDER --record" in capfd.readouterr().err


def test_what_a_kill_left_of_a_copy_is_cleared_away(stores, tmp_path):
    left = tmp_path / f".{recorded_checksum(stores[0])}.writing-0a1b2c3d"
    left.mkdir()
    (left / "images.bin").write_bytes(b"half")
    copy = used(Staging(tmp_path, math.inf), stores[0])
    assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [copy.name]


def test_jobs_that_begin_together_make_one_copy_and_a_kill_leaves_none_behind(stores, tmp_path):
    train, val = stores
    jobs = [reader(tmp_path, train) for _ in range(3)]
    places = {job.stdout.readline() for job in jobs}
    assert places == {f"{tmp_path / recorded_checksum(train)} 160\n"}
    # while they read it, another store does not get its room
    other = reader(tmp_path, val, size_of(train))
    assert other.stdout.readline() == f"{val} 40\n"
    for job in jobs:
        job.kill()
    texts = [job.communicate()[1] for job in jobs]
    assert sum("copied in" in text for text in texts) == 1
    other.communicate("\n")
    assert used(Staging(tmp_path, size_of(train)), val) == tmp_path / recorded_checksum(val)
    assert not (tmp_path / recorded_checksum(train)).exists()


def test_the_place_may_hold_variables_of_the_machine(monkeypatch, capsys):
    monkeypatch.delenv("NOWHERE", raising=False)
    call = ["evaluate", "A_256_s0", "dense", "--scales", "256", "--val", "v", "--weights", "w", "--out", "o"]
    for place in ("$NOWHERE/x", "here"):
        assert cli.main([*call, "--stage", place]) == 2
        assert f"--stage {place}: expected the whole path of a folder" in capsys.readouterr().err
