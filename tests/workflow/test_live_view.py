"""Where a live view has the terminal, steps print to their logs alone, and a step that fails still fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vggrepro.core.paths import ROOT

SNAKEFILE = """
from vggrepro.workflow.session import keep_output_in_logs, say
keep_output_in_logs(workflow, shell)

rule good:
    output: "good.txt"
    log: "good.log"
    shell: "(echo of the good step; touch {output}) 2>&1 | tee {log}"

rule bad:
    output: "bad.txt"
    log: "bad.log"
    shell: "(echo the reason of the failure; exit 2) 2>&1 | tee {log}"

onstart:
    say(workflow, "said at the start")
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "Snakefile").write_text(SNAKEFILE)
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    call = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})


def test_with_a_live_view_what_a_step_prints_is_in_its_log_alone(tmp_path):
    done = snakemake(tmp_path, "--logger", "rich", "--", "good.txt")
    assert done.returncode == 0, done.stderr
    assert "of the good step" not in done.stdout + done.stderr
    assert "of the good step" in (tmp_path / "good.log").read_text()
    assert "said at the start" in done.stderr
    assert "\x1b" not in done.stderr, "in a pipe nothing is coloured"


def test_with_a_live_view_a_failing_step_fails_and_its_whole_log_is_shown(tmp_path):
    done = snakemake(tmp_path, "--logger", "rich", "--", "bad.txt")
    assert done.returncode == 1
    assert "bad.log" in done.stderr
    assert "the reason of the failure" in done.stderr
    assert "Missing" not in done.stderr


def test_without_one_steps_print_as_ever(tmp_path):
    done = snakemake(tmp_path, "--", "good.txt")
    assert "of the good step" in done.stdout
    assert "said at the start" in done.stdout
