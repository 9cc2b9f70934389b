"""Tidy cells, and the citable bundle: all that the tables hold, nothing of the machine, and whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.report.conftest import MADE, SEEDS, sha
from vggrepro import cli
from vggrepro.core import checksums
from vggrepro.core.files import write_json
from vggrepro.core.paths import ROOT
from vggrepro.paper.tables import Published, published_table
from vggrepro.report.bundle import collect_files, write_bundle
from vggrepro.report.bundle_check import check_bundle
from vggrepro.tables import lineage


@pytest.fixture(scope="module")
def bundle(results, settings) -> Path:
    write_bundle(settings, results, results / "export" / "crate.zip")
    return results / "export" / "crate.zip"


@pytest.fixture
def unpacked(bundle, tmp_path) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "crate")
    return tmp_path / "crate"


def listed(value):
    """A value of JSON-LD as a list."""
    return value if isinstance(value, list) else [value]


def cells_by_id(results: Path) -> dict[str, dict[str, object]]:
    """Every cell of the tables' own JSON, by its id."""
    cells = {}
    for file in sorted((results / "tables").glob("*.json")):
        table = json.loads(file.read_text())
        for r, row in enumerate(table["rows"], start=1):
            cells |= {f"{table['name']}-{r}-{c}": cell for c, cell in enumerate(row["cells"], start=1)}
    return cells


def test_tidy_cells_are_the_tables_cells(results):
    rows = {row["cell"]: row for row in json.loads((results / "export/cells.json").read_text())}
    cells = cells_by_id(results)
    assert set(rows) == set(cells)
    for name, cell in cells.items():
        for key in ("value", "delta", "spread", "text", "best"):
            assert rows[name][key] == cell[key]
        assert rows[name]["paper"] == cell["published"]
        status, ours, theirs = (rows[name][key] for key in ("status", "split", "paper_split"))
        assert (status, ours) == {
            "validation": ("measured", "val"),
            "measured": ("measured", theirs),
        }.get(cell["status"], (cell["status"], ""))
        assert [rows[name]["low"], rows[name]["high"]] == (cell["interval"] or [None, None])
        assert rows[name]["verdict"] == cell["verdict"]
        assert [rows[name]["delta_low"], rows[name]["delta_high"]] == (cell["delta_interval"] or [None, None])
    assert {row["paper_split"] for row in rows.values() if row["status"] == "withheld"} == {"withheld"}
    assert (rows["table03-1-1"]["paper"], rows["table03-1-1"]["paper_value"]) == ("29.6", 29.6)
    assert json.loads(rows["table06-1-1"]["keys"])["group"] == "ILSVRC submission"
    assert [rows["table03-1-1"][key] for key in ("net", "S", "Q")] == ["A", "256", "256"]
    assert [rows["table05-1-1"][key] for key in ("net", "protocol")] == ["D", "dense"]


@pytest.mark.parametrize("name", ["cells", "sources", "claims"])
def test_three_formats_hold_the_same(results, name):
    folder = results / "export"
    from_json = json.loads((folder / f"{name}.json").read_text())
    parquet = pd.read_parquet(folder / f"{name}.parquet")
    csv = pd.read_csv(folder / f"{name}.csv", dtype=parquet.dtypes.to_dict(), keep_default_na=False, na_values=[""])
    texts = [key for key, dtype in parquet.dtypes.items() if dtype == "string"]
    pd.testing.assert_frame_equal(csv.fillna(dict.fromkeys(texts, "")), parquet)
    assert parquet.astype(object).where(parquet.notna(), None).to_dict("records") == from_json
    schema = json.loads((folder / f"{name}.schema.json").read_text())
    assert list(schema["properties"]) == list(parquet.columns)
    assert all(about["description"] for about in schema["properties"].values())


def test_tidy_claims_are_the_ledgers(results):
    """A row for each comparison, of which one decides; the cells that are compared are those of the tables."""
    rows = pd.read_parquet(results / "export/claims.parquet")
    judged = {claim["id"]: claim for claim in json.loads((results / "claims/claims.json").read_text())["claims"]}
    assert set(rows.claim) == set(judged)
    assert (rows.groupby("claim").decides.sum() == 1).all()
    for name, claim in judged.items():
        mine = rows[rows.claim == name]
        assert set(mine.verdict) == {claim["verdict"]}
        assert mine.gain.dropna().tolist() == [step["gain"] for step in claim["steps"]]
    # against a quoted system, the printed number counts
    values = {
        name: Published.parse(cell["published"]).value if cell["status"] == "quoted" else cell["value"]
        for name, cell in cells_by_id(results).items()
    }
    compared = rows[rows.gain.notna()]
    assert len(compared) > 10
    gains = [values[b] - values[a] for a, b in zip(compared.cell_id, compared.against_id, strict=True)]
    assert gains == pytest.approx(compared.gain.tolist())


def test_the_sources_of_a_cell_are_what_its_row_averages(results):
    sources = pd.read_parquet(results / "export/sources.parquet")
    fused = sources[sources.cell == "table06-1-1"]
    assert len(fused) == 21 * len(SEEDS)
    assert fused.weight.sum() == pytest.approx(1)
    assert set(fused.runs) >= {"D_256-512_fc_s0", "D_256-512_fc_s1"}
    cell = next(row for row in json.loads((results / "export/cells.json").read_text()) if row["cell"] == "table06-1-1")
    assert cell["evaluations"].split() == fused.path.tolist()
    assert cell["weights"].split() == list(dict.fromkeys(fused.weights))
    difference = sources[(sources.cell == "text-3-1")]
    assert sorted(zip(difference.runs, difference.less, strict=True)) == [
        ("B-5x5_256_s0", False), ("B-5x5_256_s1", False), ("B_256_s0", True), ("B_256_s1", True)
    ]  # fmt: skip


def test_every_measured_cell_has_sources(results):
    measured = {name for name, cell in cells_by_id(results).items() if cell["sources"]}
    sources = pd.read_parquet(results / "export/sources.parquet")
    assert measured == set(sources.cell)
    assert all((results / path / "made.json").exists() for path in sources.path)


def test_imported_systems_are_told_apart(results):
    sources = pd.read_parquet(results / "export/sources.parquet").set_index("cell")
    last = len(published_table("7").rows)
    theirs, both = sources.loc[[f"table07-{last + 1}-1"]], sources.loc[[f"table07-{last + 2}-1"]]
    assert (theirs.path.tolist(), theirs.runs.tolist()) == (["scores/imported/theirs"], [""])
    assert both.groupby("path").weight.sum().to_dict() == {
        "scores/D_384_s0/dense/384": 0.25, "scores/D_384_s1/dense/384": 0.25, "scores/imported/theirs": 0.5
    }  # fmt: skip


def test_every_measured_cell_of_the_report_leads_to_what_made_it(results):
    """Cell, average, result, training: along links within the page, all of which lead somewhere."""
    page = (results / "report/report.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    cells = {
        name: re.search(rf'<td id="{name}".*?</td>', page, re.DOTALL)[0] for name in cells_by_id(results) if name in ids
    }
    led = {name: re.search(r'<a href="#([^"]+)">', cell) for name, cell in cells.items()}
    assert {name for name, link in led.items() if link} == {
        name for name, cell in cells_by_id(results).items() if cell["sources"]
    }
    for average, result, run in (
        ("table06-2-1", "E_256-512_s1-dense-512", "E_256-512_s1"),
        ("table03-1-1", "A_256_s1-dense-256", "A_256_s1"),
    ):
        entry = re.search(rf'<tr [^>]*id="{led[average][1]}".*?</tr>', page, re.DOTALL)[0]
        assert f'href="#e-{result}"' in entry
        assert f'href="#run-{run}"' in re.search(rf'<tr [^>]*id="e-{result}".*?</tr>', page, re.DOTALL)[0]
    assert 'href="#run-E_384_s1"' in re.search(r'<tr [^>]*id="run-E_256-512_s1".*?</tr>', page, re.DOTALL)[0]
    beside = set(re.findall(r'href="\.\./([^"]+)"', page))
    assert all((results / path).exists() for path in beside)
    assert len(beside) > 50


def test_a_crate_is_whole_and_reads_back(bundle, unpacked):
    from rocrate.rocrate import ROCrate

    assert check_bundle(bundle) == check_bundle(unpacked) > 100
    read = ROCrate(unpacked)
    assert read.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    assert {"report/report.html", "export/cells.parquet", "tables/table03.json", "vggrepro/requirements.lock"} <= {
        entity.id for entity in read.data_entities
    }


CANNOT_BE_KNOWN = ("affiliation", "absolute URI", "organization SHOULD have a URL", "`publisher` property")
"""What the profile recommends of authors and software, and no result records."""


def test_a_crate_is_a_workflow_run_ro_crate(unpacked):
    """By the community's validator: all that the profile requires, and what it recommends but for what cannot be known."""
    import rocrate

    program = shutil.which("rocrate-validator")
    if not program:
        pytest.skip("no rocrate-validator here: pipx install roc-validator")
    interpreter = Path(program).read_text().splitlines()[0].removeprefix("#!")
    call = [interpreter, str(ROOT / "tests/oracles/crate_validator.py"), str(unpacked)]
    context = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"
    without_ours = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([*call, str(context)], capture_output=True, text=True, env=without_ours)
    assert done.returncode == 0, done.stderr[-2000:]
    issues = [tuple(issue) for issue in json.loads(done.stdout.splitlines()[-1])]
    assert [message for severity, message in issues if severity == "REQUIRED"] == []
    assert [message for _, message in issues if not any(words in message for words in CANNOT_BE_KNOWN)] == []


def test_a_crate_names_the_workflow_its_language_and_what_went_in_and_came_out(unpacked):
    graph = {each["@id"]: each for each in json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]}
    workflow = graph[graph["./"]["mainEntity"]["@id"]]
    assert "ComputationalWorkflow" in workflow["@type"]
    assert graph[workflow["programmingLanguage"]["@id"]]["name"] == "Snakemake"
    whole = graph["#run"]
    assert whole["instrument"] == {"@id": workflow["@id"]}
    assert {"@id": "settings.json"} in whole["object"]
    assert {"@id": "report/report.html"} in whole["result"]
    actions = [each for each in graph.values() if each["@type"] == "CreateAction"]
    assert all(action["agent"] and action["endTime"] and action["description"] for action in actions)
    programs = [each for each in graph.values() if each["@type"] == "SoftwareApplication"]
    assert programs
    assert all(program["url"] for program in programs)
    assert graph["README.md"]["about"] == {"@id": "./"}
    assert "export/cells.csv" in (unpacked / "README.md").read_text()


def test_a_table_that_other_settings_made_is_not_in_the_crate(settings, tmp_path):
    """One of the user's own stays in the results where the next run has no setting `tables`."""
    (tmp_path / "results/tables").mkdir(parents=True)
    for name in ("table03", "mine"):
        (tmp_path / "results/tables" / f"{name}.tex").write_text("a table\n")
    collect_files(settings, tmp_path / "results", tmp_path / "crate")
    assert [file.name for file in (tmp_path / "crate/tables").iterdir()] == ["table03.tex"]


def test_a_report_leads_to_the_data(unpacked):
    """Along the actions: report, tables, scores, weights, data."""
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    steps = [each for each in graph if each["@type"] == "CreateAction" and each["@id"] != "#run"]
    made_by = {r["@id"]: a for a in steps for r in listed(a["result"])}
    seen, todo = set(), ["report/report.html"]
    while todo:
        entity = todo.pop()
        seen.add(entity)
        todo += [used["@id"] for used in listed(made_by.get(entity, {}).get("object", [])) if used["@id"] not in seen]
    assert {f"#data-{sha('train')}", f"#data-{sha('val')}", "#weights-E_256-512_s1", "tables/table05.json"} <= seen
    assert "#scores/D_256-512_s0/multi-crop/384" in seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "export/cells.csv").write_text("cell\n"), "cells.csv is not the file"),
        (lambda folder: (folder / "report/report.html").unlink(), "report.html is not in it"),
        (lambda folder: (folder / "more.txt").write_text("x"), "more.txt is not described"),
        (lambda folder: (folder / "ro-crate-metadata.json").write_text("{"), "cannot be read"),
    ],
)
def test_a_crate_that_was_tampered_with_is_found_out(unpacked, capsys, change, message):
    change(unpacked)
    assert cli.main(["check", str(unpacked)]) == 2
    assert message in capsys.readouterr().err


def test_a_link_to_nothing_and_an_unknown_term_are_found(unpacked):
    file = unpacked / "ro-crate-metadata.json"
    metadata = json.loads(file.read_text())
    metadata["@graph"].append({"@id": "#x", "@type": "CreateAction", "object": {"@id": "#nowhere"}, "madeUp": 1})
    file.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="madeUp is no term of the context; #x refers to #nowhere"):
        check_bundle(unpacked)


def test_a_zip_that_would_leave_its_folder_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(ValueError, match="points outside the archive"):
        check_bundle(tmp_path / "evil.zip")


def test_names_that_a_disk_takes_for_one_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("tables/table03.csv", "Tables/Table03.csv"):
            archive.writestr(name, "x")
    with pytest.raises(ValueError, match="'Tables/Table03.csv' is the name of several files|tables/table03.csv"):
        check_bundle(tmp_path / "evil.zip")


@pytest.mark.parametrize("graph", [None, {}, [1], [{}], [{"@id": []}], [{"@id": "./", "@type": {}}], [{"@id": "./"}]])
def test_a_description_that_is_none_is_one_message(tmp_path, graph):
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps({"@context": "x", "@graph": graph}))
    with pytest.raises(ValueError, match="cannot be read as the description of a crate"):
        check_bundle(tmp_path)


def test_the_same_results_give_the_same_crate(bundle, results, settings, tmp_path):
    write_bundle(settings, results, tmp_path / "again.zip", workers=2)
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_crate_looks_for_checksums_beside_the_results_alone(results, settings, tmp_path, monkeypatch):
    """Copies in the crate have none, and would be told of as results of an older version."""
    told = []
    monkeypatch.setattr(checksums, "_unlisted", told)
    write_bundle(settings, results, tmp_path / "crate.zip")
    assert told
    assert [folder for folder in told if not folder.is_relative_to(results)] == []


def test_a_crate_names_no_place_of_this_machine(unpacked, settings, tmp_path):
    """The file name of the data set is told, where it lies is not."""
    places = [
        str(Path(settings.imported["Theirs"].file).parent),
        str(tmp_path.parent),
        str(ROOT),
        str(Path.home()) + "/",
    ]
    for file in (path for path in unpacked.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert [place for place in places if place.encode() in content] == [], file
    settings = json.loads((unpacked / "settings.json").read_text())
    assert (settings["data"]["path"], settings["imported"]["Theirs"]["file"]) == ("tiny-imagenet-200.zip", "theirs.npy")


def test_digests_are_those_of_the_files(results, unpacked):
    lines = dict(reversed(line.split()) for line in (unpacked / "digests.sha256").read_text().splitlines())
    name = "scores/D_256_s0/dense/256/posteriors.npy"
    assert lines[name] == hashlib.sha256((results / name).read_bytes()).hexdigest()
    assert lines["runs/D_256_s0/weights.safetensors"] == sha("D_256_s0")


def test_a_released_net_is_told_by_its_file(results, settings, tmp_path):
    copy = tmp_path / "smoke"
    shutil.copytree(results, copy)
    (copy / "runs/E_384_s1/run.json").unlink()
    about = {
        "run": "E_384_s1",
        "file": "vgg.caffemodel",
        "digest": sha("caffe"),
        "weights": sha("E_384_s1"),
        "made": MADE,
    }
    about |= {
        "data": {"val": sha("val"), "data set": "made up"},
        "format": "caffe",
        "trained by": "the authors",
        "checked": {"images": 9, "top-1 errors": 1},
    }
    names = dict.fromkeys(("channels", "input", "classes", "full", "kernels"), "as in Caffe")
    about |= {"reading": names | {"mean": [123.7, 116.3, 103.5]}}
    write_json(copy / "runs/E_384_s1/adopted.json", about)
    write_bundle(settings, copy, tmp_path / "crate.zip")
    with zipfile.ZipFile(tmp_path / "crate.zip") as archive:
        graph = {entity["@id"]: entity for entity in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}
        lines = archive.read("digests.sha256").decode().splitlines()
    assert f"{sha('E_384_s1')}  runs/E_384_s1/weights.safetensors" in lines
    assert {"@id": f"#given-{sha('caffe')}"} in listed(graph["#adopt-E_384_s1"]["object"])
    assert {"@id": "runs/E_384_s1/adopted.json"} in listed(graph["#adopt-E_384_s1"]["result"])
    assert "#train-E_384_s1" not in graph


def test_scores_of_other_weights_than_the_runs_make_no_crate(results, settings, tmp_path):
    copy = tmp_path / "smoke"
    shutil.copytree(results, copy)
    about = json.loads((copy / "runs/D_256_s0/run.json").read_text())
    write_json(copy / "runs/D_256_s0/run.json", about | {"weights": sha("trained again")})
    assert "scores/D_256_s0/dense/256" in lineage.stale_results(
        [lineage.read_training(copy / "runs/D_256_s0/run.json")], lineage.stored_results(copy)
    )
    with pytest.raises(ValueError, match="was made with other weights than D_256_s0 has now"):
        write_bundle(settings, copy, tmp_path / "crate.zip")
    assert not (tmp_path / "crate.zip").exists()
