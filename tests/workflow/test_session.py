"""What happens around the jobs of a run."""

from __future__ import annotations

import subprocess
import sys

from snakemake import benchmark

from vggrepro.workflow.session import sample_memory_less


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
