"""Commands that take results from one laboratory to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from vggrepro.cli.app import command_group
from vggrepro.cli.options import Threads, about, read_settings

command = command_group("Packs")


@command
def pack(
    results: Annotated[Path, about("folder of results, such as results/smoke")],
    out: Annotated[Path, about("zip to write")],
    /,
    *,
    weights: Annotated[bool, about("also the weights of nets, and the features that SVMs are trained on")] = False,
    settings: Annotated[
        str | None, about("JSON of all settings, or a preset; if not given, those that the workflow wrote down")
    ] = None,
) -> None:
    """Pack records, scores and recipes of a folder of results, for others to count or to continue."""
    from vggrepro.packs.write import write_pack

    files = write_pack(results, out, weights=weights, settings=read_settings(settings) if settings else None)
    print(f"{out}: {files} files, {out.stat().st_size / 1e6:,.1f} MB")


@command
def merge(
    packs: Annotated[tuple[Path, ...], about("zips that `pack` wrote")],
    /,
    *,
    out: Annotated[Path, about("new folder of results")],
    place: Annotated[
        tuple[str, ...],
        about("where a data set lies here, such as data.path=/data/ilsvrc or transfer.voc2007=/data/voc"),
    ] = (),
    threads: Threads = 1,
) -> None:
    """Make one result of packs: their runs and seeds side by side, every table made again from the scores."""
    from vggrepro.packs.merge import merge_packs, merge_summary

    if not packs:
        raise ValueError("merge: expected the zips that `vggrepro pack` wrote")
    if wrong := [each for each in place if not all(each.partition("="))]:
        raise ValueError(f"--place: expected SETTING=PATH, such as data.path=/data/ilsvrc, got {wrong[0]!r}")
    given = dict(each.split("=", 1) for each in place)
    print(merge_summary(merge_packs(list(packs), out, given=given, workers=threads), out))
