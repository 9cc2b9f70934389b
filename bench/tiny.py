"""The tiny preset in slices and without Snakemake, for a machine that is lent by the minute: runs, scores, tables, report.

    python bench/tiny.py tiny-imagenet-200.zip OUT --minutes 9 --resume [--config '{"train": {"epochs": 2}}'] [--device cpu]

After so many minutes a training writes its checkpoint, any other step is left, and the call ends with status 75. All that
the next call needs lies in the folder OUT: copy it away, and back, between two calls. `--resume` goes on there; without it,
OUT has to be empty. What is there already is kept. The last call ends with tables, claims and report. Prints a line a step.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vggrepro import cli
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import table_evaluations, table_numbers
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.data import prepare_job
from vggrepro.workflow.evaluate import boxes_job, evaluate_job, merging_job
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import table_job
from vggrepro.workflow.train import train_job

NOT_YET = 75
"""Exit status of a call that time ended, as sysexits.h has it: try again."""

Step = tuple[Path, list[str]]
"""What a step leaves behind, and the command."""


def steps(plan: Plan, device: list[str]) -> Iterator[Step]:
    """The commands of the workflow's rules, in an order that has what each needs."""
    root = Path(plan.root)
    threads = ["--threads", str(plan.settings.threads)]
    data = ["--train", f"{root}/data/train", "--val", f"{root}/data/val"]
    yield root / "data/val", ["prepare", *plan.options(prepare_job)({"split": "train"}), *data, *threads]
    for name in sorted(plan.runs, key=lambda name: (len(_ancestors(Run.parse(name))), plan.runs.index(name))):
        job, out = train_job(plan, name), root / "runs" / name
        parent = plan.options(train_job, "parent")({"run": name})
        call = ["train", name, *parent, "--settings", job["settings"], *data, "--out", str(out)]
        yield out / "run.json", [*call, "--state", f"{root}/state/{name}", *threads, *device]
    numbers = [n for n in plan.measured if n not in table_numbers("svms")]
    seeds = plan.settings.seeds
    boxes_first = sorted(numbers, key=lambda n: n in table_numbers("boxes"))
    known = set()
    for number in boxes_first:
        boxes = number in table_numbers("boxes")
        if boxes and "answers" not in known:
            known.add("answers")
            for seed in seeds:
                out = root / f"answers/s{seed}"
                yield out, ["answers", str(seed), "--scores", f"{root}/scores", "--out", str(out)]
        for run, protocol in sorted({(e.run.name, e.protocol) for e in table_evaluations(number, seeds)}):
            kind, verb = ("boxes", "boxes") if boxes else ("scores", "evaluate")
            out = root / kind / run / protocol
            if out in known:
                continue
            known.add(out)
            job, w = evaluate_job(plan, run, protocol), {"run": run, "protocol": protocol}
            inputs = plan.options(boxes_job, "classifier", "answers")(w) if boxes else []
            call = [verb, run, protocol, *inputs, "--scales", job["scales"]]
            call += ["--settings", job["settings"], "--weights", f"{root}/runs/{run}/weights.safetensors"]
            yield out, [*call, "--val", f"{root}/data/val", "--out", str(out), *threads, *device]
    merging = ["merging", "--settings", merging_job(plan)["settings"], "--boxes", f"{root}/boxes"]
    yield root / "merging", [*merging, "--val", f"{root}/data/val", "--out", f"{root}/merging", *threads]
    for table in plan.tables:
        job = table_job(plan, table)
        call = ["table", job["number"], "--settings", job["settings"], "--scores", job["folder"]]
        yield root / f"tables/{table}.json", [*call, "--runs", f"{root}/runs", "--out", f"{root}/tables", *threads]
    call = [
        "claims",
        "--settings",
        plan.settings.model_dump_json(),
        "--tables",
        f"{root}/tables",
        "--out",
        f"{root}/claims",
    ]
    yield root / "claims/claims.json", call


def _ancestors(run: Run) -> list[Run]:
    parent = run.parent()
    return [] if parent is None else [parent, *_ancestors(parent)]


def report(plan: Plan) -> list[str]:
    """The command of the report, of all tables and runs that are there."""
    root = Path(plan.root)
    tables, runs = (sorted(str(p) for p in root.glob(f)) for f in ("tables/*.json", "runs/*/run.json"))
    there = {"--merging": root / "merging", "--claims": root / "claims/claims.json"}
    parts = [text for option, path in there.items() if path.exists() for text in (option, str(path))]
    call = ["report", "--settings", plan.settings.model_dump_json(), "--tables", *tables, "--runs", *runs, *parts]
    return [*call, "--results", str(root), "--out", f"{root}/report"]


def run(plan: Plan, device: str, seconds: float) -> tuple[list[str], bool]:
    """Run the steps that are not there yet; which failed, and whether time was left for all."""
    began, failed = time.monotonic(), list[str]()
    # what a scheduler does before its limit: a training then ends within a step, with its checkpoint
    clock = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    clock.daemon = True
    clock.start()
    for made, call in steps(plan, ["--device", device]):
        if made.exists():
            continue
        started = time.monotonic()
        name = " ".join(part for part in call[:3] if not part.startswith(("-", "{")))
        try:
            status = cli.main(call)
        except SystemExit:
            print(f"{time.monotonic() - started:8.1f} s  left: {name}", flush=True)
            return failed, False
        failed += [name] if status else []
        print(f"{time.monotonic() - started:8.1f} s  {'failed: ' if status else ''}{name}", flush=True)
        if time.monotonic() - began > seconds:
            return failed, False
    clock.cancel()
    return failed, True


def main() -> None:
    """Run all steps that time allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=1e5, help="this call ends after so many")
    parser.add_argument("--resume", action="store_true", help="go on with what lies in OUT")
    parser.add_argument("--config", default="{}", help="settings over the preset's, as JSON")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    if not given.resume and given.out.exists() and any(given.out.iterdir()):
        sys.exit(f"{given.out}: expected an empty folder; --resume goes on with what lies there")
    path, began = str(given.path.absolute()), time.monotonic()
    plan = Plan.of(load_settings({"preset": "tiny", "tiny_imagenet": path} | json.loads(given.config)))
    given.out.mkdir(parents=True, exist_ok=True)
    os.chdir(given.out)
    import torch

    # named, so that one process may take it again and again
    name = given.device if given.device != "auto" else "cuda:0" if torch.cuda.is_available() else "cpu"
    failed, ended = run(plan, name, 60 * given.minutes)
    if ended:
        cli.main(report(plan))
    shown = f"; {len(failed)} steps could not be made: {', '.join(failed)}" if failed else ""
    print(f"{(time.monotonic() - began) / 60:.1f} min{shown}", flush=True)
    if not ended:
        print(f"not done yet: the same call with --resume goes on in {given.out}", flush=True)
        sys.exit(NOT_YET)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
