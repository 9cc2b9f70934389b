"""The command line: a user's mistake ends with one message and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.data import standin


def failed(capsys, *arguments: str) -> str:
    """The message of a call that must fail."""
    try:
        status = cli.main(list(arguments))
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def prepare(tmp_path: Path, *more: str) -> list[str]:
    return ["prepare", "--train", f"{tmp_path}/o/train", "--val", f"{tmp_path}/o/val", *more]


def test_a_data_set_that_is_not_there(capsys, tmp_path):
    message = failed(capsys, *prepare(tmp_path, "--layout", "tiny-imagenet", "--path", "/no/such/file.zip"))
    assert "/no/such/file.zip: no such file or folder" in message
    assert not (tmp_path / "o").exists()


def test_a_path_is_asked_for(capsys, tmp_path):
    assert "needs --path" in failed(capsys, *prepare(tmp_path, "--layout", "ilsvrc"))


def test_a_path_may_be_the_folder_that_one_is_in(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "needs --path" not in failed(capsys, *prepare(tmp_path, "--layout", "tiny-imagenet", "--path", "."))


def test_an_unknown_run(capsys):
    message = failed(capsys, "train", "F_256_s0", "--settings", "smoke", "--train", "x", "--val", "y", "--out", "z")
    assert "no run" in message


def test_missing_stores_and_weights_are_named(capsys, tmp_path, stores):
    where = ["--train", f"{tmp_path}/t", "--val", f"{tmp_path}/v", "--out", f"{tmp_path}/o"]
    assert "t/store.json: no such file" in failed(capsys, "train", "A_256_s0", "--settings", "smoke", *where)
    where = ["--weights", f"{tmp_path}/w", "--val", str(stores[1]), "--out", f"{tmp_path}/o"]
    assert "w: no such file" in failed(capsys, "evaluate", "A_256_s0", "dense", "--scales", "256", *where)


@pytest.mark.trains
def test_weights_of_another_run_are_refused(capsys, tmp_path, stores):
    where = ["--train", str(stores[0]), "--val", str(stores[1]), "--out", str(tmp_path)]
    settings = '{"model": {"scale_unit": 8, "width": 2, "fc": 8}, "train": {"epochs": 1, "batch": 64}}'
    assert cli.main(["train", "A_256_s0", "--settings", settings, *where]) == 0
    where = ["--weights", f"{tmp_path}/weights.safetensors", "--val", str(stores[1]), "--out", f"{tmp_path}/o"]
    message = failed(capsys, "evaluate", "D_256_s0", "dense", "--scales", "256", *where)
    assert "holds A_256_s0, expected D_256_s0" in message


def test_a_gpu_that_is_not_there(capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    arguments = ["train", "A_256_s0", "--settings", "smoke", "--train", "x", "--val", "y", "--out", "z"]
    assert "--device cuda: torch can use no GPUs" in failed(capsys, *arguments, "--device", "cuda")


def test_a_full_disk_leaves_nothing_that_would_be_trusted(tmp_path):
    """On a file system of 300 kB the store does not fit: it is noticed before anything is written."""
    standin.draw_data_set(tmp_path / "images", train_per_class=20, val_per_class=2)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        call = [
            sys.executable,
            "-m",
            "vggrepro",
            *prepare(small, "--layout", "tiny-imagenet", "--path", f"{tmp_path}/images"),
        ]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 2
        assert "the store needs 2.5 MB more, the disk has" in done.stderr
        assert "Traceback" not in done.stderr
        assert {path.name for path in small.rglob("*") if path.is_file()} <= {
            "lock",
            "identity",
            "images.bin",
            "records.bin",
        }
        assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) < 1000
    finally:
        subprocess.run(["umount", str(small)], check=True)


def wait_until_begun(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a file is being written below `folder`."""
    while not any(path.is_file() for path in folder.rglob("*")):
        assert process.poll() is None, "it ended before it wrote anything"
        time.sleep(0.02)


def test_a_kill_leaves_nothing_that_would_be_trusted(tmp_path):
    call = [
        sys.executable,
        "-m",
        "vggrepro",
        *prepare(tmp_path, "--layout", "stand-in", "--train-per-class", "2000"),
    ]
    process = subprocess.Popen(call, env=os.environ | {"TMPDIR": str(tmp_path)})
    wait_until_begun(tmp_path, process)
    process.kill()
    process.wait()
    assert not (tmp_path / "o" / "train").exists()
    assert not (tmp_path / "o" / "val").exists()


def test_a_schedulers_term_clears_away_what_was_begun(tmp_path):
    call = [
        sys.executable,
        "-m",
        "vggrepro",
        *prepare(tmp_path, "--layout", "stand-in", "--train-per-class", "2000"),
    ]
    process = subprocess.Popen(call, env=os.environ | {"TMPDIR": str(tmp_path)})
    wait_until_begun(tmp_path, process)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "--layout", "stand-in", "--classes", "0", "--train", "a", "--val", "b"], "at least 1, got '0'"),
        (["prepare", "--layout", "stand-in", "--train", "a", "--val", "./a"], "expected one folder for each store"),
        (["prepare", "--layout", "tiny-imagenet", "--path", "", "--train", "a", "--val", "b"], "needs --path"),
        (["table", "3", "--settings", "{", "--out", "x"], "--settings: no JSON"),
        (["table", "13", "--settings", "smoke", "--out", "x"], "the paper has no table '13'"),
        (
            ["train", "A_256_s0", "--settings", "smoke", "--device", "gpu", "--train", "a", "--val", "b", "--out", "c"],
            "--device gpu",
        ),
        (
            ["evaluate", "A_256_s0", "dense", "--scales", "2,x", "--weights", "w", "--val", "v", "--out", "o"],
            "numbers with commas",
        ),
    ],
)
def test_senseless_arguments_are_named(capsys, arguments, message):
    assert message in failed(capsys, *arguments)


@pytest.mark.parametrize(
    "call",
    [
        "table 3 --scores",
        "claims --tables",
        "report --tables t.json --results",
        "whatif --scores",
        "export --results",
        "evidence --tables t.json --scores",
        "merging --val v --boxes",
    ],
)
def test_a_folder_to_read_that_is_not_there_is_named_and_nothing_is_written(capsys, tmp_path, call):
    (tmp_path / "file").touch()
    for name, problem in (("nowhere", "no such folder"), ("file", "expected a folder, got a file")):
        arguments = [*call.split(), str(tmp_path / name), "--settings", "smoke", "--out", str(tmp_path / "out")]
        assert f"{tmp_path / name}: {problem}" in failed(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_the_users_is_not_replaced(capsys, tmp_path):
    (tmp_path / "o/train").mkdir(parents=True)
    (tmp_path / "o/train/thesis.tex").touch()
    assert "it will not be replaced" in failed(capsys, *prepare(tmp_path, "--layout", "stand-in"))
    assert (tmp_path / "o/train/thesis.tex").exists()


@pytest.mark.parametrize("damage", ["{}", "[]", "{"])
def test_a_damaged_store_is_named(capsys, tmp_path, stores, damage):
    folder = shutil.copytree(stores[0], tmp_path / "train")
    (folder / "store.json").write_text(damage)
    where = ["--train", str(folder), "--val", str(stores[1]), "--out", f"{tmp_path}/o"]
    assert "train/store.json: damaged" in failed(capsys, "train", "A_256_s0", "--settings", "smoke", *where)


def test_an_empty_index_is_named(capsys, tmp_path, stores):
    folder = shutil.copytree(stores[0], tmp_path / "train")
    (folder / "index.npy").write_bytes(b"")
    where = ["--train", str(folder), "--val", str(stores[1]), "--out", f"{tmp_path}/o"]
    assert "train/index.npy: damaged" in failed(capsys, "train", "A_256_s0", "--settings", "smoke", *where)


def test_light_rooms_do_not_import_torch():
    code = """import importlib, pkgutil, sys
for room in ("core", "paper", "settings", "scores", "tables", "judging", "report", "cli", "workflow"):
    package = importlib.import_module(f"vggrepro.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
        if 'torch' in sys.modules:
            sys.exit(f"{module.name} imports torch")"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_torchvision_is_imported_nowhere_on_the_way():
    code = """import sys
import vggrepro.data.prepare, vggrepro.evaluation.evaluate, vggrepro.training.train
sys.exit('torchvision' in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_the_help_waits_for_nothing_heavy(arguments):
    code = f"""import sys
from vggrepro import cli
assert cli.main({arguments}) == 0
sys.exit(bool({{'torch', 'numpy', 'pandas', 'pydantic', 'snakemake'}} & set(sys.modules)))"""
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_of_an_option_that_is_given_twice_the_last_value_counts(capsys, tmp_path):
    assert "needs --path" in failed(capsys, *prepare(tmp_path, "--layout", "stand-in", "--layout", "ilsvrc"))


def test_a_wrong_command_or_option_is_answered_with_the_nearest(capsys):
    assert 'Did you mean "train"?' in failed(capsys, "trian")
    assert "Did you mean --threads?" in failed(
        capsys, "table", "3", "--settings", "smoke", "--out", "x", "--treads", "2"
    )
