"""`fetch` in the settings: the DAG fetches before it reads, once, and never what is handed out to those who register."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from tests.conftest import real
from tests.servers import serving
from tests.workflow.planning import jobs, snakemake
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.plan import Plan

FETCH = ("smoke=true", "tiny_imagenet=fetch", "voc2007=fetch", "released={A/256: fetch, D: fetch, E: fetch:authors-19}")


def test_what_is_to_be_fetched_is_planned_before_what_reads_it(tmp_path):
    done = snakemake(tmp_path, "-p", "--config", *FETCH, "labels={ReaL: fetch}", "downloads={folder: d}")
    planned, output = jobs(done), done.stdout + done.stderr
    assert (planned["fetch"], planned["adopt"]) == (6, 3)
    assert "--path d/tiny_imagenet/tiny-imagenet-200.zip" in output
    assert "vggrepro fetch tiny_imagenet --folder d " in output
    assert "vggrepro labels d/real/real.json " in output
    assert re.search(r"vggrepro adopt A_256_s0 d/vgg11/vgg11-8a719046.pth ", output)
    assert re.search(r"input: [^ ]*, d/voc2007/fetched.json", output)


def test_what_is_prepared_already_is_not_fetched_again_for_a_table(tmp_path):
    given = load_settings({"smoke": True, "tiny_imagenet": "fetch"})
    for split in ("train", "val"):
        (tmp_path / Plan.of(given).root / "data" / split).mkdir(parents=True)
    done = snakemake(tmp_path, "table2", "--config", *FETCH[:2])
    assert "fetch" not in jobs(done)


def test_what_is_never_fetched_is_said_before_there_is_a_dag(tmp_path):
    done = snakemake(tmp_path, "--config", "ilsvrc=fetch")
    assert "config: data.path: ILSVRC-2012 is handed out to those who register" in done.stdout + done.stderr
    assert "Building DAG" not in done.stdout + done.stderr


def test_the_rule_fetches_from_a_mirror_and_a_record_without_its_file_is_told(tmp_path):
    content = zipfile.ZipFile(real("vgg-predictions.zip")).read("vgg-predictions/real.json")
    record, folder = tmp_path / "d/real/fetched.json", "downloads={folder: d, mirror: '%s'}"
    with serving({"real.json": content}) as mirror:
        options = ("--config", "smoke=true", folder % mirror.address)
        done = snakemake(tmp_path, "d/real/fetched.json", *options, cores=1)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        assert (tmp_path / "d/real/real.json").read_bytes() == content
        assert json.loads(record.read_text())["files"]["real.json"]["bytes"] == len(content)
        again = snakemake(tmp_path, "d/real/fetched.json", *options)
        assert "Nothing to be done" in again.stdout + again.stderr
    assert len(mirror.requests) == 1
    lost = tmp_path / "d/tiny_imagenet/fetched.json"
    lost.parent.mkdir()
    lost.write_text("{}")
    asked = ("results/smoke-tiny-imagenet/data/val", "--config", *FETCH[:2], "downloads={folder: d}")
    done = snakemake(tmp_path, *asked, cores=1)
    assert done.returncode != 0
    assert "says that it was fetched: type vggrepro fetch tiny_imagenet --folder d" in done.stdout + done.stderr


def test_a_wrong_file_ends_the_job_with_one_message_and_what_reads_it_does_not_start(tmp_path):
    with serving({"tiny-imagenet-200.zip": b"no zip"}) as mirror:
        where = f"downloads={{mirror: '{mirror.address}'}}"
        asked = ("results/smoke-tiny-imagenet/data/val", "--config", *FETCH[:2], where)
        done = snakemake(tmp_path, *asked, cores=1)
    assert done.returncode != 0
    assert "tiny-imagenet-200.zip: has 6 bytes, expected 248,100,043" in done.stdout + done.stderr
    assert not list(Path(tmp_path, "downloads").glob("*/*.zip"))
    assert not (tmp_path / "results/smoke-tiny-imagenet/data/val").exists()
