"""Scores and boxes: what the rules of `evaluate.smk` and `localise.smk` ask."""

from __future__ import annotations

from vggrepro.paper.runs import Run
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_classification, scales_of
from vggrepro.workflow.plan import Answers, Plan, of_first_seed
from vggrepro.workflow.train import parent_weights


def evaluate_job(plan: Plan, run: str, protocol: str) -> Answers:
    """The test scales at which the paper's tables evaluate a run under a protocol, and all that decides posteriors."""
    scales = scales_of(Run.parse(run), protocol, plan.settings.unprinted)
    return {"scales": ",".join(map(str, scales)), "settings": plan.settings.evaluate.model_dump_json()}


def answers_job(plan: Plan, seed: str) -> Answers:
    """The folders of score stores that the best classification system averages."""
    system = with_seed(best_classification(), int(seed))
    return {"scores": sorted({f"{plan.root}/scores/{member.job}" for member, _ in system})}


def boxes_job(plan: Plan, run: str, protocol: str) -> Answers:
    """As for posteriors; for dense boxes also the net that scores them and the images' best labels."""
    localiser, dense = Run.parse(run), protocol == "dense"
    return {
        **evaluate_job(plan, run, protocol),
        "classifier": parent_weights(plan, localiser) if dense else [],
        "answers": [f"{plan.root}/answers/s{localiser.seed}"] if dense else [],
    }


def merging_job(plan: Plan) -> Answers:
    """The box stores of Table 9, of the first seed, and what decides how they are merged."""
    return {
        "boxes": plan.stores("9", seeds=plan.settings.seeds[:1]),
        "settings": of_first_seed(plan.settings, "merge"),
    }
