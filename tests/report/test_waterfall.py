"""The report's section on an error decomposition shows every step and mistake, on paper and on a phone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

from tests.conftest import set_width
from vggrepro.data.store import Store
from vggrepro.diagnosis.decomposition import write_decomposition
from vggrepro.diagnosis.steps import MISTAKES, protocol_steps
from vggrepro.paper.runs import Run
from vggrepro.report.figures import waterfall
from vggrepro.report.page import write_report
from vggrepro.settings.loading import load_settings
from vggrepro.tables import markup, render

D = Run("D", "256-512")


@pytest.fixture(scope="module")
def why(stores, tmp_path_factory) -> Path:
    """A decomposition with made-up ranks."""
    val, rng, out = Store(stores[1]), np.random.default_rng(0), tmp_path_factory.mktemp("report") / "why"
    steps = protocol_steps(D)
    ranks = {step.name: rng.integers(0, 9, len(val)).astype(np.int32) for step in (*steps, *MISTAKES)}
    write_decomposition(D, store=val, steps=steps, mistakes=MISTAKES, ranks=ranks, missing={}, metadata={}, out=out)
    return out


def test_the_section_shows_every_step(why, tmp_path):
    section = waterfall.decomposition_section(why, tmp_path)
    page, tex = (render.render_template(f"why.{kind}.j2", {"why": section}) for kind in ("html", "tex"))
    for step in (*protocol_steps(D), *MISTAKES):
        assert f'<th scope="row">{escape(step.name)}</th>' in page
        assert markup.escape_tex(step.name) in tex
    assert (tmp_path / "why.pdf").stat().st_size > 1000
    assert "Not run." in render.render_template("why.html.j2", {"why": None})


def test_the_section_fits_a_phone(why, tmp_path, browser):
    write_report(load_settings({"smoke": True}), table_files=[], run_files=[], why=why, out=tmp_path)
    set_width(browser, 390)
    browser.get((tmp_path / "report.html").as_uri())
    assert browser.execute_script("return document.querySelectorAll('svg').length") == 1
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: install texlive-latex-recommended")
def test_the_section_compiles_with_pdflatex(why, tmp_path):
    write_report(load_settings({"smoke": True}), table_files=[], run_files=[], why=why, out=tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:]
    assert "Overfull" not in process.stdout
