"""A user's claims are judged like the paper's, in a family of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.judging.made_claims import NETS, patterns, write_outcomes_of
from vggrepro import cli
from vggrepro.judging.ledger import Ledger, judge_claims, read_ledger, write_ledger
from vggrepro.report.page import write_report
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, write_outcomes
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

OWN = {"claim": "Mine is better.", "test": "superiority", "quantity": "top-1", "margin": 0.3, "why": "so"}


@pytest.fixture
def outcomes(tmp_path) -> Path:
    """Made-up outcomes of Table 3, and of two imported systems in Table 7: the second is better by as much as B than A."""
    a, b = patterns(200, 80, 100, 2000)
    write_outcomes_of(tmp_path, {"A": a, "A-LRN": a, "B": b, "C": b, "D": b, "E": b})
    rows = [
        OutcomeEntry({"method": name, "systems": "", "protocol": ""}, "top-1", Errors(wrong, "images 2380", (path,)))
        for name, wrong, path in (("One", a, "imported/one"), ("Two", b, "imported/two"))
    ]
    write_outcomes(tmp_path / "table07.npz", Outcomes("7", (0,), tuple(rows)))
    return tmp_path


def own(folder: Path, *entries: dict, **files: dict) -> Settings:
    """Settings with two imported systems and a file of claims, `mine`."""
    (folder / "mine.yaml").write_text(yaml.safe_dump([OWN | {"id": f"own-{i}"} | e for i, e in enumerate(entries)]))
    imported = {name: {"file": f"{name}.npy"} for name in ("One", "Two")}
    return load_settings({"smoke": True, "imported": imported, "claims": {"mine": str(folder / "mine.yaml")}})


def pairs(cell: str, against: str) -> dict:
    return {"pairs": [{"cell": cell, "against": against}]}


def judged(outcomes: Path, *entries: dict) -> Ledger:
    return judge_claims(own(outcomes, *entries), outcomes)


def test_imported_systems_are_judged_as_nets_of_ours_with_the_same_errors(outcomes):
    ledger = judged(outcomes, pairs("Two", "One"), pairs("One", "Two"), pairs("Two", "A/256/256"))
    better, worse, mixed = (claim for claim in ledger.claims if claim.file == "mine")
    assert [better.verdict, worse.verdict] == ["supported", "refuted"]
    assert (better.steps[0].gain, better.steps[0].n) == (pytest.approx(100 * 120 / 2380), 2380)
    # the same images, so that McNemar's exact test is of their differences
    assert better.steps[0].trainings == "both are of the same trainings, or imported"
    assert mixed.steps[0].gain == pytest.approx(better.steps[0].gain)
    assert better.steps[0].at == ("table07-17-1", "table07-16-1")


def test_the_papers_verdicts_are_the_same_to_the_digit_with_claims_of_ones_own(outcomes):
    alone = judge_claims(load_settings({"smoke": True}), outcomes)
    beside = judged(outcomes, *(pairs("Two", "One") for _ in range(30)))
    assert beside.claims[: len(alone.claims)] == alone.claims
    assert (beside.tested, beside.claims_sha256, beside.papers) == (alone.tested, alone.claims_sha256, alone.papers)
    assert alone.files == ()


def test_holms_correction_is_over_each_file_alone(outcomes):
    one = judged(outcomes, pairs("Two", "One"))
    three = judged(outcomes, *(pairs("Two", "One") for _ in range(3)))
    p = one.claims[-1].p
    assert one.claims[-1].p_holm == pytest.approx(p)
    assert three.claims[-1].p_holm == pytest.approx(3 * p)
    assert [file.tested for file in three.files] == [3]


def test_a_claim_over_what_was_not_run_says_so(outcomes):
    (claim,) = (c for c in judged(outcomes, pairs("Two", "D/384/384")).claims if c.file)
    assert (claim.verdict, claim.reason) == ("not run", "Table 3: D, 384, 384, dense was not measured")


def test_claims_of_ones_own_are_printed_exported_and_shown_apart(outcomes, capsys):
    settings = own(outcomes, pairs("Two", "One") | {"claim": "Mine is <better>."})
    options = ["--settings", settings.model_dump_json(), "--tables", str(outcomes), "--out", str(outcomes)]
    assert cli.main(["claims", *options]) == 0
    assert capsys.readouterr().out == "mine: own-0: supported. Mine is <better>.\n"
    ledger = read_ledger(outcomes / "claims.json")
    assert ledger == judge_claims(settings, outcomes)
    line = (outcomes / "claims.csv").read_text().splitlines()[-1]
    assert line.startswith("own-0,,True,mine,,,Mine is <better>.,superiority,top-1,")
    write_report(settings, table_files=[], run_files=[], claims=outcomes / "claims.json", out=outcomes)
    html, tex = ((outcomes / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "tex"))
    assert 0 < html.index("Not the paper&#39;s, but ours") < html.index("Not the paper&#39;s, but yours: mine")
    assert "Mine is &lt;better&gt;." in html
    assert all(ledger.files[0].sha256 in html and "yours: mine" in page for page in (html, tex))
    papers = len([claim for claim in ledger.claims if not claim.ours])
    assert f"Of {papers} claims of the paper" in html


def test_outcomes_of_other_images_are_not_compared(outcomes):
    settings = own(outcomes, pairs("Two", "A/256/256"))
    entry = {"method": "Two", "systems": "", "protocol": ""}
    other = Errors(np.zeros((1, 50), bool), "images 50", ("imported/two",))
    write_outcomes(outcomes / "table07.npz", Outcomes("7", (0,), (OutcomeEntry(entry, "top-1", other),)))
    with pytest.raises(ValueError, match="claim own-0: .* are of different images"):
        judge_claims(settings, outcomes)


@pytest.fixture
def on_both(tmp_path) -> Path:
    """Outcomes of Table 3 on the images' own labels, by which D is better than C, and on others, by which it is not."""
    a, b = patterns(200, 80, 100, 2000)
    images = {"top-1": "own", "top-1 on Two": "two"}
    wrong = {("C", "top-1"): a, ("D", "top-1"): b, ("C", "top-1 on Two"): b, ("D", "top-1 on Two"): a}
    entries = [
        OutcomeEntry(NETS[net], quantity, Errors(each, images[quantity], ())) for (net, quantity), each in wrong.items()
    ]
    write_outcomes(tmp_path / "table03.npz", Outcomes("3", (0,), tuple(entries)))
    return tmp_path


def test_the_report_says_which_claims_keep_their_verdict_on_other_labels(on_both):
    entries = {"own-0": pairs("D/256/256", "C/256/256"), "own-1": pairs("C/256/256", "D/256/256")}
    entries["own-2"] = {"test": "equivalence", "margin": 50.0} | pairs("D/256/256", "C/256/256")
    file = on_both / "mine.yaml"
    file.write_text(yaml.safe_dump([OWN | {"id": name} | entry for name, entry in entries.items()]))
    settings = load_settings({"smoke": True, "labels": {"Two": "two.json"}, "claims": {"mine": str(file)}})
    ledger = judge_claims(settings, on_both)
    again = {claim.same_as: claim.verdict for claim in ledger.claims if claim.reference and claim.file}
    assert again == {"own-0": "refuted", "own-1": "supported", "own-2": "supported"}
    assert len([claim for claim in ledger.claims if claim.papers]) == len(
        [claim for claim in judge_claims(load_settings({"smoke": True}), on_both).claims if claim.papers]
    )
    write_ledger(ledger, on_both)
    write_report(settings, table_files=[], run_files=[], claims=on_both / "claims.json", out=on_both)
    html, tex = ((on_both / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "tex"))
    changed = (
        "1 of 3 claims that were judged on both keep their verdict. Changed: own-0 (supported, here refuted); own-1"
    )
    assert changed in html
    assert changed in tex
    assert 'id="claim-own-0-two"' in html
    # the claims of the main list are those of the images' own labels
    assert html.index('id="claim-own-2"') < html.index("Judged again on Two") < html.index('id="claim-own-0-two"')
    (figure,) = (on_both / "figures").glob("claims-kept-*.pdf")
    assert figure.name == "claims-kept-1.pdf"
    svg = html[html.index('id="claims-kept-1"') :]
    assert all(text in svg for text in ("Two: refuted, not kept", "Two: supported", "validation images: supported"))
