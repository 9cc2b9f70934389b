"""Commands from scores and boxes to tables, claims and the report. No net runs here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from vggrepro.cli.app import command_group
from vggrepro.cli.options import (
    BoxesFolder,
    Count,
    Positive,
    ResultsFolder,
    ScoresFolder,
    SettingsText,
    Threads,
    ValStore,
    about,
    existing_folder,
    read_settings,
)

command = command_group("Tables and the report")


@command
def table(
    number: Annotated[str, about("1 to 12, text, or the name of an unprinted table")],
    /,
    *,
    settings: SettingsText,
    scores: Annotated[
        Path | None,
        about(
            "folder of score stores; for Tables 8 to 10 of box stores, for 11 and 12 of SVMs' results",
            converter=existing_folder,
        ),
    ] = None,
    runs: Annotated[Path | None, about("folder of the runs, whose run.json every number is held against")] = None,
    imported: Annotated[
        tuple[Path, ...], about("what `import` wrote: rows of Tables 7 and 10", consume_multiple=1)
    ] = (),
    labels: Annotated[
        tuple[Path, ...], about("what `labels` wrote: columns of Tables 3 to 7", consume_multiple=1)
    ] = (),
    out: Annotated[Path, about("folder for the files of the table, and for its outcomes")],
    threads: Threads = 1,
) -> None:
    """Write one table, beside the published one, as JSON, CSV, Markdown, HTML and LaTeX."""
    from vggrepro.judging.pipeline import make_table
    from vggrepro.tables.measurement import Inputs

    inputs = Inputs(scores, imported, threads, labels)
    make_table(number, read_settings(settings), inputs, runs=runs, out=out)


@command
def claims(
    *,
    settings: SettingsText,
    tables: Annotated[Path, about("folder of what `table` wrote", converter=existing_folder)],
    runs: Annotated[tuple[Path, ...], about("run.json files, for the claim on several GPUs")] = (),
    out: Annotated[Path, about("folder for claims.json and claims.csv")],
) -> None:
    """Judge every claim of the paper, and of your own files, on which images each system gets wrong."""
    from vggrepro.judging.ledger import judge_claims, write_ledger
    from vggrepro.tables.lineage import read_training

    ledger = judge_claims(read_settings(settings), tables, [read_training(path) for path in runs])
    write_ledger(ledger, out)
    for claim in ledger.claims if ledger.files else ():
        if claim.file:
            print(f"{claim.file}: {claim.id}: {claim.verdict}. {claim.claim}")


@command
def merging(
    *,
    settings: SettingsText,
    boxes: BoxesFolder,
    val: ValStore,
    out: Annotated[Path, about("folder for the results and the pictures")],
    threads: Threads = 1,
) -> None:
    """Measure how Table 9 moves with the parameters of merging, with examples."""
    from vggrepro.localisation.sensitivity import write_sensitivity

    write_sensitivity(read_settings(settings), boxes_folder=boxes, val_folder=val, out=out, workers=threads)


@command
def whatif(
    *,
    settings: SettingsText,
    scores: ScoresFolder,
    out: Annotated[Path, about("JSON file to write")],
    threads: Threads = 1,
) -> None:
    """Pack score stores so that the report can fuse any of them in the browser."""
    from vggrepro.report.whatif import write_whatif

    write_whatif(read_settings(settings), scores, out, threads)


@command
def evidence(
    *,
    settings: SettingsText,
    tables: Annotated[
        tuple[Path, ...], about("JSON files of tables, with the outcomes beside them", consume_multiple=1)
    ],
    scores: ScoresFolder,
    val: Annotated[Path | None, about("prepared validation store, for names of classes and small pictures")] = None,
    out: Annotated[Path, about("folder for the files that the report reads")],
    threads: Threads = 1,
) -> None:
    """Collect the images, answers and classes behind each number, for the report."""
    from vggrepro.diagnosis.evidence import write_evidence

    write_evidence(
        read_settings(settings), table_files=tables, scores_folder=scores, val_folder=val, out=out, workers=threads
    )


@command
def report(
    *,
    settings: SettingsText,
    tables: Annotated[tuple[Path, ...], about("JSON files of tables", consume_multiple=1)],
    runs: Annotated[tuple[Path, ...], about("run.json files")] = (),
    adopted: Annotated[tuple[Path, ...], about("adopted.json files: nets that were not trained here")] = (),
    merging: Annotated[Path | None, about("what `merging` wrote, for its figures")] = None,
    claims: Annotated[Path | None, about("the claims.json that `claims` wrote")] = None,
    why: Annotated[Path | None, about("what `why` wrote, for its section")] = None,
    flips: Annotated[Path | None, about("what `flips` wrote, for its figure")] = None,
    whatif: Annotated[Path | None, about("what `whatif` wrote: fusions in the browser")] = None,
    evidence: Annotated[Path | None, about("what `evidence` wrote: images behind each number")] = None,
    results: Annotated[
        Path | None, about("folder of results: every number leads to what made it", converter=existing_folder)
    ] = None,
    out: Annotated[Path, about("folder for report.html, report.tex and figures")],
) -> None:
    """Write one self-contained HTML page of all tables and figures, and report.tex."""
    from vggrepro.report.page import write_report

    write_report(
        read_settings(settings),
        table_files=tables,
        run_files=runs,
        adopted_files=adopted,
        merging=merging,
        claims=claims,
        why=why,
        flips=flips,
        packed=whatif,
        evidence=evidence,
        results=results,
        out=out,
    )


@command
def export(
    *,
    settings: SettingsText,
    results: ResultsFolder,
    out: Annotated[Path, about("folder for cells and sources")],
    crate: Annotated[Path | None, about("zip to write the bundle to")] = None,
    threads: Threads = 1,
) -> None:
    """Write all cells as tidy CSV, Parquet and JSON, and a citable bundle (RO-Crate)."""
    from vggrepro.report.bundle import write_bundle
    from vggrepro.report.export import export_tidy_data

    all_settings = read_settings(settings)
    export_tidy_data(all_settings, results, out)
    if crate:
        write_bundle(all_settings, results, crate, workers=threads)


@command
def checksums(
    results: ResultsFolder,
    /,
    *,
    record: Annotated[bool, about("first add checksums to results of an older version, as they are now")] = False,
) -> None:
    """Compare every file of a folder of results with its checksum, such as after a copy; name results that are missing."""
    from vggrepro.core.recipes import RECIPES
    from vggrepro.data.integrity import damage_below, record_below

    if record:
        for folder in record_below(results):
            print(f"{folder}: checksums recorded")
    if damage := list(damage_below(results)):
        raise ValueError("\n".join(damage))
    unsure = "" if (results / RECIPES).is_dir() else f"; no {RECIPES}/ in it says whether a result is missing"
    print(f"{results}: every file is as it was written{unsure}")


@command
def check(
    crate: Annotated[Path | None, about("zip or folder that `export` wrote")] = None,
    /,
    *,
    recompute: Annotated[Path | None, about("folder of results, such as results/smoke, to compute again")] = None,
    settings: Annotated[
        str | None, about("JSON of all settings, or a preset; if not given, the preset that the folder is named after")
    ] = None,
    images: Annotated[Positive, about("images (or classes of SVMs) of each result that are computed again")] = 4,
    steps: Annotated[Positive, about("first steps of each training that are taken again, of those that it kept")] = 4,
    seed: Annotated[Count, about("seed of the sample of images")] = 0,
    only: Annotated[tuple[str, ...], about("what to check, such as runs/A_256_s0 or tables")] = (),
    json: Annotated[bool, about("print the findings as JSON")] = False,
    threads: Threads = 1,
) -> None:
    """Check that a bundle is whole, or compute results again by a slow and obvious version of everything.

    Recomputed are the first steps of trainings, posteriors, boxes, features and SVMs of a sample, and all cells and claims.
    The exit status is 1 where anything differs by more than its tolerance.
    """
    if (crate is None) == (recompute is None):
        raise ValueError("check: expected a bundle, or --recompute with a folder of results")
    if recompute:
        extent = {"images": images, "steps": steps, "seed": seed, "only": only}
        _check_results(recompute, settings, as_json=json, threads=threads, **extent)
    elif crate:
        from vggrepro.report.bundle_check import check_bundle

        print(f"{crate}: {check_bundle(crate)} files, all as they were described")


def _check_results(results: Path, settings: str | None, *, as_json: bool, threads: int, **extent: Any) -> None:  # noqa: ANN401
    """Print the findings of a recomputation, as they come or as JSON, and end with exit status 1 where one differs."""
    import json

    from vggrepro.core.devices import set_cpu_arithmetic
    from vggrepro.recompute.check import Extent, as_json_value, recompute
    from vggrepro.recompute.evaluations import Sample
    from vggrepro.recompute.findings import summary
    from vggrepro.settings.models import PRESETS

    set_cpu_arithmetic(threads)
    text = settings or (results.resolve().name if results.resolve().name in PRESETS else None)
    whole = Extent(Sample(extent["images"], extent["seed"]), extent["steps"], extent["only"])
    findings = []
    for finding in recompute(results, read_settings(text) if text else None, whole):
        findings.append(finding)
        if not as_json:
            print(finding.line, flush=True)
    if as_json:
        print(json.dumps([as_json_value(finding) for finding in findings], indent=1))
    else:
        print(f"{results}: {summary(findings)}")
    if any(finding.status == "differs" for finding in findings):
        sys.exit(1)
