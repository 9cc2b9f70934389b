"""Commands for the scores of others, and for predictions in ILSVRC's official format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from vggrepro.cli.app import command_group
from vggrepro.cli.options import BoxesFolder, Positive, SettingsText, Threads, ValStore, about, read_settings

command = command_group("Scores of others")


Accept = Annotated[
    tuple[Literal["chance", "order"], ...],
    about(
        "take what would be refused: an error near `chance`, lists in an `order` that is not best first",
        consume_multiple=1,
    ),
]


@command
def import_(
    file: Annotated[Path, about("a row per image: .npy, .npz, .csv, .tsv, .parquet, .json, or .txt (official format)")],
    /,
    *,
    name: Annotated[str, about("what tables call it")],
    val: Annotated[Path | None, about("prepared validation store: the true classes of the images")] = None,
    devkit: Annotated[Path | None, about("ILSVRC's devkit, folder or archive, in place of --val")] = None,
    folders: Annotated[
        Path | None, about("other images of the same classes, in folders called by class numbers, as ImageNetV2's")
    ] = None,
    solution: Annotated[Path | None, about("LOC_val_solution.csv: boxes in a .txt are judged too")] = None,
    order: Annotated[
        str | None, about("where rows have no ids: validation, folders, or a file that lists the images")
    ] = None,
    ids: Annotated[str | None, about("column or array with the images' ids, if it is not plain which that is")] = None,
    classes: Annotated[
        Literal["wnid", "sorted", "sorted-from-1", "sorted-as-text", "devkit"] | None,
        about("what a column or a label names; sorted-from-1 also for 1,001 columns with TensorFlow's background"),
    ] = None,
    scores: Annotated[
        Path | None, about("scores of the labels, in the order of the file's rows, to sort them by")
    ] = None,
    accept: Accept = (),
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
        folders=folders,
        solution=solution,
        order=order,
        ids=ids,
        classes=classes,
        logits=logits,
        scores=scores,
        accept=accept,
    )
    _print_errors({name: (int(errors.wrong.sum()), errors.n) for name, errors in imported_errors(store).items()})


@command
def labels(
    file: Annotated[
        Path, about("JSON: a list of labels for each validation image, as ReaL's, or keys that are file names")
    ],
    /,
    *,
    name: Annotated[str, about("what tables call them")],
    val: Annotated[Path | None, about("prepared validation store: the images, and their own labels")] = None,
    devkit: Annotated[Path | None, about("ILSVRC's devkit, folder or archive, in place of --val")] = None,
    out: Annotated[Path, about("folder to write the store to")],
) -> None:
    """Read other labels of the validation images, several or none for an image, checked, as a store of label sets."""
    from vggrepro.external.label_files import read_label_file

    sets = read_label_file(file, name=name, out=out, val=val, devkit_folder=devkit)
    counted = int((sets.labels[:, 0] >= 0).sum())
    print(
        f"{name}: {counted:,} of {len(sets.ids):,} images have a label, {int((sets.labels >= 0).sum()):,} labels in all"
    )


@command
def judge(
    predictions: Annotated[
        Path, about("a line per validation image: up to five `label xmin ymin xmax ymax`, or labels")
    ],
    /,
    *,
    devkit: Annotated[
        Path, about("ILSVRC's devkit, folder or archive; for boxes that of 2014, which has the blacklist")
    ],
    solution: Annotated[Path | None, about("LOC_val_solution.csv: the true boxes")] = None,
    labels_only: Annotated[bool, about("judge labels alone")] = False,
    first: Annotated[Positive | None, about("judge only the first so many validation images")] = None,
    accept: Accept = (),
) -> None:
    """Score predictions in ILSVRC's official format, or lists of labels as import reads them, as the devkit does."""
    from vggrepro.external.imported import judge_predictions

    judged = judge_predictions(
        predictions, devkit_folder=devkit, solution=solution, first=first, labels_only=labels_only, accept=accept
    )
    _print_errors(judged.counts())


@command
def submission(
    system: Annotated[str | None, about("a row of Table 9, such as D/384/352,384; without it Table 10's")] = None,
    /,
    *,
    settings: SettingsText,
    boxes: BoxesFolder,
    val: ValStore,
    devkit: Annotated[Path, about("ILSVRC's devkit, folder or archive: its ids of classes")],
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


def _print_errors(counts: dict[str, tuple[int, int]]) -> None:
    """A line per quantity; a list that names fewer than five labels for every image has no top-5 error."""
    for quantity, (errors, n) in counts.items():
        _print_error(quantity, errors, n)
    if "top-5" not in counts:
        print("top-5 error          not reported: no image has five labels")


def _print_error(quantity: str, errors: int, n: int) -> None:
    from vggrepro.scores.statistics import wilson

    low, high = wilson(errors, n)
    name = f"{quantity} error"
    print(f"{name:20} {errors / n:7.2%}  (95%: {low:.2%} to {high:.2%}), {errors:,} of {n:,} images")
