"""Libraries keep their files where this user may write."""

from __future__ import annotations

import os
import subprocess
import sys

from vggrepro.core import places
from vggrepro.core.paths import ROOT


def test_where_home_and_installation_cannot_be_written_another_place_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "_can_be_written", lambda folder: False)
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places.find_caches()
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))


def test_a_variable_of_the_user_stays(monkeypatch):
    monkeypatch.setattr(places, "_can_be_written", lambda folder: False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    places.find_caches()
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"


def test_a_command_runs_without_a_home():
    environment = os.environ | {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"}
    call = [sys.executable, "-m", "vggrepro", "table", "2", "--settings", "smoke", "--out", "/proc/nowhere"]
    done = subprocess.run(call, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Matplotlib" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "/proc/nowhere" in done.stderr
