"""Commands for the scores of others, and for predictions in ILSVRC's official format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from vggrepro.cli.app import command_group
from vggrepro.cli.options import Boxes, Positive, SettingsText, Threads, ValStore, about, read_settings

command = command_group("Scores of others")


@command
def import_(
    file: Annotated[Path, about("a row per image: .npy, .npz, .csv, .tsv, .parquet, or .txt (official format)")],
    /,
    *,
    name: Annotated[str, about("what tables call it")],
    val: Annotated[Path | None, about("prepared validation store: the true classes of the images")] = None,
    devkit: Annotated[Path | None, about("folder with meta_clsloc.mat and ground truth, in place of --val")] = None,
    solution: Annotated[Path | None, about("LOC_val_solution.csv: boxes in a .txt are judged too")] = None,
    order: Annotated[
        str | None, about("where rows have no ids: validation, folders, or a file that lists the images")
    ] = None,
    ids: Annotated[str | None, about("column or array with the images' ids, if it is not plain which that is")] = None,
    classes: Annotated[Literal["wnid", "sorted", "devkit"] | None, about("what a column or a label names")] = None,
    logits: Annotated[bool, about("the numbers are scores before the soft-max")] = False,
    out: Annotated[Path, about("folder to write the store to")],
) -> None:
    """Import anyone's posteriors or top-5 lists of the validation images, checked, as a score store."""
    from vggrepro.external.imported import import_scores
    from vggrepro.tables.imported import imported_errors

    store = import_scores(
        file,
        name=name,
        out=out,
        val=val,
        devkit_folder=devkit,
        solution=solution,
        order=order,
        ids=ids,
        classes=classes,
        logits=logits,
    )
    for quantity, errors in imported_errors(store).items():
        _print_error(quantity, int(errors.wrong.sum()), errors.n)


@command
def judge(
    predictions: Annotated[Path, about("a line per validation image: up to five `label xmin ymin xmax ymax`")],
    /,
    *,
    devkit: Annotated[Path, about("folder with meta_clsloc.mat, ground truth and blacklist")],
    solution: Annotated[Path, about("LOC_val_solution.csv: the true boxes")],
    labels_only: Annotated[bool, about("lines are up to five labels, without boxes")] = False,
    first: Annotated[Positive | None, about("judge only the first so many validation images")] = None,
) -> None:
    """Score predictions in ILSVRC's official format, whoever made them, as the devkit does."""
    from vggrepro.localisation.submission import judge_submission

    with_boxes = not labels_only
    judged = judge_submission(predictions, devkit_folder=devkit, solution=solution, first=first, with_boxes=with_boxes)
    for quantity, (errors, n) in judged.counts().items():
        _print_error(quantity, errors, n)


@command
def submission(
    system: Annotated[str | None, about("a row of Table 9, such as D/384/352,384; without it Table 10's")] = None,
    /,
    *,
    settings: SettingsText,
    boxes: Boxes,
    val: ValStore,
    devkit: Annotated[Path, about("folder with meta_clsloc.mat: the devkit's ids of classes")],
    labels_only: Annotated[bool, about("write up to five labels, without boxes")] = False,
    out: Annotated[Path, about("file to write")],
    threads: Threads = 1,
) -> None:
    """Write predictions in ILSVRC's official format, a line per validation image."""
    from vggrepro.localisation.submission import write_submission_file
    from vggrepro.paper.tables import best_localisation

    write_submission_file(
        read_settings(settings),
        system=system or best_localisation(),
        boxes_folder=boxes,
        val_folder=val,
        devkit_folder=devkit,
        out=out,
        with_boxes=not labels_only,
        workers=threads,
    )


def _print_error(quantity: str, errors: int, n: int) -> None:
    from vggrepro.scores.statistics import wilson

    low, high = wilson(errors, n)
    name = f"{quantity} error"
    print(f"{name:20} {errors / n:7.2%}  (95%: {low:.2%} to {high:.2%}), {errors:,} of {n:,} images")
