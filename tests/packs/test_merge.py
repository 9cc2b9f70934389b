"""Packs merge to the result of one run that made all of it, or are refused with the difference named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.packs.made import forged, smoke, write_packed, write_results
from tests.workflow.planning import jobs, snakemake
from vggrepro import cli
from vggrepro.core.checksums import write_checksums
from vggrepro.core.files import file_digest
from vggrepro.data.integrity import damage_below
from vggrepro.packs.manifest import open_pack
from vggrepro.packs.merge import merge_packs
from vggrepro.packs.write import write_pack
from vggrepro.tables.render import read_table


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> dict[str, Path]:
    """Packs of two seeds, of the shallow nets alone, and of others that do not fit to them."""
    folder = tmp_path_factory.mktemp("packs")
    return {
        "first": write_packed(folder, "first", smoke(0)),
        "second": write_packed(folder, "second", smoke(1)),
        "shallow": write_packed(folder, "shallow", smoke(1), nets="AB"),
        "alone": write_packed(folder, "alone", smoke(1), nets="A", tables=False),
        "settings": write_packed(folder, "settings", smoke(1, train={"batch": 8}), nets="A", tables=False),
        "images": write_packed(folder, "images", smoke(1), nets="A", images="1", tables=False),
        "labels": write_packed(folder, "labels", smoke(1), nets="A", labels=1, tables=False),
    }


@pytest.fixture(scope="module")
def merged(packs, tmp_path_factory) -> Path:
    """Both seeds, in the folder where Snakemake looks for them."""
    out = tmp_path_factory.mktemp("merged") / "results" / "smoke"
    assert cli.main(["merge", str(packs["second"]), str(packs["first"]), "--out", str(out)]) == 0
    return out


def test_two_seeds_merge_to_the_very_tables_of_one_run_with_both(merged, tmp_path):
    both = write_results(tmp_path, smoke(0, 1))
    names = sorted(file.name for file in (both / "tables").iterdir())
    assert names == sorted(file.name for file in (merged / "tables").iterdir())
    assert len(names) >= 13 * 7
    assert [n for n in names if file_digest(both / "tables" / n) != file_digest(merged / "tables" / n)] == []
    assert read_table(merged / "tables/table03.json").rows[3].cells[0].seeds == 2


def test_every_file_of_a_merge_is_the_packed_one_and_as_its_checksum_says(merged, packs):
    for name in ("first", "second"):
        results = packs[name].with_suffix("")
        for file in (f for kind in ("runs", "scores") for f in (results / kind).rglob("*.*") if f.is_file()):
            assert file.read_bytes() == (merged / file.relative_to(results)).read_bytes()
    assert list(damage_below(merged)) == []


def test_snakemake_plans_only_what_no_pack_brought_and_knows_the_settings_again(merged):
    place, config = merged.parents[1], merged / "merge" / "settings.yaml"
    planned = snakemake(place, "table3", "--configfile", str(config))
    assert "Nothing to be done" in planned.stdout + planned.stderr
    other = jobs(snakemake(place, "table3", "--config", "smoke=true"))
    assert other == {"table": 1, "table3": 1, "total": 2}, "of one seed, the table is another"
    more = jobs(snakemake(place, "table5", "--configfile", str(config)))
    assert more["table"] == 1


def test_runs_that_only_one_pack_has_are_shown_where_all_seeds_have_them(packs, tmp_path):
    merged = merge_packs([packs["first"], packs["shallow"], packs["alone"]], tmp_path / "out")
    assert merged.duplicates == 2, "the run that two packs hold, and its scores, are there once"
    rows = {"/".join(row.keys): row.cells[0] for row in read_table(tmp_path / "out/tables/table03.json").rows}
    assert {key[0] for key, cell in rows.items() if cell.status == "measured" and cell.seeds == 2} == {"A", "B"}
    assert rows["D/256/256"].status == "not run"
    assert "3" in merged.incomplete
    assert json.loads((tmp_path / "out/recipes/tables/table03.json.json").read_text()) != []


def with_weights(folder: Path) -> Path:
    """Results of one net, with a file of weights that is the one of its records."""
    results = write_results(folder, smoke(0), nets="A", tables=False)
    weights = results / "runs/A_256_s0/weights.safetensors"
    weights.write_bytes(bytes(range(256)) * 40)
    for file in (*results.glob("runs/*/run.json"), *results.rglob("made.json")):
        file.write_text(file.read_text().replace("weights of A_256_s0", file_digest(weights)))
    for listing in (weights.with_name("checksums.xxh128"), *results.rglob("checksums.xxh128")):
        write_checksums(listing.parent)
    return results


def test_weights_come_along_where_they_are_asked_for_from_whichever_pack_has_them(tmp_path):
    results = with_weights(tmp_path / "results")
    write_pack(results, tmp_path / "light.zip", settings=smoke(0))
    write_pack(results, tmp_path / "heavy.zip", settings=smoke(0), weights=True)
    assert not open_pack(tmp_path / "light.zip").manifest.files.keys() & {"runs/A_256_s0/weights.safetensors"}
    merge_packs([tmp_path / "light.zip", tmp_path / "heavy.zip"], tmp_path / "out")
    weights = tmp_path / "out/runs/A_256_s0/weights.safetensors"
    assert file_digest(weights) == json.loads(weights.with_name("run.json").read_text())["weights"]
    assert list(damage_below(tmp_path / "out")) == []


def test_weights_that_are_not_those_of_the_record_are_refused(tmp_path):
    write_pack(with_weights(tmp_path / "results"), tmp_path / "a.zip", settings=smoke(0), weights=True)
    odd = forged(tmp_path / "a.zip", tmp_path / "odd.zip", {"runs/A_256_s0/weights.safetensors": b"other weights"})
    with pytest.raises(ValueError, match="odd.zip: runs/A_256_s0/weights.safetensors is not the file of its record"):
        merge_packs([odd], tmp_path / "out")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            "settings",
            "settings.zip cannot be merged with .*first.zip: .*\n  train.batch is 16 in .*first.zip, 8 in .*settings.zip",
        ),
        ("images", "images is '0' in .*first.zip, '1' in .*images.zip"),
        ("labels", r"labels: an image is image0 of class \d in .*first.zip, image0 of class \d in .*labels.zip"),
    ],
)
def test_other_settings_images_and_labels_are_refused_with_the_difference_named(packs, tmp_path, other, message):
    with pytest.raises(ValueError, match=message):
        merge_packs([packs["first"], packs[other]], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_variants_of_both_packs_are_run_and_two_of_one_name_have_to_be_one(packs, tmp_path):
    def varied(name, decay):
        variants = {name: {"of": ["A/256"], "train": {"weight_decay": decay}}}
        return forged(
            packs["alone"], tmp_path / f"{name}{decay}.zip", change=lambda m: m["settings"].update(variants=variants)
        )

    less, more, other = varied("less", 1e-4), varied("more", 1e-3), varied("less", 1e-5)
    merged = merge_packs([less, more], tmp_path / "out")
    assert set(merged.settings.variants) == {"less", "more"}
    with pytest.raises(
        ValueError, match="the variant 'less' is another .*\n  train.weight_decay is 0.0001 in .*, 1e-05 in"
    ):
        merge_packs([less, other], tmp_path / "again")


def test_released_nets_do_not_merge_with_trained_ones(packs, tmp_path):
    def release(manifest):
        manifest["settings"] |= {"released": {"D": {"file": "d.pth"}}, "localisation": False}

    odd = forged(packs["alone"], tmp_path / "odd.zip", change=release)
    with pytest.raises(ValueError, match="the folder of results is 'smoke' in .*, 'smoke-released' in .*odd.zip"):
        merge_packs([packs["first"], odd], tmp_path / "out")


def test_other_rules_are_refused_in_either_pack_and_here(packs, tmp_path):
    def other_rules(manifest):
        manifest["rules"]["tables/protocol.yaml"] = "0" * 64

    assert "tables/releases.yaml" in open_pack(packs["first"]).manifest.rules
    odd = forged(packs["first"], tmp_path / "odd.zip", change=other_rules)
    with pytest.raises(
        ValueError, match="rules in tables/protocol.yaml is '[0-9a-f]{12}' in .*, '000000000000' in .*odd.zip"
    ):
        merge_packs([packs["second"], odd], tmp_path / "out")
    with pytest.raises(
        ValueError, match="this program has other rules than .*odd.zip: merge with the version that packed"
    ):
        merge_packs([odd], tmp_path / "out")


def test_the_same_run_with_other_weights_is_refused(packs, tmp_path):
    results = shutil.copytree(packs["second"].with_suffix(""), tmp_path / "results")
    for file in [*results.glob("runs/A_256_s1/run.json"), *results.glob("*/A_256_s1/*/*/made.json")]:
        file.write_text(file.read_text().replace("weights of A_256_s1", "other weights"))
    for file in results.glob("runs/*/run.json"):
        file.write_text(file.read_text().replace("weights of A_256_s1", "other weights"))
    for listing in results.rglob("checksums.xxh128"):
        listing.unlink()
    write_pack(results, tmp_path / "other.zip", settings=smoke(1))
    with pytest.raises(
        ValueError, match=r"both have runs/A_256_s1 with other weights \(weights of A in .*, other weight in"
    ):
        merge_packs([packs["second"], tmp_path / "other.zip"], tmp_path / "out")


def test_the_same_evaluation_with_other_scores_is_refused(packs, tmp_path):
    np.save(tmp_path / "posteriors.npy", np.full((40, 10), 0.1, np.float32))
    name = "scores/A_256_s1/dense/256/posteriors.npy"
    odd = forged(packs["alone"], tmp_path / "odd.zip", {name: (tmp_path / "posteriors.npy").read_bytes()})
    with pytest.raises(ValueError, match=f"odd.zip cannot be merged with .*second.zip: both have .* another {name}"):
        merge_packs([packs["second"], odd], tmp_path / "out")


def test_a_number_that_the_scores_do_not_give_is_refused(packs, tmp_path):
    table = json.loads((packs["first"].with_suffix("") / "tables/table03.json").read_text())
    table["rows"][3]["cells"][0]["value"] -= 1
    odd = forged(packs["first"], tmp_path / "odd.zip", {"tables/table03.json": json.dumps(table).encode()})
    with pytest.raises(
        ValueError, match="odd.zip: table03, .*: value is .* in the packed table, but .* from the packed"
    ):
        merge_packs([odd], tmp_path / "out")


def test_a_place_that_is_not_empty_is_kept(packs, tmp_path):
    (tmp_path / "kept").write_text("")
    with pytest.raises(ValueError, match="is there already: name a new folder"):
        merge_packs([packs["first"]], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
