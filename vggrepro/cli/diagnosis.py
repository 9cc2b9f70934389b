"""Commands that say why a number differs: step by step, and image by image."""

from __future__ import annotations

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
