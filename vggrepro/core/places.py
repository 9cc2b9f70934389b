"""Where libraries keep files: if the usual place cannot be written, another is named before they are imported. No torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vggrepro.core.paths import ROOT


def find_caches() -> None:
    """Let numba keep compiled code, and matplotlib its list of fonts, where this user may write; a variable that is set stays.

    Numba refuses to be imported where neither the installation nor the home can be written.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    if _can_be_written(cache):
        return
    other = Path(tempfile.gettempdir()) / f"vggrepro-{os.getuid()}"
    if not _can_be_written(ROOT / "vggrepro"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(other / "numba"))
    os.environ.setdefault("MPLCONFIGDIR", str(other / "matplotlib"))


def _can_be_written(folder: Path) -> bool:
    """Whether a folder, or the nearest one above it that exists, can be written to."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    # not a question of rights alone: /proc and a disk that is mounted to be read take no file from root either
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
