"""From a data set to stores of images: what the rules of `data.smk` ask."""

from __future__ import annotations

from vggrepro.workflow.plan import JobNeeds, Plan


def fetch_job(plan: Plan, download: str) -> JobNeeds:
    """Where downloads lie, and how they come there: the same for each."""
    return plan.settings.downloads.model_dump()


def source_job(plan: Plan, split: str = "") -> JobNeeds:
    """The record of the data set's download; none where the user gave the data set, whose place and time decide nothing."""
    return {"fetched": plan.fetched(plan.settings.data.path)}


def prepare_job(plan: Plan, split: str) -> JobNeeds:
    """All that decides a prepared store: a change of any value prepares it again."""
    data = plan.settings.data
    names = ("layout", "path", "encoding", "classes", "train_per_class", "val_per_class")
    return {name: getattr(data, name) for name in names}


def validation_job(plan: Plan, reference: str) -> JobNeeds:
    """Other validation images, and how they are kept: as the data set's own."""
    path = plan.settings.validation[plan.validation[reference]]
    return {"fetched": plan.fetched(path), "path": path, "encoding": plan.settings.data.encoding}


def rescale_job(plan: Plan, S: str) -> JobNeeds:
    """All that decides a store of training images rescaled to one S."""
    return {"smallest": plan.settings.model.pixels(int(S)), "encoding": plan.settings.data.rescaled}


def manifest_job(plan: Plan) -> JobNeeds:
    """Which data set to verify; a ValueError where the program draws the images."""
    data = plan.settings.data
    if data.path is None:
        raise ValueError("verify: the images are drawn by the program: give a data set, such as ilsvrc=PATH")
    return {"layout": data.layout, "path": data.path}
