"""What several tests share: a small stand-in, prepared once, and the real images where they are at hand."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from scipy.io import savemat

from vggrepro.core.checksums import list_of, write_list
from vggrepro.core.paths import ROOT
from vggrepro.data.devkit import Truth, official_order, read_truth
from vggrepro.data.prepare import prepare_stores
from vggrepro.data.store import Store
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import RunSettings, Settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# the same examples everywhere, and no stop-watch: machines are shared
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

BEGIN_WITH = (
    "workflow/test_run.py", "slurm/test_slurm.py", "workflow/test_short_runs.py", "training/test_checkpoints.py",
    "training/test_processes.py", "recompute/test_tables.py", "workflow/test_plan.py", "packs/test_merge.py",
)  # fmt: skip
"""The longest files first: beside them the other workers take the rest."""

SLOW = {
    "Snakemake, Slurm, or commands in processes of their own": (
        "cli/test_cli", "core/test_instructions", "core/test_places", "data/test_staging", "data/test_verify",
        "data/test_writer", "planning/test_status", "planning/test_steps", "planning/test_timeline", "slurm/",
        "test_hostile", "workflow/",
    ),
    "a browser, or a fresh environment": ("docs/test_lesson", "report/test_page", "report/test_whatif"),
    "nets that train": ("recompute/test_check", "recompute/test_training", "test_on_gpu", "training/"),
    "nets that are tested or compared with another library's": (
        "diagnosis/test_measurement", "evaluation/", "external/test_released",
        "localisation/test_prediction", "nets/test_inference", "nets/test_vgg", "recompute/test_evaluations",
        "recompute/test_transfer",
    ),
    "all tables, claims and a report of made-up results": (
        "core/test_records", "data/test_integrity", "judging/test_costs", "judging/test_ledger",
        "judging/test_own_claims", "judging/test_pipeline", "judging/test_variants", "packs/",
        "recompute/test_tables", "report/test_export", "report/test_figures", "tables/test_references",
        "tables/test_svms", "transfer/",
    ),
    "hundreds of random draws": ("planning/test_budget", "planning/test_power"),
    "files of 50,000 images": (
        "data/test_collections", "data/test_devkit", "data/test_standin", "external/test_imported",
        "external/test_public_predictions", "localisation/test_errors", "localisation/test_merging",
        "localisation/test_sensitivity", "scores/test_scores",
    ),
}  # fmt: skip
"""Files and folders of tests that take seconds, by what they need: `pytest -m "not slow"` leaves them out."""
TESTS = Path(__file__).parent


@cache
def give_way() -> None:
    """Let the smoke run, which takes longest, have the processors first: whoever makes it does not come here before."""
    os.nice(10)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ and item.path != TESTS / BEGIN_WITH[0]:
        give_way()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    paths = {item: item.path.relative_to(TESTS).as_posix() for item in items}
    items.sort(key=lambda item: (*BEGIN_WITH, paths[item]).index(paths[item]))
    slow = tuple(name for names in SLOW.values() for name in names)
    for item in items:
        if paths[item].startswith(slow):
            item.add_marker("slow")


THOROUGH = os.environ.get("VGGREPRO_THOROUGH") == "1"
"""Whether this is `make test-all`: what is drawn, killed or damaged at random is tried many more times."""


def cases(usual: Iterable[Any], more: Iterable[Any]) -> list[Any]:
    """Values to test with: of those that differ from the usual ones in little, `more` are for `make test-all` alone."""
    return [*usual, *(more if THOROUGH else ())]


REAL = Path(os.environ.get("VGGREPRO_IMAGES", ROOT.parent / "shared" / "data"))
"""A folder of real images, if there is one: ilsvrc2012-val-200.zip, tiny-imagenet-100.zip and others that tests name."""


def real(name: str) -> Path:
    """A file of real images; the test is skipped where it is not at hand."""
    path = REAL / name
    if not path.exists():
        pytest.skip(f"no real images at hand: {path}")
    return path


def prepared(folder: Path, layout: str = "stand-in", path: Path | None = None, **changes: Any) -> tuple[Path, Path]:
    """Training and validation store below `folder`; of the stand-in, if not said otherwise, 16 and 4 images a class."""
    given = {"classes": None, "per_class": (16, 4), "encoding": "pixels", "workers": 2} | changes
    prepare_stores(layout, path, train_folder=folder / "train", val_folder=folder / "val", **given)
    return folder / "train", folder / "val"


def list_again(file: Path) -> None:
    """The checksums that lie with a file, made anew: what a forger does, and no damage does."""
    listing = list_of(file)
    if listing:
        names = [line.split("  ", 1)[1] for line in listing.read_text(encoding="utf-8").splitlines()]
        write_list(listing, [listing.parent / name for name in names])


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and validation store of a small stand-in: 10 classes, 16 and 4 images each."""
    return prepared(tmp_path_factory.mktemp("stores"), workers=1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """Chromium without a window; the test is skipped where there is none, or nothing to drive it."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    program, driver = next(filter(None, map(shutil.which, browsers)), None), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser here: install chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as opened:
        # a script may take minutes on a machine with other work
        opened.command_executor.client_config.timeout = 900  # type: ignore[attr-defined]
        yield opened


def set_width(browser: Chrome, width: int) -> None:
    """The width of the page in pixels: a window cannot be made as narrow as a phone."""
    given = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", given)


@pytest.fixture(scope="session")
def ilsvrc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 real validation images, with the real devkit, true boxes and blacklist of all 50,000."""
    root = tmp_path_factory.mktemp("ilsvrc")
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        file.extractall(root)
    return root / "ilsvrc2012-val-200"


@pytest.fixture(scope="session")
def ilsvrc_truth(ilsvrc_folder: Path) -> Truth:
    """Labels, boxes and blacklist of the 50,000 validation images of ILSVRC-2012."""
    return read_truth(ilsvrc_folder / "devkit", ilsvrc_folder / "LOC_val_solution.csv")


def write_devkit(folder: Path, val: Store, blacklisted: tuple[int, ...] = ()) -> None:
    """ILSVRC's devkit and solution file for the images of a validation store, as if its classes were numbered backwards.

    With none blacklisted it has no blacklist, as that of 2012.
    """
    folder.mkdir()
    wnids = val.about["wnids"]
    ids = {wnid: len(wnids) - i for i, wnid in enumerate(wnids)}
    synsets = np.array(
        [(n, wnid, 0) for wnid, n in ids.items()], [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    )
    savemat(folder / "meta_clsloc.mat", {"synsets": synsets[:, None]})
    order = official_order(val.ids)
    labels = [wnids[val.labels[i]] for i in order]
    prefix = "ILSVRC2014_clsloc_validation_"
    (folder / f"{prefix}ground_truth.txt").write_text("".join(f"{ids[wnid]}\n" for wnid in labels))
    if blacklisted:
        (folder / f"{prefix}blacklist.txt").write_text("".join(f"{number}\n" for number in blacklisted))
    lines = ["ImageId,PredictionString"]
    for number, (i, wnid) in enumerate(zip(order, labels, strict=True), start=1):
        boxes = " ".join(f"{wnid} {' '.join(map(str, box))}" for box in val.boxes(i).tolist())
        lines.append(f"ILSVRC2012_val_{number:08d},{boxes} ")
    (folder / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def box_stores(stores: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up box stores of two seeds of every evaluation of Tables 8 to 10."""
    from tests.box_stores import write_all_boxes

    write_all_boxes(folder := tmp_path_factory.mktemp("boxes"), Store(stores[1]))
    return folder


@pytest.fixture(scope="session")
def small_devkit(stores: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A devkit of the stand-in's validation images, two of which are blacklisted."""
    folder = tmp_path_factory.mktemp("official") / "devkit"
    write_devkit(folder, Store(stores[1]), blacklisted=(3, 4))
    return folder


@pytest.fixture(scope="session")
def smoke() -> Settings:
    return load_settings({"smoke": True})


def small(*, scale_unit: int = 4, **train: object) -> RunSettings:
    """Settings of a run that takes a second: nets of 4 channels and crops of 28 px, one epoch."""
    given = {"batch": 16, "epochs": 1, "learning_rate": 0.001, "init": "glorot"} | train
    return RunSettings.model_validate(
        {"model": {"scale_unit": scale_unit, "width": 4, "fc": 32, "dropout": 0.0}, "train": given}, strict=False
    )


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that one process makes for all that run the tests, for what takes long and is only read."""

    def make_once(name: str, make: Callable[[Path], None]) -> Path:
        base = tmp_path_factory.getbasetemp()
        folder = (base if worker_id == "master" else base.parent) / name
        finished = folder.with_name(f"{name}.finished")
        with FileLock(f"{folder}.lock"):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                finished.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def drawn_sets(made_once) -> Path:
    """The data sets of appendix B, drawn: a folder each."""
    from tests.svm_results import draw_sets

    return made_once("drawn", draw_sets)


@pytest.fixture(scope="session")
def svm_results(drawn_sets: Path, made_once) -> Path:
    """Features, splits and results of all tasks of appendix B, with random nets."""
    from tests.svm_results import write_results

    return made_once("svms", partial(write_results, drawn_sets))
