"""The ledger of all claims: what it needs, its files, and whether it is about the paper."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.judging.made_claims import PAPER, claim, patterns, write_outcomes_of
from tests.judging.test_pipeline import audited_results
from tests.made_tables import judged_table
from vggrepro import cli
from vggrepro.judging import ledger as ledger_module
from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import judge_claims, read_ledger
from vggrepro.judging.pipeline import make_table
from vggrepro.judging.unstaged import audited_unstaged
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import cell_id
from vggrepro.report.page import write_report
from vggrepro.settings.choices import departures
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render
from vggrepro.tables.measurement import Inputs


def test_without_any_result_all_but_arithmetic_is_not_run(tmp_path):
    ledger = judge_claims(PAPER, tmp_path)
    assert {c.verdict for c in ledger.claims if c.id != "filters"} == {"not run"}
    assert ledger.tested == 0
    assert all(c.reason for c in ledger.claims)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_claim_over_a_system_that_nobody_imported_is_not_run(tmp_path, reverse):
    """A list of claims may be shared by people who have different systems; a row that is misspelt otherwise is an error."""
    cells = [{"method": "Nobody's net"}, {"method": "VGG (2 nets, multi-crop & dense)"}]
    pair = dict(zip(("cell", "against"), reversed(cells) if reverse else cells, strict=True))
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump([claim(table="7", pairs=[pair])]))
    (judged,) = judge_claims(PAPER, tmp_path, path=file).claims
    assert (judged.verdict, judged.p) == ("not run", None)
    assert "Nobody's net" in judged.reason
    assert "no such system is imported here" in judged.reason
    file.write_text(yaml.safe_dump([claim(table="7", pairs=[pair | {"cell": {"net": "B"}}])]))
    with pytest.raises(ValueError, match="expected one row of table 7"):
        judge_claims(PAPER, tmp_path, path=file)


def smoke_results(folder: Path, **given: object) -> Path:
    """Table 3 of the smoke preset, from faithful records and made-up scores."""
    settings = load_settings({"smoke": True, **given})
    audited_results(folder, settings)
    make_table("3", settings, Inputs(folder / "scores"), runs=folder / "runs", out=folder / "tables")
    return folder


def test_nets_from_random_weights_are_audited_as_ours_and_compared_with_staged_ones(tmp_path):
    ours, random = smoke_results(tmp_path / "ours"), {"staged": False, "train": {"init": "he"}}
    released_here = {"smoke": True, "released": {"A/256": "a.pth", "E/256": "e.pth"}}
    other = smoke_results(tmp_path / "other", staged=False)

    def judged(**given: object) -> JudgedClaim:
        claims = judge_claims(load_settings({"smoke": True, **given}), ours / "tables").claims
        return next(claim for claim in claims if claim.id.startswith("initialisation"))

    assert judged().reason == "no results from random weights were given: unstaged={glorot: FOLDER}"
    compared = judged(unstaged={"glorot": str(other)})
    assert compared.verdict != "not run"
    assert "from random weights: initialised from none (A_256_s0)" in compared.reason
    # nets of other results are trained, whatever of ours is released
    elsewhere = audited_unstaged(load_settings(released_here | {"unstaged": {"glorot": str(other)}}), "3", "glorot")
    assert elsewhere.outcomes.entries
    # what follows from the stores counts, whatever lies beside them
    for file in (other / "tables").iterdir():
        file.write_bytes(b"made up")
    assert judged(unstaged={"glorot": str(other)}) == compared
    shutil.rmtree(other / "tables")
    assert judged(unstaged={"glorot": str(other)}) == compared
    assert "staged=false" in judged(staged=False, unstaged={"glorot": str(other)}).reason
    cases = (
        (random, "settings.train.init is he, but the table's settings say glorot"),
        ({"staged": False, "train": {"batch": 32}}, "settings.train.batch is 32, but the table's settings say 16"),
        (
            {"staged": False, "model": {"dropout": 0}},
            "settings.model.dropout is 0.0, but the table's settings say 0.05",
        ),
        ({}, "A_256_s0, but staged says none"),
    )
    for number, (made, message) in enumerate(cases):
        refused = judged(unstaged={"glorot": str(smoke_results(tmp_path / str(number), **made))})
        assert (refused.verdict, refused.p) == ("not run", None)
        assert message in refused.reason
    scores = next((other / "scores").glob("A_256_s0/dense/256/posteriors.npy"))
    scores.write_bytes(scores.read_bytes()[:-4] + bytes(4))
    assert "A_256_s0/dense/256" in judged(unstaged={"glorot": str(other)}).reason
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="unstaged.glorot: .*empty: no results of trainings"):
        judged(unstaged={"glorot": str(tmp_path / "empty")})


def test_where_other_results_lie_retrains_nothing_and_is_no_departure():
    run = Run("D", "256")
    given = load_settings({"unstaged": {"glorot": "somewhere"}})
    assert given.for_run(run) == PAPER.for_run(run)
    assert departures(given) == []


def test_arithmetic_follows_from_the_layers(tmp_path):
    assert cli.main(["table", "2", "--settings", "paper", "--out", str(tmp_path)]) == 0
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    assert {claims[name].verdict for name in ("parameters", "filters")} == {"supported"}
    assert "138,357,544" in claims["parameters"].reason
    text = (tmp_path / "table02.json").read_text().replace('"agrees"', '"differs"', 1)
    (tmp_path / "table02.json").write_text(text)
    (tmp_path / "table02.xxh128").unlink(missing_ok=True)
    assert {c.id: c for c in judge_claims(PAPER, tmp_path).claims}["parameters"].verdict == "refuted"


def test_the_ledger_comes_back_from_its_file_and_shows_in_the_report(tmp_path):
    a, b = patterns(200, 80, 100, 2000)
    write_outcomes_of(tmp_path, {"A": a, "A-LRN": a, "B": b, "C": b, "D": b, "E": b})
    options = ["--settings", "smoke", "--tables", str(tmp_path), "--out", str(tmp_path)]
    assert cli.main(["claims", *options]) == 0
    ledger = read_ledger(tmp_path / "claims.json")
    assert ledger == judge_claims(load_settings({"smoke": True}), tmp_path)
    assert not ledger.papers
    lines = (tmp_path / "claims.csv").read_text().splitlines()
    assert len(lines) == 1 + len(ledger.claims)
    settings = load_settings({"smoke": True})
    write_report(settings, table_files=[], run_files=[], claims=tmp_path / "claims.json", out=tmp_path)
    pages = [(tmp_path / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "tex")]
    assert all("These images and settings are not the paper's" in page for page in pages)
    for judged in ledger.claims:
        assert f'id="claim-{judged.id}"' in pages[0]
        assert pages[0].count(judged.verdict) >= 1
    assert all(sha in page for page in pages for sha in (ledger.claims_sha256, ledger.tolerances_sha256))


def test_a_damaged_ledger_is_named(tmp_path):
    (tmp_path / "claims.json").write_text("{}")
    with pytest.raises(ValueError, match=r"claims.json: damaged"):
        read_ledger(tmp_path / "claims.json")


@pytest.mark.parametrize(
    ("verdict", "papers"),
    [("agrees", True), ("inconclusive", True), ("other data", False), ("other settings", False)],
)
def test_the_ledger_says_whether_it_is_of_the_paper(tmp_path, verdict, papers):
    a, b = patterns(200, 80, 100, 2000)
    write_outcomes_of(tmp_path, {"A": a, "B": b, "A-LRN": b})
    assert not judge_claims(PAPER, tmp_path).papers  # without its cells nobody knows
    first, *others = (table := judged_table("3", PAPER, tmp_path)).rows
    cells = replace(first.cells[0], verdict=verdict), *first.cells[1:]
    render.write_table(replace(table, rows=(replace(first, cells=cells), *others)), tmp_path)
    assert judge_claims(PAPER, tmp_path).papers == papers


@pytest.mark.parametrize(
    ("S", "maker", "said"),
    [
        ([], "torchvision", ""),
        ([], "mmpretrain", "E, 256, 256 (released weights, trained by mmpretrain)"),
        ([256, 512], "the authors", "E, 256, 256 (released net trained with S from 256, 512)"),
    ],
)
def test_a_claim_on_nets_that_were_trained_differently_says_so(tmp_path, S, maker, said):
    settings = load_settings({"smoke": True, "released": {"A/256": "a.pth", "E/256": "e.pth"}})
    audited_results(tmp_path, settings)
    for net, trained_by in (("A", "torchvision"), ("E", maker)):
        record = tmp_path / "runs" / f"{net}_256_s0" / "run.json"
        about = json.loads(record.read_text())
        by = {"trained by": trained_by, "file": f"{net.lower()}.pth", "S": S}
        record.with_name("adopted.json").write_text(json.dumps({key: about[key] for key in ("run", "weights")} | by))
        record.unlink()
    make_table("3", settings, Inputs(tmp_path / "scores"), runs=tmp_path / "runs", out=tmp_path / "tables")
    (judged,) = (c for c in judge_claims(settings, tmp_path / "tables").claims if c.id == "depth-overall")
    assert judged.verdict != "not run"
    assert ("not trained alike" in judged.reason) == bool(said)
    assert said in judged.reason


def test_cells_of_a_table_with_a_dash_in_its_name_are_of_that_table():
    """Else nobody finds its file, and a ledger with `unprinted=[boxes-256]` says that it is not about the paper."""
    step = SimpleNamespace(at=(cell_id("boxes-256", 0, 1), cell_id("table03", 11, 0)))
    claims = [SimpleNamespace(test="superiority", steps=[step])]
    assert ledger_module._compared_tables(claims) == {"boxes-256", "table03"}
