"""Makes docs/gallery/: reports that anyone may open, with the date at which they were made. `make gallery` calls it.

`smoke/` has the report of the smoke run in results/smoke, with the evidence beside it. `public-nets/` shows what public nets
answer for ILSVRC's validation images: it needs their files of answers, and the devkit, which has the true classes. Neither has
a photograph in it: the smoke run's images are drawn, and answers are numbers.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import yaml

from vggrepro.core.files import write_text
from vggrepro.core.paths import ROOT

GALLERY = ROOT / "docs" / "gallery"
LABELS = "real.json"
"""ReaL labels, among the files of answers."""
CLAIMS = ROOT / "docs" / "examples" / "public-nets.yaml"
LARGEST = 2_000_000
"""Bytes of a report that is kept in git, and of its evidence."""
SYSTEMS = {
    "alexnet": {"file": "alexnet.npy"},
    "vgg11": {"file": "vgg11.npy"},
    "vgg13": {"file": "vgg13.npy"},
    "vgg16": {"file": "vgg16.npy"},
    "vgg19": {"file": "vgg19.npy"},
    "resnet50": {"file": "resnet50.npy"},
    "keras vgg16": {"file": "keras_vgg16_top5.npy", "scores": "keras_vgg16_top5_scores.npy"},
}
"""The files of answers, five labels of each of 50,000 images, by the names of the systems; all in torchvision's order."""

INDEX = """# Gallery

Reports to open without running anything, made by `make gallery`. No photograph of a data set is in them.

- [The smoke run](smoke/report/report.html): every table, claim and figure, from drawn images and nets of a sixteenth of the
  widths. Its numbers say nothing about the paper. {smoke}
- [Seven public nets on ILSVRC-2012's validation images](public-nets/report/report.html): the answers of AlexNet, VGG-11, 13,
  16, 19 and ResNet-50 (from [ImageNetV2's repository](https://github.com/modestyachts/ImageNetV2), MIT) and of Keras' VGG-16
  (from [benchmarking-keras-pytorch](https://github.com/cgnorthcutt/benchmarking-keras-pytorch), MIT) beside the paper's rows
  of Table 7, by ILSVRC's labels and by ReaL's (from
  [reassessed-imagenet](https://github.com/google-research/reassessed-imagenet), Apache-2.0), and what they say about depth
  ([claims](../examples/public-nets.yaml)). {public}
"""


def main() -> None:
    """Make both reports, and the page that leads to them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=Path, required=True, help="folder, or zip, of the files of answers")
    parser.add_argument("--devkit", type=Path, required=True, help="ILSVRC's devkit: a folder, or a zip that has it")
    given = parser.parse_args()
    smoke = ROOT / "results" / "smoke"
    if not (smoke / "report" / "report.html").exists():
        sys.exit(f"{smoke}: has no report: run make smoke first")
    made = {"smoke": keep(smoke, "smoke")}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        answers = _folder_of("vgg16.npy", _unpacked(given.answers, work / "answers"))
        devkit = _folder_of("meta_clsloc.mat", _unpacked(given.devkit, work / "with devkit"))
        made["public"] = keep(public_nets(answers, devkit, work), "public-nets")
    write_text(GALLERY / "index.md", INDEX.format(**made))


def public_nets(answers: Path, devkit: Path, work: Path) -> Path:
    """The results of the public nets, made below the folder `work`. They name files, and no place of this machine."""
    for file in {LABELS, *(file for files in SYSTEMS.values() for file in files.values())}:
        (work / file).symlink_to((answers / file).absolute())
    (work / "devkit").symlink_to(devkit.absolute())
    (work / CLAIMS.name).symlink_to(CLAIMS)
    settings = {
        "ours": False,
        "imported": {name: {**files, "order": "folders"} for name, files in SYSTEMS.items()},
        "labels": {"ReaL": LABELS},
        "devkit": {"folder": "devkit"},
        "claims": {"public nets": CLAIMS.name},
    }
    config = work / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work)]
    subprocess.run([*call, "--cores", "all", "--configfile", str(config)], check=True)
    return work / "results" / "paper"


def _unpacked(path: Path, folder: Path) -> Path:
    if path.is_dir():
        return path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if not name.endswith(".JPEG")])
    return folder


def _folder_of(name: str, below: Path) -> Path:
    if not (files := sorted(below.rglob(name))):
        sys.exit(f"{below}: has no {name}: name another folder or zip")
    return files[0].parent


def keep(results: Path, name: str) -> str:
    """Copy the report of some results, and the evidence that it reads, to the gallery; its size and date in words.

    Ends the program where either has too many bytes, or names a place of this machine; then what was kept before stays.
    """
    report, place = results / "report" / "report.html", GALLERY / name
    evidence = sorted(file for file in (results / "evidence").rglob("*") if file.suffix in (".js", ".jpg"))
    for part, files in (("report", [report]), ("evidence", evidence)):
        if (size := sum(file.stat().st_size for file in files)) > LARGEST:
            sys.exit(f"{results / part}: {size:,} bytes, and the gallery keeps at most {LARGEST:,} of either")
    texts = (file.read_text(encoding="utf-8") for file in (report, *evidence) if file.suffix != ".jpg")
    if machines := re.findall(r"(?:file://|/tmp/|/home/|/root/)[^\s\"'<]{0,60}", "".join(texts)):
        sys.exit(f"{report}: names a place of this machine: {machines[0]}")
    shutil.rmtree(place, ignore_errors=True)
    for file in (report, *evidence):
        target = place / file.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    date = datetime.fromtimestamp(report.stat().st_mtime, UTC).date()
    return f"Made on {date}, {report.stat().st_size / 1e6:.1f} MB."


if __name__ == "__main__":
    main()
