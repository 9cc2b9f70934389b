"""Scores and boxes: what the rules of `evaluate.smk` and `localise.smk` ask."""

from __future__ import annotations

from vggrepro.paper.runs import Run
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_classification, scales_of
from vggrepro.workflow.plan import JobNeeds, Plan, of_first_seed
from vggrepro.workflow.train import weights_file


def evaluate_job(plan: Plan, run: str, protocol: str) -> JobNeeds:
    """The weights of a run, the test scales at which the paper's tables evaluate it, and all that decides posteriors."""
    tested = Run.parse(run)
    scales = scales_of(tested, protocol, plan.settings.asked_tables)
    return {
        "weights": weights_file(plan, tested),
        "scales": ",".join(map(str, scales)),
        "settings": plan.settings.of(tested).evaluate.model_dump_json(),
    }


def evaluate_elsewhere_job(plan: Plan, run: str, reference: str, protocol: str) -> JobNeeds:
    """The same on other images."""
    return evaluate_job(plan, run, protocol)


def answers_job(plan: Plan, seed: str) -> JobNeeds:
    """The folders of score stores that the best classification system averages."""
    system = with_seed(best_classification(), int(seed))
    return {"scores": sorted({f"{plan.root}/scores/{member.job}" for member, _ in system})}


def boxes_job(plan: Plan, run: str, protocol: str) -> JobNeeds:
    """As for posteriors; for dense boxes also the net that scores them and the images' best labels."""
    localiser, dense = Run.parse(run), protocol == "dense"
    classifier = localiser.varied.parent()
    assert classifier is not None, "a net that predicts boxes is initialised from a classification net"
    return {
        **evaluate_job(plan, run, protocol),
        "classifier": weights_file(plan, classifier) if dense else [],
        "answers": [f"{plan.root}/answers/s{localiser.seed}"] if dense else [],
    }


def merging_job(plan: Plan) -> JobNeeds:
    """The box stores of Table 9, of the first seed, and what decides how they are merged."""
    return {
        "boxes": plan.stores("9", seeds=plan.settings.seeds[:1], variants=False),
        "settings": of_first_seed(plan.settings, "merge"),
    }
