"""What happens around the jobs of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

from snakemake import benchmark

from vggrepro.workflow import session
from vggrepro.workflow.session import print_report_path, sample_memory_less


class Timer(benchmark.ScheduledPeriodicTimer):
    def work(self) -> None:
        """Look at nothing."""


def test_benchmarks_look_at_the_memory_of_a_job_every_two_seconds(monkeypatch):
    # an error where this Snakemake has no such setting
    monkeypatch.setattr(benchmark, "BENCHMARK_INTERVAL_SHORT", 0.5)
    sample_memory_less()
    timer = Timer(30)
    timer.start()
    timer.cancel()
    assert timer._timer.interval == 2


def test_status_is_read_where_no_snakemake_is():
    code = "import sys; sys.modules['snakemake'] = None; import vggrepro.planning.status"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_report_that_is_older_than_a_table_is_not_announced_as_its_own(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(session, "say", lambda workflow, text: said.append(text))
    old, page, new = (tmp_path / name for name in ("tables/a.html", "report/report.html", "tables/b.html"))
    for seconds, file in enumerate((old, page, new), start=1_700_000_000):
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (seconds, seconds))
        print_report_path(SimpleNamespace(root=tmp_path), None)
    assert [text.split("\n")[1:] for text in said] == [
        ["There is no report of these tables; with the target `report` it is made of all:", f"  {old}"],
        [f"The report: {page}"],
        ["The report is older than these tables; with the target `report` it is made of all:", f"  {new}"],
    ]
