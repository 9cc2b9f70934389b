"""The report: one self-contained HTML file, and the same content as LaTeX. No torch.

The order of its sections: what was run, on which data and hardware; the paper's claims with their verdicts; the tables;
the figures; the error decomposition; the choices where the paper is unspecified, and the departures from the paper.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vggrepro.core import provenance
from vggrepro.core.checksums import write_checksums
from vggrepro.core.files import write_text
from vggrepro.core.paths import ROOT
from vggrepro.core.records import read_released
from vggrepro.diagnosis.evidence import read_evidence
from vggrepro.judging.ledger import read_ledger
from vggrepro.report import origins
from vggrepro.report.claims import claims_section
from vggrepro.report.deviations import deviations_section
from vggrepro.report.evidence import evidence_section
from vggrepro.report.figures import waterfall
from vggrepro.report.repeated import shared_notes, varying_columns
from vggrepro.report.shown import ShownResults, draw_figures
from vggrepro.report.summary import cells_warning, summary_section
from vggrepro.report.sweeps import sweeps_section
from vggrepro.report.whatif_section import whatif_section
from vggrepro.settings.choices import departures
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.cells import Table
from vggrepro.tables.lineage import FinishedTraining

COST_COLUMNS = {
    "on": "on",
    "attempts": "attempts",
    "time": "time",
    "processor": "processor time",
    "speed": "images/s",
    "memory": "memory (GiB)",
    "energy": "energy (kWh)",
}
"""Of the table of what training runs cost."""


def write_report(
    settings: Settings,
    *,
    table_files: Sequence[Path],
    run_files: Sequence[Path],
    out: Path,
    adopted_files: Sequence[Path] = (),
    merging: Path | None = None,
    claims: Path | None = None,
    why: Path | None = None,
    flips: Path | None = None,
    packed: Path | None = None,
    evidence: Path | None = None,
    results: Path | None = None,
) -> None:
    """Write `report.html`, `report.tex` and `figures/*.pdf` into the folder `out`.

    `results` is the folder of results, such as `results/smoke`. If it is given, every number links to the files that it was
    computed from.
    """
    shown = ShownResults(
        settings=settings,
        table_files={path: render.read_table(path) for path in table_files},
        trainings=[lineage.read_training(path) for path in run_files],
        folder=results,
        stored=lineage.stored_results(results) if results else {},
        ledger=read_ledger(claims) if claims else None,
        evidence=read_evidence(evidence) if evidence else None,
        merging=merging,
        flips=flips,
    )
    page = _page_of_results(shown, [_adopted_row(read_released(path)) for path in adopted_files])
    page |= {
        "figures": draw_figures(shown, out / "figures"),
        "why": waterfall.decomposition_section(why, out / "figures") if why else None,
        "whatif": whatif_section(packed) if packed else None,
        "script": (ROOT / "reports" / "report.js").read_text(encoding="utf-8"),
        "style": (ROOT / "reports" / "style.css").read_text(encoding="utf-8"),
    }
    write_text(out / "report.html", render.render_template("report.html.j2", page))
    write_text(out / "report.tex", render.render_template("report.tex.j2", page))
    write_checksums(out)


def _page_of_results(shown: ShownResults, released: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the template prints of tables, claims and trainings."""
    settings, tables, trainings = shown.settings, shown.tables, shown.trainings
    names = [net["run"] for net in released]
    all_origins = origins.origins_of(settings, tables, trainings, shown.stored, names) if shown.folder else None
    notes = shared_notes(tables)
    training_rows = [_training_row(t) for t in trainings]
    return {
        "title": "Very Deep Convolutional Networks, reproduced",
        "warning": report_warning(settings) or cells_warning(tables),
        "facts": run_facts(settings, trainings),
        "summary": summary_section(shown.table_files, shown.ledger, shown.folder, shown.stored),
        "ledger": claims_section(shown.ledger) if shown.ledger else None,
        "tables": [_table_view(t, all_origins, [note for _, note in notes]) for t in tables],
        "sweeps": sweeps_section(tables),
        "evidence": evidence_section(shown.evidence) if shown.evidence else None,
        "adopted": released,
        "trainings": training_rows,
        "cost": dict(zip(("columns", "alike"), varying_columns(COST_COLUMNS, training_rows), strict=True)),
        "shared_notes": notes,
        "deviations": deviations_section(tables, settings),
        "origins": all_origins,
    }


def _table_view(table: Table, all_origins: origins.Origins | None, shared: Sequence[str]) -> dict[str, str]:
    """A table as HTML and LaTeX; notes that it shares with others are printed elsewhere."""
    links = all_origins.links[table.name] if all_origins else {}
    return {
        "name": table.name,
        "heading": render.table_heading(table),
        "short": table.number if table.number.isdigit() else table.name,
        "html": render.table_html(table, links, "choices", "../tables/", shared),
        "tex": render.table_latex(table),
    }


def _adopted_row(record: Mapping[str, Any]) -> dict[str, str]:
    """A released net: its file, who trained it, how its numbers were read, and its top-1 error on a centre crop."""
    reading, checked = record["reading"], record["checked"]
    parts = [f"{name} {reading[name]}" for name in ("channels", "input", "classes", "full", "kernels")]
    return {
        "run": record["run"],
        "file": f"{record['file']} ({record['format']})",
        "digest": record["digest"][:12],
        "trained": record["trained by"],
        "reading": f"{', '.join(parts)}; mean RGB {', '.join(f'{v:.2f}' for v in reading['mean'])}",
        "error": f"{100 * checked['top-1 errors'] / checked['images']:.1f} (n = {checked['images']})",
    }


def report_warning(settings: Settings) -> str:
    """A warning to print before the first number; empty under the paper's own settings."""
    departing_keys = [key for key, _, _ in departures(settings)]
    if not departing_keys:
        return ""
    if {"data.layout", "data.classes", "data.train_per_class", "data.val_per_class"} & set(departing_keys):
        data = {
            "stand-in": "images drawn by the program",
            "tiny-imagenet": "Tiny ImageNet",
            "ilsvrc": "a part of ILSVRC-2012",
        }
        return (
            f"This is a run of the {settings.preset} preset on {data[settings.data.layout]}. It shows that every step of the "
            "paper runs; its errors are not the paper's, and every delta below compares different data."
        )
    keys = ", ".join(departing_keys)
    return f"This run departs from the paper in {keys}: what depends on that does not compare like with like."


def run_facts(settings: Settings, trainings: Sequence[FinishedTraining]) -> list[tuple[str, str]]:
    """The preset, seeds, data, hardware, versions and times of a run: (name, value)."""
    rows = [("preset", settings.preset), ("seeds", ", ".join(map(str, settings.seeds)))]
    if trainings:
        first = trainings[0].about
        data = first["data"]
        seconds = sum(t.processor_seconds for t in trainings)
        rows += [
            ("data", f"{data['data set']}, {data['images']:,} training images"),
            ("chance", chance_level(first["record"]["classes"])),
            ("data digest", data["train"][:12]),
            ("training runs", f"{len(trainings)}, {_duration(seconds)} in all{_energy(trainings)}"),
            ("hardware", _common([f"{t.about['device']}: {t.about['made']['processor']}" for t in trainings])),
            ("instructions", _common([t.about["made"].get("instructions", "fastest") for t in trainings])),
            ("versions", _common([_versions(t.about["made"]["versions"]) for t in trainings])),
            ("commit", _common([str(t.about["made"]["commit"])[:20] for t in trainings])),
            (
                "trained",
                f"{min(t.about['made']['at'] for t in trainings)} to {max(t.about['made']['at'] for t in trainings)}",
            ),
        ]
    now = provenance.provenance_record()
    return [*rows, ("report made", f"{now['at']}, commit {str(now['commit'])[:20]}")]


def chance_level(classes: int) -> str:
    """The errors of guessing, beside which errors on other data than ImageNet have to be read."""
    top1, top5 = (100 * max(0.0, 1 - guesses / classes) for guesses in (1, 5))
    return f"of {classes} classes, guessing has a top-1 error of {top1:.1f}% and a top-5 error of {top5:.1f}%"


def _common(values: list[str]) -> str:
    """The one value, or each value with its number of runs, so that different code or machines stay visible."""
    counts = Counter(values)
    return values[0] if len(counts) == 1 else "; ".join(f"{value} ({_runs(n)})" for value, n in counts.most_common())


def _runs(n: int) -> str:
    return f"{n} run{'s' if n > 1 else ''}"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _training_row(training: FinishedTraining) -> dict[str, Any]:
    about, last = training.about, training.last
    parent = about["parent"]
    return {
        "run": training.run.name,
        "parent": parent["run"] if parent else "",
        "from": _layers(about["initialised"]) if parent else f"random ({about['settings']['train']['init']})",
        "epochs": str(about["epochs"]),
        "drops": ", ".join(map(str, about["drops"])) or "none",
        "loss": f"{last['loss']:.3f}",
        "error": f"{100 * training.steering(last):.1f}",
        "speed": f"{last['images_per_s']:,.0f}",
        "time": _duration(about["seconds"]),
        "processor": _duration(training.processor_seconds),
        "on": " then ".join(dict.fromkeys(_devices(attempt) for attempt in about["attempts"])),
        "attempts": str(len(about["attempts"])),
        "memory": f"{max(attempt['peak_bytes'] for attempt in about['attempts']) / 2**30:.1f}",
        "energy": "not measured" if math.isnan(training.joules) else f"{training.joules / 3.6e6:.2f}",
        "weights": about["weights"][:12],
        "settings": origins.flattened_values(about["settings"]),
    }


def _devices(attempt: dict[str, Any]) -> str:
    many = f"{attempt['processes']} x " if attempt["processes"] > 1 else ""
    pieces = f", batch in {attempt['pieces']} pieces" if attempt["pieces"] > 1 else ""
    return f"{many}{attempt['device']}{pieces}"


def _energy(trainings: Sequence[FinishedTraining]) -> str:
    """The energy of all attempts of all runs; empty if any of them was not measured."""
    total = sum(t.joules for t in trainings)
    return "" if math.isnan(total) else f", {total / 3.6e6:.1f} kWh"


def _layers(names: list[str]) -> str:
    if len(names) < 9:
        return ", ".join(names)
    return f"all {len(names)} layers" if "fc8" in names else "all layers but fc8"
