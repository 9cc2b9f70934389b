"""The DAG as Snakemake plans it: what each target needs, and which message comes when something is missing."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.planning import forked, jobs, runs, snakemake
from vggrepro.cli.app import GROUPS, app
from vggrepro.core.paths import ROOT
from vggrepro.settings.loading import load_settings
from vggrepro.training.signals import TORCHRUN_SIGNALS
from vggrepro.workflow.plan import Plan, one_run_of
from vggrepro.workflow.session import check_executor
from vggrepro.workflow.train import launcher, processes


def test_the_whole_paper_is_planned_without_any_data(tmp_path):
    """In how many seconds, `bench/planning.py` measures: a test would fail beside other work."""
    done = snakemake(tmp_path)
    expected = {"prepare": 2, "train": 18, "evaluate": 17, "answers": 1, "boxes": 5, "merging": 1, "table": 13}
    beside = {"claims": 1, "why": 1, "flips": 1, "whatif": 1, "evidence": 1, "report": 1, "bundle": 1}
    assert jobs(done) == expected | beside | {"all": 1, "total": 65}


def test_all_presets_have_the_same_dag_but_for_data_sets_of_transfer(tmp_path):
    smoke, tiny = (jobs(snakemake(tmp_path, "--config", config)) for config in ("smoke=true", "preset=tiny"))
    transfer = Counter({"draw": 4, "features": 12, "splits": 2, "classify": 14})
    assert smoke == tiny + transfer + Counter({"total": transfer.total()})


def test_what_the_paper_does_not_print_is_in_the_dag_when_it_is_asked_for(tmp_path):
    """Two trainings and three predictions more of boxes, SVMs more, and test scales more in the jobs that are there."""
    asked = "unprinted=[scale-gap,boxes-256,voc-scales,caltech-scales]"
    done = snakemake(tmp_path, "--config", "smoke=true", asked, "--printshellcmds")
    more = Counter({"train": 2, "boxes": 3, "classify": 12, "table": 4, "total": 21})
    assert jobs(done) == jobs(snakemake(tmp_path, "--config", "smoke=true")) + more
    assert {"D_256_scr_fc_s0", "D_256_pcr_fc_s0"} <= runs(done)
    assert re.search(r"vggrepro evaluate D_256_s0 dense --scales 224,256,288,512 ", done.stdout + done.stderr)
    assert re.search(r"vggrepro evaluate E_384_s0 dense --scales 256,352,384,416 ", done.stdout + done.stderr)


def test_a_table_of_transfer_needs_the_data_sets_that_are_given(tmp_path):
    for name in ("voc", "c"):
        (tmp_path / name).mkdir()
    config = ("table11", "table12", "--config", f"voc2012={tmp_path / 'voc'}", f"caltech101={tmp_path / 'c'}")
    assert jobs(snakemake(tmp_path, *config)) == {
        "prepare": 2, "train": 7, "features": 8, "splits": 1, "classify": 8, "table": 2, "table11": 1, "table12": 1,
        "total": 30,
    }  # fmt: skip
    assert jobs(snakemake(tmp_path, "table11", "table12")) == {"table": 2, "table11": 1, "table12": 1, "total": 4}


def test_a_given_data_set_takes_the_place_of_its_stand_in(tmp_path):
    (tmp_path / "voc").mkdir()
    done = snakemake(tmp_path, "table11", "--config", "smoke=true", f"voc2007={tmp_path / 'voc'}", "-p")
    assert jobs(done)["draw"] == 3
    assert f"--path {tmp_path / 'voc'}" in done.stdout + done.stderr


def test_a_missing_data_set_of_transfer_is_reported_before_any_job(tmp_path):
    done = snakemake(tmp_path, "table11", "--config", "smoke=true", "voc2007=nowhere", cores=1)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert output.count(f"transfer.voc2007: there is no file or folder {tmp_path / 'nowhere'}") == 1
    assert not (tmp_path / "results").exists()


def test_a_key_that_stands_twice_in_a_file_of_settings_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("smoke: true\nimported: {Theirs: {file: a.npy}, Theirs: {file: b.npy}}\n")
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "mine.yaml"))
    assert done.returncode
    assert "mine.yaml: cannot be read as YAML: the key 'Theirs' stands twice" in done.stdout + done.stderr


@pytest.mark.parametrize("config", [{"seeds": [0, 1, 11]}, {"seeds": [3], "released": {"D": "d.pth"}}, {"seeds": [7]}])
def test_a_wildcard_stands_for_the_runs_of_the_plan_and_no_others(config):
    plan = Plan.of(load_settings({"smoke": True} | config))
    every = Plan.of(load_settings({"smoke": True, "seeds": list(range(13))})).runs
    for names in (plan.runs, plan.trained, plan.classifiers, plan.localisers, tuple(plan.adopted)):
        assert [name for name in every if re.fullmatch(one_run_of(names), name)] == [n for n in every if n in names]


def test_one_table_needs_only_its_own(tmp_path):
    done = snakemake(tmp_path, "table5")
    assert jobs(done) == {"prepare": 2, "train": 7, "evaluate": 4, "table": 1, "table5": 1, "total": 15}
    assert runs(done) == {"A_256_s0"} | {f"{net}_{S}_s0" for net in "DE" for S in ("256", "384", "256-512")}


def test_localisation_needs_fusion(tmp_path):
    done = snakemake(tmp_path, "table9")
    assert jobs(done) == {
        "prepare": 2, "train": 9, "evaluate": 4, "answers": 1, "boxes": 2, "table": 1, "table9": 1, "total": 20,
    }  # fmt: skip
    classifiers = {"A_256_s0"} | {f"{net}_{S}_s0" for net in "DE" for S in ("256", "384", "256-512")}
    assert runs(done) == classifiers | {"D_256_pcr_s0", "D_384_pcr_s0"}


def test_a_centre_crop_with_the_class_given_needs_no_fusion(tmp_path):
    assert jobs(snakemake(tmp_path, "table8")) == {
        "prepare": 2, "train": 6, "boxes": 3, "table": 1, "table8": 1, "total": 13,
    }  # fmt: skip


def test_a_data_set_without_boxes_can_do_without_localisation(tmp_path):
    done = snakemake(tmp_path, "--config", "localisation=false")
    assert jobs(done) == {
        "prepare": 2,
        "train": 14,
        "evaluate": 17,
        "table": 13,
        "claims": 1,
        "why": 1,
        "flips": 1,
        "whatif": 1,
        "evidence": 1,
        "report": 1,
        "bundle": 1,
        "all": 1,
        "total": 54,
    }


def test_missing_boxes_are_reported_before_any_job(tmp_path):
    images = tmp_path / "images"
    for split in ("train", "val"):
        (images / split / "n01440764").mkdir(parents=True)
    done = snakemake(tmp_path, "--config", f"ilsvrc={images}", cores=1)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert output.count("Tables 8 to 10 need boxes, and the data set has none. Expected LOC_train_solution.csv") == 1
    assert "--config localisation=false" in output
    assert not (tmp_path / "results").exists()


def test_prepared_images_without_boxes_are_reported_before_any_job(tmp_path):
    import numpy as np

    for split in ("train", "val"):
        folder = tmp_path / "results/smoke/data" / split
        folder.mkdir(parents=True)
        np.save(folder / "boxes.npy", np.empty((0, 5)))
    # as if the images had been prepared by an earlier call
    done = snakemake(tmp_path, "table8", "--config", "smoke=true", "--rerun-triggers", "mtime", cores=1)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "delete results/smoke/data" in output
    assert not (tmp_path / "results/smoke/runs").exists()


def test_a_system_of_others_is_judged_and_shown(tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("p.txt", "s.csv", "d/meta_clsloc.mat"):
        (tmp_path / name).touch()
    config = ("imported={Ours: {file: p.txt}}", "devkit={folder: d, solution: s.csv}")
    done = snakemake(tmp_path, "table10", "--config", "localisation=false", *config, "-p")
    assert jobs(done) == {"import_scores": 1, "table": 1, "table10": 1, "total": 3}
    assert "--name Ours --devkit d --solution s.csv" in done.stdout + done.stderr
    done = snakemake(tmp_path, "--config", config[0])
    assert "imported.Ours: p.txt has devkit ids: give ILSVRC's devkit" in done.stdout + done.stderr


def test_systems_of_others_without_the_devkit_are_compared_with_the_prepared_images(tmp_path):
    (tmp_path / "p.npy").touch()
    config = (
        "smoke=true",
        "imported={My net: {file: p.npy, order: validation}}",
        "fusions={both: A/256/256 + My net}",
        "-p",
    )
    done = snakemake(tmp_path, "results/smoke/scores/imported/my-net", "--config", *config)
    assert jobs(done) == {"prepare": 1, "import_scores": 1, "total": 2}
    assert (
        "vggrepro import p.npy --name 'My net' --order validation --val results/smoke/data/val"
        in done.stdout + done.stderr
    )
    plain, fused = (jobs(snakemake(tmp_path, "table7", "--config", *config[:count])) for count in (1, 3))
    assert fused == plain + Counter({"import_scores": 1, "evaluate": 1, "total": 2})


def test_with_released_nets_nothing_is_trained_and_no_training_image_read(tmp_path):
    (tmp_path / "d.mat").touch()
    (tmp_path / "e.pth").touch()
    both, one = "released={D: d.mat, E: {file: e.pth, input: caffe}}", "released={E: e.pth}"
    done = snakemake(tmp_path, "--config", both, "-p")
    beside = {"claims": 1, "why": 1, "whatif": 1, "evidence": 1, "report": 1, "bundle": 1, "all": 1}
    assert jobs(done) == {"prepare": 1, "adopt": 2, "evaluate": 4, "table": 13, "total": 27} | beside
    output = done.stdout + done.stderr
    assert "results/paper-released/data/train" not in output
    assert re.search(r"vggrepro adopt E_256-512_s0 e.pth --settings '.*' --reading '{\"input\":\"caffe\"}'", output)
    assert jobs(snakemake(tmp_path, "table5", "--config", one))["evaluate"] == 2
    assert jobs(snakemake(tmp_path, "table6", "--config", one)) == {"table": 1, "table6": 1, "total": 2}
    adopted = {"D_256-512_s0", "E_256-512_s0"}
    asked = runs(snakemake(tmp_path, "table9", "--config", both, "localisation=true"))
    assert asked - adopted == {"A_256_s0", "D_256_s0", "D_384_s0", "D_256_pcr_s0", "D_384_pcr_s0"}


def test_a_file_of_others_that_is_not_there_is_named_with_its_setting(tmp_path):
    (tmp_path / "p.npy").touch()
    config = {
        "released.D.file": "released={D: d.mat}",
        "imported.Ours.file": "imported={Ours: {file: d.mat, order: validation}}",
        "imported.Ours.order": "imported={Ours: {file: p.npy, order: d.mat}}",
    }
    for key, setting in config.items():
        done = snakemake(tmp_path, "table5", "table7", "--config", "smoke=true", setting)
        output = done.stdout + done.stderr
        assert f"{key}: there is no file {tmp_path / 'd.mat'}: name the one to read" in output
        # Snakemake passes over what an input function raises where targets exist: files are looked for before there is a DAG
        assert "Building DAG" not in output
        assert '.py"' not in output
        assert ".smk" not in output


def test_tables_1_and_2_need_no_data(tmp_path):
    assert jobs(snakemake(tmp_path, "table1", "table2")) == {"table": 2, "table1": 1, "table2": 1, "total": 4}


def test_seeds_train_everything_again(tmp_path):
    assert jobs(snakemake(tmp_path, "--config", "smoke=true", "seeds=[0,1,2]"))["train"] == 54


def test_without_stages_only_a_table_of_a_needs_a(tmp_path):
    assert "A_256_s0" not in runs(snakemake(tmp_path, "table5", "--config", "smoke=true", "staged=false"))


def test_missing_data_is_reported_before_any_job(tmp_path):
    done = snakemake(tmp_path, cores=1)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert output.count("The paper preset needs ILSVRC-2012") == 1
    assert f"looked for at {tmp_path / 'data' / 'ilsvrc'}" in output
    assert "snakemake --cores all --config smoke=true" in output
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("smokee=true", "no key is called 'smokee' (did you mean 'smoke'?)"),
        ("train={batsh: 3}", "no key is called 'train.batsh' (did you mean 'batch'?)"),
        ("seeds=[-1]", "seeds.0: expected greater than or equal to 0, got -1"),
        ("tiny_imagenet=/nowhere", "tiny_imagenet is given without a preset"),
    ],
)
def test_a_wrong_setting_stops_the_plan(tmp_path, config, message):
    done = snakemake(tmp_path, "--config", config)
    assert done.returncode != 0
    output = (done.stdout + done.stderr).strip()
    assert output.count(message) == 1
    assert len(output.splitlines()) == 1


def test_an_unknown_run_is_no_target(tmp_path):
    done = snakemake(tmp_path, "results/smoke/runs/D_200_s0/weights.safetensors", "--config", "smoke=true")
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout + done.stderr


def test_every_rule_says_what_it_does():
    listed = forked(["--list-rules"], ROOT).stdout
    for rule in (
        "prepare",
        "train",
        "adopt",
        "evaluate",
        "answers",
        "boxes",
        "merging",
        "import_scores",
        "draw",
        "features",
        "splits",
        "classify",
        "table",
        "whatif",
        "report",
        "bundle",
    ):
        assert re.search(rf"^{rule} \(.{{20,}}\)$", listed, re.MULTILINE), rule


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"gpu": 1, "nodes": 1}, ""),
        ({"gpu": 0}, ""),
        ({"gpu": 4}, "torchrun --signals-to-handle={} --no-python --nproc-per-node=4 --standalone"),
        (
            {"gpu": 8, "nodes": 2, "mpi": "srun"},
            "srun --nodes=2 --ntasks=2 --cpus-per-task=4 torchrun --signals-to-handle={} --no-python --nproc-per-node=4 "
            "--nnodes=2 --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID "
            "--rdzv-endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 20000))",
        ),
    ],
)
def test_one_rule_trains_on_a_laptop_on_a_node_and_on_several(resources, expected):
    assert launcher(None, 8, resources) == expected.format(TORCHRUN_SIGNALS)
    assert processes(None, resources) == max(1, resources["gpu"])


def test_gpus_that_cannot_be_shared_out_are_named():
    with pytest.raises(ValueError, match="train: 3 GPUs on 2 nodes"):
        launcher(None, 8, {"gpu": 3, "nodes": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "smoek=true"], "no key is called 'smoek' (did you mean 'smoke'?)"),
        (["--config", "smoke=true", "--set-resources", "train:gpu=3", "train:nodes=2"], "3 GPUs on 2 nodes"),
        (["verify", "--config", "smoke=true"], "verify: the images are drawn by the program"),
    ],
)
def test_a_mistake_that_the_snakefile_finds_ends_in_one_message_without_lines_of_python(tmp_path, arguments, message):
    done = snakemake(tmp_path, *arguments)
    said = done.stdout + done.stderr
    assert done.returncode
    last = said.strip().splitlines()[-1]
    assert last.startswith("vggrepro: ")
    assert message in last
    assert "Traceback" not in said
    assert ", line " not in said


def test_a_damaged_table_of_the_paper_ends_in_one_message_that_names_it(tmp_path):
    """It is read while modules are imported, before anything else can be said; a copy of the house is damaged here."""
    for name in ("vggrepro", "workflow", "tables"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    damaged = tmp_path / "tables" / "published" / "tables.yaml"
    damaged.write_text(damaged.read_text() + '"')
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--config", "smoke=true"]
    path = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=path)
    assert done.returncode
    assert f"{damaged}: cannot be read as YAML" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_of_the_rules_is_one_that_the_command_line_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for group in GROUPS:
        importlib.import_module(f"vggrepro.cli.{group}")
    (tmp_path / "d.mat").touch()
    configs = ["smoke=true"], ["smoke=true", "released={D: d.mat}", "imported={Ours: {file: d.mat, order: folders}}"]
    for config in configs:
        done = snakemake(tmp_path, "--printshellcmds", "--config", *config)
        shells = re.findall(r"^Shell command: +(.*) 2>&1 \| tee", done.stdout + done.stderr, re.MULTILINE)
        lines = [shell.rpartition(" && ")[2] for shell in shells]
        assert len(lines) > 20
        assert {line.split()[0] for line in lines} == {"vggrepro"}
        # folders that a rule's inputs or its shell make
        for folder in re.findall(r" --(?:scores|boxes|results|tables) (results/[\w/-]+)(?= )", " ".join(lines)):
            Path(folder).mkdir(parents=True, exist_ok=True)
        for line in lines:
            command, _, _ = app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
            assert command.__module__.startswith("vggrepro.cli")


def test_a_profile_of_slurm_without_a_slurm_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="the profile sends jobs to Slurm, and there is none that answers here"):
        check_executor("slurm")
    check_executor("local")


IMPORTS = ("imported={Theirs: {file: p.npy, order: validation}}", "devkit={folder: d, solution: s.csv}")


@pytest.fixture
def imports(tmp_path) -> Path:
    """A folder in which somebody has scores and the devkit, and no images."""
    (tmp_path / "d").mkdir()
    for file in ("p.npy", "s.csv", "d/meta_clsloc.mat"):
        (tmp_path / file).touch()
    return tmp_path


def test_imports_alone_plan_no_training_and_need_no_images(imports):
    assert jobs(snakemake(imports, "table7", "--config", *IMPORTS)) == {
        "import_scores": 1, "table": 1, "table7": 1, "total": 3,
    }  # fmt: skip
    assert jobs(snakemake(imports, "--config", *IMPORTS)) == {
        "import_scores": 1, "table": 13, "claims": 1, "report": 1, "bundle": 1, "all": 1, "total": 18,
    }  # fmt: skip


def test_with_images_imports_stand_beside_nets_of_ours_unless_these_are_switched_off(imports):
    (imports / "images").mkdir()
    here = (*IMPORTS, f"ilsvrc={imports / 'images'}")
    assert jobs(snakemake(imports, "table7", "--config", *here))["train"] > 0
    assert "train" not in jobs(snakemake(imports, "table7", "--config", *here, "ours=false"))
    assert "report" in jobs(snakemake(imports, "--config", *here, "ours=false"))


@pytest.mark.parametrize("made", ["data/val", "runs/D_256_s0"])
def test_numbers_of_ours_stay_where_images_are_only_out_of_reach(imports, made):
    """A disk that is not mounted today takes no row out of a table."""
    (imports / "results/paper" / made).mkdir(parents=True)
    assert jobs(snakemake(imports, "table7", "--config", *IMPORTS))["train"] > 0


def test_imports_that_only_the_images_can_judge_need_the_images(imports):
    assert jobs(snakemake(imports, "table7", "--config", IMPORTS[0]))["prepare"] == 2
