"""No file of others, changed at random, ends in a traceback, a hang, or gigabytes. `make test-all` tries many more."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import THOROUGH
from vggrepro.core.paths import ROOT

ATTEMPTS = 2000 if THOROUGH else 20
"""Changed files of each kind."""
NEVER_RIGHT = {"a.mat", "b.mat", "a.zip"}
"""Kinds whose unchanged file is refused, too, because a whole net or bundle would be large."""


def test_a_changed_file_is_read_or_refused_with_one_message():
    call = [sys.executable, "-m", "tests.hostile", str(ATTEMPTS)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    tried = json.loads(done.stdout)
    assert {kind for kind, counts in tried["counts"].items() if not counts["good file"]} == NEVER_RIGHT
    bad = {kind: counts for kind, counts in tried["counts"].items() if counts.keys() & {"traceback", "hang"}}
    assert bad == {}, done.stderr[-3000:]
    assert tried["bytes"] < 2e9
