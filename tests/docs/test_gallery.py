"""The gallery keeps small reports that name no place of the machine that made them."""

from __future__ import annotations

import pytest

from vggrepro.core.paths import ROOT


@pytest.fixture
def gallery(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import gallery

    monkeypatch.setattr(gallery, "GALLERY", tmp_path / "gallery")
    return gallery


@pytest.fixture
def results(tmp_path):
    """Results with a report and its evidence."""
    for name, text in (
        ("report/report.html", "a page"),
        ("evidence/images.js", "1"),
        ("evidence/checksums.xxh128", "2"),
    ):
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).write_text(text)
    return tmp_path / "results"


def test_a_report_is_kept_with_its_evidence_beside_it(gallery, results):
    assert gallery.keep(results, "x").startswith("Made on 20")
    kept = sorted(file.relative_to(gallery.GALLERY).as_posix() for file in gallery.GALLERY.rglob("*.*"))
    assert kept == ["x/evidence/images.js", "x/report/report.html"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("x" * 2_000_001, "2,000,001 bytes"), ("in /home/somebody/data", "names a place.*/home/somebody")],
)
def test_a_large_report_and_one_with_a_place_are_refused_and_the_kept_one_stays(gallery, results, text, message):
    gallery.keep(results, "x")
    (results / "report/report.html").write_text(text)
    with pytest.raises(SystemExit, match=message):
        gallery.keep(results, "x")
    assert (gallery.GALLERY / "x/report/report.html").read_text() == "a page"
