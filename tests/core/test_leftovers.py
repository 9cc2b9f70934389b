"""What a kill leaves of a result that was being written is no result, and is cleared away; nothing finished is lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from vggrepro.core.checksums import CHECKSUMS
from vggrepro.core.files import atomic_file, atomic_folder
from vggrepro.core.leftovers import clear_leftovers, visible_files
from vggrepro.core.paths import ROOT

WRITE = """
import os, signal, sys
from pathlib import Path
from vggrepro.core.files import atomic_folder
renames, replace = [0], Path.replace
def killed(self, target):
    if renames[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    renames[0] += 1
    return replace(self, target)
Path.replace = killed
with atomic_folder(Path(sys.argv[1]) / "scores" / "a", "made.json") as folder:
    (folder / "made.json").write_text("new")
"""


@pytest.mark.parametrize("rename", [0, 1])
def test_a_kill_between_two_renames_loses_nothing_and_leaves_nothing(tmp_path, rename):
    with atomic_folder(tmp_path / "scores" / "a", "made.json") as folder:
        (folder / "made.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path), str(rename)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "scores").rglob("made.json")) != visible_files(tmp_path, "**/made.json")
    clear_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["a"]
    assert (tmp_path / "scores" / "a" / "made.json").read_text() == "old"


def test_what_is_being_written_is_not_cleared_away(tmp_path):
    with atomic_folder(tmp_path / "a", "x") as folder, atomic_file(tmp_path / "b") as file:
        (folder / "x").touch()
        clear_leftovers(tmp_path)
        assert folder.exists()
        assert file.exists()
        assert visible_files(tmp_path, "**/*") == []
    assert visible_files(tmp_path, "**/*") == [tmp_path / "a" / CHECKSUMS, tmp_path / "a" / "x", tmp_path / "b"]


def test_hidden_files_of_others_stay(tmp_path):
    for name in (".git", ".a.markdown", ".val.part"):
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_is_named_with_the_result_that_did_not_fit(tmp_path):
    with pytest.raises(OSError, match="report.html"), atomic_file(tmp_path / "report.html"):
        raise OSError(28, "No space left on device")
