"""The report and what it shows beside the tables: what the rules of `why.smk` and `report.smk` ask."""

from __future__ import annotations

from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation, evaluations_of, parse_system, with_seed
from vggrepro.paper.tables import SHALLOW_AND_DEEP, best_classification, scales_of, table_numbers
from vggrepro.workflow.plan import JobNeeds, Plan, of_first_seed


def why_job(plan: Plan, run: str) -> JobNeeds:
    """The score stores of a run's own systems, and of the best system if the run is part of it."""
    settings, measured = plan.settings, Run.parse(run)
    best = {e.run for e in evaluations_of(with_seed(best_classification(), measured.seed))}
    runs = {r for r in best if plan.has([r])} if measured in best else {measured}
    pairs = [(r, protocol) for r in runs for protocol in ("dense", "multi-crop") if scales_of(r, protocol)]
    return {
        "scores": sorted(f"{plan.root}/scores/{r.name}/{protocol}" for r, protocol in pairs),
        "settings": settings.evaluate.model_dump_json(),
        "devkit": settings.devkit and settings.devkit.folder,
    }


def flips_job(plan: Plan) -> JobNeeds:
    """The score stores of the two systems that are compared image by image."""
    return {"scores": sorted({f"{plan.root}/scores/{e.job}" for e in _compared(plan)})}


def whatif_job(plan: Plan) -> JobNeeds:
    """All score stores of the first seed, and what decides which of them are packed for the report."""
    seeds = plan.settings.seeds[:1]
    stores = {store for number in table_numbers("scores") for store in plan.stores(number, seeds=seeds, variants=False)}
    return {"scores": sorted(stores), "settings": of_first_seed(plan.settings)}


def evidence_job(plan: Plan) -> JobNeeds:
    """The tables of errors and all score stores behind them, for the first seed; the validation images, if there are any."""
    tables = [name for name, number in plan.tables.items() if number in plan.settings.table_numbers("scores", "boxes")]
    return whatif_job(plan) | {
        "tables": [f"{plan.root}/tables/{name}.json" for name in tables],
        "val": [f"{plan.root}/data/val"] if plan.runs else [],
        "settings": plan.settings.model_dump_json(),
    }


def report_job(plan: Plan) -> JobNeeds:
    """What the report shows beside the tables, and its settings.

    Merging if boxes are predicted, flips if both nets are there, the error decomposition of a net of the paper's best system,
    what-if and evidence if any net is evaluated; none of them where the tables have imported systems alone.
    """
    best = evaluations_of(with_seed(best_classification(), plan.settings.seeds[0]))
    return {
        "merging": [f"{plan.root}/merging"] if plan.localisers else [],
        "why": [f"{plan.root}/why/{e.run.name}" for e in best if plan.has([e.run])][:1],
        "flips": [f"{plan.root}/flips"] if plan.has(e.run for e in _compared(plan)) else [],
        "whatif": [f"{plan.root}/whatif/whatif.json"] if whatif_job(plan)["scores"] else [],
        "evidence": [f"{plan.root}/evidence"] if whatif_job(plan)["scores"] else [],
        "settings": plan.settings.model_dump_json(),
    }


def _compared(plan: Plan) -> list[Evaluation]:
    """The evaluations of the two systems that flips are shown of, for the first seed."""
    systems = (parse_system(name, "dense") for name in SHALLOW_AND_DEEP)
    return [e for system in systems for e in evaluations_of(with_seed(system, plan.settings.seeds[0]))]
