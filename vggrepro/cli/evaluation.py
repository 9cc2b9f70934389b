"""Commands from the weights of runs to scores, boxes, features and SVMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vggrepro.cli.app import command_group
from vggrepro.cli.options import (
    NO_STAGE,
    Count,
    ForwardStep,
    RunName,
    Scales,
    ScoresFolder,
    Stage,
    Threads,
    TransferText,
    ValStore,
    about,
    read_block,
)
from vggrepro.paper.systems import PROTOCOLS
from vggrepro.paper.tasks import COLLECTIONS, TASKS

command = command_group("Scores, boxes and features")
TransferData = Annotated[Path, about("folder or zip of the data set")]


@command
def evaluate(
    run: RunName,
    protocol: Annotated[str, Parameter(choices=PROTOCOLS)],
    /,
    *,
    scales: Scales,
    val: ValStore,
    step: ForwardStep,
    stage: Stage = NO_STAGE,
) -> None:
    """Write the posteriors of the validation images under a protocol (section 3.2): a score store per Q."""
    from vggrepro.evaluation.evaluate import evaluate_run

    with stage.stores(val, workers=step.threads) as (val_folder,):
        evaluate_run(run, protocol, scales, val_folder=val_folder, **step.start())


@command
def answers(
    seed: Annotated[Count, about("seed of the runs")],
    /,
    *,
    scores: ScoresFolder,
    out: Annotated[Path, about("folder to write the labels to")],
) -> None:
    """Write the five best labels of every image, from the best classification system (appendix A)."""
    from vggrepro.localisation.top5_labels import write_top5_labels

    write_top5_labels(scores, seed=seed, out=out)


@command
def boxes(
    run: RunName,
    protocol: Literal["dense", "centre-crop"],
    /,
    *,
    scales: Scales,
    classifier: Annotated[
        Path | None, about("weights of the net that it was initialised from, whose posteriors score the boxes")
    ] = None,
    answers: Annotated[Path | None, about("what `answers` wrote; without it the true class of every image")] = None,
    val: ValStore,
    step: ForwardStep,
    stage: Stage = NO_STAGE,
) -> None:
    """Write the boxes of the validation images, from a net that predicts them (appendix A): a box store per Q."""
    dense = protocol == "dense"
    if bool(answers) != dense or bool(classifier) != dense:
        raise ValueError(
            "dense boxes need --answers and --classifier; on a centre crop the true class is given, and neither"
        )
    from vggrepro.localisation.prediction import localise

    files = {"classifier_file": classifier, "labels_folder": answers}
    with stage.stores(val, workers=step.threads) as (val_folder,):
        localise(run, protocol=protocol, scales=scales, val_folder=val_folder, **files, **step.start())


@command
def features(
    run: RunName,
    collection: Annotated[str, Parameter(choices=COLLECTIONS)],
    /,
    *,
    path: TransferData,
    scales: Scales,
    step: ForwardStep,
) -> None:
    """Write what a net without its last layer gives for every image of a data set (appendix B)."""
    from vggrepro.data.collections import open_collection
    from vggrepro.transfer.features import write_features

    opened = open_collection(collection, path)
    write_features(run, name=collection, collection=opened, scales=scales, **step.start())


@command
def splits(
    set: Literal["caltech101", "caltech256"],
    /,
    *,
    path: TransferData,
    settings: TransferText = "{}",
    out: Annotated[Path, about("folder to write the splits to")],
) -> None:
    """Draw the random splits of a Caltech set, a file each."""
    from vggrepro.data.collections import Caltech
    from vggrepro.settings.blocks import TransferSettings
    from vggrepro.transfer.splits import write_splits

    block = read_block(settings, TransferSettings, lambda preset: preset.transfer)
    write_splits(Caltech(path, set.removeprefix("caltech")), block, out)


@command
def classify(
    task: Annotated[str, Parameter(choices=TASKS)],
    /,
    *,
    path: TransferData,
    features: Annotated[tuple[Path, ...], about("folders of features, stacked in this order", consume_multiple=1)],
    splits: Annotated[tuple[Path, ...], about("the files that `splits` wrote (Caltech)", consume_multiple=1)] = (),
    settings: TransferText = "{}",
    out: Annotated[Path, about("folder to write the results to")],
    threads: Threads = 1,
) -> None:
    """Train and test linear SVMs on features (appendix B)."""
    from vggrepro.settings.blocks import TransferSettings
    from vggrepro.transfer import classification

    block = read_block(settings, TransferSettings, lambda preset: preset.transfer)
    classification.classify_task(
        task, path=path, features=features, splits=splits, settings=block, out=out, workers=threads
    )
