"""Features of other data sets and SVMs on them: what the rules of `transfer.smk` ask."""

from __future__ import annotations

from functools import cache

from vggrepro.paper.runs import Run
from vggrepro.paper.tasks import TASKS
from vggrepro.workflow.plan import JobNeeds, Plan
from vggrepro.workflow.train import weights_file


def _data_set(plan: Plan, name: str) -> JobNeeds:
    """Where a data set lies, and what is made before it is read: the folder that it is drawn in, or its download's record."""
    path = plan.settings.transfer.paths[name]
    drawn = [f"{plan.root}/data/drawn/{name}"] if path is None and plan.settings.transfer.stand_in else []
    return {"path": path or "".join(drawn), "source": [*drawn, *plan.fetched(path)]}


def draw_job(plan: Plan, set: str) -> JobNeeds:
    """Images of a class of a drawn Caltech: a few more than for training, to test."""
    transfer = plan.settings.transfer
    trained = {"caltech101": transfer.caltech101_train, "caltech256": transfer.caltech256_train}
    return {"size": trained[set] + 10 if set in trained else 0}


@cache
def features_job(plan: Plan, run: str, collection: str) -> JobNeeds:
    """The weights of a run, the data set of a collection, its test scales, and what decides features."""
    task = next(task for task in TASKS.values() if collection in task.collections)
    return {
        **_data_set(plan, task.data),
        "scales": ",".join(map(str, task.scales)),
        "weights": weights_file(plan, Run.parse(run)),
        "settings": plan.settings.of(Run.parse(run)).evaluate.model_dump_json(
            include={"precision", "batch_pixels", "cpu_kernels", "instructions"}
        ),
    }


def splits_job(plan: Plan, set: str) -> JobNeeds:
    """A Caltech set, and what decides its splits."""
    transfer = plan.settings.transfer
    fields = {name for name in type(transfer).model_fields if name.startswith(f"{set}_")}
    return {**_data_set(plan, set), "settings": transfer.model_dump_json(include={"splits", "instructions", *fields})}


@cache
def classify_job(plan: Plan, task: str, members: str) -> JobNeeds:
    """The features that SVMs are trained on, of every net and collection; random splits; what decides the SVMs."""
    transfer, problem = plan.settings.transfer, TASKS[task]
    nets, splits = members.split("+"), transfer.splits if problem.data.startswith("caltech") else 0
    fields = {"normalise", "C", "held_out", "instructions"} | ({"ap_2007"} if problem.data == "voc2007" else set())
    return {
        **_data_set(plan, problem.data),
        "features": [f"{plan.root}/features/{net}/{name}" for name in problem.collections for net in nets],
        "splits": [f"{plan.root}/splits/{problem.data}/{k}.csv" for k in range(splits)],
        "settings": transfer.model_dump_json(include=fields),
    }
