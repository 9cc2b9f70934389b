"""Commands from a data set to stores of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vggrepro.cli.app import command_group
from vggrepro.cli.options import Count, Positive, Threads, about, path_or_none
from vggrepro.paper.tasks import TRANSFER_SETS

command = command_group("Data sets")
DataSet = Annotated[Path, about("folder or archive of the data set")]


@command
def prepare(
    *,
    layout: Literal["ilsvrc", "tiny-imagenet", "stand-in", "numbered"],
    path: Annotated[
        Path | None, about("folder or archive of the data set; none for the stand-in", converter=path_or_none)
    ] = None,
    like: Annotated[Path | None, about("of numbered folders: the prepared store that has the same classes")] = None,
    encoding: Literal["pixels", "files"] = "pixels",
    classes: Annotated[Positive | None, about("take only the first so many classes")] = None,
    train_per_class: Positive | None = None,
    val_per_class: Positive | None = None,
    train: Annotated[Path | None, about("folder of the training store to write; without it none is written")] = None,
    val: Annotated[Path | None, about("folder of the validation store to write; without it none is written")] = None,
    dry_run: Annotated[bool, about("print how many bytes the stores take, and write nothing")] = False,
    threads: Threads = 1,
) -> None:
    """Decode a data set (or draw the stand-in) into the stores that training reads."""
    from vggrepro.data.prepare import prepare_stores

    prepare_stores(
        layout,
        path,
        like=like,
        train_folder=train,
        val_folder=val,
        classes=classes,
        per_class=(train_per_class, val_per_class),
        encoding=encoding,
        workers=threads,
        dry_run=dry_run,
    )


@command
def rescale(
    *,
    store: Annotated[Path, about("prepared store of the original images")],
    smallest: Annotated[Positive, about("smallest side in pixels: S in the paper's preset")],
    encoding: Literal["pixels", "jpeg"] = "pixels",
    out: Annotated[Path, about("folder to write the store to")],
    dry_run: Annotated[bool, about("print how many bytes it takes and how exact it is; write nothing")] = False,
    threads: Threads = 1,
) -> None:
    """Rescale a store of training images to one S once and for all (section 3.1)."""
    from vggrepro.data.prepare import prepare_rescaled

    prepare_rescaled(store, smallest, encoding, out, workers=threads, dry_run=dry_run)


@command
def verify(
    *,
    layout: Literal["ilsvrc", "tiny-imagenet"],
    path: DataSet,
    out: Annotated[Path, about("folder for manifest.csv and problems.csv")],
    threads: Threads = 1,
) -> None:
    """Decode every image of a data set, and list what each is and what is wrong."""
    from vggrepro.data.verify import verify_data_set

    print(verify_data_set(layout, path, out, workers=threads))


@command
def fetch(
    *names: Annotated[str, about("what to fetch; without a name, all that may be fetched is listed")],
    folder: Annotated[Path, about("folder to fetch into, a folder in it for each name")] = Path("downloads"),
    mirror: Annotated[
        str | None, about("an address below which the files lie, in place of those that are listed")
    ] = None,
    proxy: Annotated[str | None, about("address of a proxy; without it, that of HTTPS_PROXY")] = None,
    dry_run: Annotated[bool, about("print sizes and addresses, and fetch nothing")] = False,
) -> None:
    """Fetch data sets and released nets, compare them with their digests, and print where they lie."""
    from vggrepro.data.fetch import fetch as fetch_download
    from vggrepro.data.fetch import list_downloads, plan_of
    from vggrepro.settings.downloads import find_download

    for name in names:
        find_download(name)
    if not names or dry_run:
        print("\n".join(line for name in names for line in plan_of(name, folder)) or "\n".join(list_downloads()))
        return
    for name in names:
        print(fetch_download(name, folder=folder, mirror=mirror, proxy=proxy))


@command
def draw(
    set: Annotated[str, Parameter(choices=TRANSFER_SETS)],
    /,
    *,
    per_class: Annotated[Count, about("images of a class (Caltech)")] = 0,
    out: Annotated[Path, about("folder to write the data set to")],
) -> None:
    """Draw a small data set in the layout of VOC or Caltech, for a dry run of transfer."""
    from vggrepro.data import transfer_standin

    if set.startswith("voc"):
        transfer_standin.write_voc(out, set.removeprefix("voc"))
    else:
        transfer_standin.write_caltech(out, set.removeprefix("caltech"), per_class=per_class)
