"""Commands that say why a number differs: step by step, and image by image."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

from vggrepro.cli.app import command_group
from vggrepro.cli.options import Count, ForwardStep, RunName, ScoresFolder, ValStore, about

command = command_group("Diagnosis")


@command
def why(
    run: RunName,
    /,
    *,
    val: ValStore,
    scores: Annotated[Path | None, about("folder of the score stores, for the steps that tables have")] = None,
    devkit: Annotated[Path | None, about("folder with meta_clsloc.mat: the devkit's order of classes")] = None,
    step: ForwardStep,
) -> None:
    """Say why a number is off: from a centre crop as others make it to the paper's protocol, step by step."""
    from vggrepro.diagnosis.measurement import measure_decomposition

    measure_decomposition(run, val_folder=val, scores_folder=scores, devkit=devkit, **step.start())


@command
def flips(
    first: Annotated[str, about("a system as tables write it, such as D/256/224,256,288")],
    second: Annotated[str, about("the system to compare it with")],
    /,
    *,
    protocol: Annotated[str, about("dense, multi-crop, or 'multi-crop & dense'")] = "dense",
    seed: Annotated[Count, about("seed of the runs")] = 0,
    scores: ScoresFolder,
    val: ValStore,
    out: Annotated[Path, about("folder for flips.json and the pictures")],
) -> None:
    """Show the images that one system gets right and another wrong."""
    from vggrepro.diagnosis.flips import write_flips

    write_flips((first, second), protocol=protocol, seed=seed, scores_folder=scores, val_folder=val, out=out)


@command
def compare(
    results: Annotated[Path, about("folder of results, such as results/smoke")],
    reference: Annotated[
        Path | None, about("another folder, or what --write wrote; without it, the smoke run kept in the repository")
    ] = None,
    /,
    *,
    json: Annotated[bool, about("print everything as JSON")] = False,
    write: Annotated[Path | None, about("compare nothing; write the digests and numbers to this file")] = None,
) -> None:
    """Compare two results cell by cell, and step by step up to the first that differs; exit status 1 if any does."""
    from vggrepro.diagnosis.comparison import compare as compare_digests
    from vggrepro.diagnosis.comparison import report_of
    from vggrepro.diagnosis.digests import REFERENCE, read_digests, write_reference

    ours = read_digests(results)
    if write:
        write_reference(ours, write)
        return
    comparison = compare_digests(ours, read_digests(reference or REFERENCE))
    print(dumps(comparison.as_json(), indent=1) if json else report_of(comparison))
    if not comparison.equal:
        raise SystemExit(1)
