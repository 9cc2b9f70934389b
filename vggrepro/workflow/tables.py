"""Tables and claims from results: what the rules of `tables.smk` ask."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vggrepro.core.leftovers import visible_files
from vggrepro.core.paths import ROOT
from vggrepro.data.devkit_files import SYNSETS, DevkitFiles
from vggrepro.paper.references import AT, on_path
from vggrepro.paper.runs import Run, with_ancestors
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import PublishedTable, best_classification, table_files
from vggrepro.workflow.plan import JobNeeds, Plan


def import_scores_job(plan: Plan, system: str) -> JobNeeds:
    """The file of a system of others, how it is read, and what its scores are judged by: the devkit or the prepared images."""
    name, devkit = plan.imported[system], plan.settings.devkit
    imported = plan.settings.imported[name]
    order = [imported.order] if imported.order and imported.order not in ("validation", "folders") else []
    truth = [devkit_synsets(devkit.folder), *([devkit.solution] if devkit.solution else [])] if devkit else []
    val = None if devkit else f"{plan.root}/data/val"
    return {
        "file": imported.file,
        "others": [*([imported.scores] if imported.scores else []), *order, *truth, *([val] if val else [])],
        "name": name,
        "order": imported.order,
        "ids": imported.ids,
        "classes": imported.classes,
        "devkit": devkit and devkit.folder,
        "solution": devkit and devkit.solution,
        "val": val,
        "logits": imported.logits,
        "scores": imported.scores,
        "accept": list(imported.accept),
    }


def import_elsewhere_job(plan: Plan, system: str, reference: str) -> JobNeeds:
    """The file of a system of others on other images, and what says their classes."""
    imported, name = plan.settings.imported[plan.imported[system]], plan.validation[reference]
    folders = plan.settings.validation[name]
    job = import_scores_job(plan, system)
    order = [imported.order] if imported.order and imported.order not in ("validation", "folders") else []
    others = [*(other for other in job["others"] if other not in (*order, imported.scores)), *plan.fetched(folders)]
    return job | {
        "file": imported.elsewhere[name],
        "others": others,
        "folders": folders,
        "order": "folders" if imported.order else None,
        "solution": None,
        "scores": None,
    }


def labels_job(plan: Plan, reference: str) -> JobNeeds:
    """A file of other labels, and what says which images they are of: the devkit or the prepared images."""
    name, devkit = plan.labels[reference], plan.settings.devkit
    val = None if devkit else f"{plan.root}/data/val"
    file = plan.settings.labels[name]
    return {
        "source": plan.fetched(file) or file,
        "file": file,
        "images": [devkit_synsets(devkit.folder)] if devkit else [val],
        "name": name,
        "devkit": devkit and devkit.folder,
        "val": val,
    }


def devkit_synsets(folder: str) -> str:
    """The file that has the devkit's classes: in its folder, the folder above, or its archive; the folder where none has."""
    try:
        return str(DevkitFiles(Path(folder)).place(SYNSETS))
    except ValueError:
        return f"{folder}/meta.mat"


def imported_store(plan: Plan, system: str) -> str:
    """The score store of a system of others."""
    return f"{plan.root}/scores/imported/{system}"


def _imported_stores(plan: Plan, published: PublishedTable) -> Iterator[str]:
    """The score stores of all systems of others, on the validation images and on others."""
    yield from (imported_store(plan, system) for system in plan.imported)
    for reference, name in plan.validation.items() if published.kind.averages else ():
        for system, title in plan.imported.items():
            if name in plan.settings.imported[title].elsewhere:
                yield f"{imported_store(plan, system)}{AT}{reference}"


@cache
def table_job(plan: Plan, table: str) -> JobNeeds:
    """The results and records behind a table, the published numbers, and how near is near enough.

    Merging boxes is work for several threads, averaging scores is not.
    """
    settings, number = plan.settings, plan.tables[table]
    published = settings.table(number)
    own = plan.stores(number, seeds=settings.seeds)
    elsewhere = plan.validation if published.kind.averages else {}
    below = f"{plan.root}/scores/"
    stores = own + [below + on_path(store.removeprefix(below), name) for name in elsewhere for store in own]
    words = [*table_files(number)]
    # what is known of others' trainings is held against the paper where their nets are
    released = ["releases.yaml"] if settings.released else []
    words += [ROOT / "tables" / name for name in ("tolerances.yaml", "protocol.yaml", *released)]
    return {
        "number": number,
        "folder": f"{plan.root}/{published.kind.results or 'scores'}",
        "scores": stores,
        "runs": _records(plan, published) if stores else [],
        "imported": list(_imported_stores(plan, published)) if published.compares_methods else [],
        "labels": [f"{plan.root}/labels/{name}" for name in plan.labels] if published.kind.averages else [],
        "published": [str(path) for path in (*words, *sorted((ROOT / "tables" / "templates").glob("*.j2")))],
        "settings": settings.model_dump_json(),
        "threads": settings.threads if published.kind.results == "boxes" else 1,
    }


def _records(plan: Plan, table: PublishedTable) -> list[str]:
    """The records of all the runs behind a table: those that it measures, and those that they are initialised from."""
    runs = table.runs(plan.settings.seeds)
    if any(e.run.localises and e.protocol == "dense" for e in table.evaluations()):
        # dense boxes are of the labels that the best classification system gives
        best = evaluations_of(best_classification())
        runs += [e.seeded(seed).run for e in best for seed in plan.settings.seeds]
    adopted = set(map(Run.parse, plan.adopted))
    trained = (plan.settings.trained_as(run) for run in runs if plan.has([run]))
    behind = with_ancestors(trained, parent_of=plan.settings.parent, adopted=adopted)
    return [f"{plan.root}/runs/{run.name}/{'adopted' if run in adopted else 'run'}.json" for run in behind]


def claims_job(plan: Plan) -> JobNeeds:
    """What claims are judged by besides our own tables: files of claims, tolerances, results of runs from random weights."""
    files = [str(ROOT / "tables" / name) for name in ("claims.yaml", "tolerances.yaml")]
    files += plan.settings.claims.values()
    made = ("runs/*/run.json", "scores/*/dense/*/made.json")
    others = [str(file) for folder in plan.settings.unstaged.values() for file in visible_files(Path(folder), *made)]
    return {"files": files + others, "settings": plan.settings.model_dump_json()}
