"""The whole smoke run against the bare arithmetic of its nets: what imports, scheduling, reading, tables and report add.

    python bench/smoke.py [--runs 5]

The arithmetic: with the same CPU instructions, in one process on all cores, nothing but the nets' own steps and forward passes
on images that are in memory, as many as the smoke run makes, of the shapes that it shows its nets; each kind is timed five
times and multiplied by how often it occurs. The smoke run: `snakemake --cores all --config smoke=true` in an empty folder,
from its start to its report.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

from vggrepro.core.instructions import pin_instructions

# before torch is loaded, because the smoke run's nets compute with these, too
pin_instructions("avx2")

import torch
from harness import REPEATS, row, write
from torch.nn import functional as F

from vggrepro.core.paths import ROOT
from vggrepro.data.collections import open_collection
from vggrepro.data.store import Store
from vggrepro.data.transforms import rescaled_size
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import PROTOCOLS
from vggrepro.paper.tables import published_table, scales_of, table_numbers
from vggrepro.paper.tasks import COLLECTIONS, TASKS
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import RunSettings, Settings
from vggrepro.workflow.plan import Plan

TIMED = 0.3
"""Seconds of work that is timed at a time, at least."""


def seconds(work: Callable[[], object]) -> float:
    """What a piece of work takes: the median of a few blocks of it."""
    work()
    started = time.perf_counter()
    work()
    often = max(1, int(TIMED / (time.perf_counter() - started)))
    blocks = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(often):
            work()
        blocks.append((time.perf_counter() - started) / often)
    return median(blocks)


def of_training(run: Run, settings: RunSettings, store: Store, val: Store) -> float:
    """All steps of SGD of a run, and its validation on centre crops."""
    net = VGG(run.net, run.outputs(store.classes), settings.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.features.requires_grad_(run.layers == "all")
    moving = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(moving, lr=1e-9, momentum=0.9, weight_decay=5e-4, fused=True)
    batch, crop = settings.train.batch, settings.model.crop
    images = torch.randn(batch, 3, crop, crop).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 4, (batch,))

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(net(images, net.dropout(batch, 0, images.device)), labels).backward()
        optimiser.step()

    def validate() -> None:
        with torch.inference_mode():
            net(images)

    epochs = settings.train.epochs
    steps, views = epochs * -(-len(store) // batch), epochs * -(-len(val) // batch)
    return steps * seconds(step) + views * seconds(validate)


def of_views(net: VGG, shapes: Counter[tuple[int, int]], most: int, hidden: bool = False) -> float:
    """Forward passes over so many views of each shape, in batches of at most so many pixels."""
    total = 0.0
    for (height, width), count in shapes.items():
        batch = max(1, min(count, most // (height * width)))
        images = torch.randn(batch, 3, height, width).contiguous(memory_format=torch.channels_last)

        def forward(images: torch.Tensor = images) -> None:
            with torch.inference_mode():
                (net.hidden_map if hidden else net.scores)(images)

        total += count / batch * seconds(forward)
    return total


def shapes(
    sizes: list[tuple[int, int]], settings: Settings, scales: tuple[int, ...], views: int
) -> Counter[tuple[int, int]]:
    """How many views of each shape a dense evaluation of images shows."""
    return Counter(
        {
            shape: views * count
            for Q in scales
            for shape, count in Counter(rescaled_size(*size, settings.model.pixels(Q)) for size in sizes).items()
        }
    )


def arithmetic(settings: Settings, results: Path) -> dict[str, float]:
    """Seconds of every kind of arithmetic of a finished run in `results`."""
    plan, most = Plan.of(settings), settings.evaluate.batch_pixels
    store, val = Store(results / "data/train"), Store(results / "data/val")
    sizes = [val.size(i) for i in range(len(val))]
    found = dict.fromkeys(("training", "evaluation", "boxes", "features"), 0.0)
    for name in plan.runs:
        run = Run.parse(name)
        found["training"] += of_training(run, settings.for_run(run), store, val)
        net = VGG(run.net, run.outputs(store.classes), settings.model).eval()
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        crop = settings.model.crop
        for protocol in PROTOCOLS:
            scales = scales_of(run, protocol)
            if not scales:
                continue
            views = {"dense": 2, "multi-crop": 50, "centre-crop": 1}[protocol]
            shown = shapes(sizes, settings, scales, views)
            if protocol != "dense":
                shown = Counter({(crop, crop): sum(shown.values())})
            # boxes come from two nets and from the image alone
            kind = "boxes" if run.localises else "evaluation"
            found[kind] += of_views(net, shown, most)
    for name in sorted({m.name for n in table_numbers("svms") for r in published_table(n).rows for m in r.members}):
        run = Run.parse(name)
        net = VGG(run.net, store.classes, settings.model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for collection in COLLECTIONS:
            task = next(t for t in TASKS.values() if collection in t.collections)
            pictures = open_collection(collection, results / "data/drawn" / task.data)
            here = [pictures.image(i).shape[:2] for i in range(len(pictures))]
            found["features"] += of_views(net, shapes(here, settings, task.scales, 2), most, hidden=True)
    return found


def smoke_run(folder: Path) -> float:
    """Seconds of the smoke run in an empty folder, from its start to its report."""
    for name in ("Snakefile", "workflow", "tables", "reports", "environment.yml"):
        (folder / name).symlink_to(ROOT / name)
    program = str(Path(sys.executable).with_name("snakemake"))
    call = [program, "--cores", "all", "--quiet", "all", "--config", "smoke=true"]
    started = time.perf_counter()
    subprocess.run(call, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def profile(results: Path) -> dict[str, dict[str, float]]:
    """What the jobs of every rule took: how many, their seconds, and the processor's, in which jobs side by side do not count
    twice. Snakemake samples a job's processor time, and misses its last seconds."""
    rules: dict[str, Counter[str]] = {}
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = file.relative_to(results / "benchmarks").parts[0].split(".")[0]
        with file.open(encoding="utf-8", newline="") as opened:
            taken = next(csv.DictReader(opened, delimiter="\t"))
        measured = {"jobs": 1.0, "seconds": float(taken["s"]), "processor": _number(taken["cpu_time"])}
        rules.setdefault(rule, Counter()).update(measured)  # type: ignore[arg-type]
    return {rule: dict(sums) for rule, sums in rules.items()}


def _number(text: str) -> float:
    return float(text) if text not in ("", "NA", "-") else 0.0


def main() -> None:
    """Run, count, time, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=REPEATS, help="how often, six minutes each on two cores")
    given = parser.parse_args()
    cores, settings = os.cpu_count() or 1, load_settings({"smoke": True})
    torch.set_num_threads(cores)
    found, parts, profiles = dict[str, list[float]](ours=[], peer=[]), [], []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            found["ours"].append(smoke_run(Path(folder)))
            profiles.append(profile(Path(folder) / "results/smoke"))
            parts.append(arithmetic(settings, Path(folder) / "results/smoke"))
            found["peer"].append(sum(parts[-1].values()))
            print(*(f"{name} {taken:.0f} s" for name, taken in parts[-1].items()), sep=", ", flush=True)
    about = {"title": f"The smoke run, {cores} cores", "peer": "bare arithmetic, one process", "ours": "vggrepro"}
    write(
        "smoke",
        about,
        [row("imports, jobs, tables and report all in it", "s", found, reach=1 / 1.5, parts=parts, profiles=profiles)],
    )


if __name__ == "__main__":
    main()
